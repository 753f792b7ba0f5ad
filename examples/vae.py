"""A variational autoencoder (Kingma & Welling 2013) learns handwritten digits and draws new ones.

    python examples/vae.py          # writes vae.png; needs Pillow (extra data)

Score: 24.12; the same network in PyTorch 24.12, with the same random numbers
(tools/with_pytorch.py, PyTorch 2.13.0, 2026-11-29).
"""

import argparse

from PIL import Image

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn
from tapegrad.distributions import Normal, kl_divergence

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--out", default="vae.png", help="the picture")
parser.add_argument("--tiny", action="store_true", help="two epochs, to see that it runs")
options = parser.parse_args()
EPOCHS, BATCH, LATENT, WIDTH = (2 if options.tiny else 60), 64, 6, 128


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 64))

    def forward(self, x):
        """The bound on -log p(x) in nats, for each image: what the picture costs when the code is
        known, and what the code costs."""
        mean, log_scale = self.encoder(x).chunk(2, dim=-1)
        code = Normal(mean, log_scale.exp())
        scores = self.decoder(code.rsample())
        picture = F.binary_cross_entropy_with_logits(scores, x, reduction="none").sum(-1)
        nothing = Normal(tg.zeros_like(mean), tg.ones_like(mean))
        return picture + kl_divergence(code, nothing).sum(-1)


tg.manual_seed(0)
images = tg.data.digits()[0].flatten(1)
training, test = images[:1500], images[1500:]
model = VAE()
optimizer = tg.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(1, EPOCHS + 1):
    for x in training[tg.randperm(len(training))].split(BATCH):
        loss = model(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % (EPOCHS // 2) == 0:
        print(f"epoch {epoch:2}: {loss.item():.2f} nats an image")

with tg.no_grad():
    bound = sum(model(test).mean().item() for _ in range(20)) / 20
    drawn = model.decoder(tg.randn(64, LATENT)).sigmoid()  # 64 digits that nobody wrote
sheet = drawn.view(8, 8, 8, 8).transpose(1, 2).reshape(64, 64)  # 8 by 8 digits of 8 by 8
pixels = (255 * (1 - sheet)).byte().numpy()
Image.fromarray(pixels).resize((512, 512), Image.Resampling.NEAREST).save(options.out)
print(f"new digits: {options.out}")
print(f"score: {bound:.2f} nats for an unseen digit, at most")
print("in PyTorch, at full length: 24.12")
