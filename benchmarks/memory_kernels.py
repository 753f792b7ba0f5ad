"""The package's kernels whose ceiling is a copy: on rows (kernels/row.cuh), and elementwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from gpu_model import H200, Case
from machine_code import MachineCode, lines_of, machine_code

NUMBERS = 2**28  # some, in all rows together
# Nothing is compiled that is not named.
ONLY_THESE = """#include "row.cuh"
#undef LAUNCHER
#undef LAUNCHER_AS
#undef LAUNCHER_16_BITS_AS
#undef FUNCTION
#define LAUNCHER(...)
#define LAUNCHER_AS(...)
#define LAUNCHER_16_BITS_AS(...)
#define FUNCTION(...)
"""
# What is hardly ever entered: parts of packs, at the ends of a row or an array, squares out of
# range, targets that do not count, smoothing; and logarithms, which nobody asks for here.
RARE = (
    ("cross_entropy.cu", "if (target == ignore_index || !is_class(target, columns.cols)) {"),
    ("cross_entropy.cu", "if (label_smoothing > A(0)) {"),
    ("device.cuh", "if (!aligned || start + Pack<T>::size > end) {  // loaded one by one"),
    ("device.cuh", "if (!aligned || start + Pack<T>::size > end) {  // stored one by one"),
    ("row.cuh", "if (is_row && !whole && layout != Layout::packs) {"),
    ("row.cuh", "if (optional && !source) {"),
    ("row.cuh", "if (!whole && layout != Layout::packs) {"),
    ("row.cuh", "} else {  // an end of the row"),
    ("softmax.cu", "if (logarithm) {"),
    ("norm.cu", "if (!keeps_digits(square)) {  // of the whole team"),
)
# What other rows, or this one, have asked for before.
CACHED = (
    ("norm.cu", "const OptionalRow<Own> weight_row(columns, weight, A(1));"),
    ("norm.cu", "const OptionalRow<Own> bias_row(columns, bias);"),
    ("cross_entropy.cu", "const int64_t target = targets[row];"),
    ("cross_entropy.cu", "const A scale = total ? A(1) / *total : A(1);"),
    ("cross_entropy.cu", "const A target_logit = to_acc(logits_row[target]);  // cached by now"),
)


class Kernel(NamedTuple):
    """One of a file of kernels/, in C++, and what no other of that file has in its name as the
    linker has it. loop: an operation of the loop that takes the time (machine_code)."""

    file: str
    kernel: str
    words: tuple[str, ...]
    case: Case
    loop: str = ""


PACKS, PEELED = LAYOUTS = "Layout::packs", "Layout::peeled"


def _rows(
    file: str, kernel: str, plan: tuple[int, ...], layout: str, cols: int, bytes: int
) -> Kernel:
    """Rows of bfloat16; bytes: of memory for each number. kernel: {} is where type, plan and layout
    belong."""
    lanes, packs, *staged = plan
    threads = max(lanes, 128)
    count = NUMBERS // cols
    moved = float(bytes * cols * count)
    case = Case(
        count * lanes // threads,
        threads,
        # What fits into registers is in no loop; else a turn is four packs, and the rest goes one
        # by one.
        ("", 1 if packs else round(cols / (lanes * 32))),
        bytes=moved,
        flops=0.0,
        latencies=(H200.memory_latency,),
        l2=moved,
        shared=16 * -(-cols // 8) * sum(staged),
        cached=[line for place in CACHED for line in lines_of(*place)],
    )
    numbers = ", ".join(map(str, plan))
    name = kernel.format(f"bfloat16, Plan<{numbers}>, {layout}")
    mangled = "".join(f"Li{number}E" for number in (*plan, 0)[:3])
    words = kernel.partition("<")[0], f"PlanI{mangled}", f"Layout{LAYOUTS.index(layout)}E"
    return Kernel(file, name, words, case)


def _body(body: str, *more: Any) -> Kernel:
    file, *rest = more
    made = _rows(file, f"row_kernel<{{}}, {body}<bfloat16>>", *rest)
    return made._replace(words=(*made.words, body))


def _norm_backward(plan: tuple[int, int], cols: int, teams: int) -> Kernel:
    """teams: as norm_partials says, each of which has many rows."""
    made = _rows("norm", "norm_backward_kernel<{}>", plan, PACKS, cols, 6)
    case = made.case
    blocks = teams * plan[0] // case.threads
    turns = case.blocks // blocks
    return made._replace(case=replace(case, blocks=blocks, turns=("", turns)), loop="SHFL")


CROSS_ENTROPY = "CrossEntropyForward", "cross_entropy", (256, 0, 1)
ROWS = {
    "softmax, 768": _body("SoftmaxForward", "softmax", (32, 4), PACKS, 768, 4),
    "softmax, 4096": _body("SoftmaxForward", "softmax", (128, 4), PACKS, 4096, 4),
    "softmax's gradient, 768": _body("SoftmaxBackward", "softmax", (32, 4), PACKS, 768, 6),
    "softmax's gradient, 4096": _body("SoftmaxBackward", "softmax", (128, 4), PACKS, 4096, 6),
    "layer norm, 768": _body("NormForward", "norm", (32, 4), PACKS, 768, 4),
    "layer norm, 4096": _body("NormForward", "norm", (128, 4), PACKS, 4096, 4),
    "layer norm's gradient, 768": _norm_backward((32, 4), 768, 1024),
    "layer norm's gradient, 4096": _norm_backward((128, 4), 4096, 512),
    "cross-entropy, 50257": _body(*CROSS_ENTROPY, PEELED, 50257, 4),
    "cross-entropy, 50304": _body(*CROSS_ENTROPY, PACKS, 50304, 4),
}


def _elements(
    file: str, kernel: str, words: tuple[str, ...], arrays: tuple[int, int], size: int = 2
) -> Kernel:
    """arrays: how many are read and written; size: bytes of an element. A turn moves a pack of
    each."""
    read, written = arrays
    moved = float((read + written) * size * NUMBERS)
    threads, blocks = 256, 16384
    turns = NUMBERS * size // 16 // (blocks * threads)
    case = Case(
        blocks,
        threads,
        ("", turns),
        bytes=moved,
        flops=0.0,
        latencies=(H200.memory_latency,),
        l2=moved,
    )
    return Kernel(file, kernel, words, case, loop="STG")


def _activation(function: str, mangled: str, direction: str, read: int) -> Kernel:
    kernel = f"activation_{direction}_kernel<bfloat16, activation::{function}>"
    return _elements("activation", kernel, (direction, mangled), (read, 1))


STEP = "step_kernel<{}, steps::Row<steps::Adam>>"
ELEMENTS = {
    "relu": _activation("Relu<float>", "Relu", "forward", 1),
    "gelu": _activation("Gelu16", "6Gelu16", "forward", 1),
    "gelu's gradient": _activation("Gelu16", "6Gelu16", "backward", 2),
    "gelu_tanh": _activation("GeluTanh16", "GeluTanh16", "forward", 1),
    "gelu_tanh's gradient": _activation("GeluTanh16", "GeluTanh16", "backward", 2),
    "dropout": _elements("dropout", "dropout_kernel<bfloat16>", ("dropout",), (1, 1)),
    "AdamW": _elements("optimizer", STEP.format("bfloat16"), ("bfloat16",), (4, 3)),
    "AdamW, float32": _elements("optimizer", STEP.format("float"), ("If",), (4, 3), 4),
}


def codes(kernels: Mapping[str, Kernel]) -> dict[str, MachineCode]:
    """Their machine code, by the same names. Raises ToolMissing."""
    chosen = {}
    for file, loop in dict.fromkeys((kernel.file, kernel.loop) for kernel in kernels.values()):
        here = {n: k for n, k in kernels.items() if (k.file, k.loop) == (file, loop)}
        used = ",\n".join(f"(void*){kernel.kernel}" for kernel in here.values())
        text = f'{ONLY_THESE}#include "{file}.cu"\nvoid* const used[] = {{{used}}};\n'
        found = machine_code(text, loop=loop, once="SHFL", rare=RARE)
        for name, kernel in here.items():
            (chosen[name],) = (
                code for n, code in found.items() if all(word in n for word in kernel.words)
            )
    return {name: chosen[name] for name in kernels}
