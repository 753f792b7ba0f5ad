"""``torch.utils._pytree``, which public code uses: nested tuples, lists and dicts as flat lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.autograd.tree import flatten

__all__ = [
    "TreeSpec",
    "tree_all",
    "tree_any",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_map_only",
    "tree_unflatten",
]


class TreeSpec:
    """The shape of a tree that was flattened, without its leaves."""

    def __init__(self, count: int, build: Callable[[list], Any]):
        self.num_leaves, self._build = count, build

    def unflatten(self, leaves: Any) -> Any:
        """A tree of this shape. Raises ValueError for another number of leaves."""
        values = list(leaves)
        if len(values) != self.num_leaves:
            raise ValueError(
                f"[tree_unflatten] the tree has {self.num_leaves} leaves, got {len(values)}"
            )
        return self._build(values)

    def __eq__(self, other: Any) -> bool:
        numbers = list(range(self.num_leaves))
        return (
            isinstance(other, TreeSpec)
            and other.num_leaves == self.num_leaves
            and repr(other._build(numbers)) == repr(self._build(numbers))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"TreeSpec({self._build(['*'] * self.num_leaves)})"


def tree_flatten(tree: Any) -> tuple[list, TreeSpec]:
    """The leaves in order, and what they were in."""
    leaves, build = flatten(tree)
    return leaves, TreeSpec(len(leaves), build)


def tree_unflatten(leaves: Any, treespec: TreeSpec) -> Any:
    """The tree that ``tree_flatten`` took apart, with these leaves. Raises ValueError for another
    number of them."""
    return treespec.unflatten(leaves)


def tree_leaves(tree: Any) -> list:
    """The leaves in order."""
    return flatten(tree)[0]


def tree_map(func: Callable, tree: Any, *rests: Any) -> Any:
    """The tree with ``func`` applied to each leaf, and to those in the same place of other trees.
    Raises ValueError where they have other shapes."""
    leaves, spec = tree_flatten(tree)
    others = [tree_flatten(rest) for rest in rests]
    for _, shape in others:
        if shape != spec:
            raise ValueError(f"[tree_map] the trees differ: {spec} and {shape}")
    return spec.unflatten(map(func, leaves, *[values for values, _ in others]))


def tree_map_only(kind: Any, func: Callable, tree: Any) -> Any:
    """The tree with ``func`` applied to the leaves of a class, or of one of several."""
    return tree_map(lambda leaf: func(leaf) if isinstance(leaf, kind) else leaf, tree)


def tree_all(pred: Callable, tree: Any) -> bool:
    """Whether something is true of all leaves."""
    return all(map(pred, tree_leaves(tree)))


def tree_any(pred: Callable, tree: Any) -> bool:
    """Whether something is true of a leaf."""
    return any(map(pred, tree_leaves(tree)))
