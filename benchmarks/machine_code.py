"""What nvcc makes of a kernel: its instructions, loop by loop, from disassembled machine code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tapegrad import _build
from tapegrad._build.kernel_plans import NVCC_FLAGS
from tapegrad._build.resources import parse_resources

ARCHITECTURE = "sm_90a"
_LINE = re.compile(r'\s*//## File "(.*?)", line (\d+)')
_INSTRUCTION = re.compile(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?(U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
_LABEL = re.compile(r"(\.L_x_\d+|\$.*?):")
_REGISTER = re.compile(r"\b(U?[RP])(\d+)\b(\.64)?")
_WRITES_NOTHING = ("ST", "RED", "BAR", "BRA", "EXIT", "CALL", "BSSY", "BSYNC", "WARPSYNC")
Line = tuple[str, int]  # a file and the number


class ToolMissing(RuntimeError):
    """nvcc or nvdisasm is not there; the message says what to install."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name with what modifies it, the source lines that it was made from (in
    the function, then where that is called, and so on), and the registers that it waits for and
    gives."""

    name: str
    lines: tuple[Line, ...]
    target: str  # of a branch, else ""
    reads: frozenset[str]
    writes: frozenset[str]

    @property
    def line(self) -> Line:
        return self.lines[0]

    @property
    def operation(self) -> str:
        # (LD and ST: of addresses that are read from memory and may be those of shared memory.)
        name = self.name.partition(".")[0]
        return {"LD": "LDG", "ST": "STG"}.get(name, name)

    @property
    def bytes(self) -> int:
        """How many a thread moves, where it is an access to memory."""
        width = re.search(r"\.(128|64|U?16|U?8)\b", self.name)
        return int(width[1].lstrip("U")) // 8 if width else 4


@dataclass(frozen=True)
class Part:
    """Instructions that follow each other: a loop's body, or what stands between loops; and among
    them, if ``machine_code`` was asked for it, loops within."""

    body: tuple[Instruction | Part, ...]
    loop: bool

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """Without those of loops within."""
        return tuple(i for i in self.body if isinstance(i, Instruction))

    @property
    def lines(self) -> tuple[Line, ...]:
        """Those of a loop's statement, to which its last branch belongs."""
        return self.instructions[-1].lines

    def count(self, operation: str) -> int:
        return sum(i.operation == operation for i in self.instructions)

    def mix(self) -> Counter[str]:
        return Counter(i.operation for i in self.instructions)


@dataclass(frozen=True)
class MachineCode:
    """A kernel: what it occupies of a multiprocessor, and its parts as a warp runs through them."""

    kernel: str
    registers: int  # a thread
    shared: int  # bytes a block
    spills: int  # bytes
    parts: tuple[Part, ...]


def find_tools() -> tuple[_build.Compiler, str]:
    """nvcc and nvdisasm: on the path, beside nvcc, or of NVIDIA's wheels. Raises ToolMissing."""
    nvcc = _build.find_nvcc()
    if nvcc is None:
        raise ToolMissing(
            "machine code is made by nvcc, which is not here: pip install "
            "'cuda-toolkit[nvcc,cudart,cccl]', or set CUDA_HOME"
        )
    wheels = Path(sysconfig.get_path("purelib")).glob("nvidia/cu*/bin")
    for folder in (None, _build.toolkit(nvcc) / "bin", *sorted(wheels, reverse=True)):
        if found := shutil.which("nvdisasm", path=folder and str(folder)):
            return nvcc, found
    raise ToolMissing(
        "machine code is read by nvdisasm, which is not here: pip install nvidia-cuda-nvdisasm"
    )


