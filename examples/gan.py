"""Two networks play: one draws digits, one tells them from real ones (Goodfellow et al. 2014).

    python examples/gan.py          # writes gan.png; needs Pillow (extra data)

Three things make an end of the game. The critic pays for steep slopes at real digits (R1, Mescheder
et al. 2018), so that it has no reason to move once the drawn ones are where the real ones are. Adam
does not go on where it went before (its first beta is 0). And what draws at last is the average of
the artist's latest weights, as the artist itself goes on circling around its aim.

The score is the Fréchet distance between real digits and drawn ones (Heusel et al. 2017), in the
features of a small classifier that is trained first.
Score: 0.238; the same networks in PyTorch 0.238, with the same random numbers
(tools/with_pytorch.py, PyTorch 2.13.0, 2026-11-29). Such a game enlarges every rounding: in float64
both libraries play the same one to the end, in float32 they part on the way.
"""

import argparse

from PIL import Image

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn
from tapegrad.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--out", default="gan.png", help="the picture")
parser.add_argument("--tiny", action="store_true", help="20 steps, to see that it runs")
options = parser.parse_args()
STEPS, BATCH, NOISE, WIDTH = (20 if options.tiny else 3000), 64, 16, 128

tg.manual_seed(0)
tg.set_default_dtype(tg.float64)
images, labels = tg.data.digits()
images = images.double().flatten(1) * 2 - 1  # from -1 to 1

# The judge of the score: what its last layer but one says of a digit.
judge = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 10))
optimizer = tg.optim.Adam(judge.parameters(), lr=5e-3)
for _ in range(100):
    loss = F.cross_entropy(judge(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@tg.no_grad()
def distance(a, b):
    """Between two clouds of features, each taken as a normal distribution."""
    means, roots, covariances = [], [], []
    for x in (a, b):
        x = judge[:-1](x)
        means.append(x.mean(0))
        covariances.append(tg.cov(x.T))
        values, vectors = tg.linalg.eigh(covariances[-1])
        roots.append(vectors * values.clamp(min=0).sqrt() @ vectors.T)
    both = tg.linalg.eigvalsh(roots[0] @ covariances[1] @ roots[0]).clamp(min=0).sqrt().sum()
    spread = covariances[0].trace() + covariances[1].trace() - 2 * both
    return ((means[0] - means[1]) ** 2).sum().item() + spread.item()


artist = nn.Sequential(
    nn.Linear(NOISE, WIDTH),
    nn.BatchNorm1d(WIDTH),
    nn.ReLU(),
    nn.Linear(WIDTH, WIDTH),
    nn.BatchNorm1d(WIDTH),
    nn.ReLU(),
    nn.Linear(WIDTH, 64),
    nn.Tanh(),
)
average = AveragedModel(artist, multi_avg_fn=get_ema_multi_avg_fn(0.995), use_buffers=True)
critic = nn.Sequential(
    nn.Linear(64, WIDTH),
    nn.LeakyReLU(0.2),
    nn.Linear(WIDTH, WIDTH),
    nn.LeakyReLU(0.2),
    nn.Linear(WIDTH, 1),
)
draws = tg.optim.Adam(artist.parameters(), lr=1e-3, betas=(0.0, 0.999))
judges = tg.optim.Adam(critic.parameters(), lr=5e-4, betas=(0.0, 0.999))
for step in range(1, STEPS + 1):
    real = images[tg.randint(0, len(images), (BATCH,))].requires_grad_()
    drawn = artist(tg.randn(BATCH, NOISE))
    truth, guess = critic(real), critic(drawn.detach())
    # softplus(-s) is the cost of calling it real with score s, softplus(s) that of calling it drawn
    loss = F.softplus(-truth).mean() + F.softplus(guess).mean()
    (slope,) = tg.autograd.grad(truth.sum(), real, create_graph=True)
    judges.zero_grad()
    (loss + 0.25 * (slope**2).sum(1).mean()).backward()
    judges.step()

    deceit = F.softplus(-critic(drawn)).mean()
    draws.zero_grad()
    deceit.backward()
    draws.step()
    average.update_parameters(artist)
    if step % (STEPS // 2) == 0:
        print(f"step {step:4}: critic {loss.item():.2f}, artist {deceit.item():.2f}")

average.eval()
with tg.no_grad():
    drawn = average(tg.randn(5 * len(images), NOISE))
sheet = drawn[:64].view(8, 8, 8, 8).transpose(1, 2).reshape(64, 64)
pixels = (127.5 * (1 - sheet)).byte().numpy()
Image.fromarray(pixels).resize((512, 512), Image.Resampling.NEAREST).save(options.out)
halves = [tg.randperm(len(images)).split(len(images) // 2) for _ in range(20)]
apart = sum(distance(images[a], images[b]) for a, b, *_ in halves) / len(halves)
print(f"drawn digits: {options.out}; two halves of the real ones are {apart:.2f} apart")
print(f"score: {distance(images, drawn):.3f} between real digits and drawn ones")
print("in PyTorch, at full length: 0.238")
