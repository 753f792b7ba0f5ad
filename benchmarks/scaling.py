"""How data-parallel training should scale to GPUs that are not at hand: *predicted*, by a model in
which a message costs a latency and its bytes over a bandwidth (Hockney 1994: alpha and beta).

``python benchmarks/scaling.py`` writes the tables of docs/scaling.md. No GPU was measured for them.

A step is simulated with two queues, as a GPU has them: one computes, one communicates, in order. A
bucket of gradients can be reduced when the backward pass has come through the layers that it is of.
Left out: ranks that are slower, other users of the network, what both queues take from each other.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu_model import H200

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
START = "<!-- benchmarks/scaling.py: start -->\n"
END = "<!-- benchmarks/scaling.py: end -->\n"
GPUS = (8, 32, 128, 512, 1024, 2048, 4096, 8192, 16384)


@dataclass(frozen=True)
class Cluster:
    """Nodes of GPUs. Latencies in seconds, bandwidths in bytes a second.

    Latencies: those by which NCCL chooses its algorithms (src/graph/tuning.cc, protocol Simple).
    network: 47 GB/s for each adapter of 400 Gb/s, of which each GPU has one; inside: an all-reduce
    by the switches of one node, both as NVIDIA's developers expect them of H100 nodes (nccl-tests,
    issue 290). ring, what rings reach inside a node, and tree, the part of the rings' bandwidth
    that trees reach between nodes, are estimates.
    """

    node: int = 8
    base: float = 8.4e-6
    inside_step: float = 3.4e-6
    network_step: float = 14e-6
    tree_inside_step: float = 4.0e-6
    tree_network_step: float = 14e-6
    network: float = 47e9
    inside: float = 476e9
    ring: float = 360e9
    tree: float = 0.9

    def all_reduce(self, size: float, ranks: int) -> float:
        """Seconds; by rings or by trees, whichever is faster, as NCCL chooses."""
        if ranks == 1:
            return 0.0
        nodes = math.ceil(ranks / self.node)
        volume = 2 * (ranks - 1) / ranks * size
        if nodes == 1:
            return self.base + 2 * (ranks - 1) * self.inside_step + volume / self.inside
        bandwidth = min(self.ring, self.node * self.network)
        ring = 2 * self._around(ranks) + volume / bandwidth
        depth = (self.node - 1) * self.tree_inside_step
        depth += math.ceil(math.log2(nodes)) * self.tree_network_step
        return self.base + min(ring, 2 * depth + volume / (self.tree * bandwidth))

    def gather(self, size: float, ranks: int) -> float:
        """Seconds of an all-gather to ``size`` bytes, or of a reduce-scatter of them: by rings, the
        only algorithm that NCCL has for several GPUs a node."""
        if ranks == 1:
            return 0.0
        bandwidth = self.ring if ranks <= self.node else min(self.ring, self.node * self.network)
        return self.base + self._around(ranks) + (ranks - 1) / ranks * size / bandwidth

    def _around(self, ranks: int) -> float:
        """From a rank to the one before it."""
        nodes = math.ceil(ranks / self.node)
        across = nodes if nodes > 1 else 0
        return (ranks - 1 - across) * self.inside_step + across * self.network_step


@dataclass(frozen=True)
class Model:
    """A GPT. tokens: of a rank in a step. utilization: the part of the tensor cores' peak that a
    step reaches by itself; llm.c's 468,000 tokens a second of GPT-2 124M, on an H100, are 0.38."""

    name: str
    layers: int
    width: int
    tokens: int
    context: int = 1024
    vocabulary: int = 50257
    utilization: float = 0.4

    @property
    def block(self) -> int:
        """Parameters of a layer."""
        return 12 * self.width**2 + 13 * self.width

    @property
    def parameters(self) -> int:
        return self.layers * self.block + (self.vocabulary + self.context + 2) * self.width

    def seconds(self, tokens: float) -> float:
        """Of a forward and a backward pass: 6 operations for each parameter and token, and products
        of queries, keys and values, half of which a causal mask saves."""
        operations = 6 * self.parameters + 6 * self.layers * self.context * self.width
        return tokens * operations / (self.utilization * H200.tensor_peak)

    def optimizer(self, share: float) -> float:
        """AdamW on this share of the parameters: 16 bits and three float32 of each are read, and
        written."""
        return share * self.parameters * 28 / H200.copy


GPT2 = Model("GPT-2 124M", 12, 768, 32 * 1024)
GPT2_XL = Model("GPT-2 1.5B", 48, 1600, 16 * 1024)
BUCKET = 25e6  # bytes of gradients of 16 bits


class Queues:
    """Two queues, each of which does one thing after the other."""

    def __init__(self) -> None:
        self.computing = self.communicating = 0.0

    def compute(self, seconds: float, after: float = 0.0) -> float:
        """When it is done, if it may begin at ``after``."""
        self.computing = max(self.computing, after) + seconds
        return self.computing

    def communicate(self, seconds: float, after: float = 0.0) -> float:
        self.communicating = max(self.communicating, after) + seconds
        return self.communicating


