"""Operations of which whole kernels are looked at, loops in loops: convolution, attention, pooling,
batch norm, embedding. How often a loop is run is said here, by the line of its statement."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gpu_model import GPU, H200, Case, predict
from machine_code import Line, MachineCode, lines_of, machine_code
from memory_kernels import ONLY_THESE, RARE

HEADER = ONLY_THESE + "#undef LAUNCHER_UP_TO_FLOAT32\n#define LAUNCHER_UP_TO_FLOAT32(...)\n"
HARDLY = (
    *(place for place in RARE if place[0] in ("device.cuh", "row.cuh")),
    ("attention.cuh", "if (row >= of_.rows || column >= of_.columns || "
     "(of_.causal && column > row)) return -INFINITY;"),
    ("conv.cu", "} else {  // pixels beside each other"),
    ("conv.cu", "if (bias) {"),
    ("conv.cu", "if (relu) {"),
    ("matmul.cu", "if (bias) {"),
    ("matmul.cu", "} else {  // at the matrix's end"),
    ("conv.cu", "const int64_t group = row < rows ? 0 : row / rows;"),
    ("batch_norm.cu", "for (int c = 0; c < count; ++c) "
     "to[c] = static_cast<const A*>(numbers)[channel + c];"),
    ("windows.cuh", "if (number >> 31) {"),
)  # fmt: skip
# What is asked for again and again, or has just been written.
AGAIN = (
    ("embedding.cu", "const int64_t begin = begins[row], end = ends[row];"),
    ("embedding.cu", "[&](int64_t i) { return dy + order[i] * cols + first_column; });"),
    ("batch_norm.cu", "means[c] = mean[span.channel + c], rests[c] = rest[span.channel + c];"),
    ("sort.cu", "keys[round] = i < pass.n ? pass.key(i) : 0;"),
)
GRID = 16384  # blocks of a grid at most
WORD = 2  # bytes of a number, where nothing else is said


@dataclass(frozen=True)
class Launch:
    """kernel: in C++. loop: an operation of its innermost loop, where no more of the kernel is
    looked at; the rest of it is a launch of its own in this table, where that loop is run 0
    times. rare: blocks of the file that are hardly ever entered, beside those that never are."""

    file: str
    kernel: str
    case: Case
    loop: str = ""
    rare: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """bytes, flops: what each way of doing it has to move and compute."""

    shape: str
    bytes: float
    flops: float
    launches: Sequence[Launch]
    tensor_cores: bool = False
    size: int = WORD  # bytes of a number

    @property
    def count(self) -> int:
        """Launches: of a product, the loop and the rest are one."""
        return sum(not launch.loop for launch in self.launches)

    def ceiling(self, gpu: GPU) -> tuple[float, str]:
        """Seconds, and what it is."""
        peak = gpu.tensor_peak / (1 if self.size == 2 else 2 * 3)  # three products of tfloat32
        compute = self.flops / (peak if self.tensor_cores else gpu.peak)
        copy = self.bytes / gpu.copy
        name = "tensor cores" if self.tensor_cores else "float32's peak"
        return (copy, "copy") if copy > compute else (compute, name)


@dataclass(frozen=True)
class Outcome:
    seconds: float
    registers: tuple[int, ...]  # of each kernel
    longest: str  # of the launches; and what is busiest in it
    busiest: tuple[str, float]


def outcome(operation: Operation, found: Mapping[Key, MachineCode], gpu: GPU = H200) -> Outcome:
    made = [predict(found[key(launch)], launch.case, gpu) for launch in operation.launches]
    longest = max(range(len(made)), key=lambda i: made[i].seconds)
    registers = {launch.kernel: found[key(launch)].registers for launch in operation.launches}
    launch = operation.launches[longest]
    name = launch.kernel.partition("<")[0].removesuffix("_kernel")
    if name in ("matmul_tensor", "matmul"):
        name = "its loop" if launch.loop else "before and after its loop"
    return Outcome(
        sum(p.seconds for p in made), tuple(registers.values()), name, made[longest].busiest
    )


Key = tuple[str, str, str, tuple[str, ...]]


def key(launch: Launch) -> Key:
    return launch.file, launch.kernel, launch.loop, launch.rare


def codes(operations: Iterable[Operation]) -> dict[Key, MachineCode]:
    """The machine code of each launch's kernel. Raises ToolMissing."""
    keys = dict.fromkeys(key(launch) for op in operations for launch in op.launches)
    found = {}
    for file, kernel, loop, more in keys:
        rare = (*HARDLY, *((file, words) for words in more))
        text = f'{HEADER}#include "{file}"\nvoid* const used[] = {{(void*){kernel}}};\n'
        made = machine_code(text, loop=loop, rare=rare, nested=not loop)
        name = kernel.partition("<")[0]  # (those that are no templates are made as well)
        (found[file, kernel, loop, more],) = (code for n, code in made.items() if name in n)
    return found


