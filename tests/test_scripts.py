"""Whole programs, run with PyTorch and with tapegrad: the numbers they end with are the same.

The programs are in ``tests/scripts``. Each takes the library as its argument, as if by
``import tapegrad as torch``, and returns losses, metrics and what else it computed, step by step.
"""

import warnings

import numpy as np
import pytest
from scripts import (
    language,
    learning,
    models,
    modules,
    optimizers,
    precision,
    probability,
    processes,
    recurrent,
    science,
    transformers,
    vision,
)

import tapegrad as tg

ROOMS = (
    language,
    learning,
    models,
    modules,
    optimizers,
    precision,
    probability,
    processes,
    recurrent,
    science,
    transformers,
    vision,
)
PROGRAMS = [program for room in ROOMS for program in room.PROGRAMS]


def run(torch, program):
    """What the program returns, in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    try:
        return np.array(program(torch), dtype=np.float64)
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_computes_what_it_computes_with_pytorch(program):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    with warnings.catch_warnings():
        # PyTorch warns of its own use of torch.jit inside torch.func.
        warnings.filterwarnings("ignore", message=".torch.jit", category=DeprecationWarning)
        # And of how its encoders skip what is padded, or do not.
        warnings.filterwarnings("ignore", message=".*nested.tensor", category=UserWarning)
        expected = run(torch, program)
    got = run(tg, program)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9)
