"""The four parts of gpu_check.py, each of which runs as a process of its own.

A part writes what it has found so far into the file that GPU_CHECK_RESULT names, as often as there
is something new: it may be killed at any time.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gpu_check import ROOT, start, write_whole

# Calls to CUDA that fail are not memcheck's business: CuPy asks for what a driver may not have, and
# a failed launch raises in tapegrad.
TOOLS = {
    "memcheck": ["--report-api-errors", "no"],
    "racecheck": [],
    "initcheck": [],
    "synccheck": [],
}
SANITIZER_ERROR = 86  # the exit status that the sanitizer is asked for
MOST = 50  # failures listed
# Of the time of bench: the demo, which compiles nothing that the kernels did not, gets the rest.
KERNELS_END, DEMO_END = 0.75, 0.95

# What is run on the emulated device is a sample: CI runs the whole suite there anyway.
SELECTED = "emulated and (relu or softmax or linear) and not bfloat16 and not gradcheck"
SAMPLE = ["tests/test_ops.py", "tests/test_kernels.py", "-k", SELECTED]


class Report:
    """The findings of a part, in a file that is always whole."""

    def __init__(self, file: Path):
        self.file = file
        self.found: dict[str, Any] = {"status": "running"}

    def __call__(self, **found: Any) -> None:
        self.found.update(found)
        write_whole(self.file, json.dumps(self.found))


class Failed(Exception):
    """The part failed, for the reason given."""


class Incomplete(Exception):
    """Nothing failed, but not everything was run, for the reason given."""


class Skipped(Exception):
    """The part cannot run here, for the reason given."""


def python(*arguments: str, timeout: float | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)


# ---------------------------------------------------------------------- build


def build(options: Namespace, report: Report) -> None:
    from tapegrad import _build
    from tapegrad.core import kernels

    started = time.monotonic()
    try:
        print(_build.build_into_cache(options.device), flush=True)
    except _build.BuildError as error:
        print(error, flush=True)
        raise Failed(last_line(str(error))) from error
    seconds = time.monotonic() - started
    try:
        info = kernels.library(options.device).build_info()
    except (ImportError, RuntimeError) as error:
        raise Failed(f"the extension cannot be loaded: {error}") from error
    summary = f"{info['compiler']}, architectures {info['architectures']}"
    report(compile_seconds=round(seconds, 1), **info, summary=summary)


# ---------------------------------------------------------------------- test


def test(options: Namespace, report: Report) -> None:
    from tapegrad.bench.machine import cores

    if python("-c", "import pytest").returncode:
        raise Failed("pytest is not installed: pip install pytest, or put it on PYTHONPATH")
    arguments = options.arguments or (gpu_tests() if options.device == "cuda" else SAMPLE)
    # Each process has its own context on the GPU, which takes some hundred MB of its memory.
    workers = options.workers or max(1, min(16, cores() - 2))
    used = time.monotonic() - options.started
    to_end = max(0.15 * options.seconds, 7)  # what pytest may need to end well
    stop_at = time.time() - used + options.seconds - to_end
    environ = dict(os.environ)
    environ.pop("PYTEST_ADDOPTS", None)  # such as -n: the processes are here already
    environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), environ["PYTHONPATH"]])
    environ.setdefault("OMP_NUM_THREADS", "1")  # of the reference, in each of several processes
    with tempfile.TemporaryDirectory() as folder:
        # A copy, the same for all processes: the file itself grows while they start.
        earlier = Path(shutil.copy(options.passed, folder))
        passed = set(earlier.read_text().splitlines())
        logs = [Path(folder, f"{i}.jsonl") for i in range(workers)]
        outputs = [Path(folder, f"{i}.log") for i in range(workers)]
        processes = []
        for i in range(workers):
            command = [sys.executable, "-m", "pytest", "-p", "pytest_shards", "-q", "--no-header"]
            command += ["--continue-on-collection-errors", "-p", "no:cacheprovider"]
            command += ["--shard", f"{i}/{workers}", "--report", str(logs[i])]
            command += ["--earlier", str(earlier), "--stop-at", str(stop_at), *arguments]
            processes.append(start(command, outputs[i], environ))
        while True:
            codes = [process.poll() for process in processes]
            found = [entry for log in logs for entry in entries(log)]
            facts = summarise(found)
            report(workers=workers, arguments=arguments, **facts)
            new = passing(found) - passed
            with open(options.passed, "a") as file:
                file.writelines(f"{name}\n" for name in sorted(new))
            passed |= new
            if None not in codes:
                break
            time.sleep(0.5)
        for code, output in zip(codes, outputs, strict=True):
            if code:
                print("\n".join(output.read_text(errors="replace").splitlines()[-15:]), flush=True)
    counts = facts["counts"]
    if counts["failed"] or counts["error"]:
        raise Failed(f"{counts['failed'] + counts['error']} of {facts['selected']} tests failed")
    if not counts["passed"]:
        raise Failed(f"no test ran: {facts['summary'] or 'none was selected'}")
    # 2: stopped at the deadline; 5: nothing was left for this process.
    if any(code not in (0, 2, 5) for code in codes):
        raise Failed(f"pytest ended with status {', '.join(map(str, codes))}")
    if facts["not_run"]:
        raise Incomplete(
            f"{facts['selected'] - facts['not_run']} of {facts['selected']} tests run, none "
            "failed; --only test goes on"
        )


def gpu_tests() -> list[str]:
    """What pytest is given: the files that have tests for a GPU (others may need what is not on a
    machine that has one), and which of their tests."""
    marks = ("DEVICES", "mark.gpu")
    files = [
        f
        for f in sorted(ROOT.glob("tests/test_*.py"))
        if any(mark in f.read_text() for mark in marks)
    ]
    return [*(str(f.relative_to(ROOT)) for f in files), "-m", "gpu and not large"]


def entries(log: Path) -> list[dict[str, Any]]:
    if not log.exists():
        return []
    lines = log.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def outcomes(found: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The last that was said of each test: a test that has passed may still fail to clean up."""
    return {entry["id"]: entry for entry in found if "outcome" in entry}


