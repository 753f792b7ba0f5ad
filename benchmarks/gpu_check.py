"""Is the CUDA path right, is it clean, how fast is it: ``python benchmarks/gpu_check.py``.

One command for a machine with a GPU, nvcc, Python, NumPy and CuPy, without a network. Four parts,
each in its own process and under its own time limit, 8 minutes together:

    build     compiles the kernels for the GPU present, from this source tree
    test      the test suite's rows for cuda (needs pytest)
    sanitize  compute-sanitizer's memcheck, racecheck, initcheck and synccheck over the kernels'
              table at small sizes (skipped where there is no compute-sanitizer)
    bench     every kernel against the libraries present, a training step, the demo

``--only build,test`` runs some of them. Results go to one JSON file and one Markdown table a device
and date, in ``--out`` (benchmarks/results); what another part found earlier that day is kept. A
part that fails, or is killed at its limit, leaves what it has, and the others run. On a machine
whose CuPy has compiled nothing yet there may not be time for all tests: then they are "incomplete",
and ``--only test`` goes on with those that have not passed yet. Which have is kept beside the
results until the next day or the next change of the sources.

Exit status: 0 if all that ran passed; else the sum of 16 (build), 32 (test), 64 (sanitize) and 128
(bench), for each part that failed, was killed or is incomplete. 2: bad arguments, or no GPU.

The build needs pybind11's headers. Where they are not installed, ``python benchmarks/gpu_check.py
--bring-headers`` on a machine that has pybind11 copies them into build/pybind11/, where they are
found. git ignores build/: if the source tree travels without what git ignores, copy that folder
too, and name it with ``--headers`` if it lies elsewhere then. ``--device emulated`` runs all of it
on the CPU, at tiny sizes, to see that it works; its times mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
HEADERS = ROOT / "build" / "pybind11"
SCHEMA, VERSION = "tapegrad-gpu-check", 1
KILL_AFTER = 5.0  # seconds between asking a part to end and ending it


class Part(NamedTuple):
    bit: int  # in the exit status
    limit: float  # seconds


PARTS = {
    "build": Part(16, 90),
    "test": Part(32, 210),
    "sanitize": Part(64, 65),
    "bench": Part(128, 105),
}


def main(
    argv: Sequence[str] | None = None, commands: Mapping[str, Sequence[str]] | None = None
) -> int:
    """Run the parts; ``commands`` replaces what some of them run."""
    options = parse(argv)
    if options.bring_headers:
        return bring_headers()
    device = describe_device(options.device)
    if device is None:
        print("no GPU: nvidia-smi lists none, or is not there; --device emulated needs none")
        return 2
    now = datetime.now(timezone.utc)
    file = options.out / f"{slug(device['name'])}-{now:%Y-%m-%d}.json"
    results = load(file)
    results.update(
        device=device, date=f"{now:%Y-%m-%d}", time=f"{now:%H:%M} UTC", versions=versions()
    )
    source, status = commit(), 0
    passed = passed_tests(file, device, results["versions"])
    for name in options.only:
        print(f"{name} ...", flush=True)
        command = (commands or {}).get(name) or own_command(name, options, passed)
        found = run_part(name, command, options.limits[name], environment(options, device))
        results["parts"][name] = {**found, "commit": source}
        save(file, results)
        print(f"{name}: {found['status']} in {found['seconds']:.0f} s{because(found)}", flush=True)
        if found["status"] not in ("passed", "skipped"):
            status |= PARTS[name].bit
    print(f"results: {file} and {file.with_suffix('.md').name}")
    if options.device == "cuda":
        print("to show them in docs/performance.md: python benchmarks/performance_page.py")
    return status


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", default=",".join(PARTS), metavar="PARTS", help="such as build,test"
    )
    parser.add_argument("--device", default="cuda", choices=["cuda", "emulated"])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", metavar="DIR")
    parser.add_argument("--limit", action="append", default=[], metavar="PART=SECONDS")
    parser.add_argument("--headers", type=Path, metavar="DIR", help="the folder of pybind11/")
    parser.add_argument("--bring-headers", action="store_true", help="only copy them into build/")
    parser.add_argument("--tests", metavar="ARGS", help="for pytest: 'tests/test_ops.py -x'")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="test processes (all cores but two)"
    )
    parser.add_argument("--sanitizer", metavar="COMMAND", help="instead of compute-sanitizer")
    options = parser.parse_args(argv)
    options.only = options.only.split(",")
    options.limits = {name: part.limit for name, part in PARTS.items()}
    for name in options.only:
        if name not in PARTS:
            parser.error(f"--only: no part {name!r}, there are {', '.join(PARTS)}")
    for setting in options.limit:
        name, _, seconds = setting.partition("=")
        if name not in PARTS or not re.fullmatch(r"\d+(\.\d+)?", seconds):
            parser.error(f"--limit: {setting!r} is not PART=SECONDS")
        options.limits[name] = float(seconds)
    try:  # say now, not after minutes, that nothing can be kept
        options.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.out).close()
    except OSError as error:
        parser.error(f"--out: no file can be written in {options.out} ({error.strerror})")
    return options


def own_command(name: str, options: argparse.Namespace, passed: Path) -> list[str]:
    """The part's own command, with what gpu_check_parts.py asks of its options."""
    told = {
        "device": options.device,
        "seconds": options.limits[name],
        "workers": options.workers,
        "passed": str(passed),
        "sanitizer": options.sanitizer,
        "arguments": shlex.split(options.tests or "") if name == "test" else [],
    }
    parts = Path(__file__).with_name("gpu_check_parts.py")
    return [sys.executable, str(parts), name, json.dumps(told)]


