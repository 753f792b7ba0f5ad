"""Every sample of PyTorch's operator database, over everything that tapegrad has.

For each entry: values, shapes and dtypes of all samples; first and second gradients; the method
and the in-place twin; and inputs that must be refused. What is missing is printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)
pytest.importorskip("ml_dtypes", reason="some entries are about bfloat16")
pytest.importorskip("expecttest", reason="PyTorch's operator database needs expecttest")

import op_db as db  # noqa: E402
from op_db import Translator, Untranslatable, acceptable, flat, label, numbers  # noqa: E402

import tapegrad as tg  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's, about its own samples

# None is missing.
PRESENT_AT_LEAST = len(db.ENTRIES)

# What draws random numbers: shapes and dtypes are compared.
RANDOM = {
    "bernoulli", "multinomial", "normal", "rand_like", "randint", "randint_like", "randn",
    "randn_like", "uniform", "exponential", "cauchy", "geometric", "log_normal",
    "nn.functional.dropout", "nn.functional.dropout2d", "nn.functional.dropout3d",
    "nn.functional.alpha_dropout", "nn.functional.feature_alpha_dropout",
    "nn.functional.fractional_max_pool2d", "nn.functional.fractional_max_pool3d",
    "nn.functional.rrelu",
    # undefined values
    "empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided",
    "resize_", "resize_as_",
}  # fmt: skip

# Samples that are skipped: entry (or entry and dtype) -> (which samples, why).
SKIPPED: dict[str, tuple[Any, str]] = {
    "nn.functional.scaled_dot_product_attention": (
        lambda s: s.kwargs.get("dropout_p", 0) > 0,
        "drops at random",
    ),
    "nn.functional.multi_head_attention_forward": (
        lambda s: s.kwargs["training"] and s.args[9] > 0,
        "drops at random",
    ),
    "linalg.norm": (
        lambda s: s.input.numel() == 0,
        "PyTorch's second gradient of the norm of nothing is nan; ours is 0",
    ),
    "svd_lowrank": (
        lambda s: s.kwargs.get("M") is not None,
        "the difference from M is of full rank: what is found depends on the random sample",
    ),
    "clamp_max": (
        lambda s: isinstance(s.input, torch.Tensor) and isinstance(s.args[0], int),
        "must be refused, the database says; but PyTorch takes numbers",
    ),
    "clamp_min": (
        lambda s: isinstance(s.input, torch.Tensor) and isinstance(s.args[0], int),
        "must be refused, the database says; but PyTorch takes numbers",
    ),
    "kthvalue": (
        lambda s: "out" in s.kwargs,
        "out= may be the input itself: results are written once they are complete",
    ),
    "aminmax": (
        lambda s: "out" in s.kwargs,
        "out= may be of any dtype that holds the result, as in PyTorch's other reductions",
    ),
    **dict.fromkeys(
        ("cat", "gather", "index_select", "masked_select", "take"),
        (
            lambda s: "out" in s.kwargs,
            "out= may share memory with an input and be of a wider dtype: results are written once "
            "they are complete",
        ),
    ),
    "multinomial": (
        lambda s: s.input.numel() > 2**24 or "out" in s.kwargs,
        "must be refused, the database says; ours draws from any number of classes, and out= may "
        "be of any dtype that holds the result (the weights are what is found in memory, so that "
        "they may be refused or not)",
    ),
    "cov": (
        lambda s: s.kwargs.get("aweights") is not None and s.input.dtype == torch.float64,
        "the samples' weights are float32, and PyTorch adds them up in float32: 7 digits of its "
        "float64 result are right, and gradients that are 0 come out as 1e-5",
    ),
}

# Entries whose second gradients PyTorch does not have, although its database says so: why.
FIRST_ORDER = {
    "masked.logaddexp": "its second gradients are nan where one is masked out; ours are 0",
    "masked.logsumexp": "its second gradients are nan where all is masked out; ours are 0",
    "nn.functional.linear_cross_entropy/chunked": "its second gradients are silently absent",
    "nn.functional.linear_cross_entropy/chunked_none": "its backward is not differentiable",
    "linalg.norm/subgradients_at_zero": "its second gradients there are 0 * inf = nan; ours are 0",
    "nn.functional.ctc_loss": "its backward is not differentiable",
    "nn.functional.scaled_dot_product_attention": "its flash kernel's backward is final",
}

# Entries whose gradient PyTorch has wrong; ours is compared with finite differences: why.
_OVERWRITTEN = "it gives values that later ones write over a gradient"
BY_DIFFERENCES = {
    "as_strided_scatter": "it gives the input the gradients of the elements that were replaced",
    "nn.functional.max_unpool1d": _OVERWRITTEN,
    "nn.functional.max_unpool2d": _OVERWRITTEN,
    "nn.functional.max_unpool3d": _OVERWRITTEN,
}

# Tolerances other than PyTorch's own (rtol, atol): entry -> for float64, and why.
TOLERANCE = {torch.float64: (1e-7, 1e-7), torch.float32: (1.3e-6, 1e-5)}
LOOSER: dict[str, tuple[float, float]] = {
    # PyTorch's are right to 6 digits only (ours are tested against SciPy's)
    "special.airy_ai": (1e-5, 1e-6),
    "special.bessel_j0": (1e-5, 1e-6),
    "special.bessel_y1": (1e-5, 1e-6),
}
GRADIENT_TOLERANCE = (1e-6, 1e-6)

# (values, indices) where PyTorch leaves open which of equal elements it means: what the indices
# point at is compared. Entry -> the position of ``dim`` among the arguments.
POINTING = {"kthvalue": 1, "mode": 0, "topk": 1}

each_entry = pytest.mark.parametrize("op", db.PRESENT, ids=label)


def is_skipped(op: Any, sample: Any) -> bool:
    applies, _ = SKIPPED.get(label(op), (None, ""))
    return applies is not None and applies(sample)


def tolerance(op: Any, dtype: torch.dtype) -> tuple[float, float]:
    usual = TOLERANCE.get(dtype, (0.0, 0.0))
    return LOOSER.get(label(op), usual) if dtype == torch.float64 else usual


def assert_same(op: Any, mine: Any, theirs: Any, exact: Any = None) -> None:
    """The same structure, dtypes, shapes and values. ``exact(move)``: their result in float64, with
    the arguments moved, asked for where float32 results differ: ours must then be about as close to
    it as theirs, or as what float32 arguments leave open."""
    a, b = flat(mine), flat(theirs)
    assert len(a) == len(b), f"{len(a)} results, not {len(b)}"
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        if not isinstance(y, torch.Tensor):
            assert type(x) is type(y)
            assert x == y or (x != x and y != y) or np.isclose(x, y)
            continue
        assert isinstance(x, tg.Tensor), f"a {type(x).__name__}, not a Tensor"
        assert tuple(x.shape) == tuple(y.shape)
        assert x.dtype.name == str(y.dtype).removeprefix("torch.")
        if op.name in RANDOM:
            continue
        u, v = numbers(x), numbers(y)
        if v.dtype.kind != "f":
            np.testing.assert_array_equal(u, v)
            continue
        rtol, atol = tolerance(op, y.dtype)
        close = np.isclose(u, v, rtol=rtol, atol=atol, equal_nan=True)
        if not close.all() and y.dtype == torch.float32 and exact is not None:
            w = numbers(flat(exact(lambda t: t))[i])
            own, other = (np.nanmax(np.abs(n.astype(w.dtype) - w), initial=0) for n in (u, v))
            assert (np.isfinite(u) == np.isfinite(v)).all()
            if own <= 2 * other + atol:
                continue
            moved = numbers(flat(exact(by_half_a_digit))[i])
            open_to = np.nanmax(np.abs(moved - w), initial=0)
            assert own <= 2 * open_to + atol, (
                f"off by {own}, PyTorch by {other}, the last half digit of the input moves it by "
                f"{open_to}"
            )
            continue
        np.testing.assert_allclose(u, v, rtol=rtol, atol=atol)


def in_float64(sample: Any, move: Callable) -> Any:
    """The sample with its float32 tensors widened, and then moved."""

    def widened(value: Any) -> Any:
        known = isinstance(value, torch.Tensor) and value.dtype == torch.float32
        return move(value.double()) if known else value

    return sample.transform(widened)


def by_half_a_digit(x: Any) -> Any:
    """x with each number moved by what rounding it to float32 can move it, up or down."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], tuple(x.shape))
    return x * (1 + torch.as_tensor(signs) * 2.0**-24)


