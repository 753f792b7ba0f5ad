"""Nested tuples, lists and dicts of tensors, as flat lists and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def flatten(tree: Any) -> tuple[list, Callable[[list], Any]]:
    """The leaves in order, and the function that makes such a tree of other leaves."""
    leaves: list = []

    def walk(part: Any) -> Any:
        if isinstance(part, dict):
            return dict, list(part), [walk(v) for v in part.values()]
        if isinstance(part, (tuple, list)):
            return type(part), None, [walk(v) for v in part]
        leaves.append(part)
        return None, None, None

    shape = walk(tree)

    def build(values: list) -> Any:
        given = iter(values)

        def make(part: Any) -> Any:
            kind, keys, children = part
            if kind is None:
                return next(given)
            made = [make(child) for child in children]
            if kind is dict:
                return dict(zip(keys, made, strict=True))
            return kind(*made) if hasattr(kind, "_fields") else kind(made)

        return make(shape)

    return leaves, build


def map_leaves(function: Callable, tree: Any) -> Any:
    """The tree with ``function`` applied to each leaf."""
    leaves, build = flatten(tree)
    return build([function(leaf) for leaf in leaves])
