"""Nested tuples, lists and dicts of tensors, as flat lists and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tapegrad.ops.common.arguments import check_nesting


def flatten(tree: Any) -> tuple[list, Callable[[list], Any]]:
    """The leaves in order, and the function that builds a tree of this shape from other leaves."""
    check_nesting("flatten", tree)
    leaves: list = []
    shape = _walk(tree, leaves)
    return leaves, lambda values: _make(shape, iter(values))


def structure(tree: Any) -> tuple:
    """What is equal for trees that differ in their leaves alone."""
    return _walk(tree, [])


# (Not closures: one that calls itself is a reference cycle, and would hold the leaves.)


def _walk(tree: Any, leaves: list) -> tuple:
    """The tree's shape: (type, keys, children's shapes); its leaves go to ``leaves``."""
    if isinstance(tree, dict):
        return dict, list(tree), [_walk(v, leaves) for v in tree.values()]
    if isinstance(tree, (tuple, list)):
        return type(tree), None, [_walk(v, leaves) for v in tree]
    leaves.append(tree)
    return None, None, None


def _make(shape: tuple, leaves: Iterator) -> Any:
    kind, keys, children = shape
    if kind is None:
        return next(leaves)
    made = [_make(child, leaves) for child in children]
    if kind is dict:
        return dict(zip(keys, made, strict=True))
    return kind(*made) if hasattr(kind, "_fields") else kind(made)


def map_leaves(function: Callable, tree: Any) -> Any:
    """The tree with ``function`` applied to each leaf."""
    leaves, build = flatten(tree)
    return build([function(leaf) for leaf in leaves])
