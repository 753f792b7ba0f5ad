"""Where a DataLoader is in its pass over the data, as the state that ``tapegrad.save`` takes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tapegrad.ops.sampling.philox import Generator

_SOURCE = {"batches", "ended", "state"}  # what is known of a stream


@dataclass
class Position:
    """How a pass began, and what of it was delivered. Batches that were made and not delivered are
    not part of it: they are made again."""

    seed: int  # of the random numbers of its batches
    sampler: Any = None  # the sampler's state then
    delivered: int = 0  # all batches before this one were
    ahead: list[int] = field(default_factory=list)  # and these of the later ones
    ended: bool = False
    failed: list[int] = field(default_factory=list)  # those that raised, and nothing came since
    turn: int = 0  # of streams: whose batch is next
    sources: list[dict[str, Any]] = field(default_factory=list)  # of streams: one for each worker
    told: int | None = None  # of a stream: how many batches it was said to have

    def deliver(self, number: int) -> None:
        """Note that batch ``number`` was delivered, and that who asked for it has done without
        those that failed before."""
        self.ahead += [*self.failed, number]
        self.failed.clear()
        while self.delivered in self.ahead:
            self.ahead.remove(self.delivered)
            self.delivered += 1

    def check_told(self) -> None:
        """Warn of the first batch of a stream that is one too many."""
        if self.told is not None and sum(s["batches"] for s in self.sources) == self.told + 1:
            warnings.warn(
                f"DataLoader: the stream has given more than the {self.told} batches that "
                "len(loader) told: correct its __len__, or, where there are workers, let each take "
                "its share by get_worker_info()",
                stacklevel=3,
            )


def as_state(position: Position | None, facts: dict[str, Any], sampler: Any, now: list) -> dict:
    """The state of a loader of which ``facts`` are known; ``sampler`` is that of the sampler where
    no pass has begun, ``now`` those of the generators."""
    state = {"loader": facts, "generators": now, "sampler": sampler, "pass": None}
    if position is not None:
        rest = asdict(position)
        del rest["failed"], rest["told"]
        state.update({"sampler": rest.pop("sampler"), "pass": rest})
    return state


def from_state(state: Any, facts: dict[str, Any]) -> Position | None:
    """The position that a state holds. Raises TypeError for what is no state of a DataLoader, and
    ValueError for one of a DataLoader of which other facts are known."""
    if not isinstance(state, Mapping) or {*state} != {"loader", "generators", "sampler", "pass"}:
        raise TypeError(
            f"DataLoader: this is no state of a DataLoader, but {type(state).__name__}: pass what "
            "its state_dict() has returned"
        )
    theirs, rest, generators = state["loader"], state["pass"], state["generators"]
    if (
        not isinstance(theirs, Mapping)
        or not isinstance(generators, list)
        or not (rest is None or _is_pass(rest))
    ):
        raise TypeError("DataLoader: this state was changed, and is none of a DataLoader")
    differ = [
        f"its {name} is {theirs.get(name)!r}, here it is {here!r}"
        for name, here in facts.items()
        if theirs.get(name) != here
    ]
    if differ:
        raise ValueError(f"DataLoader: this is the state of another loader: {'; '.join(differ)}")
    if rest is None:
        return None
    rest = {**rest, "ahead": [*rest["ahead"]], "sources": [dict(s) for s in rest["sources"]]}
    return Position(sampler=state["sampler"], **rest)


def divided_anew(state: Any, order: Any, facts: dict[str, Any]) -> Any:
    """The state; or, where it is one of other ranks than a DistributedSampler has now, the state of
    a pass over what none of them was given, of a loader of which ``facts`` are known."""
    sampler = getattr(order, "sampler", order)
    try:
        inner = state["sampler"] if sampler is order else state["sampler"]["sampler"]
        theirs, rest = state["loader"], state["pass"]
        if inner["replicas"] == sampler.num_replicas:
            return state
        taken = 0 if rest is None else rest["delivered"] * (theirs["batch_size"] or 1)
        inner = sampler.divided_anew(inner, taken)
    except (AttributeError, KeyError, TypeError):  # it is none of that kind
        return state
    if rest is not None:
        seed = (rest["seed"] + inner["start"]) % 2**63  # other random numbers than it began with
        rest = {**rest, "seed": seed, "delivered": 0, "ahead": []}
    changed = {name: facts[name] for name in ("batches", "batch_size")}
    return {
        **state,
        "loader": {**theirs, **changed},
        "sampler": inner if sampler is order else {"sampler": inner},
        "pass": rest,
    }


def generators_of(loader: Any) -> list[Generator]:
    """The generators that a loader draws from: its own, and those of its samplers."""
    found: dict[int, Generator] = {}
    for names in ((), ("sampler",), ("batch_sampler",), ("batch_sampler", "sampler")):
        owner = loader
        for name in names:
            owner = getattr(owner, name, None)
        generator = getattr(owner, "generator", None)
        if isinstance(generator, Generator):
            found.setdefault(id(generator), generator)
    return list(found.values())


def _is_pass(rest: Any) -> bool:
    """Whether the entries of a pass are there, and of their kinds."""
    kinds = {"seed": int, "delivered": int, "ahead": list, "ended": bool, "turn": int}
    kinds["sources"] = list
    if not isinstance(rest, Mapping) or {*rest} != {*kinds}:
        return False
    if any(type(rest[name]) is not kind for name, kind in kinds.items()):
        return False
    numbers = [rest["seed"], rest["delivered"], rest["turn"], *rest["ahead"]]
    sources = rest["sources"]
    return (
        all(type(n) is int and 0 <= n < 2**63 for n in numbers)
        and all(isinstance(s, Mapping) and {*s} == _SOURCE for s in sources)
        and rest["turn"] < max(len(sources), 1)
    )
