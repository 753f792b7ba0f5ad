"""Transforms of functions, under the names of ``torch.func``.

They nest: within a transform the tape records, and how a result depends on tensors from outside
stays recorded. Arguments and results may be nested tuples, lists and dicts of tensors. Forward mode
is the transpose of the transpose: the gradient of a vector-Jacobian product with respect to its
vector is a Jacobian-vector product, so every rule for backward is one for forward too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

from tapegrad.core.caller import tensor_xp
from tapegrad.core.modes import enable_grad
from tapegrad.core.tensor import Leaf, Tensor
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import ones_like, zeros, zeros_like
from tapegrad.ops.movement.cat import stack

from .backward import grad as _gradients
from .replaced import replaced
from .tree import flatten, map_leaves

__all__ = [
    "functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp",
    "stack_module_state", "value_and_grad", "vjp",
]  # fmt: skip


# ---------------------------------------------------------------------- entering and leaving


def _enter(op: str, tree: Any) -> tuple[list[Tensor], Callable[[list], Any]]:
    """Floating-point tensors of the tree as new points to differentiate at, still connected to
    what they came from; and the function that builds such a tree."""
    leaves, build = flatten(tree)
    entered = []
    for x in leaves:
        if not isinstance(x, Tensor):
            raise TypeError(f"[{op}] expects tensors to differentiate by, got {type(x).__name__}")
        if not x.is_floating_point():
            raise RuntimeError(
                f"[{op}] differentiates by floating-point tensors, got {x.dtype.name}"
            )
        entered.append(tensor_xp.alias(x) if x.requires_grad else x.detach().requires_grad_())
    return entered, build


def _leave(tree: Any, *inner: list[Tensor]) -> Any:
    """The results off the tape, unless they depend on a tensor from outside that requires grad."""
    own = {x._node for group in inner for x in group}
    known: dict[Any, bool] = {None: False}

    def leave(x: Any) -> Any:
        return x.detach() if isinstance(x, Tensor) and not _needs(x._node, own, known) else x

    return map_leaves(leave, tree)


def _needs(last: Any, own: set, known: dict[Any, bool]) -> bool:
    """Whether the tape leads from a node to a leaf that is not in ``own``. Each node is visited
    once for all results: ``known`` keeps the answers."""
    waiting = [last]
    while waiting:
        node = waiting[-1]
        edges = () if type(node) is Leaf or node in known else node.edges
        unknown = [edge for edge in edges if edge not in known]
        if unknown:
            waiting.extend(unknown)
            continue
        waiting.pop()
        if node not in known:
            leaf = type(node) is Leaf
            known[node] = node not in own if leaf else any(known[edge] for edge in edges)
    return known[last]


def _call(
    op: str,
    func: Callable,
    args: tuple,
    kwargs: dict,
    argnums: int | tuple[int, ...],
    has_aux: bool,
) -> tuple[list[Tensor], Callable[[list], Any], Any, Any]:
    """The result of ``func`` at new points for the arguments ``argnums``: these points, the
    function that builds a tree like those arguments, the result, and what else was returned."""
    positions = argnums if isinstance(argnums, tuple) else (argnums,)
    for i in positions:
        if not -len(args) <= i < len(args):
            raise RuntimeError(f"[{op}] argnums {i} is out of range for {len(args)} arguments")
    inputs, build = _enter(op, tuple(args[i] for i in positions))
    arguments = list(args)
    for i, value in zip(positions, build(inputs), strict=True):
        arguments[i] = value
    returned = func(*arguments, **kwargs)
    output, aux = returned if has_aux else (returned, None)
    like_inputs = build if isinstance(argnums, tuple) else lambda leaves: build(leaves)[0]
    return inputs, like_inputs, output, aux


def pullback(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Sequence,
    strict: str | None = None,
) -> list[Tensor]:
    """The vector-Jacobian products, recorded. Zeros where nothing depends; or RuntimeError, in the
    name of the operation ``strict``."""
    pairs = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if y.requires_grad]
    if strict and len(pairs) < len(outputs):
        raise RuntimeError(f"[{strict}] strict=True, and an output does not depend on the inputs")
    if not pairs:
        return [zeros_like(x) for x in inputs]
    found = _gradients(
        [y for y, _ in pairs],
        inputs,
        [g for _, g in pairs],
        retain_graph=True,
        create_graph=True,
        allow_unused=True,
    )
    if strict and any(g is None for g in found):
        raise RuntimeError(f"[{strict}] strict=True, and an input does not change the outputs")
    return [zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True)]


# ---------------------------------------------------------------------- gradients


def grad_and_value(
    func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable:
    """A function that returns the gradient of ``func`` with respect to argument ``argnums`` (or a
    tuple of gradients for a tuple of them), and its value.

    ``func`` returns a tensor of one element; with ``has_aux`` that and something else, and the
    value is then the pair. The function raises TypeError where that argument holds anything but
    tensors, and RuntimeError where it holds integers or bools, where there is no such argument, or
    where ``func`` returns anything but one element.
    """

    @wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> tuple:
        with enable_grad():
            inputs, build, value, aux = _call("grad", func, args, kwargs, argnums, has_aux)
            if not isinstance(value, Tensor) or value.numel() != 1:
                shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise RuntimeError(
                    f"[grad] the function must return a tensor of one element, got {shape}"
                )
            gradients = build(pullback([value], inputs, [ones_like(value)]))
        value = (value, aux) if has_aux else value
        return _leave(gradients, inputs), _leave(value, inputs)

    return transformed


def grad(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of ``func`` (see ``grad_and_value``, also for what it
    raises); with ``has_aux`` that and what else ``func`` returned."""
    both = grad_and_value(func, argnums, has_aux)

    @wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return transformed


