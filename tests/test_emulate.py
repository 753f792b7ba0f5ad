"""``tapegrad emulate``: plain CUDA programs run; what is wrong is reported, nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from emulated_programs import CASES, Case, program

from tapegrad import _build
from tapegrad.core.kernels import KernelError
from tapegrad.emulating import Outcome, Program, compile_program
from tapegrad.emulating.rewriting import rewrite

if _build.find_cxx() is None:
    pytest.skip("needs a C++ compiler", allow_module_level=True)

PROGRAMS = Path(__file__).parent / "kernels" / "programs"


def run(program: Program, *arguments: str, **options) -> tuple[str, Outcome]:
    """What a program prints, and how it went."""
    with (program.file.parent / "stdout").open("w+") as file:
        outcome = program.run(arguments, stdout=file, timeout=300, **options)
        file.seek(0)
        return file.read(), outcome


def written(folder: Path, text: str, name: str = "program.cu") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


# ---- the table of pairs ----


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return compile_program(written(tmp_path_factory.mktemp("table"), program()))


@pytest.mark.parametrize("schedule", ["ascending", "random"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_right_programs_give_no_report(table: Program, case: Case, schedule: str) -> None:
    _, outcome = run(table, f"{case.name}_right", schedule=schedule)
    assert outcome.reports == ()
    assert outcome.remarks == ()
    assert (outcome.status, outcome.launches) == (0, 1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_programs_are_reported(table: Program, case: Case) -> None:
    """Also where the wrong line is: in the namespace of the case."""
    _, outcome = run(table, f"{case.name}_wrong")
    report = "\n".join(outcome.reports)
    assert case.found in report
    lines = table.file.read_text().split("\n")
    first = next(i for i, line in enumerate(lines, 1) if f"namespace {case.name}_wrong {{" in line)
    last = first + case.text(True).count("\n")
    places = [int(place) for place in re.findall(r"program\.cu:(\d+)", report)]
    assert any(first <= place <= last for place in places)


# ---- what programs may name ----


@pytest.mark.parametrize("checked", [True, False], ids=["checked", "fast"])
@pytest.mark.parametrize("name", ["vocabulary", "groups"])
def test_the_vocabulary_of_plain_cuda(tmp_path: Path, name: str, checked: bool) -> None:
    """The programs compare what they compute themselves, and print each line that is wrong."""
    path = written(tmp_path, (PROGRAMS / f"{name}.cu").read_text(), f"{name}.cu")
    printed, outcome = run(compile_program(path, checked=checked))
    assert printed == "done\n"
    assert outcome.reports == ()
    assert outcome.remarks == ()
    assert outcome.status == 0


# ---- what goes wrong at run time ----


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("failures")
    return compile_program(written(folder, (PROGRAMS / "failures.cu").read_text(), "failures.cu"))


@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        (
            "host pointer",
            "illegal memory access",
            "out of bounds: memory that is no array .* reads 4 bytes",
        ),
        (
            "null",
            "illegal memory access",
            "out of bounds: memory that is no array of the launch, at 0x0",
        ),
        (
            "freed",
            "illegal memory access",
            r"cudaMalloc at failures.cu:\d+, freed at failures.cu:\d+",
        ),
        (
            "never written",
            "no error",
            "memory that nothing wrote: byte 0 of the memory of cudaMalloc",
        ),
        ("misaligned", "misaligned address", "misaligned: byte 4 of .* multiple of 16"),
        (
            "assertion",
            "launch failure",
            r"block \(0, 0, 0\), thread \(3, 0, 0\): assertion failed at .*: i < 3",
        ),
        ("trap", "launch failure", r"thread \(0, 0, 0\): __trap"),
        ("lock of one warp", "launch failure", "waits for ever"),
        ("grid sync", "launch failure", "in a launch that is not cooperative"),
        ("kernel in kernel", "launch failure", "kernels that launch others are not emulated"),
    ],
)
def test_what_a_gpu_would_stumble_over(
    failures: Program, what: str, error: str, words: str
) -> None:
    """The report says where, and the API returns the error that a GPU would."""
    printed, outcome = run(failures, what)
    assert error in printed
    assert len(outcome.reports) == 1
    assert re.search(words, outcome.reports[0], re.DOTALL)
    assert not outcome.ok


@pytest.mark.parametrize(
    ("what", "printed"),
    [
        ("too many threads", "invalid configuration argument, then no error\n"),
        ("empty grid", "invalid configuration argument, then no error\n"),
        ("copy too long", "invalid argument, then no error\n"),
        ("freed twice", "invalid argument, then no error\n"),
        ("too much memory", "out of memory, then no error\n"),
    ],
)
def test_errors_are_returned_as_by_cuda(failures: Program, what: str, printed: str) -> None:
    """They are not reports: the program has seen them."""
    output, outcome = run(failures, what)
    assert output == printed
    assert outcome.reports == ()


def test_after_a_failed_kernel_nothing_runs(failures: Program) -> None:
    printed, outcome = run(failures, "goes on")
    assert printed == "an illegal memory access was encountered, 1 launch later the same\n"
    assert outcome.launches == 1


def test_an_error_that_nobody_asks_for_is_remarked(failures: Program) -> None:
    _, outcome = run(failures, "unasked")
    assert outcome.status == 0
    assert ["nobody asked" in remark for remark in outcome.remarks] == [True]


def test_an_error_that_a_launch_returned_is_known(failures: Program) -> None:
    printed, outcome = run(failures, "returned")
    assert printed == "invalid configuration argument\n"
    assert outcome.remarks == ()


def test_of_many_that_were_freed_the_last_has_a_name(failures: Program) -> None:
    _, outcome = run(failures, "freed in turn")
    assert re.search(r"freed at failures.cu:\d+", outcome.reports[0])


@pytest.mark.parametrize("schedule", ["random:7", "random:7:0-3", "descending"])
def test_a_schedule_is_as_of_a_check(failures: Program, schedule: str) -> None:
    """And so it stands in what went wrong, to be used again."""
    _, outcome = run(failures, "trap", schedule=schedule)
    assert outcome.reports[0].endswith(f"(schedule {schedule})")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": -1.0}, "timeout must be more than 0 seconds, got -1"),
        ({"patience": -1.0}, "patience must not be negative, got -1"),
    ],
)
def test_what_is_no_time_is_an_error(failures: Program, options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        failures.run(**options)


def test_what_is_no_schedule_is_an_error(failures: Program) -> None:
    with pytest.raises(ValueError, match="not 'sideways'"):
        failures.run(["trap"], schedule="sideways")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    return compile_program(written(folder, (PROGRAMS / "shared.cu").read_text(), "shared.cu"))


MOST = 227 * 1024
REFUSED = "no error", "invalid argument"
FINE = "no error", "no error"


@pytest.mark.parametrize(
    ("launched", "asks", "asked", "wanted", "printed"),
    [
        ("plain", "nobody", 0, 48 * 1024, FINE),
        ("plain", "nobody", 0, 48 * 1024 + 1, REFUSED),
        ("plain", "nobody", 0, MOST + 1, REFUSED),
        ("plain", "plain", 64 * 1024, 64 * 1024, FINE),
        ("plain", "plain", 64 * 1024, 64 * 1024 + 1, REFUSED),
        ("plain", "plain", 1024, 1025, REFUSED),
        ("plain", "plain", MOST, MOST, FINE),
        ("plain", "plain", MOST + 1, 64 * 1024, ("invalid argument", "invalid argument")),
        ("plain", "plain", -1, 1024, ("invalid argument", "no error")),
        ("plain", "void", 64 * 1024, 64 * 1024, FINE),
        ("plain", "pointer", 64 * 1024, 64 * 1024, FINE),
        ("plain", "any", 64 * 1024, 64 * 1024, REFUSED),
        ("plain", "carveout", 100, 64 * 1024, REFUSED),
        ("any", "any", 64 * 1024, 64 * 1024, FINE),
        ("any", "int", 64 * 1024, 64 * 1024, REFUSED),
        ("both", "nobody", 0, 8 * 1024, FINE),
        ("both", "both", 16 * 1024, 16 * 1024, FINE),
        ("both", "both", MOST - 40 * 1024, MOST - 40 * 1024, FINE),
    ],
)
def test_much_shared_memory_is_asked_for(
    shared: Program, launched: str, asks: str, asked: int, wanted: int, printed: tuple[str, str]
) -> None:
    """As on a GPU: 48 KB are there for every kernel, more for those that cudaFuncSetAttribute
    allowed them."""
    output, outcome = run(shared, launched, asks, str(asked), str(wanted))
    assert output == f"{printed[0]}, {printed[1]}, of {MOST}\n"
    assert outcome.reports == ()
    assert outcome.launches == (printed[1] == "no error")


def test_what_is_allowed_is_told(shared: Program) -> None:
    _, outcome = run(shared, "unread", "nobody", "0", "65536")
    assert outcome.remarks == (
        "refused: plain [grid (1, 1, 1), block (32, 1, 1), 65536 bytes of dynamic shared memory]: "
        "49152 are allowed; cudaFuncSetAttribute(plain, "
        "cudaFuncAttributeMaxDynamicSharedMemorySize, bytes) allows more, up to 232448; nobody "
        "asked for the error",
    )


@pytest.mark.parametrize(
    ("asks", "wanted", "most"), [("nobody", 8193, 49152), ("both", MOST - 40959, MOST)]
)
def test_shared_arrays_count_too(shared: Program, asks: str, wanted: int, most: int) -> None:
    _, outcome = run(shared, "both", asks, str(wanted), str(wanted))
    (report,) = outcome.reports
    assert f"static and dynamic shared memory together exceed {most} bytes" in report


def test_a_wild_access_is_reported_where_none_is_checked(tmp_path: Path) -> None:
    text = "__global__ void wild(int* p) { *p = 1; }\nint main() { wild<<<1, 1>>>((int*)8); }\n"
    _, outcome = run(compile_program(written(tmp_path, text), checked=False))
    (report,) = outcome.reports
    assert report.startswith("wild ")
    assert "thread (0, 0, 0): writes memory that is not there at program.cu:1" in report


def test_an_endless_loop_is_interrupted(failures: Program) -> None:
    """Ended within a fifth of a second, and told where it was."""
    for _ in range(20):  # on a machine that has more to do
        start = time.monotonic()
        outcome = failures.run(["endless"], timeout=0.5, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - start
        if seconds < 0.5 + 0.2:
            break
    assert seconds < 0.5 + 0.2
    assert outcome.status == 128 + 2
    assert "interrupted in block (0, 0, 0), thread" in outcome.reports[0]
    assert outcome.reports[1] == "did not end within 0.5 s"


def test_an_endless_loop_ends_by_itself(failures: Program) -> None:
    """As a launch that takes too long does on a GPU with a watchdog."""
    printed, outcome = run(failures, "endless", patience=0.5)
    assert re.search(
        r"^spins .*: block \(0, 0, 0\), thread \(\d, 0, 0\) at failures\.cu:\d+: "
        r"did not end: no thread ended or met others for [\d.]+ s of processor time$",
        outcome.reports[0],
    )
    assert len(outcome.reports) == 1
    assert "timed out" in printed


def test_a_loop_in_which_threads_meet_is_waited_for_longer(tmp_path: Path) -> None:
    text = """
        __global__ void meets(volatile int* p, int rounds) {
          for (int i = 0; i != rounds; ++i) {
            p[threadIdx.x] = i;
            __syncthreads();
          }
        }
        int main(int argc, char**) {
          int* p;
          cudaMalloc(&p, 256);
          meets<<<1, 64>>>(p, argc > 1 ? -1 : 100);
        }
    """
    program = compile_program(written(tmp_path, text), checked=False)
    assert run(program, patience=0.2)[1].ok
    report = run(program, "endless", patience=0.2)[1].reports[0]
    assert "did not end: no thread ended for" in report


HOST = """
    #include <cstring>
    struct Pair { int a, b; };
    __global__ void set(int* p) { p[threadIdx.x] = 1; }
    int main() {
      int *p, *managed, *pinned, host[10] = {};
      cudaMalloc(&p, 40);
      cudaMallocManaged(&managed, 40);
      cudaMallocHost(&pinned, 40);
      set<<<1, 10>>>(p);
      managed[0] = pinned[9] = 1;
      cudaMemcpy(host, p, 40, cudaMemcpyDeviceToHost);
      cudaMemset(p, 0, 40);
      %s;
      return host[0] + managed[0] + pinned[9] == 3 ? 0 : 7;
    }
