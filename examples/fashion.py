"""A convolutional network sorts photographs of clothes (Fashion-MNIST, ten classes).

    python examples/fashion.py                                    # 1,000 images, 67 kB of network
    python examples/fashion.py --data /usr/share/datasets/fashion-mnist    # all 60,000

--data is a folder with the four IDX files, as Debian's package dataset-fashion-mnist brings them.
Score: 0.8440; the same network in PyTorch 0.8440, with the same random numbers
(tools/with_pytorch.py, PyTorch 2.13.0, 2026-11-29).
"""

import argparse
import gzip
from pathlib import Path

import numpy as np

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--data", type=Path, help="the folder with the whole data set")
parser.add_argument("--epochs", type=int, default=0, help="20, or 2 of the whole data set")
parser.add_argument("--tiny", action="store_true", help="one epoch, to see that it runs")
options = parser.parse_args()


def read(part):
    """Images (n, 1, 28, 28) around 0, and the numbers of their classes."""
    if options.data:
        name = {"training": "train", "test": "t10k"}[part]
        images, labels = (
            np.frombuffer(
                gzip.decompress((options.data / f"{name}-{kind}-ubyte.gz").read_bytes()), np.uint8
            )
            for kind in ("images-idx3", "labels-idx1")
        )
        images, labels = images[16:].reshape(-1, 28, 28), labels[8:]
    else:
        with np.load(Path(__file__).parent / "data" / "fashion-mnist.npz") as file:
            images, labels = file[f"{part}_images"], file[f"{part}_labels"]
    pixels = tg.from_numpy(images[:, None].astype(np.float32) / 255)
    return (pixels - 0.286) / 0.353, tg.from_numpy(labels.astype(np.int64))


tg.manual_seed(0)
training, test = read("training"), read("test")
epochs = 1 if options.tiny else options.epochs or (2 if options.data else 20)

model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.MaxPool2d(2),  # (n, 16, 14, 14)
    nn.Conv2d(16, 32, 3, padding=1),
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.MaxPool2d(2),  # (n, 32, 7, 7)
    nn.Flatten(),
    nn.Dropout(0.3),
    nn.Linear(32 * 7 * 7, 10),
)
optimizer = tg.optim.AdamW(model.parameters(), lr=2e-3)
loader = tg.utils.data.DataLoader(tg.utils.data.TensorDataset(*training), 64, shuffle=True)
schedule = tg.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * len(loader))


@tg.no_grad()
def accuracy(images, labels):
    model.eval()
    right = sum(
        (model(x).argmax(1) == y).sum().item()
        for x, y in zip(images.split(250), labels.split(250), strict=True)
    )
    return right / len(labels)


for epoch in range(1, epochs + 1):
    model.train()
    total = 0.0
    for x, y in loader:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
    print(f"epoch {epoch:2}: loss {total / len(loader):.3f}, test {accuracy(*test):.1%}")
print(f"score: {accuracy(*test):.4f} of {len(test[1])} unseen photographs are sorted right")
print("in PyTorch, at full length: 0.8440")