def value_and_grad(
    func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable:
    """``grad_and_value`` in the other order: (value, gradient)."""
    both = grad_and_value(func, argnums, has_aux)

    @wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> tuple:
        gradient, value = both(*args, **kwargs)
        return value, gradient

    return transformed


# ---------------------------------------------------------------------- products with the Jacobian


def _tensors(op: str, tree: Any) -> list[Tensor]:
    leaves, _ = flatten(tree)
    for y in leaves:
        if not isinstance(y, Tensor):
            raise TypeError(f"[{op}] the function must return tensors, got {type(y).__name__}")
    return leaves


def _match(op: str, what: str, given: Any, expected: list[Tensor]) -> list[Tensor]:
    leaves, _ = flatten(given)
    shapes = [tuple(getattr(v, "shape", ("?",))) for v in leaves]
    if shapes != [tuple(x.shape) for x in expected]:
        raise RuntimeError(
            f"[{op}] {what} must have the shapes {[tuple(x.shape) for x in expected]}, got {shapes}"
        )
    return leaves


@retelling
def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """``func(*primals)``, and a function from cotangents (shaped as the result) to vector-Jacobian
    products: a tuple, one for each primal. With ``has_aux`` also what else ``func`` returned.

    Raises TypeError for primals or results that are anything but (trees of) tensors, RuntimeError
    for primals of integers or bools, and for cotangents of other shapes than the result.
    """
    everywhere = tuple(range(len(primals)))
    with enable_grad():
        inputs, build, output, aux = _call("vjp", func, primals, {}, everywhere, has_aux)
    outputs = _tensors("vjp", output)

    def products(*cotangents: Any) -> Any:
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        with enable_grad():
            found = pullback(outputs, inputs, _match("vjp", "cotangents", given, outputs))
        return _leave(build(found), inputs)

    left = _leave(output, inputs)
    return (left, products, _leave(aux, inputs)) if has_aux else (left, products)


def _linearize(
    outputs: list[Tensor], inputs: list[Tensor]
) -> tuple[list[Tensor], Callable[[list], list[Tensor]]]:
    """Weights of the outputs, and the function from tangents of the inputs to tangents of the
    outputs: a vector-Jacobian product is linear in the weights, and is differentiated by them."""
    weights = [zeros_like(y).requires_grad_() for y in outputs]
    products = pullback(outputs, inputs, weights)
    return weights, lambda tangents: pullback(products, weights, tangents)


@retelling
def jvp(func: Callable, primals: tuple, tangents: tuple, *, has_aux: bool = False) -> tuple:
    """``func(*primals)`` and its directional derivative along ``tangents``, which are tuples of the
    same shapes; with ``has_aux`` also what else ``func`` returned. Raises as ``vjp`` does."""
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple):
        raise RuntimeError("[jvp] primals and tangents are tuples, one entry for each argument")
    with enable_grad():
        everywhere = tuple(range(len(primals)))
        inputs, _, output, aux = _call("jvp", func, primals, {}, everywhere, has_aux)
        weights, push = _linearize(_tensors("jvp", output), inputs)
        _, like_output = flatten(output)
        pushed = like_output(push(_match("jvp", "tangents", tangents, inputs)))
    result = tuple(_leave(tree, inputs, weights) for tree in (output, pushed, aux))
    return result if has_aux else result[:2]


# ---------------------------------------------------------------------- whole Jacobians


def _unit_tensors(x: Tensor) -> Iterator[Tensor]:
    """For each element of ``x``, a tensor that is 1 there and 0 elsewhere."""
    for i in range(x.numel()):
        unit = zeros(x.numel(), dtype=x.dtype, device=x.device)
        unit._array[i] = 1
        yield unit.reshape(tuple(x.shape))