def machine_code(
    text: str,
    loop: str = "",
    once: str = "",
    rare: Collection[tuple[str, str]] = (),
    nested: bool = False,
) -> dict[str, MachineCode]:
    """The kernels of a source in the package's vocabulary, by their names (of a template, as the
    linker has them). loop: of each no more than its innermost loop that has this operation. once:
    loops that have this operation are run once. rare: files of kernels/, and what a block in them
    begins with that is hardly ever entered, and so is left out. nested: all of each, with loops in
    loops. Raises ToolMissing, and BuildError where it does not compile."""
    left_out = {line for name, words in rare for line in block_of(name, words)}
    nvcc, nvdisasm = find_tools()
    with tempfile.TemporaryDirectory() as folder:
        source, code = Path(folder) / "kernels.cu", Path(folder) / "kernels.cubin"
        source.write_text(text, encoding="utf-8")
        command = [*nvcc.command, *NVCC_FLAGS, f"-arch={ARCHITECTURE}", "-lineinfo"]
        command += ["-Xptxas=-v", f"-I{_build.source_root() / 'kernels'}", "-cubin", str(source)]
        made = subprocess.run([*command, "-o", str(code)], capture_output=True, text=True)
        if made.returncode:
            raise _build.CompilerError(f"nvcc fails:\n{made.stderr}", made.stderr)
        listing = subprocess.run(
            [nvdisasm, "-c", "-gi", str(code)], capture_output=True, text=True, check=True
        ).stdout
    occupied = {_plain(r.kernel): r for r in parse_resources(made.stderr)}
    found = {}
    for mangled, body in _functions(listing):
        used = occupied[_plain(mangled)]
        spills = used.spill_loads + used.spill_stores
        code = list(_usually(_read(body), left_out))
        if nested:
            parts = (Part(_nested(code, _outermost(_loops(code))), False),)
        else:
            parts = (_innermost(code, loop),) if loop else tuple(_parts(code, once))
        name = _plain(mangled)
        found[name] = MachineCode(name, used.registers, used.shared, spills, parts)
    return found


def _plain(mangled: str) -> str:
    """The name of a function that is in no namespace and of no template; others as they are."""
    found = re.match(r"_Z(\d+)", mangled)
    if found is None:
        return mangled
    end = found.end() + int(found[1])
    return mangled if mangled.startswith("I", end) else mangled[found.end() : end]


def _functions(listing: str) -> Iterator[tuple[str, str]]:
    parts = re.split(r"^\.text\.(\w+):$", listing, flags=re.MULTILINE)
    yield from zip(parts[1::2], parts[2::2], strict=True)


def _read(body: str) -> Iterator[Instruction | str]:
    """Instructions and labels, to the end of what a kernel runs: behind it stand shuffles again,
    for warps whose threads have parted, and functions that it calls in rare cases."""
    lines: list[Line] = [("", 0)]
    complete = True
    parted: set[str] = set()
    for text in body.splitlines():
        if found := _LABEL.match(text):
            if found[1].startswith("$") or found[1] in parted:
                return
            yield found[1]
        elif found := _LINE.match(text):
            lines = [*([] if complete else lines), (Path(found[1]).name, int(found[2]))]
            complete = False
        elif found := _INSTRUCTION.match(text):
            complete = True
            instruction = _instruction(found[1] or "", found[2], found[3], tuple(lines))
            if instruction.name == "BRA.DIV":
                parted.add(instruction.target)
            if instruction.name != "NOP":
                yield instruction


def lines_of(name: str, words: str) -> list[Line]:
    """The lines in a file of kernels/ that are these words."""
    lines = (_build.source_root() / "kernels" / name).read_text().splitlines()
    return [(name, at) for at, line in enumerate(lines, start=1) if line.strip() == words]


def block_of(name: str, words: str) -> set[Line]:
    """The lines of the block in a file of kernels/ that begins with these words, or the line that
    is them."""
    lines = (_build.source_root() / "kernels" / name).read_text().splitlines()
    ((_, first),) = lines_of(name, words)
    if words.endswith(";"):
        return {(name, first)}
    begin = first - 1
    margin = len(lines[begin]) - len(lines[begin].lstrip())
    end = begin + 1
    while not lines[end].startswith(" " * margin + "}"):
        end += 1
    return {(name, at + 1) for at in range(begin, end)}


def _usually(code: Iterator[Instruction | str], rare: set[Line]) -> Iterator[Instruction | str]:
    """What was not made of these lines, and branches that go back, which make a loop."""
    passed: set[str] = set()
    for i in code:
        if isinstance(i, str):
            passed.add(i)
        if isinstance(i, str) or i.target in passed or not rare.intersection(i.lines):
            yield i


def _instruction(guard: str, name: str, operands: str, lines: tuple[Line, ...]) -> Instruction:
    fields = operands.split(",")
    silent = name.startswith(_WRITES_NOTHING)
    # A test writes two predicates, a shuffle one beside its register.
    results = 0 if silent else 2 if "SETP" in name or name.startswith("SHFL") else 1
    while not silent and results < len(fields) and re.fullmatch(r"\s*U?P\d", fields[results]):
        results += 1  # the carry of an addition
    written = set().union(*(_registers(f) for f in fields[:results]), set())
    if results:
        four = ".128" in name or name.startswith("HMMA") or name.endswith(".M88.4")
        wide = 4 if four else 2 if re.search(r"\.(64|WIDE)", name) else 1
        written |= {
            f"{r.rstrip('0123456789')}{int(r.lstrip('URP')) + i}"
            for r in written
            for i in range(wide)
        }
    read = set().union(*(_registers(f) for f in fields[results:]), {guard} if guard else set())
    target = re.search(r"\.L_x_\d+", operands) if name.startswith("BRA") else None
    return Instruction(
        name, lines, target[0] if target else "", frozenset(read), frozenset(written)
    )


