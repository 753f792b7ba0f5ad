"""A Trainer on two ranks of MPI: they decide alike, and stop and go on together."""

from __future__ import annotations

import json
from pathlib import Path

from launched import TESTS, launch, needs_mpi

needs_mpi()

SCRIPT = TESTS / "train_ranks.py"


def trained(folder: Path, count: int, *stopped: object) -> list:
    """What ranks return of the training in a folder; None, of one that a signal has ended."""
    folder.mkdir(exist_ok=True)
    ended = launch(count, SCRIPT, folder, *stopped)
    assert (ended.returncode == 0) is not bool(stopped), ended.stderr
    if stopped:
        return []
    return [json.loads((folder / f"result-{rank}").read_text()) for rank in range(count)]


def test_ranks_stop_together_and_go_on(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", 2)
    assert whole[0] == whole[1]
    other = tmp_path / "stopped"
    trained(other, 2, "stop", 10)  # one rank gets SIGTERM in step 10: both save the same state
    assert sorted(path.name for path in other.glob("saves/step-*"))[-1][5:13] == "00000010"
    assert trained(other, 2) == whole
    trained(tmp_path / "late", 2, "stop", 25)  # after the last step


def test_another_number_of_ranks_goes_on(tmp_path: Path) -> None:
    trained(tmp_path / "run", 2, "stop", 10)
    ((reports, _),) = trained(tmp_path / "run", 1)
    assert len(reports) == 3