def _joined(pieces: list[Tensor], dim: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A Jacobian from its rows (dim 0) or columns (dim -1), of which an empty tensor has none."""
    if not pieces:
        return zeros(shape, dtype=like.dtype, device=like.device)
    return stack(pieces, dim).reshape(shape)


def jacrev(
    func: Callable,
    argnums: int | tuple[int, ...] = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable:
    """A function that returns the Jacobian of ``func`` with respect to argument ``argnums``, one
    backward pass for each element of the result: for each result (as nested) and each argument,
    a tensor of shape (*result.shape, *argument.shape).

    The function raises TypeError for arguments and results that are anything but tensors, and
    RuntimeError for integers or bools, and where there is no argument ``argnums``.
    """

    @wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        with enable_grad():
            inputs, like_inputs, output, aux = _call("jacrev", func, args, kwargs, argnums, has_aux)
            _, like_output = flatten(output)
            jacobians = []
            for y in _tensors("jacrev", output):
                rows = [pullback([y], inputs, [unit]) for unit in _unit_tensors(y)]
                blocks = (
                    _joined([row[k] for row in rows], 0, (*y.shape, *x.shape), x)
                    for k, x in enumerate(inputs)
                )
                jacobians.append(like_inputs(list(blocks)))
        result = _leave(like_output(jacobians), inputs)
        return (result, _leave(aux, inputs)) if has_aux else result

    return transformed


def jacfwd(
    func: Callable,
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
) -> Callable:
    """``jacrev`` in forward mode: one pass for each element of the arguments. Raises as it does."""

    @wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        with enable_grad():
            inputs, like_inputs, output, aux = _call("jacfwd", func, args, kwargs, argnums, has_aux)
            outputs = _tensors("jacfwd", output)
            _, like_output = flatten(output)
            weights, push = _linearize(outputs, inputs)
            by_input: list[list[Tensor]] = []  # for each input, the Jacobians of the outputs
            for k, x in enumerate(inputs):
                others = [zeros_like(v) for v in inputs]
                pushed = [push([*others[:k], unit, *others[k + 1 :]]) for unit in _unit_tensors(x)]
                by_input.append(
                    [
                        _joined([column[i] for column in pushed], -1, (*y.shape, *x.shape), y)
                        for i, y in enumerate(outputs)
                    ]
                )
            jacobians = [like_inputs([b[i] for b in by_input]) for i in range(len(outputs))]
        result = _leave(like_output(jacobians), inputs, weights)
        return (result, _leave(aux, inputs, weights)) if has_aux else result

    return transformed


def hessian(func: Callable, argnums: int | tuple[int, ...] = 0) -> Callable:
    """A function that returns the second derivatives of ``func``: the Jacobian, forward, of the
    Jacobian, backward."""
    return jacfwd(jacrev(func, argnums), argnums)


# ---------------------------------------------------------------------- modules as functions


@retelling
def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)`` with the tensors of a dict (or of several) instead of its
    parameters and buffers of those names, and of other attributes. The module is as before
    afterwards.

    tie_weights: a tensor that the module has under several names is replaced under all of them.
    strict: RuntimeError unless the names are those of all parameters and buffers. Raises ValueError
    for a name in two dicts and for two values of one tied tensor, AttributeError for a submodule
    that is not there, TypeError for values that are no tensors, and for names of anything else.
    """
    dicts = parameter_and_buffer_dicts
    given: dict[str, Tensor] = {}
    for named in dicts if isinstance(dicts, (tuple, list)) else (dicts,):
        if not isinstance(named, dict):
            raise ValueError(
                f"[functional_call] takes a dict of tensors, or several, got {type(named).__name__}"
            )
        if twice := sorted(given.keys() & named.keys()):
            raise ValueError(f"[functional_call] {twice} are in more than one dict")
        for name, value in named.items():
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"[functional_call] {name!r} must be a Tensor, got {type(value).__name__}"
                )
        given.update(named)
    arguments = args if isinstance(args, tuple) else () if args is None else (args,)
    with replaced(module, given, tie_weights, strict):
        return module(*arguments, **(kwargs or {}))


@retelling
def stack_module_state(models: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and the buffers of several modules of one class by name, each stacked along a
    new first dimension; leaves, which require grad where the modules' do.

    Raises RuntimeError if there are no modules, if they are not of one class and all in training or
    all in evaluation, or if a parameter requires grad in some of them only.
    """
    modules = list(models)
    if not modules:
        raise RuntimeError("[stack_module_state] needs at least one module")
    if len({module.training for module in modules}) > 1:
        raise RuntimeError("[stack_module_state] some modules are in training, some in evaluation")
    if len({type(module) for module in modules}) > 1:
        names = ", ".join(sorted({type(module).__name__ for module in modules}))
        raise RuntimeError(f"[stack_module_state] the modules are of several classes: {names}")

    def stacked(members: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: _stacked_leaf(name, [own[name] for own in members]) for name in members[0]}

    parameters = [dict(module.named_parameters()) for module in modules]
    return stacked(parameters), stacked([dict(module.named_buffers()) for module in modules])


def _stacked_leaf(name: str, tensors: list[Tensor]) -> Tensor:
    wanted = {t.requires_grad for t in tensors}
    if len(wanted) > 1:
        raise RuntimeError(f"[stack_module_state] '{name}' requires grad in some modules only")
    return stack([t.detach() for t in tensors]).requires_grad_(wanted.pop())
