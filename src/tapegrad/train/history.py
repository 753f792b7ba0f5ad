"""The reports of a run, as a list and as a picture."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any

from tapegrad.ops.common.refusals import Retelling


class History(Retelling, list):
    """Rows, each a dict of numbers: "epoch", "step", "lr", "loss", the metrics by name, and the
    validation's "val_loss", "val_..."."""

    def __init__(self, rows: Iterable[dict[str, Any]] = ()) -> None:
        super().__init__(rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            raise TypeError(
                f"[History] its rows are numbered, got {index!r}: history.column({index!r}) is a "
                f"column, history[-1][{index!r}] the last value; it has {self._names()}"
            )
        return super().__getitem__(index)

    def _names(self) -> list[str]:
        return list(super().__getitem__(-1)) if self else []

    def column(self, name: str) -> list[float]:
        """The values of one column. Raises KeyError, which lists them, for another name."""
        known = self._names()
        if self and name not in known:
            raise KeyError(f"History has no column {name!r}, it has {known}")
        return [row[name] for row in self]

    def _repr_png_(self) -> bytes | None:
        """The learning curve for notebooks; None, and they show the rows, without matplotlib."""
        picture = BytesIO()
        try:
            self.plot(picture)
        except (ImportError, ValueError):
            return None
        return picture.getvalue()

    def plot(self, path: Any) -> None:
        """Draw the learning curve into a file, named or open for bytes: the loss over the steps,
        beside it the metrics; of training and validation. Raises ImportError without matplotlib,
        ValueError without rows."""
        if not self:
            raise ValueError("[History.plot] there are no reports to draw")
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                "[History.plot] needs matplotlib: pip install 'tapegrad[viz]'"
            ) from error
        names = [n for n in self[-1] if n not in ("epoch", "step", "lr") and n[:4] != "val_"]
        figure = Figure(figsize=(4.5 * len(names), 3.5), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            for column, label in ((name, "training"), (f"val_{name}", "validation")):
                rows = [row for row in self if column in row]
                if rows:
                    steps, values = [r["step"] for r in rows], [r[column] for r in rows]
                    axes.plot(steps, values, marker=".", label=label)
            axes.set(title=name, xlabel="step")
            axes.legend()
        figure.savefig(path, dpi=150)
