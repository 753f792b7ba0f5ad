"""PyTorch's database of modules (``module_db``): every sample of every entry, on both libraries.

For each entry, in float32 and float64, while training and evaluating, on the CPU and on the
emulated device: the module takes PyTorch's arguments and its state_dict, and has its output and its
gradients with respect to inputs and parameters. What the database says must be refused, is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
pytest.importorskip("expecttest", reason="PyTorch's module database needs expecttest")

from op_db import Translator, acceptable, flat, numbers  # noqa: E402

import tapegrad as tg  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyTorch's, that packages for its own tests are missing
    from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's, about its own samples

REFUSING = [info for info in module_db if info.module_error_inputs_func]


def name(info: Any) -> str:
    return info.module_cls.__name__


class ModuleTranslator(Translator):
    """Also makes PyTorch's modules and functions among constructors' arguments ours."""

    def __call__(self, value: Any) -> Any:
        if isinstance(value, torch.nn.TransformerEncoderLayer):
            attention = value.self_attn
            layer = tg.nn.TransformerEncoderLayer(
                attention.embed_dim,
                attention.num_heads,
                value.linear1.out_features,
                value.dropout.p,
                self(value.activation),
                value.norm1.eps,
                attention.batch_first,
                value.norm_first,
                attention.in_proj_bias is not None,
                dtype=self(value.linear1.weight.dtype),
            )
            layer.load_state_dict(value.state_dict())
            return layer
        if callable(value) and getattr(value, "__module__", "") == "torch.nn.functional":
            return getattr(tg.nn.functional, value.__name__)
        if value is torch.nn.functional.gelu:  # a function of C
            return tg.nn.functional.gelu
        if isinstance(value, complex):  # which is there to be refused
            return value
        return super().__call__(value)


def samples(info: Any, dtype: Any, training: bool, requires_grad: bool = True) -> Iterator[Any]:
    torch.manual_seed(0)
    for sample in info.module_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=requires_grad, training=training
    ):
        if sample.forward_input is not None:
            yield sample


def both(info: Any, sample: Any, dtype: Any, training: bool, device: str) -> tuple[Any, Any]:
    """PyTorch's module, and ours with its numbers."""
    made, given = sample.constructor_input, ModuleTranslator(device)
    theirs = info.module_cls(*made.args, **made.kwargs).to(dtype).train(training)
    mine = getattr(tg.nn, name(info))(*given(made.args), **given(made.kwargs))
    mine = mine.to(given(dtype)).to(device).train(training)
    if info.is_lazy:
        call = sample.forward_input
        theirs(*deepcopy(call.args), **deepcopy(call.kwargs))  # which gives it its shapes
    assert list(mine.state_dict()) == list(theirs.state_dict())
    mine.load_state_dict(theirs.state_dict())
    return theirs, mine


def widened(value: Any, known: dict) -> Any:
    """float32 tensors in float64, as leaves; the same for the same."""
    if isinstance(value, torch.Tensor):
        if id(value) not in known:
            wide = value.detach().double() if value.is_floating_point() else value
            known[id(value)] = wide.requires_grad_(value.requires_grad)
        return known[id(value)]
    if isinstance(value, (list, tuple)):
        return type(value)([widened(v, known) for v in value])
    return value


def outcome(library: Any, module: Any, args: Any, kwargs: Any, leaves: list) -> list:
    """The output's tensors, and the gradients of its sum with random weights: of the inputs, then
    of the parameters. What has no gradient has one of zeros."""
    results = [y for y in flat(module(*args, **kwargs)) if isinstance(y, library.Tensor)]
    parameters = list(module.parameters())
    recorded = [y for y in results if y.requires_grad]
    random = np.random.default_rng(0)
    seeds = [random.standard_normal(tuple(y.shape)) for y in recorded]
    wanted = leaves + parameters
    gradients: Any = [None] * len(wanted)
    if recorded and wanted:
        weights = [
            library.tensor(s, dtype=y.dtype, device=y.device)
            for s, y in zip(seeds, recorded, strict=True)
        ]
        gradients = library.autograd.grad(recorded, wanted, weights, allow_unused=True)
    known = [
        np.zeros(tuple(x.shape)) if g is None else numbers(g)
        for g, x in zip(gradients, wanted, strict=True)
    ]
    return [numbers(y) for y in results] + known


