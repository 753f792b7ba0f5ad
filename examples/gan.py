"""Two networks play: one draws digits, one tells them from real ones (Goodfellow et al. 2014).

    python examples/gan.py          # writes gan.png; needs Pillow (extra data)

The score is the Fréchet distance between real digits and drawn ones (Heusel et al. 2017), in the
features of a small classifier that is trained first; halves of the real ones are 0.5 to 1 apart.
Score: 9.18; the same network in PyTorch 5.57, with the same random numbers (tools/with_pytorch.py,
PyTorch 2.13.0, 2026-11-29): the two games begin alike, and part by their rounding.
"""

import argparse

from PIL import Image

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--out", default="gan.png", help="the picture")
parser.add_argument("--tiny", action="store_true", help="20 steps, to see that it runs")
options = parser.parse_args()
STEPS, BATCH, NOISE, WIDTH = (20 if options.tiny else 3000), 64, 16, 128

tg.manual_seed(0)
images, labels = tg.data.digits()
images = images.flatten(1) * 2 - 1  # from -1 to 1

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
        x = judge[:-1](x).double()
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
critic = nn.Sequential(
    nn.Linear(64, WIDTH),
    nn.LeakyReLU(0.2),
    nn.Dropout(0.3),
    nn.Linear(WIDTH, WIDTH),
    nn.LeakyReLU(0.2),
    nn.Dropout(0.3),
    nn.Linear(WIDTH, 1),
)
draws = tg.optim.Adam(artist.parameters(), lr=1e-3, betas=(0.5, 0.999))
judges = tg.optim.Adam(critic.parameters(), lr=5e-4, betas=(0.5, 0.999))
for step in range(1, STEPS + 1):
    real = images[tg.randint(0, len(images), (BATCH,))]
    drawn = artist(tg.randn(BATCH, NOISE))
    # softplus(-s) is the cost of calling it real with score s, softplus(s) that of calling it drawn
    loss = F.softplus(-critic(real)).mean() + F.softplus(critic(drawn.detach())).mean()
    judges.zero_grad()
    loss.backward()
    judges.step()

    deceit = F.softplus(-critic(drawn)).mean()
    draws.zero_grad()
    deceit.backward()
    draws.step()
    if step % (STEPS // 2) == 0:
        print(f"step {step:4}: critic {loss.item():.2f}, artist {deceit.item():.2f}")

artist.eval()
with tg.no_grad():
    sheet = artist(tg.randn(64, NOISE)).view(8, 8, 8, 8).transpose(1, 2).reshape(64, 64)
    drawn = artist(tg.randn(len(images), NOISE))
pixels = (127.5 * (1 - sheet)).byte().numpy()
Image.fromarray(pixels).resize((512, 512), Image.Resampling.NEAREST).save(options.out)
half = tg.randperm(len(images))
between = distance(images[half[::2]], images[half[1::2]])
print(f"drawn digits: {options.out}; two halves of the real ones are {between:.2f} apart")
print(f"score: {distance(images, drawn):.2f} between real digits and drawn ones")
print("in PyTorch, at full length: 5.57")
