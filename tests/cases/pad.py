"""Borders."""

from __future__ import annotations

from .base import case, f

# One row reads best on one line.
# fmt: off

case("pad", lambda t, x: t.nn.functional.pad(x, (1, 2, -1, 1), value=0.5), (f(2, 3),),
     (f(2, 4, 5),), (f(3, 0),), (f(3, 1, 2),))
case("pad_reflect", lambda t, x: t.nn.functional.pad(x, (2, 1), mode="reflect"), (f(1, 3),),
     (f(2, 3, 4),), (f(0, 1, 3),))
case("pad_reflect_2d", lambda t, x: t.nn.functional.pad(x, (2, -1, 0, 1), "reflect"),
     (f(1, 2, 3),), (f(2, 3, 4, 5),))
case("pad_replicate", lambda t, x: t.nn.functional.pad(x, (2, 1, 0, 3), mode="replicate"),
     (f(1, 2, 2),), (f(2, 3, 4, 5),), (f(0, 1, 2, 2),))
case("pad_replicate_3d", lambda t, x: t.nn.functional.pad(x, (2, 1, -1, 1, 0, 3), "replicate"),
     (f(1, 2, 2, 2),), (f(2, 3, 4, 5, 3),))
case("pad_circular", lambda t, x: t.nn.functional.pad(x, (2, 1, -1, 1), mode="circular"),
     (f(1, 2, 3),), (f(2, 3, 4, 5),), (f(0, 1, 2, 3),))
