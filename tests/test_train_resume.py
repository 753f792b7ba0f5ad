"""A run that is stopped, by whatever, and resumed ends with the bits of one that is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torture_training import described
from train_run import At, Endless, Killed, Plain, Run, kill

import tapegrad as tg
from tapegrad.checkpoint import Checkpoints
from tapegrad.train import Callback, CSVLog, EarlyStopping, JSONLog

ROOT = Path(__file__).parents[1]


# Six batches an epoch, the last of two samples.
WAYS: dict[str, dict[str, Any]] = {
    "schedule by epoch": {},
    "schedule by step": {"schedule": "step", "clip_norm": 0.5},
    "plateau": {"scheduler": "ReduceLROnPlateau", "monitor": "val_accuracy", "mode": "max"},
    "accumulate": {"accumulate": 4, "clip_value": 0.1},
    "own generator": {"own_generator": True},
    "early stopping": {"patience": 1},
    "float16": {"amp_dtype": tg.float16},
}


@pytest.mark.parametrize("loader", [Plain, tg.data.DataLoader], ids=["plain", "stateful"])
@pytest.mark.parametrize("way", WAYS)
def test_killed_after_any_step(way: str, loader: Any, tmp_path: Path) -> None:
    if loader is not Plain and not hasattr(loader, "state_dict"):
        pytest.skip("DataLoader cannot say where it is")
    options = {**WAYS[way], "loader": loader}
    whole = Run(tmp_path / "whole", **options)
    whole.fit()
    last = whole.trainer.step
    assert last >= 4
    for step in (1, last // 2, last - 1):
        folder = tmp_path / str(step)
        with pytest.raises(Killed):
            Run(folder, callbacks=[At(step, kill)], **options).fit()
        resumed = Run(folder, **options)
        resumed.fit(resume=True)
        assert resumed.ended == whole.ended


def test_from_the_last_save_whenever_that_was(tmp_path: Path) -> None:
    whole = Run(tmp_path / "whole", save_every=5)
    whole.fit()
    for step in (3, 12, 20):
        folder = tmp_path / str(step)
        with pytest.raises(Killed):
            Run(folder, save_every=5, callbacks=[At(step, kill)]).fit()
        resumed = Run(folder, save_every=5)
        resumed.fit(resume=True)
        assert resumed.ended == whole.ended


def test_reports_within_epochs(tmp_path: Path) -> None:
    whole = Run(tmp_path / "whole")
    whole.fit(steps=17, report_every=4)
    assert whole.trainer.history.column("step") == [4, 8, 12, 16, 17]
    assert whole.trainer.history.column("epoch") == [1, 2, 2, 3, 3]
    with pytest.raises(Killed):
        Run(tmp_path / "run", callbacks=[At(11, kill)]).fit(steps=17, report_every=4)
    resumed = Run(tmp_path / "run")
    resumed.fit(steps=17, report_every=4, resume=True)
    assert resumed.ended == whole.ended


@pytest.mark.parametrize("plain", [False, True], ids=["stateful", "plain"])
def test_the_training_data_validate_too(plain: bool, tmp_path: Path) -> None:
    """The loader then tells where the validation was, not the training."""

    def run(folder: Path, *callbacks: Callback, **options: Any) -> Run:
        it = Run(folder, callbacks=callbacks, loader=Plain if plain else tg.data.DataLoader)
        it.fit(validation=it.loader, report_every=4, **options)
        return it

    whole = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "run", At(11, kill))
    assert run(tmp_path / "run", resume=True).ended == whole.ended


def test_the_last_report_is_of_the_epoch_that_was_trained() -> None:
    history = Run().fit(epochs=1, report_every=4)
    assert (history.column("step"), history.column("epoch")) == ([4, 6], [1, 1])


def test_a_run_that_is_complete_does_nothing_more(tmp_path: Path) -> None:
    whole = Run(tmp_path, patience=1)
    whole.fit(epochs=30)
    assert whole.trainer.stopped
    again = Run(tmp_path, patience=1, callbacks=[At(whole.trainer.step + 1, kill)])
    again.fit(epochs=30, resume=True)
    assert again.ended == whole.ended
    for name, value in tg.load(Checkpoints(tmp_path).best)["model"].items():
        assert described(again.model.state_dict()[name]) == described(value)


def test_fit_goes_on_where_it_was() -> None:
    whole = Run()
    whole.fit(epochs=3, report_every=5)
    parts = Run()
    for steps in (5, 10):
        parts.fit(steps=steps, report_every=5)
    parts.fit(epochs=3, report_every=5)
    assert parts.ended == whole.ended


def test_logs_have_every_report_once(tmp_path: Path) -> None:
    def logs(folder: Path) -> list[Callback]:
        return [CSVLog(folder / "log.csv"), JSONLog(folder / "logs" / "log.jsonl")]

    whole = tmp_path / "whole"
    Run(whole, save_every=None, callbacks=logs(whole)).fit()
    folder = tmp_path / "run"
    with pytest.raises(Killed):
        Run(folder, save_every=None, callbacks=[*logs(folder), At(20, kill)]).fit()
    with (folder / "log.csv").open("a") as file:
        file.write("4,24,0.0")  # a line that was not finished
    Run(folder, save_every=None, callbacks=logs(folder)).fit(resume=True)
    for name in ("log.csv", "logs/log.jsonl"):
        assert (folder / name).read_text() == (whole / name).read_text()
        assert len((folder / name).read_text().splitlines()) == 4 + name.endswith("csv")


def test_another_run_is_not_written_over(tmp_path: Path) -> None:
    Run(tmp_path).fit(epochs=1)
    before = described(tg.load(Checkpoints(tmp_path).latest))
    with pytest.raises(FileExistsError, match=r"has the saves of a run: go on with it by fit"):
        Run(tmp_path).fit(epochs=1)
    assert described(tg.load(Checkpoints(tmp_path).latest)) == before
    Run(tmp_path / "other").fit(
        epochs=2, resume=Checkpoints(tmp_path).latest
    )  # from a path, elsewhere
    assert tg.load(Checkpoints(tmp_path / "other").latest)["counts"]["epoch"] == 2


@pytest.mark.parametrize("kind", [CSVLog, JSONLog])
def test_logs_of_another_run_are_not_written_over(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "log"
    first = Run(callbacks=[kind(path)])
    first.fit(epochs=2)
    before = path.read_text()
    for options in ({}, {"resume": True}):
        if options:  # with a history of its own
            Run(tmp_path / "other", size=10).fit(epochs=1)
        other = Run(tmp_path / "other", size=10, callbacks=[kind(path)])
        with pytest.raises(FileExistsError, match=rf"{kind.__name__}\] .*log has the reports of"):
            other.fit(epochs=2, **options)
        assert path.read_text() == before
    path.write_text("something else\n" * 2)
    with pytest.raises(FileExistsError, match="the reports of another run"):
        first.fit(epochs=3)
    path.write_text("")
    first.fit(epochs=3)
    assert path.read_text().startswith(before)


def test_a_log_goes_on_where_a_run_was_killed_before_its_first_save(tmp_path: Path) -> None:
    log = CSVLog(tmp_path / "log.csv")
    Run(callbacks=[log]).fit(epochs=1)  # its report was written, and nothing saved
    before = (tmp_path / "log.csv").read_text()
    Run(tmp_path / "run", callbacks=[log]).fit(epochs=1, resume=True)
    assert (tmp_path / "log.csv").read_text() == before


def test_another_kind_of_optimizer_or_schedule_is_refused(tmp_path: Path) -> None:
    Run(tmp_path).fit(epochs=1)
    saved = tg.load(Checkpoints(tmp_path).latest)
    for part in ("optimizer", "scheduler"):
        other = Run()
        before = described(other.trainer.state_dict())
        here = saved["classes"][part]
        state = {**saved, "classes": {**saved["classes"], part: "Other"}}
        with pytest.raises(ValueError, match=f"with the {part} Other, here it is {here}: go on"):
            other.trainer.load_state_dict(state)
        assert described(other.trainer.state_dict()) == before


def test_another_models_state_changes_nothing(tmp_path: Path) -> None:
    Run(tmp_path).fit(epochs=1)
    saved = tg.load(Checkpoints(tmp_path).latest)
    run = Run()
    run.fit(epochs=1)
    before = run.ended
    wrong = {
        "model": {"0.weight": tg.zeros(2)},
        "optimizer": {"state": {}, "param_groups": []},
        "scheduler": {},
        "metrics": {"accuracy": {}},
        "counts": {},
    }
    for name, value in wrong.items():
        with pytest.raises((RuntimeError, ValueError)):
            run.trainer.load_state_dict({**saved, name: value})
        assert described(run.trainer.state_dict()) == before
    with pytest.raises(ValueError, match="no state of a Trainer"):
        run.trainer.load_state_dict(saved["model"])
    run.trainer.load_state_dict(saved)
    assert run.trainer.epoch == 1


def test_killed_between_the_last_save_and_the_best(tmp_path: Path) -> None:
    class Cut(Checkpoints):
        """Is killed when it has written one file of the third report."""

        def save(self, state: Any, step: int, *, best: bool = False) -> None:
            cut = best and len(state["history"]) == 3
            super().save(state, step, best=best and not cut)
            if cut:
                raise Killed

    whole = Run(tmp_path / "whole", patience=3)
    whole.fit(epochs=3)
    assert whole.trainer.best_step == whole.trainer.step
    run = Run(tmp_path / "run", patience=3)
    run.trainer.checkpoints = Cut(tmp_path / "run")
    with pytest.raises(Killed):
        run.fit(epochs=3)
    Run(tmp_path / "run", patience=3).fit(epochs=3, resume=True)
    best, expected = (Checkpoints(tmp_path / name).best for name in ("run", "whole"))
    assert described(tg.load(best)) == described(tg.load(expected))


def test_less_data_than_before_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        Run(tmp_path, loader=Plain, callbacks=[At(4, kill)]).fit()
    run = Run(tmp_path, loader=Plain, size=8)
    with pytest.raises(ValueError, match="after 3 batches of an epoch, this loader has fewer"):
        run.fit(resume=True)


def test_callbacks_may_change_between_runs(tmp_path: Path) -> None:
    Run(tmp_path, patience=3).fit(epochs=1)
    stopping = EarlyStopping(3)
    run = Run(tmp_path, callbacks=[At(1, kill), stopping])
    run.fit(epochs=2, resume=True)
    assert len(run.trainer.history) == 2
    assert stopping.best == min(run.trainer.history.column("val_loss"))


# ---------------------------------------------------------------------- signals


def test_sigint_saves_after_the_step_and_is_handed_on(tmp_path: Path) -> None:
    whole = Run(tmp_path / "whole")
    whole.fit()
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    raising = At(9, lambda: signal.raise_signal(signal.SIGINT))
    run = Run(tmp_path / "run", save_every=None, callbacks=[raising])
    with pytest.raises(KeyboardInterrupt):
        run.fit()
    assert run.trainer.step == 9
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    resumed = Run(tmp_path / "run", save_every=None)
    resumed.fit(resume=True)
    assert resumed.ended == whole.ended


def test_sigterm_ends_the_program_and_a_handler_of_its_own_is_called(tmp_path: Path) -> None:
    raising = At(5, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        Run(tmp_path / "run", callbacks=[raising]).fit()
    assert ended.value.code == 128 + signal.SIGTERM
    assert tg.load(Checkpoints(tmp_path / "run").latest)["counts"]["step"] == 5
    heard: list[int] = []
    old = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        run = Run(tmp_path / "other", callbacks=[raising])
        assert run.fit() is run.trainer.history
    finally:
        signal.signal(signal.SIGTERM, old)
    assert (heard, run.trainer.step) == ([signal.SIGTERM], 5)


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it went on")

    before = signal.getsignal(signal.SIGINT)
    run = Run(tmp_path / "run", save_every=None, callbacks=[At(2, twice)])
    with pytest.raises(KeyboardInterrupt):
        run.fit()
    assert not (tmp_path / "run").exists()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("loader", [Plain, Endless], ids=["length", "no length"])
@pytest.mark.parametrize("report_every", [None, 4])
def test_a_signal_while_it_is_evaluated(
    report_every: int | None, loader: Any, tmp_path: Path
) -> None:
    """The evaluation is given up, and made again by the run that goes on."""
    whole = Run(tmp_path / "whole", loader=loader)
    whole.fit(report_every=report_every)
    run = Run(tmp_path / "run", loader=loader)
    run.validation = Interrupting(run.validation, at=2)
    with pytest.raises(KeyboardInterrupt):
        run.fit(report_every=report_every)
    assert len(run.trainer.history) == 1
    resumed = Run(tmp_path / "run", loader=loader)
    resumed.fit(report_every=report_every, resume=True)
    assert resumed.ended == whole.ended


class Interrupting:
    """A loader that is interrupted the n-th time that it is read."""

    def __init__(self, loader: Any, at: int) -> None:
        self.loader, self.sampler, self.left = loader, loader.sampler, at

    def __iter__(self) -> Any:
        self.left -= 1
        for batch in self.loader:
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)
            yield batch


def test_ignored_signals_stay_ignored() -> None:
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run = Run(callbacks=[At(2, lambda: signal.raise_signal(signal.SIGINT))])
        run.fit(epochs=1)
    finally:
        signal.signal(signal.SIGINT, old)
    assert run.trainer.epoch == 1


def test_other_threads_train_too() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(lambda: Run().fit(epochs=1)).result()) == 1


# ---------------------------------------------------------------------- the long ones, short


def tool(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / name, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs kill -9")
def test_killed_at_random_moments() -> None:
    """tools/torture_training.py does this a hundred times, with workers."""
    workers = "2" if hasattr(tg.data.DataLoader, "state_dict") else "0"
    said = tool("torture_training.py", "--kills", "3", "--workers", workers)
    assert "3 kills" in said
    assert "all ended alike" in said


def test_steps_leave_nothing_behind() -> None:
    """tools/training_memory.py does this for 10,000 steps."""
    assert "+0 objects" in tool("training_memory.py", "--steps", "1500")


def test_the_same_seed_gives_the_same_bits() -> None:
    first = Run()
    first.fit()
    second = Run()
    second.fit()
    assert first.ended == second.ended