@each_entry
def test_values(op: Any) -> None:
    function = db.find(op)
    for dtype in db.sample_dtypes(op):
        for sample in db.samples(op, dtype):
            if is_skipped(op, sample):
                continue
            try:
                # Ours first: some functions change their arguments (running statistics).
                mine = db.run_ours(function, sample.transform(_copied), Translator())
            except Untranslatable:
                continue
            theirs = db.run_theirs(op.op, sample.transform(_copied))
            if op.name in POINTING:
                mine, theirs = pointed_at(op, sample, mine), pointed_at(op, sample, theirs)
            process = sample.output_process_fn_grad
            assert_same(
                op,
                process(mine),
                process(theirs),
                lambda move, s=sample: s.output_process_fn_grad(
                    db.run_theirs(op.op, in_float64(s, move))
                ),
            )


def pointed_at(op: Any, sample: Any, result: Any) -> Any:
    """The values of (values, indices), if they are what the indices point at."""
    place = POINTING[op.name]
    dim = sample.kwargs.get("dim", sample.args[place] if len(sample.args) > place else -1)
    values, indices = result
    x, u, i = numbers(sample.input), numbers(values), numbers(indices)
    assert i.dtype == np.int64
    if u.ndim < x.ndim:
        u, i = np.expand_dims(u, dim), np.expand_dims(i, dim)
    if x.ndim:
        np.testing.assert_array_equal(u, np.take_along_axis(x, i, dim))
    return values


