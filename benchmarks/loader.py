"""How fast batches come: this library's DataLoader beside PyTorch's, in turns, for the same data.

    python benchmarks/loader.py

The digits are tensors in memory, 64 in a batch. The folders of images, 256 PNG or JPEG files of 96
by 96 pixels, are made in a temporary one and decoded by Pillow (``pip install 'tapegrad[data]'``)
into float32 tensors, 32 in a batch. One round is one pass, of which the quickest counts: it is the
one that nothing disturbed. Workers stay from pass to pass: starting them is not measured. On a busy
machine two workers are not two processors, and what the system gives whom is what is measured.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import tapegrad as tg

ROUNDS, PIXELS, FILES = 25, 96, 256


class Folder:
    """Image files; item i is (3, height, width) float32 in 0..1 and the number of its class."""

    def __init__(self, files: list[Path], tensor: Callable[[np.ndarray], Any]):
        self.files, self.tensor = files, tensor

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        with Image.open(self.files[index]) as image:
            pixels = np.asarray(image.convert("RGB"), np.float32) / 255
        return self.tensor(np.ascontiguousarray(pixels.transpose(2, 0, 1))), index % 10


def make_files(folder: Path, suffix: str) -> list[Path]:
    random = np.random.default_rng(0)
    files = []
    for i in range(FILES):
        coarse = random.integers(0, 256, (12, 12, 3), np.uint8)
        image = Image.fromarray(coarse).resize((PIXELS, PIXELS), Image.Resampling.BICUBIC)
        files.append(folder / f"{i}{suffix}")
        image.save(files[-1])
    return files


def passes(lib: Any, dataset: Any, batch: int, workers: int) -> Callable[[], int]:
    """What goes over the data once and counts the samples."""
    keep = {"num_workers": workers, "persistent_workers": True} if workers else {}
    loader = lib.utils.data.DataLoader(dataset, batch, shuffle=True, **keep)

    def run() -> int:
        return sum(len(labels) for _, labels in loader)

    return run


def measure(contestants: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Samples a second."""
    best = dict.fromkeys(contestants, 0.0)
    for run in contestants.values():
        run()
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            started = time.perf_counter()
            samples = run()
            best[name] = max(best[name], samples / (time.perf_counter() - started))
    return best


def main() -> None:
    import torch

    images, labels = tg.data.digits()
    arrays = images.numpy(), labels.numpy()
    print(f"{'samples a second':28} {'tapegrad':>9} {'PyTorch':>9} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        cases: list[tuple[str, int, dict[str, Any]]] = [
            (
                "digits",
                64,
                {
                    "tapegrad": tg.utils.data.TensorDataset(images, labels),
                    "PyTorch": torch.utils.data.TensorDataset(*map(torch.from_numpy, arrays)),
                },
            )
        ]
        for suffix in (".png", ".jpg"):
            files = make_files(Path(folder), suffix)
            own, other = Folder(files, tg.from_numpy), Folder(files, torch.from_numpy)
            cases.append((f"{suffix} files", 32, {"tapegrad": own, "PyTorch": other}))
        for name, batch, datasets in cases:
            for workers in (0, 2):
                found = measure(
                    {
                        lib.__name__: passes(lib, dataset, batch, workers)
                        for lib, dataset in zip((tg, torch), datasets.values(), strict=True)
                    }
                )
                own, other = found["tapegrad"], found["torch"]
                title = f"{name}, {workers} workers"
                print(f"{title:28} {own:9,.0f} {other:9,.0f} {own / other:6.2f}")


if __name__ == "__main__":
    main()
