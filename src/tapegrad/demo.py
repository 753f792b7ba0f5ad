"""``tapegrad demo``: a small convolutional network learns to read handwritten digits.

The code is meant to be read: it is an ordinary training script that uses only what
``import tapegrad as tg`` offers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tapegrad as tg

from . import nn

BATCH = 64
VALIDATION = 360  # a fifth of the digits, never trained on


def network(nn: Any = nn) -> Any:
    """The network, of this library's layers or another's: benchmarks/cpu.py gives ``torch.nn``."""
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1),  # (N, 16, 8, 8)
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),  # (N, 32, 8, 8)
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, 32, 4, 4)
        nn.Flatten(),  # (N, 512)
        nn.Dropout(0.25),
        nn.Linear(512, 10),  # (N, 10): a score for each digit
    )


def demo(epochs: int, device: str | None, seed: int, out: Path) -> float:
    """Train, report, save; returns the validation accuracy."""
    target = tg.device(device or ("cuda" if tg.cuda.is_available() else "cpu"))
    tg.manual_seed(seed)
    images, labels = tg.data.digits(device=target)
    split = tg.Generator().manual_seed(seed)
    training, validation = tg.data.random_split(
        tg.data.TensorDataset(images, labels),
        [len(images) - VALIDATION, VALIDATION],
        generator=split,
    )
    batches = tg.data.DataLoader(training, BATCH, shuffle=True, generator=split)
    unseen_images, unseen_labels = validation[list(range(VALIDATION))]

    model = network().to(target)
    optimizer = tg.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    size = sum(p.numel() for p in model.parameters())
    print(f"{len(training)} digits to learn from, {VALIDATION} kept apart to check on")
    print(f"a network of {size:,} parameters on {target}, seed {seed}")

    started = time.perf_counter()
    losses: list[float] = []
    accuracy = 0.0
    for epoch in range(1, epochs + 1):
        model.train()
        for x, y in progress(batches, f"epoch {epoch:2}/{epochs}"):
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
        guesses = predict(model, unseen_images)
        accuracy = (guesses == unseen_labels).float().mean().item()
        latest = sum(losses[-len(batches) :]) / len(batches)
        print(f"epoch {epoch:2}/{epochs}  loss {latest:.4f}  validation accuracy {accuracy:.2%}")
    seconds = time.perf_counter() - started
    wrong = round(VALIDATION * (1 - accuracy))
    print(f"done in {seconds:.1f} s: {wrong} of {VALIDATION} unseen digits misread")

    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "digits.safetensors"
    tg.save(model.state_dict(), checkpoint)
    print(f"checkpoint  {checkpoint}")
    if find_spec("matplotlib"):
        picture = out / "digits.png"
        draw(losses, unseen_images, unseen_labels, guesses, picture)
        print(f"picture     {picture}")
    else:
        print("picture     none: pip install 'tapegrad[viz]' for one")
    print("next        read examples/mlp.py, the same idea in thirty lines")
    return accuracy


@tg.no_grad()
def predict(model: nn.Module, images: tg.Tensor) -> tg.Tensor:
    """The digit with the highest score, for each image."""
    model.eval()
    return model(images).argmax(1)


def progress(batches: Iterable[Any], title: str) -> Iterable[Any]:
    """A progress bar, where tqdm is installed and a person is watching."""
    if not find_spec("tqdm"):
        return batches
    from tqdm import tqdm

    return tqdm(batches, desc=title, leave=False, disable=None)


def draw(
    losses: Sequence[float], images: tg.Tensor, labels: tg.Tensor, guesses: tg.Tensor, path: Path
) -> None:
    """The loss curve, and 40 unseen digits with what the network read, mistakes first in red."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pictures, truth, read = (t.cpu().numpy() for t in (images, labels, guesses))
    order = sorted(range(len(truth)), key=lambda i: bool(truth[i] == read[i]))
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    [[left, right]] = figure.subfigures(1, 2, squeeze=False, width_ratios=[2, 3])
    curve = left.subplots()
    curve.semilogy(losses)
    curve.set(title="training loss", xlabel="step")
    right.suptitle("unseen digits and what the network reads")
    for axes, i in zip(right.subplots(4, 10).flat, order[:40], strict=True):
        axes.imshow(pictures[i, 0], cmap="gray_r")
        axes.set_axis_off()
        right_answer = truth[i] == read[i]
        title = f"{read[i]}" if right_answer else f"{read[i]}, not {truth[i]}"
        axes.set_title(title, fontsize=8, color="black" if right_answer else "red")
    figure.savefig(path, dpi=150)