def turns(**of_files: Mapping[str, float]) -> dict[Line, float]:
    """How often loops are run: of files (without .cu, .cuh or .h) their statements."""
    found: dict[Line, float] = {}
    for stem, loops in of_files.items():
        for words, times in loops.items():
            first = f"{words} {{".split("\n")[0]  # of a statement of two lines
            lines = [line for end in ("cu", "cuh") for line in _lines(f"{stem}.{end}", first)]
            if not lines:
                raise ValueError(f"no loop in {stem} begins {words!r}")
            found |= dict.fromkeys(lines, times)
    return found


def _lines(name: str, words: str) -> list[Line]:
    try:
        return lines_of(name, words)
    except FileNotFoundError:
        return []


# ---------------------------------------------------------------------- products


@dataclass(frozen=True)
class Block:
    """Of kernels/matmul_tensor.cuh."""

    side: int
    down: int
    across: int

    @property
    def rows(self) -> int:
        return self.side * self.down

    @property
    def columns(self) -> int:
        return self.side * self.across

    @property
    def threads(self) -> int:
        return 32 * self.down * self.across

    def tiles(self, m: int, n: int) -> int:
        return math.ceil(m / self.rows) * math.ceil(n / self.columns)


DTYPES = {2: "bfloat16", 4: "float"}
SIDES = {2: 64, 4: 32}
SMALL = Block(32, 2, 2)
LEAST_STEPS, MOST_SPLITS, ENOUGH = 8, 66, 132
STAGES = 4
ADDED_AT_ONCE = 4  # splits, by the unrolled loop
ADDING_SPLITS = "for (int64_t i = global_thread(); i < rows * row_packs; i += thread_count())"


def for_rows_of(filters: int, side: int) -> Block:
    return Block(side, *((2, 4) if filters > 2 * side else (4, 2) if filters > side else (4, 1)))


def for_rows(filters: int, side: int) -> Block:
    return Block(side, *((2, 4) if filters > side else (1, 4)))


