"""Recurrent cells."""

from .base import case, f

WEIGHTS = (f(12, 3), f(12, 4), f(12), f(12))

case(
    "gru_cell",
    lambda t, *inputs: t.gru_cell(*inputs),
    (f(2, 3), f(2, 4), *WEIGHTS),
    (f(0, 3), f(0, 4), *WEIGHTS),
    (f(7, 33), f(7, 20), f(60, 33), f(60, 20), f(60), f(60)),
)
case("gru_cell_no_bias", lambda t, *inputs: t.gru_cell(*inputs), (f(2, 3), f(2, 4), *WEIGHTS[:2]))
