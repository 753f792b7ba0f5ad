"""utils.checkpoint with a policy: what is kept is not computed again, with the same gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad.core import caller
from tapegrad.utils.checkpoint import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    checkpoint,
    create_selective_checkpoint_contexts,
    noop_context_fn,
)
from tapegrad.utils.selective import _looking

DEVICES = ["cpu", "emulated", pytest.param("cuda", marks=pytest.mark.gpu)]
POLICIES = list(CheckpointPolicy)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def computed() -> Iterator[Counter]:
    """How often each operation is computed."""
    calls: Counter = Counter()

    def counter(name: str, device: Any, implementation: Any) -> Any:
        def run(*arrays: Any, **parameters: Any) -> Any:
            calls[name] += 1
            return implementation(*arrays, **parameters)

        return run

    caller.interpose(counter)
    yield calls
    caller.interpose(counter, False)


def function(x: Any, y: Any) -> Any:
    return (x.matmul(y).matmul(y)).sigmoid() * y


def pair(lib: Any = tg, device: Any = "cpu") -> tuple[Any, Any]:
    values = np.random.default_rng(0).standard_normal((2, 4, 4))
    x, y = (lib.tensor(v, device=device, requires_grad=True) for v in values)
    return x, y


def selective(policy: Any, f: Any = function, *args: Any, lib: Any = tg) -> Any:
    contexts = partial(lib.utils.checkpoint.create_selective_checkpoint_contexts, policy)
    return lib.utils.checkpoint.checkpoint(f, *args, use_reentrant=False, context_fn=contexts)


@pytest.mark.parametrize("answer", [True, False, *POLICIES])
def test_gradients_are_those_without_a_checkpoint(answer: Any, device: str) -> None:
    expected = pair(device=device)
    function(*expected).sum().backward()
    x, y = pair(device=device)
    selective(lambda ctx, op, *args, **kwargs: answer, function, x, y).sum().backward()
    for ours, theirs in zip((x, y), expected, strict=True):
        assert ours.grad.device.type == device
        assert ours.grad.tolist() == theirs.grad.tolist()


@pytest.mark.parametrize(
    ("policy", "products", "sigmoids"),
    [
        ([], 4, 2),
        ([tg.matmul], 2, 2),
        ([tg.mm], 2, 2),
        ([tg.sigmoid, tg.matmul], 2, 1),
        ([tg.sigmoid, tg.cat], 4, 1),
        (lambda ctx, op, *args, **kwargs: op is tg.matmul, 2, 2),
        (lambda ctx, op, *args, **kwargs: op.__name__ == "sigmoid", 4, 1),
        (lambda ctx, op, *args, **kwargs: CheckpointPolicy.MUST_RECOMPUTE, 4, 2),
    ],
)
def test_what_is_kept_is_not_computed_again(
    policy: Any, products: int, sigmoids: int, computed: Counter
) -> None:
    x, y = pair()
    out = selective(policy, function, x, y)
    computed_first = Counter(computed)
    assert (computed_first["matmul"], computed_first["sigmoid"]) == (2, 1)
    out.sum().backward()
    assert (computed["matmul"], computed["sigmoid"]) == (products, sigmoids)
    assert _looking not in caller._between


@pytest.mark.parametrize(("kept", "times"), [([], 2), ([tg.addmm], 1), ([tg.baddbmm], 1)])
def test_sums_with_products_are_kept_whatever_they_run_as(
    kept: list, times: int, device: str, computed: Counter
) -> None:
    """A product and a sum, or one operation, where kernels add."""
    x, y = pair(device=device)
    out = selective(kept, lambda x, y: tg.addmm(x, x, y).sin(), x, y)
    out.sum().backward()
    assert computed["matmul" if device == "cpu" else "addmm"] == times


def test_what_a_policy_is_told() -> None:
    seen: list = []

    def policy(ctx: SelectiveCheckpointContext, op: Any, *args: Any, **kwargs: Any) -> bool:
        seen.append((op, ctx.is_recompute, ctx.op_output.shape, args, kwargs))
        assert not ctx.op_output.requires_grad
        assert (args[0] * 2).sum().item() is not None  # it may compute
        return True

    x, y = pair()

    def program(x: Any, y: Any) -> Any:
        return F.softmax(F.linear(x.T, y), dim=1)

    selective(policy, program, x, y).sum().backward()
    assert [entry[:3] for entry in seen] == [
        (F.linear, False, (4, 4)),
        (tg.softmax, False, (4, 4)),
    ]  # not of x.T, a view
    assert [t.shape for t in seen[0][3][:2]] == [(4, 4), (4, 4)]


def test_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    aten = torch.ops.aten
    found = []
    for lib, ops in (
        (tg, [tg.matmul, tg.sigmoid]),
        (torch, [aten.mm.default, aten.sigmoid.default]),
    ):
        x, y = pair(lib)
        selective(ops, function, x, y, lib=lib).sum().backward()
        found.append((x.grad.tolist(), y.grad.tolist()))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


def test_results_changed_in_place_are_kept_as_they_were() -> None:
    def program(x: Any, y: Any) -> Any:
        z = x.matmul(y)
        z.relu_()
        first = z[0]
        first.mul_(2)
        return z.exp()

    expected = pair()
    program(*expected).sum().backward()
    x, y = pair()
    selective(lambda ctx, op, *a, **k: True, program, x, y).sum().backward()
    assert x.grad.tolist() == expected[0].grad.tolist()


def network(x: Any) -> Any:
    tg.manual_seed(3)
    net = tg.nn.Sequential(
        tg.nn.Conv2d(2, 4, 3),
        tg.nn.ReLU(),
        tg.nn.Flatten(),
        tg.nn.Linear(64, 8),
        tg.nn.Dropout(),
        tg.nn.LayerNorm(8),
        tg.nn.Unflatten(1, (2, 4)),
        tg.nn.LSTM(4, 4, batch_first=True),
    ).to(x.device)
    return net


@pytest.mark.parametrize("ops", [[F.conv2d, F.linear], [F.dropout, F.layer_norm], None])
def test_networks(ops: Any, device: str) -> None:
    """With random numbers, operations with several results, and further results beside one."""
    grads = []
    for keeps in (False, True):
        x = tg.arange(2 * 2 * 36.0, device=device).reshape(2, 2, 6, 6) / 100
        net = network(x)
        policy = (lambda ctx, op, *a, **k: True) if ops is None else ops
        tg.manual_seed(5)
        y, _ = selective(policy, net, x) if keeps else net(x)
        y.square().sum().backward()
        grads.append([p.grad.tolist() for p in net.parameters()])
    assert grads[0] == grads[1]


def test_a_second_backward_pass_is_refused() -> None:
    x, y = pair()
    out = selective([tg.matmul], function, x, y).sum()
    out.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="second backward pass over a selective checkpoint"):
        out.backward()


def test_other_operations_than_before_are_refused() -> None:
    runs: list = []

    def program(x: Any, y: Any) -> Any:
        runs.append(1)
        for _ in runs:
            x = x.matmul(y).tanh()
        return x

    x, y = pair()
    contexts = partial(create_selective_checkpoint_contexts, [tg.sigmoid])
    out = checkpoint(
        program,
        x,
        y,
        use_reentrant=False,
        context_fn=contexts,
        early_stop=False,
        determinism_check="none",
    )
    with pytest.raises(RuntimeError, match=r"calls 'matmul' 2 times now.* it 1 times before"):
        out.sum().backward()


@pytest.mark.parametrize(
    ("policy", "error", "message"),
    [
        (3, TypeError, "a policy function or a list of operations, got int"),
        ([3], ValueError, "and 3 is none"),
        ([len], ValueError, "len is none"),
        ([tg.var_mean], ValueError, "var_mean is none, or made of several"),
        (["matmul"], ValueError, "'matmul' is none"),
    ],
)
def test_wrong_policies(policy: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        create_selective_checkpoint_contexts(policy)
    x, y = pair()
    with pytest.raises(TypeError, match="policy must return a CheckpointPolicy or a bool, got str"):
        selective(lambda ctx, op, *a, **k: "save", function, x, y)
    assert _looking not in caller._between


def test_nested_and_without_gradients(computed: Counter) -> None:
    x, y = pair()

    def outer(x: Any, y: Any) -> Any:
        return checkpoint(function, x, y, use_reentrant=False, context_fn=noop_context_fn).exp()

    expected = pair()
    outer(*expected).sum().backward()
    selective([tg.matmul], outer, x, y).sum().backward()
    assert x.grad.tolist() == expected[0].grad.tolist()
    asked: list = []
    with tg.no_grad():
        selective(lambda ctx, op, *a, **k: asked.append(op) or True, function, x, y)
    assert asked == []  # as in PyTorch