def passing(found: Sequence[dict[str, Any]]) -> set[str]:
    return {name for name, entry in outcomes(found).items() if entry["outcome"] == "passed"}


def summarise(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of all tests selected, those that had passed in an earlier run included."""
    earlier = max((entry.get("earlier", 0) for entry in found), default=0)
    selected = earlier + sum(entry.get("selected", 0) for entry in found)
    counts = {"passed": earlier, "failed": 0, "error": 0, "skipped": 0}
    failures = []
    for name, entry in outcomes(found).items():
        counts[entry["outcome"]] += 1
        if entry["outcome"] in ("failed", "error"):
            failures.append(f"{name}: {entry['message']}")
    not_run = max(selected - sum(counts.values()), 0)
    told = [f"{number} {outcome}" for outcome, number in counts.items() if number]
    told += [f"{earlier} of them in earlier runs"] if earlier else []
    told += [f"{not_run} not run"] if not_run else []
    return {
        "selected": selected,
        "earlier": earlier,
        "counts": counts,
        "not_run": not_run,
        "failures": sorted(failures)[:MOST],
        "summary": ", ".join(told),
    }


# ---------------------------------------------------------------------- sanitize


def sanitize(options: Namespace, report: Report) -> None:
    driver = [sys.executable, "tools/sanitize_kernels.py", "--device", options.device]
    driver += ["--seconds", str(0.6 * options.seconds)]
    if options.device == "emulated" and not options.sanitizer:
        ran = python(*driver[1:])
        print(ran.stdout + ran.stderr, flush=True)
        report(summary=f"without a sanitizer: {last_line(ran.stdout)}")
        if ran.returncode:
            raise Failed("a kernel's results are wrong")
        return
    command = find_sanitizer(options.sanitizer or "compute-sanitizer")
    if command is None:
        raise Skipped("there is no compute-sanitizer on the PATH or in CUDA's folder")
    with tempfile.TemporaryDirectory() as folder:
        logs = {tool: Path(folder, tool) for tool in TOOLS}
        usual = ["--error-exitcode", str(SANITIZER_ERROR), "--print-limit", "20", *driver]
        processes = {
            tool: start([command, "--tool", tool, *TOOLS[tool], *usual], log)
            for tool, log in logs.items()
        }
        tools: dict[str, dict[str, Any]] = {}
        while len(tools) < len(TOOLS):
            time.sleep(0.1)
            for tool, process in processes.items():
                if tool not in tools and process.poll() is not None:
                    text = logs[tool].read_text(errors="replace")
                    tools[tool] = judge(text, process.returncode)
                    print(f"{tool}: {tools[tool]}", flush=True)
                    verdicts = [f"{name}: {found['verdict']}" for name, found in tools.items()]
                    report(tools=tools, summary="; ".join(verdicts))
    if all(found["verdict"].startswith("refused") for found in tools.values()):
        raise Skipped(tools["memcheck"]["verdict"])
    if bad := [said for said in verdicts if not said.endswith(": clean")]:
        raise Failed(", ".join(bad))


def find_sanitizer(name: str) -> str | None:
    """On the PATH, or where CUDA's toolkit keeps it."""
    from tapegrad._build import find_nvcc, toolkit

    roots = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    if nvcc := find_nvcc():
        roots.insert(0, str(toolkit(nvcc)))
    folders = [f"{root}/{part}" for root in roots if root for part in ("bin", "compute-sanitizer")]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))