def _registers(operand: str) -> set[str]:
    found = set()
    for kind, number, pair in _REGISTER.findall(operand):
        found |= {f"{kind}{int(number) + i}" for i in range(2 if pair else 1)}
    return found


def _loops(code: Sequence[Instruction | str]) -> list[tuple[int, int]]:
    places = {label: at for at, label in enumerate(code) if isinstance(label, str)}
    return [
        (places[i.target], at)
        for at, i in enumerate(code)
        if isinstance(i, Instruction) and places.get(i.target, at) < at - 1
    ]


Loops = list[tuple[int, int]]


def _outermost(loops: Loops) -> Loops:
    """Those that are in no other; what begins again from several places ends at the last."""
    ends = {begin: max(e for b, e in loops if b == begin) for begin, _ in loops}
    found: Loops = []
    for begin, end in sorted(ends.items()):
        if found and begin < found[-1][1]:
            if end > found[-1][1]:
                raise ValueError("loops that overlap")
        else:
            found.append((begin, end))
    return found


def _nested(code: Sequence[Instruction | str], loops: Loops) -> tuple[Instruction | Part, ...]:
    """What is run of this code, with these loops in it; of those that the compiler made of one, no
    more than the most unrolled."""
    body: list[Instruction | Part] = []
    at = 0
    for begin, end in loops:
        body += _usual(code[at:begin])
        inside = code[begin + 1 : end + 1]
        within = [(b, e) for b, e in _loops(code) if begin < b and e < end]
        moved = _outermost([(b - begin - 1, e - begin - 1) for b, e in within])
        body.append(Part(_nested(inside, moved), True))
        at = end + 1
    body += _usual(code[at:])
    largest: dict[tuple[Line, ...], Part] = {}
    for loop in (i for i in body if isinstance(i, Part)):
        best = largest.get(loop.lines, loop)
        largest[loop.lines] = max(best, loop, key=lambda p: len(p.body))
    return tuple(i for i in body if isinstance(i, Instruction) or i in largest.values())


def _innermost(code: Sequence[Instruction | str], operation: str) -> Part:
    bodies = (Part(_usual(code[begin : end + 1]), True) for begin, end in _loops(code))
    return min((b for b in bodies if b.count(operation)), key=lambda b: len(b.instructions))


def _parts(code: Sequence[Instruction | str], once: str = "") -> Iterator[Part]:
    """A warp's way through a kernel. Of what the compiler made of one loop (unrolled, and for the
    rest that is left over) the most unrolled counts; calls for rare cases do not."""
    loops = [
        (begin, end)
        for begin, end in _loops(code)
        if not any(isinstance(i, Instruction) and i.operation == once for i in code[begin:end])
    ]
    bodies = {begin: Part(_usual(code[begin : end + 1]), True) for begin, end in loops}
    if any(a < c <= d < b for a, b in loops for c, d in loops):
        raise ValueError("a loop within a loop: unroll the inner one, or count it otherwise")
    chosen: dict[frozenset, int] = {}
    for begin, body in bodies.items():
        key = _loaded(body.instructions)
        best = chosen.setdefault(key, begin)
        if len(bodies[best].instructions) < len(body.instructions):
            chosen[key] = begin
    lines = frozenset().union(*chosen)
    at = 0
    for begin, end in [*sorted(loops), (len(code), len(code))]:
        between = [
            i for block in _blocks(code[at:begin]) if not _loaded(block) & lines for i in block
        ]
        yield Part(tuple(between), False)
        if begin in chosen.values():
            yield bodies[begin]
        at = end + 1


def _loaded(code: Sequence[Instruction]) -> frozenset:
    """The lines that read memory."""
    return frozenset(i.lines for i in code if i.operation in ("LDG", "LDS"))


def _usual(code: Sequence[Instruction | str]) -> tuple[Instruction, ...]:
    return tuple(i for block in _blocks(code) for i in block)


def _blocks(code: Sequence[Instruction | str]) -> Iterator[list[Instruction]]:
    """What stands between labels and branches, without blocks that call a function."""
    block: list[Instruction] = []
    for i in [*code, ""]:
        if isinstance(i, Instruction):
            block.append(i)
        if isinstance(i, str) or i.operation in ("BRA", "EXIT"):
            if not any(j.operation == "CALL" for j in block):
                yield block
            block = []