"""


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("", ""),
        ("host[1] = p[2]", "the host reads byte 8 of"),
        ("*p = 4", "the host writes byte 0 of"),
        ("std::memcpy(p, host, 8)", "the host writes byte 0 of"),
        ("std::memcpy(host, p + 1, 8)", "the host reads byte 4 of"),
        ("((Pair*)p)[1].b = 5", "the host writes byte 12 of"),
        ("for (int i = 0; i < 10; ++i) p[i] = i", "the host writes byte 0 of"),
    ],
)
def test_the_host_must_not_touch_memory_of_the_device(
    tmp_path: Path, what: str, found: str
) -> None:
    path = written(tmp_path, HOST % what)
    _, outcome = run(compile_program(path))
    lines = path.read_text().split("\n")
    memory = next(i for i, line in enumerate(lines, 1) if "cudaMalloc(&p" in line)
    line = memory + 7
    place = f"program.cu:{memory}, which has 40 bytes, at program.cu:{line}"
    expected = [f"{found} the memory of cudaMalloc at {place}"] if found else []
    assert [report.partition("\n")[0] for report in outcome.reports] == expected
    assert outcome.status == 0 or what


INDEX = """
    __constant__ float weights[4] = {1, 2, 3, 4};
    __device__ int counts[6], behind[6];
    __device__ int table[2][3];
    __global__ void look(float* y, int i, int j) {
      __shared__ float tile[4][5];
      float own[7] = {};
      tile[i %% 4][j %% 5] = 1;
      y[0] = weights[0] + counts[5] + behind[0] + table[1][2] + own[6] + tile[i %% 4][j %% 5];
      %s;
    }
    int main() {
      float* y;
      cudaMalloc(&y, 4);
      look<<<1, 1>>>(y, 6, -1 + 5);
      cudaDeviceSynchronize();
    }