def run_part(
    name: str, command: Sequence[str], limit: float, environ: Mapping[str, str]
) -> dict[str, Any]:
    """Run one part to its end or its limit; what it found is in the file GPU_CHECK_RESULT."""
    started = time.monotonic()
    stamp = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory() as folder:
        result, log = Path(folder, "result.json"), Path(folder, "log")
        environ = {**environ, "GPU_CHECK_RESULT": str(result)}
        process = start(command, log, environ, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            code: int | None = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end_group(process)
        found = read_json(result) or {}
        tail = log.read_text(errors="replace").splitlines()[-30:]
    if code is None:
        found["status"] = "timed out"
        found["message"] = f"killed at its limit of {limit:g} s"
    elif found.get("status") in (None, "running") or (code and found["status"] == "passed"):
        found["status"] = "failed"
        found["message"] = f"its process ended with status {code}"
    if found["status"] not in ("passed", "skipped"):
        found["log"] = tail
        print("\n".join(f"    {line}" for line in tail), flush=True)
    return {**found, "seconds": round(time.monotonic() - started, 1), "ran_at": stamp}


def start(
    command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen:
    """A process at the root of the source tree, which writes all that it says into ``log``."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environ, cwd=ROOT, **options
        )


def end_group(process: subprocess.Popen) -> None:
    """End a part and whatever it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=KILL_AFTER)
            if number == signal.SIGTERM:
                continue  # its own children may linger


def because(found: Mapping[str, Any]) -> str:
    return f" ({found['message']})" if found.get("message") else ""


# ---------------------------------------------------------------------- the machine


QUERY = {
    "name": "name",
    "driver": "driver_version",
    "compute_capability": "compute_cap",
    "memory": "memory.total",
    "sm_clock": "clocks.sm",
    "memory_clock": "clocks.mem",
    "max_sm_clock": "clocks.max.sm",
    "temperature": "temperature.gpu",
    "power": "power.draw",
}


def describe_device(device: str) -> dict[str, str] | None:
    """The first GPU, as nvidia-smi describes it; None without one."""
    if device == "emulated":
        return {"name": "emulated"}
    query = ["nvidia-smi", f"--query-gpu={','.join(QUERY.values())}", "--format=csv,noheader"]
    line = output_of(query).partition("\n")[0]
    values = [value.strip() for value in line.split(",")]
    return dict(zip(QUERY, values, strict=True)) if len(values) == len(QUERY) else None


def environment(options: argparse.Namespace, device: Mapping[str, str]) -> dict[str, str]:
    """For the parts: this source tree, its kernels for this GPU, and pybind11's headers."""
    environ = dict(os.environ)
    path = [str(ROOT / "src"), environ.get("PYTHONPATH", "")]
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    environ["PYTHONUNBUFFERED"] = "1"
    if capability := device.get("compute_capability"):
        name = capability.replace(".", "")
        environ.setdefault("TAPEGRAD_CUDA_ARCHS", "90a" if name == "90" else name)
    headers = options.headers or headers_at_hand()
    if headers:
        environ["TAPEGRAD_PYBIND11_INCLUDE"] = str(headers)
    return environ


def headers_at_hand() -> Path | None:
    """Where pybind11's headers are, if it is not installed: copied into build/, or PyTorch's."""
    if importlib.util.find_spec("pybind11"):
        return None
    torch = importlib.util.find_spec("torch")
    candidates = [HEADERS]
    if torch and torch.origin:
        candidates.append(Path(torch.origin).parent / "include")
    return next((c for c in candidates if (c / "pybind11" / "pybind11.h").is_file()), None)


def bring_headers() -> int:
    try:
        import pybind11
    except ImportError:
        print("pybind11 is not installed here: pip install pybind11")
        return 2
    source = Path(pybind11.get_include(), "pybind11")
    shutil.copytree(source, HEADERS / "pybind11", dirs_exist_ok=True)
    print(f"pybind11's headers are in {HEADERS}")
    return 0


def versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    if release := re.search(r"release ([\d.]+)", output_of(["nvcc", "--version"])):
        found["nvcc"] = release[1]
    for package in ("numpy", "cupy-cuda13x", "cupy-cuda12x", "cupy", "torch", "triton", "pytest"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    return output_of(command).strip()


def output_of(command: Sequence[str]) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


# ---------------------------------------------------------------------- the results


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def read_json(file: Path) -> dict[str, Any] | None:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None


def load(file: Path) -> dict[str, Any]:
    """The results so far of this device and date."""
    found = read_json(file) or {}
    if found.get("schema") == SCHEMA and found.get("version") == VERSION:
        return found
    return {"schema": SCHEMA, "version": VERSION, "parts": {}}


def save(file: Path, results: Mapping[str, Any]) -> None:
    write_whole(file, json.dumps(results, indent=1) + "\n")
    write_whole(file.with_suffix(".md"), markdown(results))


def write_whole(file: Path, text: str) -> None:
    """So that whoever reads the file meanwhile finds all of the text, or what was there before."""
    unfinished = file.with_name(f".{file.name}.tmp")
    unfinished.write_text(text)
    unfinished.replace(file)


def passed_tests(file: Path, device: Mapping[str, str], known: Mapping[str, str]) -> Path:
    """The file of the tests that have passed that day, begun again if it is about another source
    tree, driver or library."""
    digest = hashlib.sha256(repr((device.get("driver"), sorted(known.items()))).encode())
    for source in sources():
        digest.update(f"{source.relative_to(ROOT)}\0".encode() + source.read_bytes())
    passed = file.with_name(f".{file.stem}.passed")
    head = f"# {digest.hexdigest()}\n"
    if not passed.exists() or not passed.read_text().startswith(head):
        passed.write_text(head)
    return passed


def sources() -> Iterator[Path]:
    """What the tests' results depend on."""
    for folder in ("src", "kernels", "csrc", "tests", "tools"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in (".py", ".cu", ".cuh", ".cpp", ".h", ".txt", ".npz"):
                yield file


def markdown(results: Mapping[str, Any]) -> str:
    """A short table of everything."""
    device = results["device"]
    facts = {**device, **results["versions"]}
    lines = [f"# {facts.pop('name')}, {results['date']}", ""]
    lines += [", ".join(f"{name} {value}" for name, value in facts.items())]
    parts = [
        [
            name,
            part["status"],
            f"{part['seconds']:.0f}",
            part.get("summary") or part.get("message", ""),
        ]
        for name, part in results["parts"].items()
    ]
    lines += table(["part", "result", "seconds", ""], "--n-", parts)
    bench = results["parts"].get("bench", {})
    if device["name"] == "emulated":
        lines += ["", "An emulated GPU: times mean nothing and are left out."]
    else:
        lines += table(["training", ""], "--", list(bench.get("training", {}).items()))
        lines += kernel_table(bench.get("rows", []))
    return "\n".join(lines) + "\n"


def kernel_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    peers = list(dict.fromkeys(peer for row in rows for peer in row.get("ratios", {})))
    lines = []
    for row in rows:
        shape = "x".join(map(str, row["shape"]))
        share = "" if row.get("of_ceiling") is None else f"{row['of_ceiling']:.0%}"
        time_ = f"{1e6 * row['median']:.4g}" if "median" in row else ""
        host = f"{1e6 * hosts['tapegrad']:.3g}" if (hosts := row.get("hosts")) else ""
        ratios = [f"{r:.2f}" if (r := row.get("ratios", {}).get(p)) else "" for p in peers]
        lines.append([row["case"], shape, row["dtype"], row["status"], time_, host, share, *ratios])
    head = ["kernel", "shape", "dtype", "", "us", "host us", "of ceiling"]
    return table(head + [f"vs {p}" for p in peers], "----nnn" + "n" * len(peers), lines)


def table(head: Sequence[str], columns: str, lines: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table below an empty line, nothing without lines; an "n" in ``columns`` is a
    column of numbers."""
    rule = "|".join("---:" if kind == "n" else "---" for kind in columns)
    above, *shown = (f"| {' | '.join(cells)} |" for cells in (head, *lines))
    return ["", above, f"|{rule}|", *shown] if shown else []


if __name__ == "__main__":
    sys.exit(main())
