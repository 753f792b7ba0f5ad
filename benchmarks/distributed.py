"""What it costs to train on two ranks instead of one: ``python benchmarks/distributed.py``.

Two networks, a convolutional one for the digits and a small GPT, the same code with tapegrad and
with PyTorch (DistributedDataParallel on gloo). Each rank has one thread and the same work: with n
ranks the global batch is n times as large, and the efficiency is the time of a step on one rank,
without any process group, over that on n. All contestants run once a round, one after the other;
the table has the medians over rounds. And: all_reduce of 64 MB beside mpi4py's own call, in turns.

Needs the extra mpi, and PyTorch for its columns. On a busy machine it measures the others.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="of a measurement")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rank", nargs="+", help=argparse.SUPPRESS)  # what a rank is to do
    options = parser.parse_args()
    if options.rank:
        run_rank(*options.rank)
        return
    ratios = [launched("allreduce", options.ranks) for _ in range(options.rounds)]
    own, theirs = (statistics.median(r[key] for r in ratios) for key in ("own", "mpi4py"))
    print(f"all_reduce of 64 MB on {options.ranks} ranks: {own:.1f} ms, mpi4py's Allreduce")
    print(f"{theirs:.1f} ms: {own / theirs:.2f} times\n")
    print(f"| network | library | 1 rank, ms | {options.ranks} ranks, ms | efficiency |")
    print("|---|---|---:|---:|---:|")
    for network in NETWORKS:
        times: dict[tuple[str, int], list[float]] = {}
        for _ in range(options.rounds):
            for library in ("tapegrad", "torch"):
                for count in (1, options.ranks):
                    found = launched("train", count, library, network, str(options.steps))
                    times.setdefault((library, count), []).append(found["step"])
        for library in ("tapegrad", "torch"):
            one, several = (statistics.median(times[library, n]) * 1e3 for n in (1, options.ranks))
            pairs = zip(times[library, 1], times[library, options.ranks], strict=True)
            efficiency = statistics.median(a / b for a, b in pairs)
            print(f"| {network} | {library} | {one:.1f} | {several:.1f} | {efficiency:.2f} |")


def launched(what: str, count: int, *more: str) -> dict[str, Any]:
    """What rank 0 says of a measurement."""
    command = [sys.executable, "-m", "tapegrad", "launch", "-n", str(count)]
    command += [__file__, "--rank", what, *more]
    threads = dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1")
    environment = {**os.environ, **threads, "PYTHONPATH": str(ROOT / "src")}
    environment.setdefault("MASTER_PORT", "29511")
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    return json.loads(ended.stdout.splitlines()[-1])


# ---------------------------------------------------------------------- what a rank does


def run_rank(what: str, *arguments: str) -> None:
    found = measure_all_reduce() if what == "allreduce" else train(*arguments)
    if os.environ["RANK"] == "0":
        print(json.dumps(found), flush=True)


def measure_all_reduce() -> dict[str, float]:
    from mpi4py import MPI

    import tapegrad as tg
    import tapegrad.distributed as dist

    dist.init_process_group("mpi")
    x = tg.randn(16 * 2**20)
    array, result = x.numpy(), tg.empty(16 * 2**20).numpy()
    ways = {
        "own": lambda: dist.all_reduce(x, dist.ReduceOp.AVG),
        "mpi4py": lambda: MPI.COMM_WORLD.Allreduce(array, result),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(12):
        for name, way in ways.items():
            MPI.COMM_WORLD.Barrier()
            began = time.perf_counter()
            way()
            if turn > 1:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) * 1e3 for name, each in times.items()}


def digits_network(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(1024, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    return model, lambda: (torch.randn(128, 1, 8, 8), torch.randint(0, 10, (128,)))


def gpt_network(torch: Any) -> tuple[Any, Any]:
    nn, length, words, width = torch.nn, 64, 96, 128

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
            options = {"dropout": 0.0, "batch_first": True, "norm_first": True}
            layers = [nn.TransformerEncoderLayer(width, 4, 4 * width, **options) for _ in range(3)]
            self.layers = nn.ModuleList(layers)
            self.head = nn.Linear(width, words)
            self.register_buffer("mask", torch.full((length, length), -1e9).triu(1))

        def forward(self, x: Any) -> Any:
            x = self.words(x) + self.places.weight
            for layer in self.layers:
                x = layer(x, src_mask=self.mask)
            return self.head(x).flatten(0, 1)

    def batch() -> tuple[Any, Any]:
        text = torch.randint(0, words, (16, length + 1))
        return text[:, :-1], text[:, 1:].flatten()

    return GPT(), batch


NETWORKS = {"digits": digits_network, "GPT": gpt_network}


def train(library: str, network: str, steps: str) -> dict[str, float]:
    if library == "torch":
        import torch
        import torch.distributed as dist
    else:
        import tapegrad as torch  # the same names
        import tapegrad.distributed as dist

    torch.set_num_threads(1)
    several = int(os.environ["WORLD_SIZE"]) > 1
    torch.manual_seed(int(os.environ["RANK"]))
    model, batch = NETWORKS[network](torch)
    called = model
    if several:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        dist.init_process_group("gloo" if library == "torch" else "mpi")
        called = torch.nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    times = []
    for _ in range(5 + int(steps)):
        x, y = batch()
        began = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(called(x), y).backward()
        optimizer.step()
        times.append(time.perf_counter() - began)
    if several and library == "torch":
        dist.destroy_process_group()
    return {"step": statistics.median(times[5:])}


if __name__ == "__main__":
    main()
