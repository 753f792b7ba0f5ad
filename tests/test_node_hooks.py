"""Hooks on nodes of the tape, with both walks (in C and in Python), as PyTorch has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.core import accelerator, engine

X, W = np.array([1.0, -2.0, 3.0]), np.array([4.0, 0.5, -1.0])


@pytest.fixture(params=["python", "c"], autouse=True)
def walk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each walk over the tape in turn."""
    if request.param == "python":
        monkeypatch.setattr(engine, "compiled", None)
    elif accelerator.compiled is None:
        pytest.skip("needs tapegrad._tape, which a C++ compiler builds")


def leaves(lib: Any = tg) -> tuple[Any, Any]:
    return tuple(lib.tensor(a, requires_grad=True) for a in (X, W))  # type: ignore[return-value]


def seen(value: Any) -> Any:
    """What hooks are shown, as numbers."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (tuple, list)):
        return tuple(map(seen, value))
    return tuple(map(float, value.detach().reshape(-1).tolist())), tuple(value.shape)


def both(program: Callable[[Any, list], Any]) -> None:
    """Run a program with both libraries; what it notes and returns is the same."""
    torch = pytest.importorskip("torch", exc_type=ImportError)
    logs: list[list] = []
    for lib in (tg, torch):
        log: list = []
        returned = program(lib, log)
        logs.append([seen(entry) for entry in (*log, returned)])
    assert logs[0] == logs[1]


def test_they_see_the_gradients_of_inputs_and_results() -> None:
    x, w = leaves()
    y = x * w
    calls: list = []
    y.grad_fn.register_hook(lambda inner, outer: calls.append((inner, outer)))
    (y * 3).sum().backward()
    ((gx, gw), (gy,)) = calls[0]
    assert gx.tolist() == (3 * W).tolist()
    assert gw.tolist() == (3 * X).tolist()
    assert gy.tolist() == [3, 3, 3]
    assert not gx.requires_grad
    assert x.grad.tolist() == gx.tolist()


def replaced(lib: Any, log: list) -> Any:
    x, w = leaves(lib)
    y = x * w
    y.grad_fn.register_prehook(lambda outer: (outer[0] * 2,))
    y.grad_fn.register_prehook(lambda outer: log.append(outer))
    y.grad_fn.register_hook(lambda inner, outer: (inner[0] * 10, inner[1]))
    y.grad_fn.register_hook(lambda inner, outer: log.append((inner, outer)))
    y.grad_fn.register_hook(lambda inner, outer: (inner[0] + 1, None))
    y.sum().backward()
    return x.grad, w.grad


def order(lib: Any, log: list) -> Any:
    x, w = leaves(lib)
    y = x * w
    y.grad_fn.register_hook(lambda inner, outer: log.append("after"))
    y.grad_fn.register_prehook(lambda outer: log.append("before") or (outer[0] * 10,))
    y.register_hook(lambda g: log.append("tensor") or g * 2)
    y.retain_grad()
    y.grad_fn.register_hook(lambda inner, outer: log.append(outer))
    found = lib.autograd.grad(y.sum(), x, retain_graph=True)
    found += lib.autograd.grad(y.sum(), y, retain_graph=True)  # the node itself does not run
    y.sum().backward()
    return *found, y.grad, x.grad


def dropped(lib: Any, log: list) -> Any:
    x, w = leaves(lib)
    y = x * w
    y.grad_fn.register_prehook(lambda outer: (None,))
    y.grad_fn.register_prehook(lambda outer: log.append(outer))
    (y + x).sum().backward()
    return x.grad, w.grad


def several(lib: Any, log: list) -> Any:
    class Three(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.set_materialize_grads(False)
            return x + 1, x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return sum(i * g for i, g in enumerate(grads, 1) if g is not None)

    x, _ = leaves(lib)
    a, b, c = Three.apply(x)
    b.grad_fn.register_prehook(lambda outer: log.append(outer) or (outer[0] * 2, None, outer[2]))
    c.grad_fn.register_hook(lambda inner, outer: log.append((inner, outer)))
    a.register_hook(lambda g: g * 5)
    (a * 2 + c).sum().backward()
    return x.grad


def parts(lib: Any, log: list) -> Any:
    x, _ = leaves(lib)
    y, z = x[1:], x[:2]
    y.grad_fn.register_hook(lambda inner, outer: log.append((inner, outer)) or (inner[0] * 2,))
    (y * z).sum().backward()
    return x.grad


def broadcast(lib: Any, log: list) -> Any:
    x, _ = leaves(lib)
    other = lib.tensor(np.ones((2, 3)), requires_grad=True)
    y = x * other
    y.grad_fn.register_hook(lambda inner, outer: log.append((inner, outer)))
    z = y + lib.tensor(2.0)
    z.grad_fn.register_hook(lambda inner, outer: log.append((inner, outer)))
    z.sum().backward()
    return x.grad, other.grad


def one_input_twice(lib: Any, log: list) -> Any:
    x, _ = leaves(lib)
    y = x * x
    y.grad_fn.register_hook(lambda inner, outer: log.append(inner) or (inner[0] * 3, inner[1]))
    y.sum().backward()
    return x.grad


def chosen(lib: Any, log: list) -> Any:
    x, w = leaves(lib)
    y = x * w
    y.grad_fn.register_hook(lambda inner, outer: log.append(inner))
    return lib.autograd.grad(y.sum(), x)


def recorded(lib: Any, log: list) -> Any:
    x, w = leaves(lib)
    y = x * w
    y.grad_fn.register_hook(
        lambda inner, outer: log.append(lib.is_grad_enabled()) or (inner[0] * x, inner[1])
    )
    y.grad_fn.register_prehook(lambda outer: (outer[0] * w,))
    (g,) = lib.autograd.grad(y.sum(), x, create_graph=True)
    return g, *lib.autograd.grad(g.sum(), (x, w))


def recorded_through_plain(lib: Any, log: list) -> Any:
    x, _ = leaves(lib)
    y = lib.nn.functional.layer_norm(x, (3,))
    y.grad_fn.register_hook(lambda inner, outer: (inner[0] * 2, *inner[1:]))
    (g,) = lib.autograd.grad((y * y * y).sum(), x, create_graph=True)
    return [t.round(decimals=9) for t in (g, *lib.autograd.grad((g * x).sum(), x))]


def leaf(lib: Any, log: list) -> Any:
    x, w = leaves(lib)
    y = x * w
    end = y.grad_fn.next_functions[0][0]
    assert end.variable is x
    end.register_hook(lambda inner, outer: log.append(("after", inner, outer, x.grad)))
    end.register_prehook(lambda outer: log.append(("before", x.grad)) or (outer[0] * 2,))
    x.register_post_accumulate_grad_hook(lambda t: log.append(("tensor's", t.grad)))
    x.register_hook(lambda g: log.append("gradient"))
    found = lib.autograd.grad(y.sum(), x, retain_graph=True)
    y.sum().backward(retain_graph=True)
    y.sum().backward(inputs=[x])
    return *found, x.grad, w.grad


def leaf_dropped(lib: Any, log: list) -> Any:
    x, w = leaves(lib)
    y = x * w
    y.grad_fn.next_functions[0][0].register_prehook(lambda outer: (None,))
    y.sum().backward()
    return x.grad, w.grad


def removed(lib: Any, log: list) -> Any:
    x, w = leaves(lib)
    y = x * w
    handle = y.grad_fn.register_hook(lambda inner, outer: log.append("removed"))
    y.grad_fn.register_hook(lambda inner, outer: log.append("kept"))
    before = y.grad_fn.register_prehook(lambda outer: log.append("once") or before.remove())
    handle.remove()
    handle.remove()
    with y.grad_fn.register_hook(lambda inner, outer: log.append("with")):
        y.sum().backward(retain_graph=True)
    y.sum().backward()
    return x.grad


def of_a_function(lib: Any, log: list) -> Any:
    class Scaled(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            return a * 2, b + 1

        @staticmethod
        def backward(ctx: Any, ga: Any, gb: Any) -> Any:
            return ga * 2, gb

    x, w = leaves(lib)
    a, b = Scaled.apply(x, w)
    a.grad_fn.register_hook(lambda inner, outer: log.append((inner, outer)) or (inner[0], None))
    b.grad_fn.register_prehook(lambda outer: log.append(outer))
    (a + b * 2).sum().backward()
    return x.grad, w.grad


@pytest.mark.parametrize(
    "program",
    [
        *(replaced, order, dropped, several, parts, broadcast, one_input_twice, chosen, recorded),
        *(recorded_through_plain, leaf, leaf_dropped, removed, of_a_function),
    ],
)
def test_as_in_pytorch(program: Callable[[Any, list], Any]) -> None:
    both(program)


# What a hook that is given a (3,) gradient returns, and what is wrong with it.
WRONG: dict[str, tuple[Callable[[Any, Any], Any], type[Exception], str]] = {
    "list": (lambda lib, g: [g], TypeError, "returned list: expected None, or a tuple"),
    "alone": (lambda lib, g: g, TypeError, "returned Tensor: expected None, or a tuple"),
    "number": (lambda lib, g: 3, TypeError, "returned int"),
    "none": (lambda lib, g: (), RuntimeError, "returned 0 gradients, .* it was given, 1"),
    "more": (lambda lib, g: (g, g), RuntimeError, "returned 2 gradients"),
    "text": (lambda lib, g: ("a",), TypeError, "returned str as gradient 0"),
    "shape": (lambda lib, g: (g[:2],), RuntimeError, r"float64 \(3,\) on cpu .* float64 \(2,\)"),
    "dtype": (lambda lib, g: (g.float(),), RuntimeError, r"float64 \(3,\) .* float32 \(3,\)"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("kind", ["before", "after", "leaf"])
def test_wrong_returns_change_nothing(kind: str, name: str) -> None:
    def run(lib: Any) -> Any:
        x, _ = leaves(lib)
        y = x.exp()
        node = y.grad_fn.next_functions[0][0] if kind == "leaf" else y.grad_fn
        if kind == "after":
            node.register_hook(lambda inner, outer: wrong(lib, inner[0]))
        else:
            node.register_prehook(lambda outer: wrong(lib, outer[0]))
        try:
            y.sum().backward()
        finally:
            assert x.grad is None

    wrong, kind_of_error, message = WRONG[name]
    with pytest.raises(kind_of_error, match=message):
        run(tg)
    torch = pytest.importorskip("torch", exc_type=ImportError)
    with pytest.raises(kind_of_error):
        run(torch)


def test_nothing_stands_where_there_is_no_gradient() -> None:
    x, _ = leaves()
    y = x * tg.ones(3, dtype=tg.float64)
    y.grad_fn.register_hook(lambda inner, outer: (inner[0], outer[0]))
    with pytest.raises(RuntimeError, match=r"\[MultiplyBackward\].*gradient 1, where there is no"):
        y.sum().backward()
    with pytest.raises(TypeError, match="callable, got int"):
        y.grad_fn.register_prehook(3)
    with pytest.raises(TypeError, match="callable, got NoneType"):
        y.grad_fn.register_hook(None)


@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_a_hook_that_looks_changes_no_bit(device: str) -> None:
    """16-bit gradients are added up in float32, whoever watches."""

    def gradient(watched: bool) -> Any:
        x = tg.linspace(0.1, 3, 64, device=device).to(tg.float16).requires_grad_()
        y = [x.tanh(), x * 3, x.exp(), x.mean()]
        for t in y if watched else ():
            t.grad_fn.register_hook(lambda inner, outer: dtypes.append(inner[0].dtype))
        tg.stack([t.sum() for t in y]).sum().backward()
        return x.grad

    dtypes: list = []
    assert gradient(True).tolist() == gradient(False).tolist()
    assert dtypes == [tg.float16] * 4


def test_after_an_error_in_a_hook_the_tape_is_whole() -> None:
    x, w = leaves()
    y = x * w
    handle = y.grad_fn.register_hook(lambda inner, outer: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        y.sum().backward()
    assert x.grad is None
    handle.remove()
    y.sum().backward()
    assert x.grad.tolist() == W.tolist()


def test_metadata_is_the_node_s_own() -> None:
    x, w = leaves()
    y = x * w
    assert y.grad_fn.metadata == {}
    y.grad_fn.metadata["seen"] = 1
    assert y.grad_fn.metadata == {"seen": 1}
    assert (x * w).grad_fn.metadata == {}
    q, r = tg.linalg.qr(y.reshape(3, 1))  # one node with two results
    q.grad_fn.metadata["results"] = 2
    assert r.grad_fn.metadata == {"results": 2}


def test_hooks_follow_a_leaf_that_is_converted() -> None:
    x, _ = leaves()
    calls: list = []
    (x * 2).grad_fn.next_functions[0][0].register_hook(lambda inner, outer: calls.append(outer[0]))
    x.data = x.data.float()
    (x * 2).sum().backward()
    assert calls[0].dtype == tg.float32
