"""Looking rows up by index, and adding up what comes back."""

from __future__ import annotations

from typing import Any

from .case import Case, Draw, of_primitive

# rows of the table, columns, number of indices
_TABLES = {"tiny": [(23, 9, 70)], "small": [(5000, 256, 4096)], "large": [(50257, 768, 65536)]}
# elements of the target, number of indices
_SCATTER = {"tiny": [(97, 301)], "small": [(1 << 14, 1 << 17)], "large": [(1 << 22, 1 << 24)]}

_CLASSES = 1000
_BAG = 8


def _lookup_backward(draw: Draw, rows: int, columns: int, n: int) -> tuple:
    # The table tells the result's shape; its values are not read.
    return draw.normal(n, columns), draw.integers(rows, n), draw.normal(rows, 1)


def _words_backward(draw: Draw, rows: int, columns: int, n: int) -> tuple:
    return draw.normal(n, columns), draw.words(rows, n), draw.normal(rows, 1)


def _bags(draw: Draw, rows: int, columns: int, n: int) -> tuple:
    """A table, which of its rows are taken, and the bag of each: each bag has some."""
    bag_of = draw.xp.arange(n) // _BAG
    return draw.normal(rows, columns), draw.integers(rows, n), bag_of


def _bag_maxima(ops: Any, source: Any, taken: Any, bag_of: Any) -> Any:
    rows, _ = ops["bag_maxima"](source, taken, bag_of, rows=len(taken) // _BAG)
    return ops.library.take_along_axis(source, rows, 0)


def _torch_bag_maxima(t: Any, source: Any, taken: Any, bag_of: Any) -> Any:
    return t.nn.functional.embedding_bag(taken.reshape(-1, _BAG), source, mode="max")


def _torch_add_rows(t: Any, source: Any, taken: Any, put: Any) -> Any:
    return t.zeros_like(source).index_add_(0, put, source[taken])


def _replacement(draw: Draw, size: int, n: int) -> tuple:
    """Values that belong to their positions: the last one written is as good as the first."""
    positions = draw.integers(size, n)
    return draw.normal(size), positions, draw.normal(size)[positions]


CASES = [
    of_primitive(
        "check_classes",
        {"tiny": [(70,)], "small": [(4096,)], "large": [(1 << 24,)]},
        lambda draw, n: (draw.integers(_CLASSES, n),),
        0,
        lambda t, targets: t.where((targets >= 0) & (targets < _CLASSES), targets, -1),
        parameters={"op": "bench", "classes": _CLASSES, "ignored": -100},
        bytes=lambda itemsize, n: 8 * n,
        changes=(0,),
        dtypes=("float32",),  # the targets are int64 whatever the logits are
    ),
    of_primitive(
        "embedding",
        _TABLES,
        lambda draw, rows, columns, n: (draw.normal(rows, columns), draw.integers(rows, n)),
        0,
        lambda t, table, indices: t.nn.functional.embedding(indices, table),
        parameters={"skip": None},
        # of the table, the rows that were looked up, each once at least
        bytes=lambda itemsize, rows, columns, n: (min(rows, n) + n) * columns * itemsize + 8 * n,
    ),
    *(
        Case(
            name,
            "embedding_backward",
            _TABLES,
            draw,
            lambda ops, g, indices, table: ops["embedding_backward"](
                g, indices, rows=len(table), skip=None
            ),
            lambda rows, columns, n: n * columns,
            lambda t, g, indices, table: t.ops.aten.embedding_dense_backward(
                g, indices, len(table), -1, False
            ),
            bytes=lambda itemsize, rows, columns, n: (rows + n) * columns * itemsize + 8 * n,
            depth=depth,
        )
        for name, draw, depth in (
            ("embedding_backward", _lookup_backward, lambda rows, columns, n: 2 + n // rows),
            ("embedding_backward_words", _words_backward, lambda rows, columns, n: n),
        )
    ),
    Case(
        "add_at",
        "add_at",
        _SCATTER,
        lambda draw, size, n: (draw.normal(size), draw.integers(size, n), draw.normal(n)),
        lambda ops, target, indices, values: ops["add_at"](target, (indices,), values),
        lambda size, n: n,
        lambda t, target, indices, values: target.index_put_((indices,), values, accumulate=True),
        depth=lambda size, n: 2 + n // size,
        changes=(0,),
    ),
    Case(
        "getitem",
        "getitem",
        _SCATTER,
        lambda draw, size, n: (draw.normal(size), draw.integers(size, n)),
        lambda ops, x, indices: ops["getitem"](x, index=(indices,)),
        lambda size, n: 0.0,
        lambda t, x, indices: x[indices],
    ),
    Case(
        "store",
        "store",
        _SCATTER,
        _replacement,
        lambda ops, target, indices, values: ops["store"](target, (indices,), values),
        lambda size, n: 0.0,
        lambda t, target, indices, values: target.index_put_((indices,), values),
        changes=(0,),
    ),
    Case(
        "getitem_backward",
        "getitem_backward",
        _SCATTER,
        lambda draw, size, n: (draw.normal(n), draw.integers(size, n), draw.normal(size)),
        lambda ops, g, indices, x: ops["getitem_backward"](g, index=(indices,), shape=x.shape),
        lambda size, n: n,
        lambda t, g, indices, x: t.zeros_like(x).index_put_((indices,), g, accumulate=True),
        depth=lambda size, n: 2 + n // size,
    ),
    Case(
        "index_add_at",
        "index_add_at",
        _SCATTER,
        lambda draw, size, n: (draw.normal(size), draw.integers(size, n), draw.normal(n)),
        lambda ops, x, indices, values: ops["index_add_at"](x, values, index=(indices,)),
        lambda size, n: n,
        lambda t, x, indices, values: x.index_put((indices,), values, accumulate=True),
        depth=lambda size, n: 2 + n // size,
    ),
    Case(
        "index_put",
        "index_put",
        _SCATTER,
        _replacement,
        lambda ops, x, indices, values: ops["index_put"](x, values, index=(indices,)),
        lambda size, n: 0.0,
        lambda t, x, indices, values: x.index_put((indices,), values),
    ),
    Case(
        "add_rows",
        "add_rows",
        _TABLES,
        lambda draw, rows, columns, n: (
            draw.normal(rows, columns),
            draw.integers(rows, n),
            draw.integers(rows, n),
        ),
        lambda ops, source, taken, put: ops["add_rows"](source, taken, put, rows=len(source)),
        lambda rows, columns, n: n * columns,
        _torch_add_rows,
        depth=lambda rows, columns, n: 2 + n // rows,
    ),
    Case(
        "bag_maxima",
        "bag_maxima",
        {**_TABLES, "tiny": [(23, 9, 9 * _BAG)]},
        _bags,
        _bag_maxima,
        lambda rows, columns, n: n * columns,
        _torch_bag_maxima,
    ),
    Case(
        "least_and_most",
        "least_and_most",
        {"tiny": [(70,)], "small": [(1 << 20,)], "large": [(1 << 26,)]},
        lambda draw, n: (draw.integers(_CLASSES, n),),
        lambda ops, x: ops.library.asarray(ops["least_and_most"](x)),
        lambda n: 2 * n,
        lambda t, x: t.stack(t.aminmax(x)),
        dtypes=("float32",),  # of indices, whatever else is float
    ),
]