def data_parallel(model: Model, cluster: Cluster, ranks: int, tokens: float) -> float:
    """Seconds of a step with DistributedDataParallel."""
    return _buckets(model, ranks, tokens, cluster.all_reduce) + model.optimizer(1)


def sharded_optimizer(model: Model, cluster: Cluster, ranks: int, tokens: float) -> float:
    """With a rank's part of the optimizer (ZeRO 1): parameters are gathered after its step."""
    seconds = _buckets(model, ranks, tokens, cluster.gather) + model.optimizer(1 / ranks)
    return seconds + cluster.gather(2 * model.parameters, ranks)


def fully_sharded(model: Model, cluster: Cluster, ranks: int, tokens: float) -> float:
    """With a rank's part of everything (ZeRO 3): a layer's parameters are gathered before it is
    computed, both ways, while the layer before is; its gradients are scattered behind it."""
    layer = model.seconds(tokens) / (model.layers + 1)
    sizes = [2.0 * model.block] * model.layers
    sizes.append(2.0 * (model.parameters - model.layers * model.block))  # embeddings
    queues = Queues()
    began = 0.0  # the computation of the layer before
    for size in sizes:
        there = queues.communicate(cluster.gather(size, ranks), began)
        began = max(there, queues.computing)
        queues.compute(layer / 3, there)
    done = queues.computing
    for i, size in enumerate(reversed(sizes)):
        there = queues.communicate(cluster.gather(size, ranks), began)
        if i > 0:  # behind what the next layer needs at once
            queues.communicate(cluster.gather(size, ranks), done)
        began = max(there, queues.computing)
        done = queues.compute(layer * 2 / 3, there)
    last = queues.communicate(cluster.gather(sizes[0], ranks), done)
    return max(last, queues.computing) + model.optimizer(1 / ranks)


def _buckets(
    model: Model, ranks: int, tokens: float, reduce: Callable[[float, int], float]
) -> float:
    seconds = model.seconds(tokens)
    queues = Queues()
    queues.compute(seconds / 3)
    size = 2.0 * model.parameters
    count = math.ceil(size / BUCKET)
    for _ in range(count):
        ready = queues.compute(seconds * 2 / 3 / count)
        queues.communicate(reduce(size / count, ranks), ready)
    return max(queues.computing, queues.communicating)


WAYS = {
    "data parallel": data_parallel,
    "optimizer sharded": sharded_optimizer,
    "all sharded": fully_sharded,
}
# Bytes of a rank for each parameter: it and its gradient in 16 bits, it and two moments in float32.
STATES: dict[str, Callable[[int], float]] = {
    "data parallel": lambda ranks: 4 + 12,
    "optimizer sharded": lambda ranks: 4 + 12 / ranks,
    "all sharded": lambda ranks: 16 / ranks,
}


def efficiency(model: Model, gpus: int, seconds: float, fixed: int | None) -> float:
    """How much of a GPU's work by itself each does in such a step: of its own tokens, or of the
    ``fixed`` number of all. (With its optimizer sharded, a rank may do more: that counts as 1.)"""
    alone = model.seconds(fixed or model.tokens) + model.optimizer(1)
    return min(alone / (gpus if fixed else 1) / seconds, 1.0)


def tables(cluster: Cluster) -> Iterator[str]:
    for model in (GPT2, GPT2_XL):
        yield from _table(f"{model.name}, {model.tokens:,} tokens a GPU", model, cluster, GPUS)
    whole = 2**22
    counts = [gpus for gpus in GPUS if gpus <= whole // GPT2.context]
    for model in (GPT2, GPT2_XL):
        title = f"{model.name}, {whole:,} tokens in all"
        yield from _table(title, model, cluster, counts, whole)


def _table(
    title: str, model: Model, cluster: Cluster, counts: Sequence[int], fixed: int | None = None
) -> Iterator[str]:
    yield f"**{title}** (milliseconds of a step; efficiency beside one GPU by itself)"
    yield ""
    yield f"| GPUs | {' | '.join(WAYS)} |"
    yield f"|---:|{'---:|' * len(WAYS)}"
    last = dict.fromkeys(WAYS, counts[0])
    for gpus in counts:
        cells = []
        for name, way in WAYS.items():
            seconds = way(model, cluster, gpus, fixed / gpus if fixed else model.tokens)
            part = efficiency(model, gpus, seconds, fixed)
            last[name] = gpus if part >= 0.5 else last[name]
            cells.append(f"{seconds * 1e3:,.1f}, {part:.0%}")
        yield f"| {gpus:,} | {' | '.join(cells)} |"
    yield f"| ends at | {' | '.join(f'{gpus:,}' for gpus in last.values())} |"
    if not fixed:
        states = [f"{STATES[name](counts[0]) * model.parameters / 1e9:.2g} GB" for name in WAYS]
        yield f"| parameters and states, {counts[0]} GPUs | {' | '.join(states)} |"
    yield ""


def page() -> str:
    """The page as it should be."""
    before, _, rest = PAGE.read_text().partition(START)
    _, _, after = rest.partition(END)
    return "".join([before, START, *(f"{line}\n" for line in tables(Cluster())), END, after])


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.exit(0)
