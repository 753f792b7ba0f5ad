"""The public operations by name: which module each is in, and in what forms it exists.

Modules are loaded when one of their operations is first named, so ``import tapegrad`` costs the
same however many there are. A word ``name`` is a function of its module; ``name=function`` is one
that has another name there; a trailing ``_`` (``exp_``) says that it exists in place as well.
"""

from __future__ import annotations

from typing import NamedTuple

# Functions that are methods of the same name too: ``tapegrad.f(x, ...)`` is ``x.f(...)``.
SHARED = {
    "activation": "relu_ sigmoid_ tanh_",
    "arithmetic": """
        add_ allclose clamp_ div_ equal isclose pow_ round_ sub_ true_divide
    """,
    "elementwise": """
        abs_=absolute ceil_ cos_ erf_ exp_ expm1_ floor_ floor_divide_ log_ log1p_ maximum minimum
        mul_=multiply neg_=negative reciprocal_ remainder_ rsqrt_ sign_ sin_ sqrt_ square_ trunc_
        eq=equal ne=not_equal lt=less le=less_equal gt=greater ge=greater_equal
        logical_and logical_or logical_xor logical_not
        bitwise_and_ bitwise_or_ bitwise_xor_ bitwise_not
        isfinite isinf isnan
    """,
    "gather": "gather index_select take_along_dim",
    "linalg": "bmm dot matmul mm mv outer",
    "random": "bernoulli",
    "reduce": "all amax amin any argmax argmin logsumexp max mean min prod std sum var",
    "scatter": "scatter_ scatter_add_",
    "select": "masked_fill_ nonzero",
    "shape": """
        broadcast_to clone flatten flip movedim permute reshape roll squeeze t transpose unsqueeze
    """,
    "softmax": "log_softmax softmax",
    "split": "chunk narrow split unbind",
    "strided": "as_strided as_strided_copy as_strided_scatter",
}

# Functions that are no methods.
FUNCTIONS = {
    "conv": "conv2d",
    "create": """
        arange as_tensor empty empty_like eye from_numpy full full_like linspace ones ones_like
        tensor zeros zeros_like
    """,
    "embedding": "embedding",
    "linalg": "einsum",
    "norm": "batch_norm layer_norm rms_norm",
    "pool": "avg_pool2d max_pool2d",
    "random": """
        Generator dropout get_rng_state manual_seed rand rand_like randint randn randn_like randperm
        set_rng_state
    """,
    "select": "where=select_where",
    "shape": "cat stack",
}

# Methods that are no functions.
METHODS = {
    "convert": """
        to cpu cuda type_as double=to_double float=to_float half=to_half bfloat16=to_bfloat16
        long=to_long int=to_int short=to_short char=to_char byte=to_byte bool=to_bool
    """,
    "create": "new_empty new_full new_ones new_tensor new_zeros",
    "inplace": "copy_ fill_ zero_",
    "random": "normal_ uniform_",
    "select": "where=where_method",
    "shape": "contiguous=contiguous_tensor expand expand_as repeat reshape_as view view_as",
    "strided": "storage_offset",
}

# Properties of a Tensor.
PROPERTIES = {"shape": "T=t mT"}


class Entry(NamedTuple):
    """Where an operation is: a function of a module of ``tapegrad.ops``."""

    module: str
    function: str
    in_place: bool = False


def _read(*tables: dict[str, str], marks: bool) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for table in tables:
        for module, words in table.items():
            for word in words.split():
                name, _, function = word.partition("=")
                in_place = marks and name.endswith("_")
                name = name[:-1] if in_place else name
                if name in entries:
                    raise ValueError(f"operation {name!r} is listed twice")
                entries[name] = Entry(module, function or name, in_place)
    return entries


functions = _read(SHARED, FUNCTIONS, marks=True)
methods = _read(SHARED, marks=True) | _read(METHODS, marks=False)
properties = _read(PROPERTIES, marks=False)