"""


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("counts[i - 1] = 1", ""),
        ("counts[i] = 1", "index 6 of an array of type 'int [6]'"),
        ("y[0] = counts[j - 5]", "index -1 of an array of type 'int [6]'"),
        ("y[0] = weights[j]", "index 4 of an array of type 'float [4]'"),
        ("table[i - 5][i - 3] = 1", "index 3 of an array of type 'int [3]'"),
        ("table[i - 4][0] = 1", "index 2 of an array of type 'int [2][3]'"),
        ("tile[j - 4][i - 1] = 1", "index 5 of an array of type 'float [5]'"),
        ("own[i + 1] = 1; y[0] = own[j]", "index 7 of an array of type 'float [7]'"),
    ],
)
def test_indices_of_arrays_are_looked_at(tmp_path: Path, what: str, found: str) -> None:
    path = written(tmp_path, INDEX % what)
    _, outcome = run(compile_program(path))
    assert outcome.status == 0
    line = next(i for i, text in enumerate(path.read_text().split("\n"), 1) if "y[0] = w" in text)
    where = f"block (0, 0, 0), thread (0, 0, 0) uses it at program.cu:{line + 1}"
    expected = [f"out of bounds: {found}\n    {where}"] if found else []
    assert [report.partition(": ")[2] for report in outcome.reports] == expected


@pytest.mark.parametrize(
    ("macro", "head"),
    [
        ("KERNEL __global__ void", "KERNEL"),
        ("KERNEL __global__ __launch_bounds__(32)", "KERNEL void"),
        ("KERNEL(name) __global__ void name", "KERNEL"),
        ("GLOBAL __global__\n#define KERNEL GLOBAL void", "KERNEL"),
    ],
    ids=["words", "bounds", "parameter", "macro"],
)
@pytest.mark.parametrize("of_header", [False, True], ids=["own", "included"])
def test_macros_that_declare_kernels(
    tmp_path: Path, macro: str, head: str, of_header: bool
) -> None:
    written(tmp_path, f"#define {macro}\n", "words.h")
    name = "(set)" if "(name)" in macro else " set"
    text = f"""{'#include "words.h"' if of_header else f"#define {macro}"}
{head}{name}(int* p) {{ p[threadIdx.x] = 1; }}
int main() {{ int* p; cudaMalloc(&p, 128); set<<<1, 32>>>(p); }}
"""
    _, outcome = run(compile_program(written(tmp_path, text)))
    assert (outcome.launches, outcome.reports) == (1, ())


def test_early_returns_before_a_barrier_are_as_on_gpus(tmp_path: Path) -> None:
    """Barriers wait for those that have not exited, from Volta on."""
    text = """
        __global__ void early(int* a) {
          __shared__ int s[32];
          if (threadIdx.x >= 20) return;
          s[threadIdx.x] = 1;
          __syncthreads();
          if (threadIdx.x == 0) a[0] = s[19] + __syncthreads_count(1) * 0;
          else __syncthreads_count(1);
        }
        int main() { int* a; cudaMalloc(&a, 4); early<<<1, 32>>>(a); }
    """
    _, outcome = run(compile_program(written(tmp_path, text)))
    assert "waits at the barrier" in outcome.reports[0]  # the two counts are different barriers
    right = text.replace(
        " + __syncthreads_count(1) * 0;\n          else __syncthreads_count(1)", ""
    )
    _, outcome = run(compile_program(written(tmp_path, right, "right.cu")))
    assert outcome.reports == ()


def test_many_tries_that_change_nothing_are_no_waiting(tmp_path: Path) -> None:
    """A maximum that stays for long is not a lock that nobody gives back."""
    text = """
        __global__ void largest(int* most, const int* x, int n) {
          for (int i = threadIdx.x; i < n; i += blockDim.x) atomicMax(most, x[i]);
        }
        int main() {
          const int n = 300000;
          int *most, *x;
          cudaMalloc(&most, sizeof(int));
          cudaMalloc(&x, n * sizeof(int));
          cudaMemset(most, 1, sizeof(int));
          cudaMemset(x, 0, n * sizeof(int));
          largest<<<1, 2>>>(most, x, n);
        }
    """
    assert run(compile_program(written(tmp_path, text)))[1].ok


def test_looking_at_every_access_costs_less_than_ten_times(tmp_path: Path) -> None:
    """In processor time, of a loop that does nothing but access memory."""
    path = written(
        tmp_path,
        """
        __global__ void copy(float* y, const float* x, int n) {
          for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
            y[i] = x[i];
        }
        int main() {
          const int n = 1 << 20;
          float *x, *y;
          cudaMalloc(&x, n * 4);
          cudaMalloc(&y, n * 4);
          cudaMemset(x, 0, n * 4);
          for (int i = 0; i < 30; ++i) copy<<<64, 256>>>(y, x, n);
        }
        """,
    )

    def seconds(program: Program) -> float:
        before = os.times()
        _, outcome = run(program)
        assert outcome.ok
        after = os.times()
        return (
            after.children_user
            - before.children_user
            + after.children_system
            - before.children_system
        )

    fast, checked = (compile_program(path, checked=wanted) for wanted in (False, True))
    ratios = sorted(seconds(checked) / seconds(fast) for _ in range(3))
    assert ratios[1] < 10


# ---- the command ----


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "tapegrad", "emulate", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


def test_the_command_tells_what_ran_and_what_is_wrong(tmp_path: Path) -> None:
    text = """
        #include "kernels.cuh"
        int main(int argc, char** argv) {
          int* a;
          cudaMalloc(&a, 4 * COUNT);
          fill<<<1, 64>>>(a, atoi(argv[1]));
          printf("%s\\n", argv[1]);
          return argc - 2;
        }
    """
    path = written(tmp_path, text)
    (tmp_path / "own").mkdir()
    header = """#pragma once
        __global__ void fill(int* a, int n) {
          if (threadIdx.x < n) a[threadIdx.x] = n;
        }
    """
    written(tmp_path / "own", header, "kernels.cuh")
    options = ("-I", tmp_path / "own", "-D", "COUNT=40", path)
    right = command(*options, 40)
    assert (right.returncode, right.stdout) == (0, "40\n")
    assert (
        right.stderr == "tapegrad: 1 launch, 64 threads, every access checked: nothing to report\n"
    )
    wrong = command(*options, 41)
    assert (wrong.returncode, wrong.stdout) == (1, "41\n")
    assert "writes 4 bytes at kernels.cuh:3" in wrong.stderr
    assert "cudaMalloc at program.cu:5, which has 160 bytes" in wrong.stderr
    assert wrong.stderr.endswith("1 launch, 64 threads, every access checked: 1 report\n")
    assert command(*options, 40, "x").returncode == 1
    fast = command("--fast", *options, 41)
    assert fast.returncode == 0
    assert "accesses not checked" in fast.stderr


def test_a_program_that_launches_nothing_fails(tmp_path: Path) -> None:
    done = command(written(tmp_path, "int main() {}\n"))
    assert done.returncode == 1
    assert "launched no kernel" in done.stderr


def test_a_program_that_ends_in_its_first_kernel_has_launched_it(tmp_path: Path) -> None:
    text = "__global__ void last() { exit(3); }\nint main() { last<<<1, 1>>>(); }\n"
    done = command(written(tmp_path, text))
    assert done.returncode == 3
    assert "launched no kernel" not in done.stderr


def test_compilers_speak_of_the_programs_own_lines(tmp_path: Path) -> None:
    text = (
        "__global__ void k(int* a) {\n  __shared__ int s[4];\n  a[0] = nothing;\n}\nint main() {}\n"
    )
    with pytest.raises(KernelError, match=r"program\.cu:3:\d+: error: .nothing."):
        compile_program(written(tmp_path, text))
    path = tmp_path / "program.cu"
    path.write_bytes(b"\xef\xbb\xbf#define X 1\nint main() { return missing; } // \xe9\n")
    with pytest.raises(KernelError, match=r"program\.cu:2:\d+: error: .missing."):
        compile_program(path)
    path.write_bytes(b"\xef\xbb\xbf#define X 1\nint main() { return X; }\n")
    assert run(compile_program(path))[1].status == 1
    (tmp_path / "kernels.cu").write_text("__global__ void f() {}\n")
    with pytest.raises(KernelError, match=r"kernels\.cu has no main, .*: kernels alone"):
        compile_program(tmp_path / "kernels.cu")
    with pytest.raises(FileNotFoundError, match=r"no file '.*absent\.cu'"):
        compile_program(tmp_path / "absent.cu")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('__global__ void k(int* p) { asm("mov.u32 %0, %%laneid;" : "=r"(*p)); }', "inline PTX"),
        ('__global__ void k(int* p) { asm("mov.u32 %0, %laneid;" : "=r"(*p)); }', "inline PTX"),
        ("#include <thrust/device_vector.h>", "the library thrust"),
        ("#include <cublas_v2.h>", "the library cublas"),
    ],
)
def test_what_is_not_emulated_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, f"{text}\nint main() {{}}\n")
    with pytest.raises(KernelError, match=rf"{said} is not emulated$"):
        compile_program(path)


def test_what_was_compiled_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path, '#include "a.h"\nint main() { return VALUE; }\n')
    written(tmp_path, "#define VALUE 3\n", "a.h")
    first = compile_program(path)
    assert compile_program(path).executable == first.executable
    written(tmp_path, "#define VALUE 4\n", "a.h")
    assert run(compile_program(path))[1].status == 4


# ---- rewriting ----


@pytest.mark.parametrize(
    ("cuda", "expected"),
    [
        ("k<<<1, n>>>(a);", "(::emulate::cuda::configure(1, n), k(a));"),
        (
            "ns::k<T, (a > b)><<<g(1), b, 0, s>>>(x, f(y))",
            "(::emulate::cuda::configure(g(1), b, 0, s), ns::k<T, (a > b)>(x, f(y)))",
        ),
        ("if (a) k <<<\n1,\n2>>>\n(x);", "if (a) (::emulate::cuda::configure(\n1,\n2), k \n(x));"),
        (
            "O::template k<3><<<1, n>>>(a)",
            "(::emulate::cuda::configure(1, n), O::template k<3>(a))",
        ),
        ("t[i]<<<1, n>>>(a)", "(::emulate::cuda::configure(1, n), t[i](a))"),
        ("b; s[0].t[i][j]<<<1, n>>>(a)", "b; (::emulate::cuda::configure(1, n), s[0].t[i][j](a))"),
        ("(*f)<<<1, 1>>>()", "(::emulate::cuda::configure(1, 1), (*f)())"),
        ("k<<<dim3(f<int>()), 1>>>(a)", "(::emulate::cuda::configure(dim3(f<int>()), 1), k(a))"),
        ('// k<<<1, 1>>>(a)\n"k<<<1, 1>>>(a)"', '// k<<<1, 1>>>(a)\n"k<<<1, 1>>>(a)"'),
        ('R"(k<<<1, 1>>>(a))" x << <int>', 'R"(k<<<1, 1>>>(a))" x << <int>'),
        (
            "__global__ void k(int a = {}) { if (a) { b; } }",
            "__global__ void k(int a = {}) "
            "{ ::emulate::cuda::run(__func__, [=]() mutable { if (a) { b; } });}",
        ),
        ("__global__ void k(int);", "__global__ void k(int);"),
        (
            "#define K __global__ void\nK k() { a; }",
            "#define K __global__ void\n"
            "K k() { ::emulate::cuda::run(__func__, [=]() mutable { a; });}",
        ),
        (
            "void f() { extern __shared__ float s[]; }",
            "void f() { typedef   float s_tapegrad_type[]; auto& s = "
            "*reinterpret_cast<s_tapegrad_type*>(::emulate::dynamic_shared_memory()); }",
        ),
        ("cudaLaunchKernel((void*)k, g, b, a)", "cudaLaunchKernel(k, g, b, a)"),
        ("cudaLaunchKernel((const void *) k<T>, g)", "cudaLaunchKernel( k<T>, g)"),
        (
            "cudaFuncSetAttribute(reinterpret_cast<const void*>(k<T>), a",
            "cudaFuncSetAttribute((k<T>), a",
        ),
        (
            "cudaFuncSetAttribute(reinterpret_cast<F>(k), a",
            "cudaFuncSetAttribute(reinterpret_cast<F>(k), a",
        ),
        (
            "__noinline__ __attribute__((__noinline__)) f",
            "__attribute__((noinline)) __attribute__((__noinline__)) f",
        ),
        ("int x = 1'000 + 'a' - '\\'' + 0x1p-3;", "int x = 1'000 + 'a' - '\\'' + 0x1p-3;"),
    ],
)
def test_rewriting(cuda: str, expected: str) -> None:
    assert rewrite(cuda) == expected


@pytest.mark.parametrize(
    ("declaration", "types"),
    [
        ("__shared__ T a[N][N + 1];", "typedef  T a_tapegrad_type[N][N + 1];"),
        ("__shared__ int a, b[4];", "typedef  int a_tapegrad_type, b_tapegrad_type[4];"),
        ("static __shared__ std::array<T, 4> a;", "typedef   std::array<T, 4> a_tapegrad_type;"),
        (
            "volatile __shared__ float a[(1 < 2)];",
            "typedef volatile  float a_tapegrad_type[(1 < 2)];",
        ),
        ("__shared__ __align__(16) char a[4];", "typedef   char a_tapegrad_type[4];"),
        ("__shared__ struct { int x, y; } a;", "typedef  struct { int x, y; } a_tapegrad_type;"),
    ],
)
def test_shared_declarations(declaration: str, types: str) -> None:
    text = rewrite(f"void f() {{ {declaration} }}")
    assert types in text
    assert "auto& a = ::emulate::shared_array<a_tapegrad_type>(a_tapegrad_array);" in text
    assert text.count("auto&") == types.count("_tapegrad_type")
