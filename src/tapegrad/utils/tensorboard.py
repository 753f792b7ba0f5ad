"""``torch.utils.tensorboard``: logs that TensorBoard shows, written by the package tensorboardX."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any

from tapegrad.core.tensor import Tensor

__all__ = ["SummaryWriter"]


class SummaryWriter:
    """tensorboardX's SummaryWriter, whose methods (``add_scalar``, ``add_histogram``,
    ``add_image``, ``flush``, ...) take tensors.

    Raises ImportError without that package.
    """

    def __init__(
        self,
        log_dir: Any = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ):
        try:
            import tensorboardX
        except ImportError as error:
            raise ImportError(
                "[SummaryWriter] needs tensorboardX: pip install 'tapegrad[train]'"
            ) from error
        place = None if log_dir is None else str(log_dir)
        self._writer = tensorboardX.SummaryWriter(
            place, comment, purge_step, max_queue, flush_secs, filename_suffix
        )

    def __getattr__(self, name: str) -> Any:
        if name == "_writer":  # the constructor has raised
            raise AttributeError(name)
        return _on_arrays(getattr(self._writer, name))

    @property
    def log_dir(self) -> str:
        """The folder of the log."""
        return self._writer.logdir

    def get_logdir(self) -> str:
        """The folder of the log."""
        return self._writer.logdir

    def add_graph(self, *args: Any, **options: Any) -> None:
        """Raises NotImplementedError: there is no graph of a model."""
        raise NotImplementedError("[SummaryWriter.add_graph] there is no graph of a model to show")

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


def _on_arrays(value: Any) -> Any:
    """A method that gets arrays for tensors; anything else itself."""
    if not callable(value):
        return value

    method: Callable = value

    @wraps(method)
    def called(*args: Any, **options: Any) -> Any:
        return method(*map(_array, args), **{name: _array(v) for name, v in options.items()})

    return called


def _array(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float().numpy(force=True) if value.itemsize == 2 else value.numpy(force=True)
    if isinstance(value, dict):
        return {name: _array(v) for name, v in value.items()}
    return [_array(v) for v in value] if isinstance(value, (list, tuple)) else value
