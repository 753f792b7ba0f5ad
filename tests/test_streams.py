"""What goes wrong between a host and its GPU, and what is done about it: memory that another stream
still reads, and errors that are told by a later call."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

import tapegrad as tg
from tapegrad.core import held, kernels


@pytest.mark.gpu
def test_memory_outlives_its_tensor_while_a_stream_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import cupy

    class Event(cupy.cuda.Event):
        """Over when the test says so."""

        done: Any = False

    monkeypatch.setattr(cupy.cuda, "Event", Event)
    before = tg.cuda.memory_allocated()
    x = tg.zeros(100_000, device="cuda")
    x.record_stream(tg.cuda.Stream())
    view = x[10:]
    del x
    assert not held._held
    taken = tg.cuda.memory_allocated()
    del view
    assert len(held._held) == 1
    assert tg.cuda.memory_allocated() == taken > before
    Event.done = True
    held.release()
    assert tg.cuda.memory_allocated() == before
    with pytest.raises(TypeError, match="stream must be a Stream, got int"):
        tg.zeros(1, device="cuda").record_stream(0)


def test_record_stream_does_nothing_elsewhere() -> None:
    tg.zeros(1).record_stream(None)
    tg.zeros(1, device="emulated").record_stream(None)


def test_the_blocking_mode_names_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def launched(name: str, error: str = "") -> Any:
        def launcher(*arguments: Any) -> tuple:
            return arguments

        def wait(device: Any) -> None:
            if error:
                raise RuntimeError(error)

        launcher.__name__ = name
        monkeypatch.setattr(kernels, "wait", wait)
        return kernels._launch_and_wait(tg.device("cuda"), launcher, (1, 2))

    assert launched("relu_forward_float32") == (1, 2)
    wrong = r"\[gelu_forward_float32\] failed on the GPU: an illegal address.*relu_forward_float32"
    with pytest.raises(tg.KernelError, match=wrong):
        launched("gelu_forward_float32", "an illegal address")


@pytest.mark.parametrize(("setting", "blocks"), [("1", True), ("0", False), (None, False)])
def test_the_blocking_mode_is_chosen_by_the_environment(setting: str | None, blocks: bool) -> None:
    env = {k: v for k, v in os.environ.items() if k != "TAPEGRAD_LAUNCH_BLOCKING"}
    code = "from tapegrad.core import kernels as k; print(k._instead is k._launch_and_wait)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=env if setting is None else env | {"TAPEGRAD_LAUNCH_BLOCKING": setting},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == str(blocks)
