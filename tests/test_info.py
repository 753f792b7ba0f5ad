"""Limits of dtypes, and questions about tensors, as PyTorch answers them."""

from __future__ import annotations

import pytest

import tapegrad as tg

FLOATS = ["float64", "float32", "float16", "bfloat16"]
INTEGERS = ["int64", "int32", "int16", "int8", "uint8"]


@pytest.mark.parametrize("dtype", FLOATS)
def test_finfo(dtype: str) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    mine, theirs = tg.finfo(getattr(tg, dtype)), torch.finfo(getattr(torch, dtype))
    for name in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution", "dtype"):
        assert getattr(mine, name) == getattr(theirs, name), name
    assert repr(mine).startswith("finfo(resolution=")


@pytest.mark.parametrize("dtype", INTEGERS)
def test_iinfo(dtype: str) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    mine, theirs = tg.iinfo(getattr(tg, dtype)), torch.iinfo(getattr(torch, dtype))
    for name in ("bits", "max", "min", "dtype"):
        assert getattr(mine, name) == getattr(theirs, name), name


def test_of_another_kind() -> None:
    assert tg.finfo().dtype == "float32"
    with pytest.raises(TypeError, match="use iinfo"):
        tg.finfo(tg.int64)
    with pytest.raises(TypeError, match="use finfo"):
        tg.iinfo(tg.float32)


@pytest.mark.parametrize("to", [*FLOATS, *INTEGERS, "bool"])
@pytest.mark.parametrize("source", [*FLOATS, *INTEGERS, "bool"])
def test_can_cast(source: str, to: str) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    a, b = (getattr(torch, n) for n in (source, to))
    expected = torch.can_cast(a, b)
    assert tg.can_cast(getattr(tg, source), getattr(tg, to)) == expected


def test_questions() -> None:
    x = tg.tensor([1.0, 2.0])
    assert tg.is_tensor(x)
    assert not tg.is_tensor([1.0])
    assert tg.is_floating_point(x)
    assert not tg.is_complex(x)
    assert tg.is_nonzero(tg.tensor(3))
    assert not tg.tensor(0.0).is_nonzero()
    assert tg.numel(x) == 2
    assert tg.result_type(tg.tensor([1]), 2.5) == tg.float32
    assert tg.result_type(x, tg.tensor(1.0, dtype=tg.float64)) == tg.float32
    assert (x.nelement(), x.ndimension(), x.get_device(), x.is_signed()) == (2, 1, -1, True)


def test_what_scripts_switch_has_nothing_to_switch() -> None:
    tg.backends.cudnn.benchmark = False
    assert not tg.backends.mps.is_available()
    tg.use_deterministic_algorithms(True, warn_only=True)
    assert tg.are_deterministic_algorithms_enabled()
    tg.set_float32_matmul_precision("high")
    assert tg.get_float32_matmul_precision() == "highest"
    with pytest.raises(ValueError, match="'medium', not 'low'"):
        tg.set_float32_matmul_precision("low")


def test_one_seed_for_all_devices() -> None:
    tg.manual_seed(7)
    wanted = tg.randn(3).tolist()
    tg.cuda.manual_seed_all(7)
    assert tg.randn(3).tolist() == wanted
    tg.cuda.empty_cache()


def test_dtypes_have_a_type_for_annotations() -> None:
    def zeros(dtype: tg.dtype = tg.float64) -> tg.Tensor:
        return tg.zeros(2, dtype=dtype)

    assert isinstance(zeros().dtype, tg.dtype)
    assert isinstance(tg.bfloat16, tg.dtype)
    assert not isinstance(2.0, tg.dtype)