def _copied(value: Any) -> Any:
    """A tensor over a copy of its memory, so that nothing done to it is seen by the other."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        return value
    size = value.untyped_storage().nbytes() // value.element_size()
    memory = value.detach().as_strided((size,), (1,), 0).clone()
    return memory.as_strided(tuple(value.shape), value.stride(), value.storage_offset())


def differentiable(result: Any, kind: type) -> list:
    return [t for t in flat(result) if isinstance(t, kind) and t.requires_grad]


def assert_same_gradients(mine: list, theirs: list) -> None:
    for x, y in zip(mine, theirs, strict=True):
        if x is None or y is None:  # no path, or one on which nothing flows
            known = x if y is None else y
            if known is not None:
                np.testing.assert_allclose(numbers(known), 0, atol=GRADIENT_TOLERANCE[1])
            continue
        rtol, atol = GRADIENT_TOLERANCE
        np.testing.assert_allclose(numbers(x), numbers(y), rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    "op",
    [op for op in db.PRESENT if op.supports_autograd and torch.float64 in op.dtypes],
    ids=label,
)
def test_gradients(op: Any) -> None:
    function = db.find(op)
    random = np.random.default_rng(0)
    for sample in db.samples(op, torch.float64, requires_grad=True):
        if is_skipped(op, sample) or op.name in RANDOM:
            continue
        translate = Translator()
        try:
            mine = db.run_ours(function, sample, translate)
        except Untranslatable:
            continue
        if label(op) in BY_DIFFERENCES:
            _check_by_differences(function, sample, translate, random)
            continue
        process = sample.output_process_fn_grad
        y = differentiable(process(mine), tg.Tensor)
        z = differentiable(process(db.run_theirs(op.op, sample)), torch.Tensor)
        assert len(y) == len(z), f"{len(y)} results require grad, not {len(z)}"
        if not z:
            continue
        leaves, own = translate.leaves()[::-1]
        seeds = [random.standard_normal(tuple(t.shape)) for t in z]
        second = op.supports_gradgrad and label(op) not in FIRST_ORDER
        v = [torch.tensor(s, requires_grad=second) for s in seeds]
        w = [tg.tensor(s, requires_grad=second) for s in seeds]
        theirs = torch.autograd.grad(z, own, v, create_graph=second, allow_unused=True)
        ours = tg.autograd.grad(y, leaves, w, create_graph=second, allow_unused=True)
        assert_same_gradients(list(ours), list(theirs))
        if second:
            _compare_second(random, list(zip(ours, theirs, strict=True)), leaves + w, own + v)


def _check_by_differences(function: Any, sample: Any, translate: Translator, random: Any) -> None:
    """The gradients of a random sum of the results along a random line through the inputs: each
    element of every Jacobian has its part in it."""
    theirs, mine = translate.leaves()
    directions = [tg.tensor(random.standard_normal(tuple(x.shape))) for x in mine]
    weights: list = []

    def along(a: Any) -> Any:
        again = Translator()
        again.pairs = {
            id(t): (t, x.detach() + a * v) for t, x, v in zip(theirs, mine, directions, strict=True)
        }
        found = [y for y in flat(db.run_ours(function, sample, again)) if y.is_floating_point()]
        if not weights:
            weights[:] = [tg.tensor(random.standard_normal(tuple(y.shape))) for y in found]
        return sum((w * y).sum() for w, y in zip(weights, found, strict=True))

    here = tg.zeros((), dtype=tg.float64, requires_grad=True)
    assert tg.autograd.gradcheck(along, [here])
    assert tg.autograd.gradgradcheck(along, [here])


def _compare_second(random: Any, gradients: list, mine: list, theirs: list) -> None:
    """Gradients of the gradients: with respect to the inputs and to the incoming gradient."""
    pairs = [(a, b) for a, b in gradients if b is not None and b.requires_grad]
    if not pairs:
        return
    seeds = [random.standard_normal(tuple(b.shape)) for _, b in pairs]
    z = torch.autograd.grad(
        [b for _, b in pairs], theirs, [torch.tensor(s) for s in seeds], allow_unused=True
    )
    mine_too = [(a, s) for (a, _), s in zip(pairs, seeds, strict=True)
                if a is not None and a.requires_grad]  # fmt: skip
    if not mine_too:  # a gradient that does not depend on anything: theirs must be 0
        assert not any(numbers(t).any() for t in z if t is not None)
        return
    y = tg.autograd.grad(
        [a for a, _ in mine_too], mine, [tg.tensor(s) for _, s in mine_too], allow_unused=True
    )
    assert_same_gradients(list(y), list(z))


@pytest.mark.parametrize(
    "op", [op for op in db.PRESENT if op.method_variant and "." not in op.name], ids=label
)
def test_is_a_method(op: Any) -> None:
    assert db.method(op.name) is not None


@pytest.mark.parametrize(
    "op", [op for op in db.PRESENT if op.inplace_variant and "." not in op.name], ids=label
)
def test_in_place(op: Any) -> None:
    name = op.name.removesuffix("_") + "_"
    function = db.method(name)
    assert function is not None, f"Tensor has no {name}"
    dtype = torch.float64 if torch.float64 in op.dtypes else torch.int64
    for sample in db.samples(op, dtype):
        if is_skipped(op, sample) or not isinstance(sample.input, torch.Tensor):
            continue
        sample.input = sample.input.clone()
        translate = Translator()
        try:
            args, kwargs = translate(sample.args), translate(sample.kwargs)
            target = tg.from_numpy(sample.input.numpy().copy())
        except (Untranslatable, TypeError):
            continue
        before = sample.input.clone()
        try:
            theirs = op.inplace_variant(sample.input, *sample.args, **sample.kwargs)
        except (RuntimeError, TypeError, IndexError):
            with pytest.raises((RuntimeError, TypeError, IndexError)):
                function(target, *args, **kwargs)
            np.testing.assert_array_equal(numbers(target), numbers(before))
            continue
        assert function(target, *args, **kwargs) is target
        assert_same(op, target, theirs)


@pytest.mark.parametrize("op", [op for op in db.PRESENT if op.error_inputs_func], ids=label)
def test_bad_input(op: Any) -> None:
    function = db.find(op)
    for error in op.error_inputs("cpu"):
        sample = error.sample_input
        if is_skipped(op, sample):
            continue
        translate = Translator()
        try:
            arguments = (translate(sample.input), *translate(sample.args))
            options = translate(sample.kwargs)
        except Untranslatable:
            continue
        with pytest.raises(acceptable(error.error_type)) as raised:
            function(*arguments, **options)
        missing_argument = "argument" in str(raised.value) and isinstance(raised.value, TypeError)
        assert re.match(r"\[[\w.]+\]", str(raised.value)) or missing_argument, (
            f"the message does not name the operation: {raised.value}"
        )


def test_coverage(capsys: pytest.CaptureFixture) -> None:
    """How many entries there are, and which are missing."""
    missing = ", ".join(label(op) for op in db.MISSING)
    with capsys.disabled():
        print(f"\nop_db: {len(db.PRESENT)} of {len(db.ENTRIES)} entries; missing: {missing}")
    assert len(db.PRESENT) >= PRESENT_AT_LEAST
