"""What was found of one case at one shape and dtype."""

from __future__ import annotations

from dataclasses import dataclass, field

from .timing import Timing


@dataclass
class Row:
    """One case at one shape and dtype.

    status: "ok"; "wrong" (the result is, so nothing was timed); "failed" (it raised); or "skipped"
    (not enough memory). times: seconds by contestant, the first being the one that the row is
    about. peers: why the others were not timed. error: the largest found, as a
    part of |expected| + rms(expected), where at most ``tolerance`` is accepted. kernel: whether the
    hand-written kernel ran; None where the device has none. peaks: the most bytes that a call of
    each had allocated at once, where somebody counts them. hosts: the seconds that a call of each
    took on the host, where it returns before it is computed (see ``HostClock``). function: whose
    result is wrong. least: the seconds that the ceilings allow.
    """

    case: str
    primitive: str
    shape: tuple[int, ...]
    dtype: str
    size: str = ""
    status: str = "ok"
    message: str = ""
    reference: str = ""
    error: float = 0.0
    tolerance: float = 0.0
    kernel: bool | None = None
    bytes: float = 0.0
    flops: float = 0.0
    of_ceiling: float | None = None
    least: float = 0.0
    times: dict[str, Timing] = field(default_factory=dict)
    peers: dict[str, str] = field(default_factory=dict)
    peaks: dict[str, int | None] = field(default_factory=dict)
    function: str = ""
    hosts: dict[str, float] = field(default_factory=dict)

    def fail(self, function: str, problem: str) -> None:
        """It is wrong, and so no time counts."""
        self.status, self.function, self.message, self.times = "wrong", function, problem, {}

    @property
    def key(self) -> tuple:
        """The same in another run for the same row: case, shape and dtype."""
        return self.case, self.shape, self.dtype

    @property
    def timing(self) -> Timing | None:
        """The times of the contestant that the row is about, None if it was not timed."""
        return next(iter(self.times.values()), None)

    @property
    def rivals(self) -> dict[str, Timing]:
        """The times of the others."""
        return dict(list(self.times.items())[1:])

    @property
    def flops_per_second(self) -> float | None:
        """FLOP per second; None if nothing was timed or is computed."""
        return self.flops / self.timing.median if self.timing and self.flops else None

    def ratio(self, peer: str) -> float | None:
        """The peer's time divided by ours: above 1, ours is faster. None if one was not timed."""
        if self.timing is None or peer not in self.times:
            return None
        return self.times[peer].median / self.timing.median
