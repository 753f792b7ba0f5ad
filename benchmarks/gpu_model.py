"""How long a kernel should take on a GPU that is not at hand: *predicted*, from its machine code.

A GPU is a closed queueing network. Its customers are the blocks that multiprocessors hold (or
their warps, where no barrier joins them); each is served by the busiest unit of its own
multiprocessor, and by the L2 cache and memory, which serve all of them, one customer at a time, and
waits in between for what it has asked for, which hinders nobody. How often one comes through is
the mean value analysis of Reiser and Lavenberg (1980), as Schweitzer (1979) approximates it. What a
warp asks of the units is counted in the machine code; how long it waits is found by going through
it in order, with each instruction's latency, as if it were alone.

That memory is everybody's matters where a multiprocessor holds few blocks: while none of its own
asks for something, others do. With a memory for each, softmax with 4,096 columns of bfloat16 would
be predicted to reach 93% of a copy instead of 99%, layer norm 69%, cross-entropy with 50,257
classes 53%; where between the two the truth is, a measurement will tell.

Left out: the order of blocks, conflicts of register banks, the instruction cache, atomics. So it
tells steps of a ladder apart, and does not replace a measurement.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from machine_code import Instruction, Line, MachineCode, Part


@dataclass(frozen=True)
class GPU:
    """Rates in bytes and operations a second, latencies in clock cycles.

    Multiprocessors, peak and what a multiprocessor holds: NVIDIA's data sheets and CUDA C++
    Programming Guide (compute capability 9.0), which has the results a cycle below, too. groups:
    the blocks of a cluster are in one of the GPU's eight processing clusters, of up to 18
    multiprocessors (NVIDIA 2022, H100 architecture); which of them lack some differs from GPU to
    GPU, and is assumed: 16 in most leaves least room for clusters of four. copy: 90%
    of the data sheet's rate. Latencies of caches and shared memory: Luo et al. 2025, Dissecting the
    NVIDIA Hopper Architecture (arXiv 2501.12084), rounded, and what mma.sync reaches; L2's rate:
    Chips and Cheese 2023, of an H100. The clock, memory's latency under load, and latencies of
    instructions and barriers, and what wgmma reaches, are estimates: nobody here has measured them.
    """

    name: str
    groups: tuple[int, ...] = (16, 16, 16, 16, 16, 16, 18, 18)  # of multiprocessors
    clock: float = 1.75e9
    peak: float = 66.9e12  # float32, without tensor cores
    tensor_peak: float = 989.4e12  # 16 bits, by tensor cores
    mma: float = 0.629  # the part of it that mma.sync reaches
    wgmma: float = 0.95  # and wgmma
    copy: float = 4.3e12
    l2: float = 5.5e12
    threads: int = 2048  # that a multiprocessor holds, and the next three
    blocks: int = 32
    registers: int = 65536
    shared: int = 228 << 10
    memory_latency: float = 1140  # 0.65 us
    l2_latency: float = 262
    l1_latency: float = 41
    shared_latency: float = 29
    latency: float = 5  # of arithmetic
    tensor_latency: float = 33  # of an mma.sync m16n8k16
    slow_latency: float = 24  # of exponentials and shuffles
    barrier_latency: float = 30

    @property
    def multiprocessors(self) -> int:
        return sum(self.groups)

    def in_clusters(self, blocks: int) -> int:
        """Multiprocessors that clusters of so many blocks can take, one for each block."""
        return sum(group // blocks * blocks for group in self.groups)


H200 = GPU("H200")
H100 = GPU("H100", copy=3.0e12)

# Cycles of a multiprocessor that a warp's instruction takes of a unit: 32 over its results a cycle.
_FMA = {"FFMA": 0.25, "FADD": 0.25, "FMUL": 0.25, "IMAD": 0.5, "HFMA2": 0.25}
_ALU = ("FMNMX", "FSETP", "FSEL", "ISETP", "IADD3", "LEA", "LOP3", "MOV", "PRMT", "SEL", "SHF")
_ALU += ("IMNMX", "VIADD", "P2R", "R2P", "CS2R", "FCHK", "PLOP3")
_SLOW = ("MUFU", "I2F", "F2I")
_TENSOR_CYCLES = 1.0  # of an m16n8k16, at the data sheet's rate of 4,096 operations a cycle
_ISSUE = 0.25
_LINE = 128  # bytes that shared memory, or a cache, serves in a cycle


@dataclass(frozen=True)
class Case:
    """What the machine code does not say of a launch.

    turns: (operation, how many a thread does in each loop that has any; of loads, their 4-byte
    words), or ("", turns): how often a loop is run; or this for each loop, by its line (of one that
    is in another, for each turn of that one). bytes, flops: what every kernel for this must
    move and compute. memory, l2: bytes that this one moves from and to memory (None: no more than
    it must) and the L2 cache. lines: of memory, that an access by 32 threads touches on the average
    (None: no more than their bytes fill). vector: passes over shared memory that a load of 16 bytes
    takes, 4 if all threads differ. shared: bytes of it that the launch asks for. under_way: stages
    that a block's asynchronous copies fill at the same time, each of which is a customer.
    cluster: blocks that run together, and share what they load.
    latencies: cycles until loads arrive, of the first loop or part that has some, of the second,
    ...; the last of all others. cached: lines whose loads find in L2 what other blocks have asked
    for.
    """

    blocks: int
    threads: int
    turns: tuple[str, int] | Mapping[Line, float]
    bytes: float
    flops: float
    latencies: tuple[float, ...]
    memory: float | None = None
    l2: float = 0.0
    lines: float | None = None
    vector: float = 4.0
    shared: int = 0
    under_way: int = 1
    cluster: int = 1
    by_tensor_cores: bool = False
    cached: Collection[Line] = ()

    def ceiling(self, gpu: GPU) -> float:
        """Seconds that no kernel can be below: the roofline."""
        peak = gpu.tensor_peak if self.by_tensor_cores else gpu.peak
        return max(self.bytes / gpu.copy, self.flops / peak)


@dataclass(frozen=True)
class Prediction:
    """seconds: of one launch. resident: blocks of a multiprocessor. busiest: the unit, the
    cache or memory that is busy for the largest part of the time, and that part. executed: how
    often a warp executes each operation."""

    seconds: float
    resident: int
    busiest: tuple[str, float]
    executed: Counter[str]


def predict(code: MachineCode, case: Case, gpu: GPU = H200) -> Prediction:
    """The time of one launch."""
    often = [(i, n) for part in code.parts for i, n in _often(part, case)]
    units = _units(often, case, gpu)
    executed: Counter[str] = Counter()
    for i, n in often:
        executed[i.operation] += n
    alone = _alone(code.parts, case, gpu)
    joined = any(i.operation in ("BAR", "SYNCS") for i, _ in often)
    warps = case.threads / 32
    multiprocessors = gpu.in_clusters(case.cluster)
    blocks = math.ceil(case.blocks / multiprocessors)
    resident = min(_resident(code, case, gpu), blocks)
    unit = max(units, key=units.__getitem__)
    moved = case.bytes if case.memory is None else case.memory
    cycles = gpu.clock * multiprocessors / case.blocks  # of a block, for a second of the GPU
    demands = {
        unit: warps * units[unit],
        "memory": moved / gpu.copy * cycles,
        "L2": case.l2 / gpu.l2 * cycles,
    }
    customers = resident * case.under_way if joined else resident * case.threads // 32
    if not joined:
        demands = {name: demand / warps for name, demand in demands.items()}
    rate = _mean_values(demands, alone - executed.total(), customers, multiprocessors)
    seconds = blocks * (1 if joined else warps) / rate / gpu.clock
    busiest = max(demands, key=demands.__getitem__)
    return Prediction(seconds, resident, (busiest, rate * demands[busiest]), executed)


def _turns(part: Part, case: Case) -> float:
    if not part.loop:
        return 1
    if not isinstance(case.turns, tuple):
        # Its last branch is its statement's, or else the first statement in it is its own.
        for lines in (part.lines, sorted(line for i in part.instructions for line in i.lines)):
            for line in lines:
                if line in case.turns:
                    return case.turns[line]
        raise ValueError(f"nobody says how often the loop at {part.lines[0]} is run")
    operation, wanted = case.turns
    if not operation:
        return wanted
    words = [
        i.bytes // 4 if operation == "LDG" else 1
        for i in part.instructions
        if i.operation == operation
    ]
    if not words:
        raise ValueError(f"a loop without {operation} at line {part.instructions[0].line}")
    return math.ceil(wanted / sum(words))


def _often(part: Part, case: Case) -> Iterator[tuple[Instruction, float]]:
    """Its instructions, and those of loops within, and how often a warp executes each."""
    turns = _turns(part, case)
    for item in part.body:
        if isinstance(item, Part):
            yield from ((i, turns * n) for i, n in _often(item, case))
        else:
            yield item, turns


def _units(often: Sequence[tuple[Instruction, float]], case: Case, gpu: GPU) -> dict[str, float]:
    """Cycles of each unit of a multiprocessor that a warp needs."""
    names = ("issue", "multiply-add", "integers", "exponentials", "tensor cores", "loads")
    used = dict.fromkeys(names, 0.0)
    for i, n in often:
        operation = i.operation
        used["issue"] += n * _ISSUE
        used["multiply-add"] += n * _FMA.get(operation, 0)
        used["integers"] += n * 0.5 * (operation in _ALU)
        used["exponentials"] += n * 2.0 * (operation in _SLOW)
        used["tensor cores"] += n * _TENSOR_CYCLES / gpu.mma * (operation == "HMMA")
        used["tensor cores"] += n * _wgmma_cycles(i) / 4 / gpu.wgmma  # four warps make one
        used["loads"] += n * _passes(i, case)
    return used


def _wgmma_cycles(i: Instruction) -> float:
    """Cycles of a multiprocessor's tensor cores that a wgmma takes, at the data sheet's rate."""
    if i.operation != "HGMMA":
        return 0.0
    rows, columns, depth = map(int, i.name.split(".")[1].split("x"))
    return rows * columns * depth / (16 * 8 * 16) * _TENSOR_CYCLES


def _passes(i: Instruction, case: Case) -> float:
    """Cycles of the unit that moves memory, caches and registers of other lanes."""
    least = i.bytes * 32 / _LINE
    if i.operation in ("LDG", "STG"):
        return least if case.lines is None else case.lines
    if i.operation == "LDS" and i.bytes == 16:
        return case.vector
    if i.operation in ("LDSM", "LDGSTS"):  # four matrices; 16 bytes of each thread
        return 4.0
    return least if i.operation in ("LDS", "STS", "SHFL") else 0.0


class _Warp:
    """One that is alone: what it has asked for is there at these cycles."""

    def __init__(self, case: Case, gpu: GPU) -> None:
        self.case, self.gpu = case, gpu
        self.ready: dict[str, float] = {}
        self.now = self.copied = 0.0
        self.loaded = 0  # parts that load

    def run(self, part: Part) -> None:
        case, ready = self.case, self.ready
        turns = _turns(part, case)
        wait = case.latencies[min(self.loaded, len(case.latencies) - 1)]
        self.loaded += part.count("LDG") > 0
        ends, began = [], self.now
        for _ in range(math.ceil(min(turns, 3))):
            for i in part.body:
                if isinstance(i, Part):
                    self.run(i)
                    continue
                now = max([self.now + 1, *(ready.get(r, 0.0) for r in i.reads)])
                if i.operation == "BAR":
                    now += self.gpu.barrier_latency
                if i.operation == "LDGSTS":
                    self.copied = now + case.latencies[0]
                if i.operation == "DEPBAR" and case.under_way == 1:
                    now = max(now, self.copied)
                latency = _latency(i, wait, case, self.gpu)
                ready.update(dict.fromkeys(i.writes, now + latency))
                self.now = now
            ends.append(self.now)
        if turns > 3:  # from here on, all turns are alike
            passed = (turns - 3) * (ends[2] - ends[1])
            self.now += passed
            ready.update({r: at + passed for r, at in ready.items()})
        if 0 < turns < 1:  # on the average
            self.now = began + turns * (self.now - began)
            ready.update({r: began + turns * (at - began) for r, at in ready.items() if at > began})


def _alone(parts: Sequence[Part], case: Case, gpu: GPU) -> float:
    """Cycles that a warp takes alone, in order: each instruction when what it reads is there."""
    warp = _Warp(case, gpu)
    for part in parts:
        warp.run(part)
    return max([warp.now, *warp.ready.values()])


def _latency(i: Instruction, wait: float, case: Case, gpu: GPU) -> float:
    if i.operation == "LDG":
        known = any(line in case.cached for line in i.lines)
        return (gpu.l2_latency if known else wait) + _passes(i, case)
    if i.operation == "HMMA":
        return gpu.tensor_latency
    if i.operation == "HGMMA":
        return _wgmma_cycles(i)
    if "TRYWAIT" in i.name:  # at an mbarrier, for what a bulk copy brings
        return wait
    if i.operation in ("LDS", "LDSM"):
        return gpu.shared_latency + _passes(i, case)
    slow = i.operation in (*_SLOW, "SHFL", "LDC", "S2R", "S2UR")
    return gpu.slow_latency if slow else gpu.latency


def _resident(code: MachineCode, case: Case, gpu: GPU) -> int:
    """Blocks that a multiprocessor holds at a time."""
    warps = math.ceil(case.threads / 32)
    registers = warps * math.ceil(code.registers * 32 / 256) * 256  # given out by 256 to a warp
    shared = code.shared + case.shared + 1024  # that the system keeps of each block
    return min(
        gpu.blocks, gpu.threads // (warps * 32), gpu.registers // registers, gpu.shared // shared
    )


def _mean_values(
    demands: Mapping[str, float], wait: float, customers: int, multiprocessors: int
) -> float:
    """How many of a multiprocessor's customers come through in a cycle, each of whom needs these
    cycles of the stations, and waits elsewhere. The first station is its own, the others serve all
    multiprocessors at the rate that makes these cycles."""
    queues = dict.fromkeys(demands, 0.0)
    own = next(iter(demands))
    rate, last = 0.0, -1.0
    while not math.isclose(rate, last):
        last, times = rate, {}
        for name, demand in demands.items():
            sharing = 1 if name == own else multiprocessors
            others = queues[name] * (sharing - 1 / customers)
            times[name] = demand / sharing * (1 + others)
        rate = customers / (wait + sum(times.values()))
        queues = {name: rate * time for name, time in times.items()}
    return rate
