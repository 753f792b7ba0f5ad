"""A detector finds trees in aerial photographs: one stage, no anchors (Zhou et al. 2019).

    pip install --no-deps deepforest pillow && python examples/detector.py
    python examples/detector.py --tiny          # on the photograph in examples/data

For every fourth pixel the network says how much it is a tree's middle, how large the tree is, and
where within the four pixels its middle lies. PyPI's deepforest (MIT) brings a photograph of NEON's
with boxes that people drew around 574 trees: its left two thirds are learned from, the rest judges.
Score: 0.224; the same network in PyTorch 0.218, with the same random numbers
(tools/with_pytorch.py, PyTorch 2.13.0, 2026-11-29). Rounding decides the third digit, and more:
in float64 PyTorch's is 0.209.
"""

import argparse
import importlib.util
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from PIL import Image

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--tiny", action="store_true", help="one photograph, 10 steps")
options = parser.parse_args()
STEPS, BATCH, CROP, STRIDE = (10 if options.tiny else 600), 8, 128, 4


def read(file):
    """The photograph (3, h, w) around 0, and its boxes (n, 4)."""
    pixels = np.asarray(Image.open(file).convert("RGB"), np.float32) / 255
    boxes = [
        [float(box.find(side).text) for side in ("xmin", "ymin", "xmax", "ymax")]
        for box in ElementTree.parse(file.with_suffix(".xml")).iter("bndbox")
    ]
    return (pixels.transpose(2, 0, 1) - 0.45) / 0.25, np.array(boxes, np.float32)


def part(photograph, boxes, left, right):
    """The columns from left to right, and the boxes that are wholly in them."""
    inside = (boxes[:, 0] >= left) & (boxes[:, 2] <= right)
    return photograph[:, :, left:right], boxes[inside] - np.array([left, 0] * 2, np.float32)


file = Path(__file__).parent / "data" / "trees.jpg"
if not options.tiny:
    package = importlib.util.find_spec("deepforest")
    if package is None:
        raise SystemExit("the photograph is missing: pip install --no-deps deepforest")
    folder = Path(package.submodule_search_locations[0]) / "data"
    file = folder / "2019_YELL_2_528000_4978000_image_crop2.png"
photograph, boxes = read(file)
width = photograph.shape[2]
training = part(photograph, boxes, 0, width * 2 // 3)
test = part(photograph, boxes, width * 2 // 3, width)


def crop(photograph, boxes, chance):
    """A random piece, perhaps mirrored, and the boxes whose middles are in it."""
    _, height, width = photograph.shape
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    near = middles[chance.integers(len(boxes))] - chance.integers(0, CROP, 2)
    left, top = np.clip(near, 0, (width - CROP, height - CROP)).astype(int)
    piece = photograph[:, top : top + CROP, left : left + CROP]
    inside = ((middles >= (left, top)) & (middles < (left + CROP, top + CROP))).all(1)
    own = boxes[inside] - np.array([left, top, left, top], np.float32)
    for axis in (0, 1):
        if chance.random() < 0.5:
            piece = np.flip(piece, 2 - axis)
            own[:, [axis, axis + 2]] = CROP - own[:, [axis + 2, axis]]
    return piece, own


def targets(boxes):
    """What the network should say: middles (a hill of height 1 each), sizes, offsets, and where the
    last two count."""
    cells = CROP // STRIDE
    heat, rest = np.zeros((cells, cells), np.float32), np.zeros((4, cells, cells), np.float32)
    counts = np.zeros((cells, cells), np.float32)
    ys, xs = np.mgrid[:cells, :cells]
    for x1, y1, x2, y2 in boxes / STRIDE:
        x, y, w, h = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
        i, j = int(np.clip(y, 0, cells - 1)), int(np.clip(x, 0, cells - 1))
        hill = np.exp(-((xs - j) ** 2 + (ys - i) ** 2) / (2 * max(min(w, h) / 6, 0.5) ** 2))
        heat = np.maximum(heat, hill.astype(np.float32))
        rest[:, i, j], counts[i, j] = (np.log(max(w, 0.5)), np.log(max(h, 0.5)), x - j, y - i), 1
    return heat, rest, counts


def layer(before, after, stride=1):
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.near = nn.Sequential(layer(3, 16, 2), layer(16, 32, 2), layer(32, 32))
        self.far = nn.Sequential(layer(32, 64, 2), layer(64, 64), layer(64, 32))
        self.both = layer(64, 32)
        self.middles, self.boxes = nn.Conv2d(32, 1, 1), nn.Conv2d(32, 4, 1)
        nn.init.constant_(self.middles.bias, -2.2)  # at first, a tenth of all places

    def forward(self, x):
        near = self.near(x)
        far = F.interpolate(self.far(near), size=near.shape[-2:], mode="nearest")
        seen = self.both(tg.cat([near, far], dim=1))
        return self.middles(seen)[:, 0], self.boxes(seen)


def loss_of(scores, boxes, heat, rest, counts):
    """The focal loss of the middles, and the distance of sizes and offsets where trees are."""
    p = scores.sigmoid()
    hit = -((1 - p) ** 2) * F.logsigmoid(scores) * counts
    miss = -(p**2) * F.logsigmoid(-scores) * (1 - heat) ** 4 * (1 - counts)
    distance = (F.smooth_l1_loss(boxes, rest, reduction="none") * counts.unsqueeze(1)).sum()
    return ((hit + miss).sum() + distance) / counts.sum().clamp(min=1)


@tg.no_grad()
def detect(photograph, most=300):
    """The boxes of the best hilltops, and their scores."""
    model.eval()
    _, height, width = photograph.shape
    height, width = height // 8 * 8, width // 8 * 8
    x = tg.from_numpy(np.ascontiguousarray(photograph[None, :, :height, :width]))
    scores, boxes = model(x)
    p = scores.sigmoid()
    tops = p * (F.max_pool2d(p.unsqueeze(1), 3, stride=1, padding=1)[:, 0] == p)
    values, places = tops.flatten().topk(most)
    i, j = places // (width // STRIDE), places % (width // STRIDE)
    w, h, dx, dy = boxes[0][:, i, j].unbind(0)
    x, y, w, h = j + dx, i + dy, w.exp() / 2, h.exp() / 2
    return tg.stack([x - w, y - h, x + w, y + h], dim=1) * STRIDE, values


tg.manual_seed(0)
chance = np.random.default_rng(0)
model = Detector()
optimizer = tg.optim.AdamW(model.parameters(), lr=2e-3)
schedule = tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
for step in range(1, STEPS + 1):
    model.train()
    pieces, own = zip(*(crop(*training, chance) for _ in range(BATCH)), strict=True)
    wanted = (tg.from_numpy(np.stack(x)) for x in zip(*map(targets, own), strict=True))
    loss = loss_of(*model(tg.from_numpy(np.stack(pieces))), *wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % (STEPS // 5) == 0:
        print(f"step {step:4}: {loss.item():.2f}")

boxes, scores = detect(test[0])
one = tg.zeros(len(boxes), dtype=tg.int64)
found = [{"boxes": boxes, "scores": scores, "labels": one}]
drawn = tg.from_numpy(test[1])
true = [{"boxes": drawn, "labels": tg.zeros(len(drawn), dtype=tg.int64)}]
most = len(boxes)
mean = tg.metrics.mean_average_precision(found, true, max_detections=most)
score = tg.metrics.mean_average_precision(found, true, (0.5,), max_detections=most)
print(f"mAP over overlaps of 0.5 to 0.95: {mean:.3f}")
print(f"score: {score:.3f} mAP at an overlap of 0.5")
print("in PyTorch, at full length: 0.218")