def judge(text: str, status: int) -> dict[str, Any]:
    """What a tool said: "clean" only if it ended well, counted its errors, and found none."""
    launches = re.search(r"(\d+) launches, (\d+) wrong", text)
    found: dict[str, Any] = {"status": status, "launches": int(launches[1]) if launches else 0}
    summary = re.search(r"(?:ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard)", text)
    errors = int(summary[1] or summary[2]) if summary else None
    said = [line for line in text.splitlines() if line.startswith("=========")]
    refusal = re.search(r"=+ (?:Error: )?(.*[Nn]ot supported.*)", text)
    if errors:
        found.update(verdict=f"{errors} errors", output=said[:40])
    elif errors is None and refusal:
        found["verdict"] = f"refused: {refusal[1].strip()}"
    elif launches and int(launches[2]):
        found.update(verdict=f"{launches[2]} wrong results", output=text.splitlines()[-40:])
    elif status or errors is None or not launches:
        what = f"status {status}, {last_line(text)}"
        found.update(verdict=f"did not finish well ({what})", output=said[-10:])
    else:
        found["verdict"] = "clean"
    return found


# ---------------------------------------------------------------------- bench


def bench(options: Namespace, report: Report) -> None:
    """Training steps, the kernels by tapegrad.bench in most of the time, and the demo."""
    from language_model_step import language_model_step
    from tensor_core_probe import probe
    from training_step import training_step

    import tapegrad as tg
    from tapegrad.bench.peers import absent
    from tapegrad.bench.runner import DTYPES, select

    def left(share: float) -> float:
        """Seconds until this share of the time is over."""
        return share * options.seconds - (time.monotonic() - options.started)

    timed = options.device == "cuda"  # the emulated device's times mean nothing
    failures: list[str] = []
    training: dict[str, str] = {}
    try:
        mlp = training_step(options.device, 15.0 if timed else 0.5)
        training[mlp["name"]] = mlp["text"]
        report(mlp=mlp)
    except Exception as error:
        traceback.print_exc()
        failures.append(f"training step: {type(error).__name__}: {error}")
    try:
        gpt2 = language_model_step(options.device, 10.0)
        training[gpt2["name"]] = gpt2["text"]
        report(gpt2=gpt2)
    except Exception as error:
        traceback.print_exc()
        failures.append(f"GPT-2's step: {type(error).__name__}: {error}")
    report(training=training)

    bits: dict[str, Any] = {}
    try:
        for name, found in probe(tg.device(options.device)):
            bits[name] = found
            report(bits=bits)
            if found["same"] < found["sums"]:
                wrong = found["sums"] - found["same"]
                failures.append(f"{name}: {wrong} sums have other bits than those written down")
    except Exception as error:
        traceback.print_exc()
        failures.append(f"tensor cores' bits: {type(error).__name__}: {error}")

    def on_row(results: Any) -> None:
        report(rows=briefly(results.rows, timed))
        if left(KERNELS_END) < 0:
            raise KeyboardInterrupt  # ends the run; the rows so far are its results

    # torch.compile takes seconds for each row: tapegrad bench measures it where there is time.
    place = tg.device(options.device)
    peers = [name for name in ("numpy", "cupy", "torch") if not absent(name, place)]
    cases = options.arguments or goals_first()
    results = tg.bench.run(
        cases,
        device=options.device,
        budget_s=max(left(KERNELS_END), 0.0) if timed else 60.0,
        peers=peers,
        progress=False,
        on_row=on_row,
    )
    bad = [f"{row.case} {row.dtype} is {row.status}" for row in results.bad]
    report(
        rows=briefly(results.rows, timed),
        ceilings=results.ceilings if timed else {},
        before=results.before,
        after=results.after,
        notes=results.notes,
        summary=f"{len(results.rows)} of {results.settings['rows']} rows measured, "
        f"{len(bad)} wrong or failed",
    )
    try:
        training["tapegrad demo, 10 epochs"] = demo(options.device, left(DEMO_END))
        report(training=training)
    except Failed as error:
        failures.append(str(error))
    if failures or bad:
        raise Failed(", ".join((failures + bad)[:MOST]))
    measured = {row.case for row in results.rows}
    here = set(DTYPES[options.device])  # the emulated device is asked for float32 alone
    wanted = [case.name for case in select(cases) if here.intersection(case.dtypes)]
    if unmeasured := [name for name in wanted if name not in measured]:
        raise Incomplete(f"no time for {', '.join(unmeasured)}")