def shared(tiles: int, steps: int, blocks: int) -> tuple[int, int]:
    """A block's steps along k, and how many blocks share a tile: as kernels/splits.cuh."""
    possible = min(blocks // tiles, MOST_SPLITS)
    if possible <= 1 or steps <= LEAST_STEPS:
        return steps, 1
    own = max(math.ceil(steps / possible), LEAST_STEPS)
    return own, math.ceil(steps / own)


def plan_for(big: Block, m: int, n: int, steps: int) -> tuple[Block, int, int]:
    """The block, its steps along k, and how many of them share a tile."""

    if m > big.rows / 2 and n > big.columns / 2 and steps >= LEAST_STEPS:
        own, splits = shared(big.tiles(m, n), steps, ENOUGH)
        if splits * big.tiles(m, n) >= ENOUGH / 2:
            return big, own, splits
    return SMALL, *shared(SMALL.tiles(m, n), steps, ENOUGH)


def _product(
    file: str,
    kernel: str,
    store: str,
    big: Block,
    sizes: tuple[int, int, int],
    size: int,
    moved: float,
) -> list[Launch]:
    """kernel: {} is where its template's arguments begin that are the tile's and the store's.
    moved: bytes, of all blocks together."""
    m, n, k = sizes
    tile, own, splits = plan_for(big, m, n, math.ceil(k * size / 64))
    blocks = tile.tiles(m, n) * splits
    stored = (tile.side // 16) * (tile.side // 16)  # 16 lines at a time, of 8 results to a lane
    rest = turns(
        matmul_tensor={
            "for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x)": 1,
            "while (k_left > (1 - stages) * depth<T>)": 0,
            "for (int part = 0; part < rows; ++part)": 1,  # each of its branches once
            "for (int i = lane / row_packs; i < Strip<side>::rows; i += 32 / row_packs)": stored,
        }
    )
    loop = Case(
        blocks,
        tile.threads,
        ("", own),
        bytes=moved,
        flops=0.0,
        latencies=(H200.l2_latency,),
        l2=float(blocks * own * (tile.rows + tile.columns) * 64),
        shared=STAGES * (tile.rows + tile.columns) * 64,
        under_way=STAGES - 1,
    )
    result = float(m * n * (size if splits == 1 else 4 * splits))
    ends = replace(loop, turns=rest, bytes=result, l2=result, under_way=1)
    dtype = DTYPES[size]
    destination = store if splits == 1 else "FloatSums"
    block = f"Block<{tile.side}, {tile.down}, {tile.across}>"
    name = kernel.format(f"{dtype}, {destination}, {block}")
    made = [Launch(file, name, loop, "HMMA"), Launch(file, name, ends)]
    if splits > 1:
        made.append(_adding(file, f"add_splits_kernel<{store}>", m * n, splits, 8, size))
    return made


def _adding(file: str, kernel: str, results: int, splits: int, together: int, size: int) -> Launch:
    """Of splits.cuh; a thread adds so many results together."""
    case = Case(
        min(math.ceil(results / together / 256), GRID),
        256,
        turns(
            splits={
                ADDING_SPLITS: 1,
                "for (int64_t split = 0; split < splits; ++split)": splits / ADDED_AT_ONCE,
            }
        ),
        bytes=float(results * size),
        flops=0.0,
        latencies=(H200.l2_latency,),
        l2=4.0 * splits * results,
    )
    return Launch(file, kernel, case)


def _scalar_product(m: int, n: int, k: int) -> tuple[str, Operation]:
    """Of kernels/matmul.cu, in float32."""
    side, depth = 128, 16
    tiles = math.ceil(m / side) * math.ceil(n / side)
    own, splits = shared(tiles, math.ceil(k / depth), 2 * ENOUGH)
    kernel = f"matmul_kernel<float, Results<float>, {side}, true, false>"
    blocks = tiles * splits
    moved, result = 4.0 * (m * k + k * n), 4.0 * m * n * splits
    loop = Case(
        blocks,
        256,
        ("", own),
        bytes=moved,
        flops=0.0,
        latencies=(H200.l2_latency,),
        l2=float(blocks * own * depth * 2 * side * 4),
        vector=2,  # half of a warp reads the same
    )
    rest = turns(
        matmul={
            "for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x)": 1,
            "while (k_left > -step_depth<T, tile>)": 0,
        }
    )
    ends = replace(loop, turns=rest, bytes=result, l2=result)
    launches = [Launch("matmul.cu", kernel, loop, "FFMA"), Launch("matmul.cu", kernel, ends)]
    if splits > 1:
        adding = "add_splits_kernel<Results<float>, float, 4>"
        launches.append(_adding("matmul.cu", adding, m * n, splits, 4, 4))
    shape = f"{m:,} x {k:,} by {k:,} x {n:,}, float32"
    flops = 2.0 * m * n * k
    operation = Operation(shape, moved + 4.0 * m * n, flops, launches, size=4)
    return "product by scalars", operation


SCALAR_PRODUCTS = [_scalar_product(4096, 4096, 4096), _scalar_product(256, 256, 65536)]


# ---------------------------------------------------------------------- convolution


@dataclass(frozen=True)
class Layer:
    """A convolution of square images, channels last, padded so that only a stride makes its result
    smaller."""

    batch: int
    side: int
    channels: int
    filters: int
    kernel: int = 3
    stride: int = 1

    def operation(self, way: str, size: int = 2) -> Operation:
        pack = 16 // size
        channels, filters = (-(-n // pack) * pack for n in (self.channels, self.filters))
        windows = self.batch * (self.side // self.stride) ** 2
        pixels = self.batch * self.side**2
        elements = self.kernel**2
        weight = elements * self.channels * self.filters
        moved = float(size * (pixels * self.channels + windows * self.filters + weight))
        dtype = DTYPES[size]
        rows = f"matmul_tensor_kernel<{{}}, Patches<{dtype}, true>, Weights<{dtype}>>"
        across = f"matmul_tensor_kernel<{{}}, Matrices<{dtype}, false>, Patches<{dtype}, false>>"
        if way == "forward":
            products = [(windows, self.filters, elements * channels)]
        elif way == "gradient":
            met = [
                sum((pixel + self.kernel // 2 - t) % self.stride == 0 for t in range(self.kernel))
                for pixel in range(self.stride)
            ]
            each = pixels // self.stride**2
            products = [(each, self.channels, a * b * filters) for a in met for b in met]
        else:
            products = [(self.filters, elements * channels, windows)]
        store, kernel = f"Pixels<{dtype}>", rows
        if way == "weight":
            store, kernel = f"Filters<{dtype}>", across
        big = for_rows_of(products[0][1], SIDES[size])
        if way == "weight":
            big = for_rows(self.filters, SIDES[size])
        launches = [
            launch
            for sizes in products
            for launch in _product(
                "conv.cu", kernel, store, big, sizes, size, moved / len(products)
            )
        ]
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        shape = (
            f"{self.batch} images of {self.side}x{self.side}, {self.channels} to {self.filters} "
            f"channels, {self.kernel}x{self.kernel}{stride}, {dtype}"
        )
        flops = 2.0 * windows * self.filters * elements * self.channels
        return Operation(shape, moved, flops, launches, tensor_cores=True, size=size)


LAYERS = (
    Layer(64, 224, 3, 64, 7, 2),
    Layer(64, 56, 64, 64),
    Layer(64, 28, 128, 128),
    Layer(64, 14, 256, 256),
    Layer(64, 7, 512, 512),
    Layer(64, 56, 256, 64, 1),
    Layer(64, 56, 128, 128, 3, 2),
)
WAYS = {
    "forward": "convolution",
    "gradient": "gradient of its input",
    "weight": "gradient of its weight",
}
CONVOLUTIONS = [
    (name, layer.operation(way, size))
    for layer, size in [*((layer, 2) for layer in LAYERS), (LAYERS[2], 4)]
    for way, name in WAYS.items()
    if layer.channels > 3 or way != "gradient"
]


# ---------------------------------------------------------------------- attention


def _attention(batch: int, heads: int, length: int, dim: int, causal: bool) -> list:
    pairs = length * (length + 1) / 2 if causal else length**2
    numbers = batch * heads * length * dim
    said = ", causal" if causal else ""
    shape = f"{batch} x {heads} heads of {dim}, {length:,} rows{said}, bfloat16"
    along = "for (int k = 0; k < dim; k += fragment_depth)"
    rows, columns = (128, 64) if dim == 64 else (128, 32)

    def case(own: int, others: int, stages: int, file: str, loop: str, moved: int) -> Case:
        met = (length + own) / 2 if causal else length  # by a tile, on the average
        blocks = batch * heads * length // own
        words = {"attention": {along: dim / 32}, file: {loop: met / others}}
        return Case(
            blocks,
            128,
            turns(**words),
            bytes=float(moved * numbers * WORD),
            flops=0.0,
            latencies=(H200.l2_latency,),
            l2=blocks * (2 * met + 4 * own) * dim * WORD,
            shared=(2 * stages * others + 2 * own) * dim * WORD,
        )

    forward = case(
        rows, columns, 1, "attention", "for (int64_t first = 0; first < end; first += columns)", 4
    )
    forward = replace(forward, shared=(rows + 2 * columns) * dim * WORD)
    forward = replace(forward, turns={**forward.turns, **turns(attention={along: dim / 32})})
    step = "for (int64_t step = 0; step < all_steps; ++step)"
    backward = case(64, 64 if dim == 64 else 32, 2, "attention_backward", step, 5)
    all_rows = batch * heads * length
    blocks = min(all_rows // 8, GRID)
    delta = Case(
        blocks,
        256,
        turns(
            attention_backward={
                "for (int64_t i = global_thread() / 32; i < all_rows; i += thread_count() / 32)":
                all_rows / 8 / blocks,
                "for (int column = lane; column < dim; column += 32)": dim / 32,
            }
        ),
        bytes=2.0 * numbers * WORD,
        flops=0.0,
        latencies=(H200.memory_latency,),
        l2=2.0 * numbers * WORD,
    )  # fmt: skip
    kernel, file = "attention_backward_kernel<bfloat16, {}, {}, false>", "attention_backward.cu"
    return [
        (
            "attention",
            Operation(
                shape, 4.0 * numbers * WORD, 4.0 * batch * heads * pairs * dim,
                [Launch("attention.cu", f"attention_kernel<bfloat16, {dim}, false>", forward)],
                tensor_cores=True,
            ),
        ),
        (
            "its gradients",
            Operation(
                shape, 8.0 * numbers * WORD, 10.0 * batch * heads * pairs * dim,
                [
                    Launch(file, "attention_delta_kernel<bfloat16>", delta),
                    Launch(file, kernel.format(dim, "true"), backward),
                    Launch(file, kernel.format(dim, "false"), backward),
                ],
                tensor_cores=True,
            ),
        ),
    ]  # fmt: skip


ATTENTION = [
    *_attention(16, 12, 1024, 64, True),
    *_attention(4, 16, 4096, 128, True),
    *_attention(4, 16, 4096, 128, False),
]


# ---------------------------------------------------------------------- batch norm, pooling


def _elementwise(
    file: str, kernel: str, loops: Mapping[str, float], blocks: float, moved: float,
    line: str = "for (int64_t index = blockIdx.x; index < Part::spans(of); index += gridDim.x)",
    threads: int = 256,
) -> Launch:  # fmt: skip
    """moved: bytes. Blocks that a grid is too small for are turns of the loop at ``line``."""
    grid = min(math.ceil(blocks), GRID)
    case = Case(
        grid,
        threads,
        turns(**{file: {line: blocks / grid, **loops}}),
        bytes=moved,
        flops=0.0,
        latencies=(H200.memory_latency,),
        l2=moved,
        cached=[line for place in AGAIN for line in lines_of(*place)],
    )
    return Launch(f"{file}.cu", kernel, case)


def _batch_norm(batch: int, side: int, channels: int, last: bool) -> list:
    count = batch * side**2
    numbers = float(count * channels * WORD)
    lies = f"Lying<{str(last).lower()}, 8>"
    along, groups = (32, math.ceil(channels / 64)) if last else (256 * 8, channels)

    def launch(kernel: str, pixels: int, moved: float) -> Launch:
        blocks = math.ceil(count / (along * pixels)) * groups
        return _elementwise(
            "batch_norm", f"{kernel}_kernel<bfloat16, {lies}>", {}, blocks, moved * numbers
        )

    chunks = math.ceil(count / (along * 8))

    def combining(kernel: str, sums: int) -> Launch:
        each = {"for (int64_t chunk = threadIdx.x; chunk < chunks; chunk += threads)": chunks / 256}
        case = _elementwise(
            "batch_norm", kernel, each, channels, 4.0 * sums * chunks * channels,
            "for (int64_t channel = blockIdx.x; channel < channels; channel += gridDim.x)",
        )  # fmt: skip
        return replace(case, case=replace(case.case, latencies=(H200.l2_latency,), bytes=0.0))

    lying = "channels last" if last else "channels first"
    shape = f"{batch} images of {side}x{side}, {channels} channels, {lying}, bfloat16"
    forward = [
        launch("batch_moments", 8, 1),
        combining("combine_moments_kernel<float>", 4),
        launch("batch_norm", 8, 2),
    ]
    backward = [
        launch("batch_norm_sums", 8, 2),
        combining("add_channel_sums_kernel<bfloat16>", 2),
        launch("batch_norm_gradient", 4, 3),
    ]
    return [
        ("batch norm", Operation(shape, 3 * numbers, 0.0, forward)),
        ("its gradients", Operation(shape, 5 * numbers, 0.0, backward)),
    ]


BATCH_NORM = [*_batch_norm(64, 56, 256, True), *_batch_norm(64, 7, 512, True),
              *_batch_norm(64, 56, 256, False)]  # fmt: skip


def _pooling(batch: int, side: int, channels: int, kernel: int, stride: int) -> list:
    """Of which the border is left out of account."""
    out = side // stride
    pixels, windows = float(batch * side**2 * channels), float(batch * out**2 * channels)
    shape = (
        f"{batch} images of {side}x{side}, {channels} channels, last, "
        f"{kernel}x{kernel}, stride {stride}, bfloat16"
    )
    along = {
        f"for (int {i} = inside.first[{n}]; {i} < inside.end[{n}]; ++{i})": times
        for n, (i, times) in enumerate((("d", 1), ("h", kernel), ("w", kernel)))
    }
    # Of the elements that are looked at along height and width every `stride`-th is in a window.
    back = {
        f"for (int {i} = at.kernel[{n}] - 1; {i} >= 0; --{i})": times
        for n, (i, times) in enumerate((("d", 1), ("h", kernel), ("w", kernel / stride**2)))
    }
    grid = "for (int64_t index = global_thread(); index < results / width; index += thread_count())"

    def operation(name: str, where: int) -> tuple[Operation, Operation]:
        moved = WORD * pixels + (WORD + where) * windows
        forward = _elementwise(
            "pooling", f"{name}_kernel<bfloat16, 8>", along, windows / 8 / 256, moved, grid
        )
        backward = _elementwise(
            "pooling", f"{name}_backward_kernel<bfloat16, 8>", back, pixels / 8 / 256, moved, grid
        )
        return Operation(shape, moved, 0.0, [forward]), Operation(shape, moved, 0.0, [backward])

    (forward, backward), (mean, mean_back) = operation("max_pool", 8), operation("avg_pool", 0)
    return [
        ("maxima of windows", forward),
        ("their gradient", backward),
        ("means of windows", mean),
        ("their gradient", mean_back),
    ]


POOLING = _pooling(64, 112, 64, 3, 2)


# ---------------------------------------------------------------------- embedding

KEYS_OF_A_TILE, CHUNK, ADDED_TOGETHER = 2048, 128, 4
GRID_OF_TEAMS = (
    "for (int64_t item = team_index<WarpPlan>(); item < {} * tiles;\n"
    "         item += team_count<WarpPlan>())"
)
ADDING = "for (int64_t first = begin; first < end; first += at_once * step)"
LINES = "for (int64_t line = first; line < last; ++line)"


def _named(ids: str, count: int, rows: int) -> list[float]:
    """How many ids name each row, on the average."""
    if ids == "one id":
        return [float(count)] + [0.0] * (rows - 1)
    if ids == "uniform ids":
        return [count / rows] * rows
    harmonic = sum(1 / rank for rank in range(1, rows + 1))
    return [count / rank / harmonic for rank in range(1, rows + 1)]


def _sort(count: int, rows: int) -> list[Launch]:
    """kernels/sort.cu: passes of three launches."""
    tiles = math.ceil(count / KEYS_OF_A_TILE)
    grid = "for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x)"
    along = {
        "for (int64_t t = 0; t < tiles; ++t)": tiles / 4,  # by the unrolled loops
        "for (int d = 0; d < digit; ++d)": 256 / 8,
    }
    begins = Case(1, 256, turns(sort=along), bytes=0.0, flops=0.0, latencies=(H200.l2_latency,))
    return [
        _elementwise("sort", "sort_count_kernel", {}, tiles, 8.0 * count, grid),
        Launch("sort.cu", "sort_begin_kernel", begins),
        _elementwise("sort", "sort_move_kernel", {}, tiles, 32.0 * count, grid),
    ] * math.ceil(math.log2(rows + 1) / 8)


def _embedding(ids: str, count: int = 65536, rows: int = 50257, cols: int = 768) -> list:
    tiles = math.ceil(cols / 256)  # a warp's packs of a row
    named = _named(ids, count, rows)
    chunks = [max(0.0, n / CHUNK - 1) for n in named]  # that name one row alone
    read, written = float(count * cols * WORD), float(rows * cols * WORD)

    def launch(name: str, items: str, number: float, moved: float, **added: float) -> Launch:
        """Teams of warps, four in a block. added: lines that are added up in each loop."""
        kernel = f"embedding_{name}_kernel<bfloat16, Layout::packs>"
        file, grid = "embedding", GRID_OF_TEAMS.format(items)
        made = _elementwise(file, kernel, {}, number * tiles / 4, moved, grid, threads=128)
        loops = turns(row={ADDING: added.get("rows", 0) / ADDED_TOGETHER})
        if name == "backward":
            loops |= turns(embedding={LINES: added["chunks"] / ADDED_TOGETHER})
        case = replace(made.case, turns={**made.case.turns, **loops})
        return replace(made, case=case)

    forward = launch("forward", "count", count, 2 * read)
    in_chunks = sum(chunks) * CHUNK / count  # of all rows
    searching = _elementwise(
        "embedding", "embedding_segments_kernel", {"while (begin < end)": math.log2(count)},
        rows / 128, 16.0 * rows,
        "for (int64_t row = global_thread(); row < rows; row += thread_count())", threads=128,
    )  # fmt: skip
    searching = replace(searching, case=replace(searching.case, latencies=(H200.l2_latency,)))
    backward = [
        *_sort(count, rows),
        searching,
        launch("chunks", "chunks", count // CHUNK, read * in_chunks, rows=in_chunks * CHUNK),
        launch(
            "backward", "rows", rows, written + read * (1 - in_chunks),
            rows=count * (1 - in_chunks) / rows, chunks=0,
        ),
    ]  # fmt: skip
    backward[-1] = replace(backward[-1], rare=("if (has_chunks) {",))  # of few rows
    if max(chunks) > 1:  # warps that add up the chunks of one row, when others have nothing to do
        last = launch("backward", "rows", 1, 0.0, rows=CHUNK, chunks=max(chunks))
        backward.append(replace(last, case=replace(last.case, latencies=(H200.l2_latency,))))
    shape = f"{count:,} ids, {ids}, of {rows:,} rows of {cols}, bfloat16"
    table = sum(1 - math.exp(-n) for n in named) * cols * WORD  # rows that are read
    return [
        ("embedding", Operation(shape, 8.0 * count + read + table, 0.0, [forward])),
        ("its gradient", Operation(shape, 8.0 * count + read + written, 0.0, backward)),
    ]


EMBEDDING = [row for ids in ("uniform ids", "Zipf ids", "one id") for row in _embedding(ids)]
OPERATIONS = [*SCALAR_PRODUCTS, *CONVOLUTIONS, *POOLING, *BATCH_NORM, *ATTENTION, *EMBEDDING]
