"""Diffusion (Ho et al. 2020): a network learns to take noise away, and draws digits out of noise.

    python examples/diffusion.py    # writes diffusion.png; needs Pillow (extra data)

Score: 0.2016; the same network in PyTorch 0.2016, with the same random numbers
(tools/with_pytorch.py, PyTorch 2.13.0, 2026-11-29).
"""

import argparse
import math

from PIL import Image

import tapegrad as tg
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--out", default="diffusion.png", help="the picture")
parser.add_argument("--tiny", action="store_true", help="20 steps, to see that it runs")
options = parser.parse_args()
STEPS, BATCH, WIDTH, TIMES = (20 if options.tiny else 4000), 128, 256, 100

# What is left of the picture after t steps of noise is its root, and the noise the rest (Nichol &
# Dhariwal 2021).
left = [math.cos((t / TIMES + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(TIMES + 1)]
left = tg.tensor(left, dtype=tg.float32) / left[0]
beta = (1 - left[1:] / left[:-1]).clamp(max=0.999)


class Denoiser(nn.Module):
    """The noise that is in a picture, from the picture and how much there is."""

    def __init__(self):
        super().__init__()
        self.time = nn.Embedding(TIMES, WIDTH)
        self.into = nn.Linear(64, WIDTH)
        self.layers = nn.ModuleList(self.layer() for _ in range(3))
        self.out = nn.Linear(WIDTH, 64)

    @staticmethod
    def layer():
        first, second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        return nn.Sequential(nn.LayerNorm(WIDTH), first, nn.SiLU(), second)

    def forward(self, x, t):
        h, time = self.into(x), self.time(t)
        for layer in self.layers:
            h = h + layer(h + time)
        return self.out(h)


def noisy(x, t, noise):
    return left[t + 1].sqrt().unsqueeze(1) * x + (1 - left[t + 1]).sqrt().unsqueeze(1) * noise


@tg.no_grad()
def draw(count):
    """From pure noise back, a step at a time."""
    x = tg.randn(count, 64)
    for t in reversed(range(TIMES)):
        noise = model(x, tg.full((count,), t))
        x = (x - beta[t] / (1 - left[t + 1]).sqrt() * noise) / (1 - beta[t]).sqrt()
        if t:
            x = x + beta[t].sqrt() * tg.randn(count, 64)
    return x.clamp(-1, 1)


tg.manual_seed(0)
images = tg.data.digits()[0].flatten(1) * 2 - 1
training, test = images[:1500], images[1500:]
model = Denoiser()
optimizer = tg.optim.AdamW(model.parameters(), lr=1e-3)
schedule = tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
for step in range(1, STEPS + 1):
    x = training[tg.randint(0, len(training), (BATCH,))]
    t, noise = tg.randint(0, TIMES, (BATCH,)), tg.randn(BATCH, 64)
    loss = ((model(noisy(x, t, noise), t) - noise) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % (STEPS // 4) == 0:
        print(f"step {step:4}: {loss.item():.3f}")

sheet = draw(64).view(8, 8, 8, 8).transpose(1, 2).reshape(64, 64)
pixels = (127.5 * (1 - sheet)).byte().numpy()
Image.fromarray(pixels).resize((512, 512), Image.Resampling.NEAREST).save(options.out)
print(f"drawn digits: {options.out}")
with tg.no_grad():
    t = tg.arange(TIMES).repeat_interleave(len(test))
    x, noise = test.repeat(TIMES, 1), tg.randn(TIMES * len(test), 64)
    error = ((model(noisy(x, t, noise), t) - noise) ** 2).mean().item()
print(f"score: {error:.4f} of the noise's variance in unseen digits stays unknown")
print("in PyTorch, at full length: 0.2016")
