"""The state of a run: what a Trainer must be given so that it goes on as if it had not stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from tapegrad.checkpoint import Checkpoints, load
from tapegrad.ops.common.refusals import Retelling

from . import together
from .callback import Callback
from .checks import check_whole
from .history import History
from .position import Position, random_state


class Saved(Retelling):
    """The part of a Trainer that gives its state, takes it back, saves it and goes on from it."""

    model: Any
    optimizer: Any
    scheduler: Any
    scaler: Any
    metrics: dict[str, Any]
    callbacks: Sequence[Callback]
    history: History
    checkpoints: Checkpoints | None
    epoch: int
    step: int
    best: float | None
    best_step: int
    _total: float
    _samples: float
    _report_due: bool
    _position: Position | None
    _resume_at: dict[str, Any] | None
    _random: dict[str, Any] | None

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, for ``tapegrad.save``. Raises
        NotImplementedError where that is divided among several ranks."""
        if together.are_several():
            check_whole(self.model, self.optimizer)
        at = self._resume_at
        if self._position is not None and at is None:
            at = self._position.state_dict()
        generators = self._position.generators if self._position is not None else []
        return {
            "classes": self._classes(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "metrics": _states(self.metrics.items()),
            "callbacks": _states(self._named_callbacks()),
            "history": list(self.history),
            "counts": {name: getattr(self, name) for name in _COUNTS},
            "position": at,
            "random": random_state(generators) if generators else None,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state of ``state_dict``, all of it; or, if anything raises, from where it
        was. Raises ValueError for what is no such state, and what the parts raise."""
        known = state_dict.keys() if isinstance(state_dict, Mapping) else ()
        missing = sorted(_ENTRIES.difference(known))
        if missing:
            raise ValueError(
                f"[Trainer] this is no state of a Trainer, which has also {missing}: load weights "
                "alone into the model"
            )
        for part, here in self._classes().items():
            saved = state_dict["classes"][part]
            if saved is not None and here is not None and saved != here:
                raise ValueError(
                    f"[Trainer] the run was saved with the {part} {saved}, here it is {here}: go "
                    "on with the same, or load state['model'] alone, into the model"
                )
        before = deepcopy(self.state_dict())
        try:
            self._load(state_dict)
        except BaseException:
            self._load(before)
            raise

    def _load(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None and state["scheduler"] is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        state = {**state, **self._own_part(state.get("ranks"))}
        for name, part in [*self.metrics.items(), *self._named_callbacks()]:
            saved = state["metrics" if name in self.metrics else "callbacks"]
            if name in saved and hasattr(part, "load_state_dict"):
                part.load_state_dict(saved[name])
        self.history = History(state["history"])
        for name in _COUNTS:
            setattr(self, name, state["counts"][name])
        self._resume_at, self._random = state["position"], state["random"]

    def _classes(self) -> dict[str, str | None]:
        """What else than the model has numbers that another class would understand wrongly."""
        parts = {"optimizer": self.optimizer, "scheduler": self.scheduler}
        return {name: None if p is None else type(p).__name__ for name, p in parts.items()}

    def _begin(self, resume: Any) -> None:
        saves = self.checkpoints
        if saves is not None and together.are_several():
            check_whole(self.model, self.optimizer)
        if resume is True and saves is None:
            raise ValueError("[Trainer] fit(resume=True) needs checkpoints: the folder of the run")
        if not isinstance(resume, bool):
            self.load_state_dict(load(resume))
        elif saves is not None and not self.step:
            latest = together.of_first(lambda: saves.latest and str(saves.latest))
            if latest is not None and not resume:
                raise FileExistsError(
                    f"[Trainer] {saves.folder} has the saves of a run: go on with it by "
                    "fit(resume=True), or choose another folder"
                )
            if latest is not None:
                self.load_state_dict(load(latest))

    def _save(self, best: bool = False) -> None:
        """Save the state, of several ranks by the first one, with what each has of its own."""
        if self.checkpoints is None:
            return
        state = self.state_dict()
        if together.are_several():
            state["ranks"] = together.gathered({name: state[name] for name in _OF_EACH_RANK})
        if together.is_first():
            self.checkpoints.save(state, self.step, best=best)

    def _own_part(self, ranks: Sequence[Mapping[str, Any]] | None) -> Mapping[str, Any]:
        """What this rank takes over of the ranks of a save; of other ranks than there are now, what
        all have alike, and for the first one all that their metrics have gathered."""
        rank, size = together.place()
        if ranks is None:
            return {}
        if len(ranks) == size:
            return ranks[rank]
        first = {name: m for name, m in self.metrics.items() if name in ranks[0]["metrics"]}
        metrics = together.merged(first, [part["metrics"] for part in ranks]) if rank == 0 else {}
        return {
            "position": ranks[0]["position"],
            "random": together.own_random([part["random"] for part in ranks]),
            "metrics": _states(metrics.items()),
        }

    def _named_callbacks(self) -> Iterator[tuple[str, Callback]]:
        """By class, such that a run may go on with more of them, or fewer."""
        seen: Counter[str] = Counter()
        for callback in self.callbacks:
            name = type(callback).__name__
            seen[name] += 1
            yield f"{name}.{seen[name]}", callback


def _states(parts: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The states of those that have one."""
    found = {name: part.state_dict() for name, part in parts if hasattr(part, "state_dict")}
    return {name: state for name, state in found.items() if state}


# What a state holds, and of it the plain attributes.
_ENTRIES = {
    *("classes", "model", "optimizer", "scheduler", "scaler", "metrics", "callbacks"),
    *("history", "counts", "position", "random"),
}
_OF_EACH_RANK = ("position", "random", "metrics")
_COUNTS = (
    *("epoch", "step", "skipped", "last_loss", "stopped", "best", "best_step"),
    *("_total", "_samples", "_report_due"),
)