def inputs_of(value: Any) -> list:
    """The tensors among arguments that require grad, each once."""
    found = {id(t): t for t in flat(value) if isinstance(t, torch.Tensor) and t.requires_grad}
    return list(found.values())


def check(info: Any, dtype: Any, training: bool, device: str) -> int:
    """Compare every sample; how many there were."""
    count = 0
    for count, sample in enumerate(samples(info, dtype, training), 1):  # noqa: B007
        theirs, mine = both(info, sample, dtype, training, device)
        call, translate = sample.forward_input, ModuleTranslator(device)
        order = list(call.kwargs)
        arguments = [*call.args, *(call.kwargs[k] for k in order)]
        split = len(call.args)
        ours = [translate(a) for a in arguments]
        got = outcome(
            tg,
            mine,
            ours[:split],
            dict(zip(order, ours[split:], strict=True)),
            [translate(t) for t in inputs_of(arguments)],
        )
        known: dict = {}
        wide = [widened(a, known) for a in arguments]
        exact = outcome(
            torch,
            deepcopy(theirs).double(),
            wide[:split],
            dict(zip(order, wide[split:], strict=True)),
            inputs_of(wide),
        )
        own = outcome(torch, theirs, call.args, call.kwargs, inputs_of(arguments))
        assert type(mine) is getattr(tg.nn, type(theirs).__name__)
        compare(got, own, exact, dtype)
    return count


def compare(got: list, own: list, exact: list, dtype: Any) -> None:
    """In float64 equal to rounding; in float32 about as near to float64's result as PyTorch's."""
    assert len(got) == len(own) == len(exact)
    for mine, theirs, right in zip(got, own, exact, strict=True):
        assert mine.shape == theirs.shape
        if theirs.dtype == mine.dtype and mine.dtype.kind != "f":
            np.testing.assert_array_equal(mine, theirs)
            continue
        if dtype == torch.float64:
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)
            continue
        finite = np.isfinite(right)
        scale = np.abs(right).max(initial=0, where=finite)
        error = np.abs(theirs.astype(right.dtype) - right).max(initial=0, where=finite)
        np.testing.assert_allclose(mine, right, rtol=0, atol=2 * error + 1e-6 * (1 + scale))


@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize("info", module_db, ids=name)
def test_outputs_and_gradients(info: Any, device: str) -> None:
    seen = 0
    for dtype in (torch.float64, torch.float32):
        if dtype in info.dtypes:
            modes = (True, False) if info.train_and_eval_differ else (True,)
            seen += sum(check(info, dtype, training, device) for training in modes)
    assert seen


@pytest.mark.parametrize("info", REFUSING, ids=name)
def test_bad_input(info: Any) -> None:
    """PyTorch's exception type, when the module is made or when it is called."""
    for error in info.module_error_inputs_func(
        info, device="cpu", dtype=torch.float32, requires_grad=False, training=True
    ):
        sample, translate = error.module_error_input, ModuleTranslator()
        made, call = sample.constructor_input, sample.forward_input
        arguments, options = translate(made.args), translate(made.kwargs)
        make: Any = partial(getattr(tg.nn, name(info)), *arguments, **options)
        call_it = error.error_on is ModuleErrorEnum.FORWARD_ERROR
        with pytest.raises(acceptable(error.error_type)):
            make()(*translate(call.args), **translate(call.kwargs)) if call_it else make()


def test_the_database_is_whole() -> None:
    assert len(module_db) == 114
