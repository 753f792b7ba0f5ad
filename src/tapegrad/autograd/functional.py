"""Derivatives of functions, under the names of ``torch.autograd.functional``.

``func`` takes the tensors of ``inputs`` (one, or a tuple) and returns one tensor or a tuple. The
results follow that: for one input and one output a tensor, else tuples. ``create_graph``: results
can be differentiated with respect to the inputs. ``strict``: an input that the result does not
depend on is an error, not zeros.

All raise TypeError for inputs or results that are anything but Tensors, and RuntimeError for inputs
of integers or bools, for a ``v`` of other shapes, and for what ``strict`` forbids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.hints import unknown_names as _unknown_names
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import ones_like, zeros_like

from .transforms import grad, jacfwd, jacrev, pullback

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = Any  # a Tensor, or a tuple of them


def _enter(op: str, inputs: Tensors, create_graph: bool) -> tuple[Tensor, ...]:
    """The inputs as points to differentiate at."""
    entered = []
    for x in inputs if isinstance(inputs, (tuple, list)) else (inputs,):
        if not isinstance(x, Tensor):
            raise TypeError(f"[{op}] inputs must be Tensors, got {type(x).__name__}")
        connected = create_graph and x.requires_grad
        entered.append(x.view_as(x) if connected else x.detach().requires_grad_())
    return tuple(entered)


def _call(op: str, func: Callable, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    returned = func(*inputs)
    outputs = returned if isinstance(returned, tuple) else (returned,)
    for y in outputs:
        if not isinstance(y, Tensor):
            raise TypeError(f"[{op}] func must return Tensors, got {type(y).__name__}")
    return outputs


def _vector(op: str, v: Any, like: tuple[Tensor, ...], of: str) -> tuple[Tensor, ...]:
    if v is None:
        if len(like) == 1 and like[0].numel() == 1:
            return (ones_like(like[0]),)
        raise RuntimeError(f"[{op}] v may be left out for a single {of} of one element only")
    given = v if isinstance(v, tuple) else (v,)
    shapes, wanted = ([tuple(t.shape) for t in ts] for ts in (given, like))
    if shapes != wanted:
        raise RuntimeError(f"[{op}] v must have the shapes of the {of}s {wanted}, got {shapes}")
    return given


def _leave(results: Sequence[Tensor], create_graph: bool, single: bool) -> Tensors:
    left = tuple(results if create_graph else (t.detach() for t in results))
    return left[0] if single else left


@retelling
def vjp(
    func: Callable,
    inputs: Tensors,
    v: Tensors = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensors, Tensors]:
    """func(inputs), and v times its Jacobian: gradients shaped like the inputs.

    v is shaped like the outputs; it may be left out for one output of one element. Raises as all
    functions of this module do.
    """
    entered = _enter("vjp", inputs, create_graph)
    outputs = _call("vjp", func, entered)
    weights = _vector("vjp", v, outputs, "output")
    products = pullback(outputs, entered, weights, "vjp" if strict else None)
    return (
        _leave(outputs, create_graph, len(outputs) == 1),
        _leave(products, create_graph, not isinstance(inputs, (tuple, list))),
    )


@retelling
def jvp(
    func: Callable,
    inputs: Tensors,
    v: Tensors = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensors, Tensors]:
    """func(inputs), and its Jacobian times v: directional derivatives shaped like the outputs.

    v is shaped like the inputs. Computed as the gradient of u J with respect to u, for a u shaped
    like the outputs (the double-backward trick). Raises as all functions of this module do.
    """
    entered = _enter("jvp", inputs, create_graph)
    tangents = _vector("jvp", v, entered, "input")
    outputs = _call("jvp", func, entered)
    directions = tuple(zeros_like(y).requires_grad_() for y in outputs)
    products = pullback(outputs, entered, directions, "jvp" if strict else None)
    pushed = pullback(products, directions, tangents)
    return (
        _leave(outputs, create_graph, len(outputs) == 1),
        _leave(pushed, create_graph, len(outputs) == 1),
    )


@retelling
def jacobian(
    func: Callable,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Tensors:
    """The Jacobian: of shape (*output.shape, *input.shape), in a tuple over outputs, over inputs.

    strategy: "reverse-mode" (a pass for each element of the outputs) or "forward-mode" (of the
    inputs). ``vectorize`` is accepted and changes nothing. Raises RuntimeError for any other
    strategy, and as all functions of this module do.
    """
    transforms: dict[str, Callable] = {"reverse-mode": jacrev, "forward-mode": jacfwd}
    if strategy not in transforms:
        raise RuntimeError(
            f"[jacobian] strategy must be 'reverse-mode' or 'forward-mode', got {strategy!r}"
        )
    single = not isinstance(inputs, (tuple, list))
    points = (inputs,) if single else tuple(inputs)
    if not create_graph:
        points = tuple(x.detach() for x in points)
    if strict:
        vjp(
            func, points, tuple(zeros_like(y) for y in _call("jacobian", func, points)), False, True
        )
    return transforms[strategy](func, 0 if single else tuple(range(len(points))))(*points)


@retelling
def hessian(
    func: Callable,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Tensors:
    """The second derivatives of a function whose result is one element: of shape (*input.shape,
    *input.shape), in tuples over the inputs twice. Raises as ``jacobian`` does."""
    single = not isinstance(inputs, (tuple, list))
    gradient = grad(func, 0 if single else tuple(range(len(inputs))))
    return jacobian(gradient, inputs, create_graph, strict, strategy=outer_jacobian_strategy)


@retelling
def vhp(
    func: Callable,
    inputs: Tensors,
    v: Tensors = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensors, Tensors]:
    """func(inputs), of one element, and v times its Hessian: shaped like v and the inputs. Raises
    RuntimeError where the result is anything else, and as all functions of this module do."""
    entered = _enter("vhp", inputs, create_graph)
    given = _vector("vhp", v, entered, "input")
    (value,) = _scalar("vhp", func, entered)
    by = "vhp" if strict else None
    gradients = pullback([value], entered, [ones_like(value)], by)
    products = pullback(gradients, entered, given, by)
    single = not isinstance(inputs, (tuple, list))
    return _leave((value,), create_graph, True), _leave(products, create_graph, single)


@retelling
def hvp(
    func: Callable,
    inputs: Tensors,
    v: Tensors = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensors, Tensors]:
    """func(inputs), of one element, and its Hessian times v: the same as ``vhp``, for a Hessian is
    symmetric (where the second derivatives are continuous). Raises as ``vhp`` does."""
    return vhp(func, inputs, v, create_graph, strict)


def _scalar(op: str, func: Callable, inputs: tuple) -> tuple[Tensor]:
    outputs = _call(op, func, inputs)
    if len(outputs) != 1 or outputs[0].numel() != 1:
        raise RuntimeError(f"[{op}] func must return one tensor of one element")
    return outputs  # type: ignore[return-value]


if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
