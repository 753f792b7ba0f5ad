"""Judges ``tapegrad emulate`` by programs that are put together from patterns: each right, and with
a bug that its pattern is known for (an atomic operation, barrier, bound or guard missing).

    python tools/emulate_corpus.py [--schedule random:3] [pattern ...]

Prints for each pattern how many right programs gave a report and how many wrong ones gave none, or
another one than their bug is known for, and the names of all; the exit status is 1 where there are
any. Takes 40 s of processor time.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from emulated_programs import BOUNDS, RACE, UNWRITTEN, Case, program

from tapegrad.emulating import Program, compile_program

TYPES = ("int", "unsigned", "long long", "float", "double", "short")
FEW = ("int", "float")

# Whose is a vertex i, and its edges j: there are 96 vertices.
WORKERS = {
    "thread": (
        "int i = threadIdx.x + blockIdx.x * blockDim.x; if (i >= n) return;"
        " for (int j = rows[i]; j < rows[i + 1]; ++j)",
        "2, 64",
    ),
    "stride": (
        "for (int i = threadIdx.x + blockIdx.x * blockDim.x; i < n; i += gridDim.x * blockDim.x)"
        " for (int j = rows[i]; j < rows[i + 1]; ++j)",
        "1, 64",
    ),
    "warp": (
        "int i = (threadIdx.x + blockIdx.x * blockDim.x) / 32; if (i >= n) return;"
        " for (int j = rows[i] + threadIdx.x % 32; j < rows[i + 1]; j += 32)",
        "25, 128",
    ),
    "block": (
        "int i = blockIdx.x; for (int j = rows[i] + threadIdx.x; j < rows[i + 1]; j += blockDim.x)",
        "96, 64",
    ),
}
CONDITIONS = {
    "all": "",
    "upper": "if (i < columns[j])",
    "positive": "if (b[columns[j]] > 0)",
    "odd": "if (columns[j] % 2)",
}
# An update of a place that several threads change, atomic and not.
UPDATES = {
    "add": "<?atomicAdd(&{0}, {1})?:{0} += {1}?>",
    "max": "<?atomicMax(&{0}, {1})?:{0} = max({0}, {1})?>",
    "min": "<?atomicMin(&{0}, {1})?:{0} = min({0}, {1})?>",
}


def edges() -> Iterator[Case]:
    """Push along edges, into vertices and one total."""
    kinds = itertools.product(WORKERS, CONDITIONS, UPDATES, ("vertex", "total"), FEW)
    for worker, condition, update, into, of in kinds:
        start, launch = WORKERS[worker]
        place, value = ("a[columns[j]]", "T(b[i] + 1)") if into == "vertex" else ("a[0]", "T(i)")
        body = f"{start} {CONDITIONS[condition]} {UPDATES[update].format(place, value)};"
        yield Case(named("push", worker, condition, update, into, of), RACE, body, of, launch)


def types() -> Iterator[Case]:
    for of, update, worker in itertools.product(TYPES, UPDATES, WORKERS):
        start, launch = WORKERS[worker]
        body = f"{start} {UPDATES[update].format('a[columns[j]]', 'T(b[i] + 1)')};"
        yield Case(named("type", of, update, worker), RACE, body, of, launch)


def guards() -> Iterator[Case]:
    """A plain look before an atomic operation, which others may have changed meanwhile."""
    for worker, (sign, update), of in itertools.product(WORKERS, (("<", "Max"), (">", "Min")), FEW):
        start, launch = WORKERS[worker]
        value = "b[i]" if update == "Max" else "T(b[i] - 9)"  # a begins as 0, b is 0 to 2
        look = f"<??:if (a[columns[j]] {sign} {value})?>"
        body = f"{start} {look} atomic{update}(&a[columns[j]], {value});"
        yield Case(named("guard", worker, update, of), RACE, body, of, launch)


def worklists() -> Iterator[Case]:
    for worker, condition in itertools.product(WORKERS, CONDITIONS):
        start, launch = WORKERS[worker]
        take = "T at = <?atomicAdd(&b[0], T(1))?:b[0]++?>;"
        condition_text = CONDITIONS[condition].replace("b[columns[j]] > 0", "columns[j] > 9")
        body = f"{start} {condition_text} {{ {take} if (at < 376) a[at] = j; }}"
        yield Case(named("worklist", worker, condition), RACE, body, "int", launch)
        flag = f"{start} {condition_text} {{ <?atomicExch(&a[0], T(1))?:a[0] = 1?>; break; }}"
        yield Case(named("flag", worker, condition), RACE, flag, "int", launch)


def bounds() -> Iterator[Case]:
    own = "int i = threadIdx.x + blockIdx.x * blockDim.x;"
    pull = "T s = 0; for (int j = rows[i]; j < rows[i + 1]; ++j) s += b[columns[j]]; a[i] = s;"
    for of in TYPES:
        yield Case(
            named("bound", "pull", of), BOUNDS, f"{own} <?if (i >= n) return;?:?> {pull}", of
        )
        yield Case(
            named("bound", "row", of),
            BOUNDS,
            f"{own} if (i >= n) return; {pull.replace('< rows[i + 1]', '<?<?:<=?> rows[i + 1]')}",
            of,
        )
        yield Case(
            named("bound", "stencil", of),
            BOUNDS,
            f"{own} if (i >= 376) return; a[i] = <?(i + 1 < 376 ? b[i + 1] : 0)?:b[i + 1]?>;",
            of,
            "6, 64",
        )
        yield Case(
            named("bound", "left", of),
            BOUNDS,
            f"{own} if (i >= 376) return; a[i] = <?(i > 0 ? b[i - 1] : 0)?:b[i - 1]?>;",
            of,
            "6, 64",
        )
        yield Case(
            named("bound", "shared", of),
            BOUNDS,
            "__shared__ T part[64]; part[threadIdx.x] = b[threadIdx.x]; __syncthreads();"
            " a[threadIdx.x] = part[(threadIdx.x + 1) <?% 64?:?>];",
            of,
            "1, 64",
        )
        yield Case(
            named("bound", "vector", of),
            BOUNDS,
            f"{own} for (int k = 0; k < 4; ++k) if (4 * i + k <?< 376?:<= 376?>)"
            " a[4 * i + k] = b[0];",
            of,
        )


def reductions() -> Iterator[Case]:
    halves = "for (int d = blockDim.x / 2; d > 0; d /= 2)"
    for of, threads, update in itertools.product(FEW, (64, 256), ("+", "max")):
        joined = "part[t] + part[t + d]" if update == "+" else "max(part[t], part[t + d])"
        start = f"__shared__ T part[{threads}]; const int t = threadIdx.x; part[t] = b[t];"
        end = "if (t == 0) atomicAdd(&a[0], part[0]);"
        launch, name = f"3, {threads}", "sum" if update == "+" else "max"
        sync, gone = "__syncthreads();", "<?__syncthreads();?:?>"
        for which, (first, second) in {"first": (gone, sync), "inner": (sync, gone)}.items():
            body = f"{start} {first} {halves} {{ if (t < d) part[t] = {joined}; {second} }} {end}"
            yield Case(named("reduce", of, threads, name, which), RACE, body, of, launch)
        last = "<?atomicAdd(&a[0], part[0])?:a[0] += part[0]?>"
        body = f"{start} {sync} {halves} {{ if (t < d) part[t] = {joined}; {sync} }}"
        body += f" if (t == 0) {last};"
        yield Case(named("reduce", of, threads, name, "last"), RACE, body, of, launch)
        shuffled = (
            "T v = b[threadIdx.x]; for (int d = 16; d > 0; d /= 2)"
            " { T w = __shfl_down_sync(~0u, v, d); v = "
            + ("v + w" if update == "+" else "max(v, w)")
            + "; } __shared__ T part[32]; if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;"
            " <?__syncthreads();?:?> if (threadIdx.x == 0) {"
            " for (int w = 0; w < blockDim.x / 32; ++w) v += part[w]; atomicAdd(&a[0], v); }"
        )
        yield Case(named("shuffle", of, threads, name), UNWRITTEN, shuffled, of, launch)


def barriers() -> Iterator[Case]:
    own = "const int t = threadIdx.x, i = t + blockIdx.x * blockDim.x;"
    sync = "<?__syncthreads();?:?>"
    for of, threads in itertools.product(FEW, (32, 64, 128)):
        shared = f"{own} __shared__ T part[{threads}];"
        tile = f"{shared} part[t] = b[i]; {{0}} a[i] = part[{threads - 1} - t];"
        yield Case(named("reverse", of, threads), UNWRITTEN, tile.format(sync), of, f"2, {threads}")
        halo = (
            f"{own} __shared__ T tile[{threads + 2}]; tile[t + 1] = b[i];"
            f" if (t == 0) {{ tile[0] = 0; tile[{threads + 1}] = 0; }} {sync}"
            " a[i] = tile[t] + tile[t + 1] + tile[t + 2];"
        )
        yield Case(named("stencil", of, threads), UNWRITTEN, halo, of, f"2, {threads}")
        begin = f"{shared} part[t] = b[i]; __syncthreads();"
        loops = {
            "rotate": "for (int k = 0; k < 3; ++k)"
            f" {{ T v = part[(t + 1) % {threads}]; 0 part[t] = v; 1 }}",
            "scan": f"for (int d = 1; d < {threads}; d *= 2)"
            " { T v = t >= d ? part[t - d] : T(0); 0 part[t] += v; 1 }",
        }
        for name, loop in loops.items():
            for which in (" 0 ", " 1 "):
                one = loop.replace(which, f" {sync} ").replace(" 0 part", " __syncthreads(); part")
                one = one.replace("; 1 }", "; __syncthreads(); }")
                body = f"{begin} {one} a[i] = part[t];"
                yield Case(named(name, of, threads, which.strip()), RACE, body, of, f"2, {threads}")
        bins = (
            f"{own} __shared__ T bins[8]; if (t < 8) bins[t] = 0; __syncthreads();"
            " <?atomicAdd(&bins[i % 8], T(1))?:bins[i % 8] += 1?>; __syncthreads();"
            " if (t < 8) atomicAdd(&a[t], bins[t]);"
        )
        yield Case(named("bins", of, threads), RACE, bins, of, f"2, {threads}")
        lanes = f"{shared} part[t] = b[i]; <?__syncwarp();?:?> T v = part[t ^ 1]; a[i] = v;"
        yield Case(named("lanes", of, threads), UNWRITTEN, lanes, of, f"2, {threads}")


def named(*parts: object) -> str:
    return "_".join(map(str, parts)).replace(" ", "_").replace("+", "plus")


PATTERNS = {f.__name__: f for f in (edges, types, guards, worklists, bounds, reductions, barriers)}
AT_ONCE = 24  # in one program


def judged(
    cases: list[Case], folder: Path, schedule: str
) -> tuple[list[str], list[str], list[str]]:
    """(right ones that were reported, wrong ones that were not, with something else)."""
    alarms, missed, other = [], [], []
    for number, start in enumerate(range(0, len(cases), AT_ONCE)):
        some = cases[start : start + AT_ONCE]
        file = folder / f"{cases[0].name}_{number}.cu"
        file.write_text(program(some))
        compiled = compile_program(file)
        for case in some:
            if reports(compiled, f"{case.name}_right", schedule):
                alarms.append(case.name)
            found = reports(compiled, f"{case.name}_wrong", schedule)
            if not found:
                missed.append(case.name)
            elif case.found not in "\n".join(found):
                other.append(f"{case.name}: {found[0]}")
    return alarms, missed, other


def reports(compiled: Program, name: str, schedule: str) -> tuple[str, ...]:
    outcome = compiled.run([name], schedule=schedule, stdout=subprocess.DEVNULL)
    assert outcome.launches == 1, (name, outcome)
    return outcome.reports


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedule", default="ascending")
    parser.add_argument("pattern", nargs="*", choices=[[], *PATTERNS])
    arguments = parser.parse_args()
    failed = total = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        names = arguments.pattern or [*PATTERNS]
        cases = {name: list(PATTERNS[name]()) for name in names}
        results = [
            pool.submit(judged, cases[name], Path(folder), arguments.schedule) for name in names
        ]
        for name, result in zip(names, results, strict=True):
            alarms, missed, other = result.result()
            count = len(cases[name])
            print(f"{name}: {count} right, {len(alarms)} reported; {count} wrong, ", end="")
            print(f"{len(missed)} missed")
            for what, which in (("false", alarms), ("missed", missed), ("another report", other)):
                for text in which:
                    print(f"  {what}: {text}")
            failed += len(alarms) + len(missed) + len(other)
            total += 2 * count
    print(f"{total} programs")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
