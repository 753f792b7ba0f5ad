"""What is seen of a run: a line for every report, and a bar for a person who watches."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from .callback import Callback


class Progress(Callback):
    """Prints a line for every report; where standard error is a terminal and tqdm is installed, it
    has a bar for every epoch."""

    every_rank = False

    def __init__(self) -> None:
        self._bar: Any = None

    def on_start(self, trainer: Any) -> None:
        if trainer.step:
            print(f"going on after step {trainer.step}, epoch {trainer.epoch}")

    def on_step(self, trainer: Any) -> None:
        if self._bar is None:
            if not (sys.stderr.isatty() and find_spec("tqdm")):
                return
            from tqdm import tqdm

            self._bar = tqdm(
                total=trainer.steps_in_epoch, desc=f"epoch {trainer.epoch + 1}", leave=False
            )
        self._bar.set_postfix_str(f"loss {trainer.last_loss:.4g}", refresh=False)
        self._bar.update()

    def on_report(self, trainer: Any, row: dict[str, Any]) -> None:
        self.close()
        values = (
            f"{name} {value:.4g}" for name, value in row.items() if name not in ("epoch", "step")
        )
        print(f"epoch {row['epoch']}  step {row['step']}  {'  '.join(values)}")

    def on_end(self, trainer: Any) -> None:
        self.close()
        if trainer.stopped:
            print(f"stopped after step {trainer.step}: {trainer.stopped}")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
