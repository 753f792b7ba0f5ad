"""A line search for the strong Wolfe conditions."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import NamedTuple

from tapegrad.core.tensor import Tensor


class Point(NamedTuple):
    """What is known at the distance ``t`` along the direction: the loss, its gradient (flat), and
    its slope along the direction."""

    t: float
    loss: float
    gradient: Tensor
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point],
    start: Point,
    t: float,
    size: float,
    *,
    limit: int,
    tolerance: float = 1e-9,
    decrease: float = 1e-4,
    curvature: float = 0.9,
) -> tuple[Point, int]:
    """A point where the loss has fallen by at least ``decrease`` * t * slope and the slope is at
    most ``curvature`` times the first one in absolute value, and how often ``evaluate(t)`` was
    called.

    First steps grow from ``t`` until such points are bracketed, then the bracket is narrowed by
    cubic interpolation (Nocedal & Wright, Numerical Optimization, algorithms 3.5 and 3.6). It ends
    early, with the best point so far, after ``limit`` steps, or when the bracket times ``size``,
    the direction's largest element, is below ``tolerance``.
    """

    def too_high(point: Point) -> bool:
        return point.loss > start.loss + decrease * point.t * start.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -curvature * start.slope

    before, point = start, evaluate(t)
    steps = 0
    while steps < limit:
        if too_high(point) or (steps > 1 and point.loss >= before.loss):
            break
        if flat(point):
            return point, steps + 1
        if point.slope >= 0:
            break
        near, far = point.t + 0.01 * (point.t - before.t), point.t * 10
        t = _lowest(before, point, near, far)
        before, point = point, evaluate(t)
        steps += 1
    else:
        before = start

    low, high = (before, point) if before.loss <= point.loss else (point, before)
    stuck = False
    while steps < limit and abs(high.t - low.t) * size >= tolerance:
        left, right = sorted((low, high), key=lambda p: p.t)
        t = _lowest(left, right, left.t, right.t)
        # Close to an end of the bracket for the second time, or at it: a tenth of it away.
        margin = 0.1 * (right.t - left.t)
        if min(right.t - t, t - left.t) < margin:
            if stuck or not left.t < t < right.t:
                t = right.t - margin if right.t - t < t - left.t else left.t + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        point = evaluate(t)
        steps += 1
        if too_high(point) or point.loss >= low.loss:
            high = point
            if high.loss < low.loss:
                low, high = high, low
        else:
            if flat(point):
                low = point
                break
            if point.slope * (high.t - low.t) >= 0:
                high = low
            low = point
    return low, steps + 1


def _lowest(a: Point, b: Point, left: float, right: float) -> float:
    """Where the cubic through two points and their slopes is lowest between ``left`` and ``right``;
    their middle, if it has no minimum."""
    if a.t > b.t:
        a, b = b, a
    if a.t == b.t:
        return (left + right) / 2
    mixed = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = mixed * mixed - a.slope * b.slope  # (a power would raise OverflowError)
    if not square >= 0:
        return (left + right) / 2
    root = sqrt(square)
    width = b.slope - a.slope + 2 * root
    if width == 0:
        return (left + right) / 2
    t = b.t - (b.t - a.t) * ((b.slope + root - mixed) / width)
    return min(max(t, left), right)
