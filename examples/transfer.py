"""Transfer: a network that knows the digits 0 to 4 learns 5 to 9 from five images of each.

    python examples/transfer.py                                # trains both, and compares
    python examples/transfer.py --pretrained transfer.safetensors    # only the second part

The first part leaves its weights in a file, of which the second loads the layers that fit.
Score: 0.8657; the same network in PyTorch 0.8657, with the same random numbers
(tools/with_pytorch.py, PyTorch 2.13.0, 2026-11-29).
"""

import argparse
from pathlib import Path

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--pretrained", type=Path, help="weights that were learned before")
parser.add_argument("--tiny", action="store_true", help="few epochs, to see that it runs")
options = parser.parse_args()
EPOCHS, FINE_EPOCHS = (2, 3) if options.tiny else (30, 40)


def network():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, 5),
    )


def train(model, images, labels, epochs):
    optimizer = tg.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for i in tg.randperm(len(images)).split(32):
            loss = F.cross_entropy(model(images[i]), labels[i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@tg.no_grad()
def accuracy(model, images, labels):
    return (model(images).argmax(1) == labels).float().mean().item()


tg.manual_seed(0)
images, labels = tg.data.digits()
low, high = labels < 5, labels >= 5

weights = options.pretrained or Path("transfer.safetensors")
if options.pretrained is None:
    first = network()
    train(first, images[low], labels[low], EPOCHS)
    print(f"0 to 4: {accuracy(first, images[low], labels[low]):.1%} of what it learned from")
    tg.save(first.state_dict(), weights)

scores = {"from nothing": [], "transferred": []}
for seed in range(2 if options.tiny else 5):
    tg.manual_seed(seed)
    x, y = images[high], labels[high] - 5
    order = tg.randperm(len(x))
    x, y = x[order], y[order]
    few = tg.cat([(y == digit).nonzero()[:5, 0] for digit in range(5)])
    rest = tg.ones(len(x), dtype=tg.bool)
    rest[few] = False
    for way in scores:
        model = network()
        if way == "transferred":
            known = tg.load(weights)
            layers = {name: value for name, value in known.items() if not name.startswith("8.")}
            model.load_state_dict(layers, strict=False)  # all but the last layer
        train(model, x[few], y[few], FINE_EPOCHS)
        scores[way].append(accuracy(model, x[rest], y[rest]))
for way, found in scores.items():
    print(f"5 to 9, {way}: {sum(found) / len(found):.1%} (mean of {len(found)} draws)")
score = sum(scores["transferred"]) / len(scores["transferred"])
print(f"score: {score:.4f} of the unseen digits are read right after transfer")
print("in PyTorch, at full length: 0.8657")