def goals_first() -> list[str]:
    """All cases, those first that performance_page.py has goals for."""
    from performance_page import GOALS

    from tapegrad.bench import CASES

    names = [case.name for case in CASES]
    goals = [pattern for goal in GOALS for pattern in goal.cases]
    return [pattern for pattern in goals if fnmatch.filter(names, pattern)] + ["*"]


def briefly(rows: Sequence[Any], timed: bool) -> list[dict[str, Any]]:
    """Rows without their samples, and without times that mean nothing."""
    found = []
    for row in rows:
        names = ("case", "shape", "dtype", "size", "status", "message", "error", "kernel", "peers")
        entry = {name: getattr(row, name) for name in names}
        if timed and row.timing:
            entry.update(
                bytes=row.bytes,
                flops=row.flops,
                of_ceiling=row.of_ceiling,
                median=row.timing.median,
                quartiles=[row.timing.low, row.timing.high],
                ratios={peer: row.ratio(peer) for peer in row.rivals},
                hosts=row.hosts,
            )
        found.append(entry)
    return found


def demo(device: str, limit: float) -> str:
    if device == "emulated":
        return "not run on the emulated device"
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        command = ("-m", "tapegrad", "demo", "--device", device, "--out", folder)
        try:
            ran = python(*command, timeout=max(limit, 1.0))
        except subprocess.TimeoutExpired as error:
            raise Failed(f"tapegrad demo: not done after {error.timeout:.0f} s") from error
        seconds = time.monotonic() - started
    print(ran.stdout + ran.stderr, flush=True)
    if ran.returncode:
        raise Failed(f"tapegrad demo: {last_line(ran.stderr)}")
    accuracies = re.findall(r"accuracy ([\d.]+%)", ran.stdout)
    return ", accuracy ".join([f"{seconds:.1f} s", *accuracies[-1:]])


# ---------------------------------------------------------------------- one part


def last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else ""


def main() -> int:
    """Run the part that the first argument names, with the options in the second, a JSON object
    (see gpu_check.own_command)."""
    part, told = sys.argv[1:]
    options = Namespace(**json.loads(told), started=time.monotonic())
    report = Report(Path(os.environ["GPU_CHECK_RESULT"]))
    report()
    try:
        PARTS[part](options, report)
    except (Failed, Incomplete, Skipped) as reason:
        report(status=type(reason).__name__.lower(), message=str(reason))
        return 1
    except Exception as error:
        report(status="failed", message=f"{type(error).__name__}: {error}")
        raise
    report(status="passed")
    return 0


PARTS: dict[str, Callable] = {"build": build, "test": test, "sanitize": sanitize, "bench": bench}

if __name__ == "__main__":
    sys.exit(main())
