"""Trains with the garbage collector off and counts what is left of every step.

    python tools/training_memory.py                # 10,000 steps: some minutes
    python tools/training_memory.py --steps 1500

After a warm-up neither Python's objects nor the bytes allocated (``tracemalloc``) may have grown
over all the steps, and a collection must find nothing: then the steps leave no cycles. Exit status
1 if one of these is not so.

Caches that are emptied now and then go up and down (of the views of a tensor that is used in every
step, say), so the least of some dozens of steps counts. Two of the interpreter's own are brought to
rest first: a collection empties its lists of spare tuples, and with them the spare arrays of the
tape in C, and its table of names is renewed. Of its other spare numbers, and NumPy's spare memory,
there may be ``SPARE`` bytes more or less, however many steps there were; one number left in each of
1,400 steps would be above that.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tracemalloc
from typing import Any

import tapegrad as tg
from tapegrad import nn

WARM_UP, WINDOW = 100, 60
SPARE = 24576


class Growth(tg.train.Callback):
    """The least of some steps after the warm-up, and of the last ones."""

    def __init__(self, last: int) -> None:
        self.windows = [range(WARM_UP, WARM_UP + WINDOW), range(last - WINDOW + 1, last + 1)]
        self.objects = [sys.maxsize] * 2
        self.bytes = [sys.maxsize] * 2
        self.in_cycles = 0

    def on_step(self, trainer: Any) -> None:
        for i, window in enumerate(self.windows):
            if trainer.step in window:
                self.in_cycles += gc.collect()
                self.objects[i] = min(self.objects[i], len(gc.get_objects()))
                self.bytes[i] = min(self.bytes[i], tracemalloc.get_traced_memory()[0])


def growth(steps: int) -> tuple[int, int, int]:
    """How many objects and bytes more there are after so many steps than after the warm-up, and
    how many objects in cycles."""
    tg.manual_seed(0)
    images, labels = tg.data.digits()
    batch = (images[:16], labels[:16])
    loader = [batch] * steps
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(16, 10),
    )
    optimizer = tg.optim.AdamW(model.parameters(), lr=1e-3)
    counted = Growth(steps)
    trainer = tg.train.Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        metrics={"accuracy": tg.metrics.Accuracy(), "f1": tg.metrics.F1(num_classes=10)},
        scheduler=tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps),
        schedule="step",
        clip_norm=1.0,
        callbacks=[counted],
        progress=False,
    )
    for i in range(1 << 16):
        sys.intern(f"name {i}")
    gc.collect()
    gc.disable()
    trainer.fit(loader, epochs=1)
    (objects, more_objects), (size, more_size) = counted.objects, counted.bytes
    return more_objects - objects, more_size - size, counted.in_cycles


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000)
    steps = parser.parse_args().steps
    if not tracemalloc.is_tracing():  # from the start, as what was there before may be replaced
        os.execv(sys.executable, [sys.executable, "-X", "tracemalloc", *sys.argv])
    objects, size, found = growth(steps)
    print(
        f"after {steps} steps: {objects:+} objects, {size:+} bytes since step {WARM_UP}, "
        f"{found} objects in cycles"
    )
    return 0 if max(objects, found) <= 0 and size <= SPARE else 1


if __name__ == "__main__":
    sys.exit(main())
