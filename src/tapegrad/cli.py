"""The ``tapegrad`` command: ``demo``, ``doctor``, ``bench``, ``check``, ``emulate``, ``launch``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's own); returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except BrokenPipeError:  # who read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (RuntimeError, ValueError, OSError) as error:
        print(f"tapegrad {arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"tapegrad {arguments.command}: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tapegrad", description="Automatic differentiation with hand-written CUDA kernels."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    demo = commands.add_parser(
        "demo", help="train a small network on handwritten digits, in under a minute"
    )
    demo.add_argument("--epochs", type=_positive, default=10, help="passes over the digits (10)")
    demo.add_argument("--device", help="cpu, cuda or emulated (default: the best one present)")
    demo.add_argument("--seed", type=int, default=0, help="decides everything random (0)")
    demo.add_argument(
        "--out",
        type=Path,
        default=Path("tapegrad-demo"),
        metavar="DIR",
        help="folder for the checkpoint and the picture (tapegrad-demo)",
    )
    demo.set_defaults(run=_demo)

    doctor = commands.add_parser(
        "doctor", help="say what is installed, what is missing and how to get it"
    )
    doctor.set_defaults(run=_doctor)

    bench = commands.add_parser(
        "bench",
        help="check kernels against float64 and time them against other libraries",
        description="Every case is checked against a float64 reference, before it is timed and "
        "after; what is wrong has no time. With a Python file: what it makes by tg.kernel, tg.fuse "
        "and tg.bench.case, beside the plain bodies and the peers. Exit status 1: a case is wrong "
        "or failed, or, with --compare, became slower, or the files have no row in common.",
    )
    bench.add_argument(
        "cases",
        nargs="*",
        metavar="CASE",
        help="names or patterns of cases or groups, such as 'softmax*' (all); FILE.py for your own",
    )
    bench.add_argument("--device", help="cpu, cuda or emulated (cuda where there is a GPU)")
    bench.add_argument(
        "--dtype", metavar="NAMES", help="such as float32,bfloat16 (float32; on cuda 16 bits too)"
    )
    bench.add_argument(
        "--sizes",
        nargs="+",
        default="default",
        metavar="SIZE",
        help="shapes such as 4096x4096 8192x512; or tiny, small, large, or default (small on cpu, "
        "large on cuda, tiny on emulated)",
    )
    bench.add_argument(
        "--backward", action="store_true", help="also the gradients of functions of your own"
    )
    bench.add_argument(
        "--peers",
        metavar="NAMES",
        help="of numpy,body,cupy,torch,torch.compile,jax, or none (those present, for the device)",
    )
    bench.add_argument("--budget", type=float, metavar="SECONDS", help="about how long it may take")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write all results to this file")
    bench.add_argument("--csv", type=Path, metavar="FILE", help="write a line for each contestant")
    bench.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    bench.add_argument("--plot", type=Path, metavar="FILE", help="draw a roofline (.png, .svg)")
    bench.add_argument("--list", action="store_true", help="only list the cases")
    bench.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("OLD.json", "NEW.json"),
        help="say what became faster or slower beyond the noise",
    )
    bench.set_defaults(run=_bench)

    check = commands.add_parser(
        "check",
        help="prove kernels of your own right, or show where they are not",
        description="Runs a Python file and checks every kernel that it makes by tg.kernel: values "
        "and gradients against the plain body in float64, races and memory out of bounds, and what "
        "happens without each of its barriers and bounds. Exit status 1: one is wrong, or the file "
        "makes none.",
    )
    check.add_argument("files", nargs="+", type=Path, metavar="FILE.py")
    check.add_argument("--only", metavar="NAMES", help="of these kernels, with commas between")
    check.add_argument("--no-mutants", action="store_true", help="leave out what takes longest")
    check.add_argument(
        "--size",
        action="append",
        type=_size,
        default=[],
        metavar="NAME=N,N",
        help="for a name of the signature, the sizes to try",
    )
    check.add_argument(
        "--schedule",
        metavar="ORDER",
        help="only values and gradients, with threads in this order, such as random:7:40-42",
    )
    check.add_argument(
        "--seconds",
        type=float,
        default=3.0,
        help="of processor time, after which a launch of which no thread comes on is endless (3)",
    )
    check.set_defaults(run=_check)

    emulate = commands.add_parser(
        "emulate",
        help="run a plain CUDA program on the CPU, and report its races and wild accesses",
        description="Compiles a .cu file with a main and runs it without a GPU. What goes wrong in "
        "its kernels is reported behind its output: races, accesses out of bounds, barriers that "
        "not all threads reach, memory that nothing wrote. Exit status: the program's own; 1 where "
        "that is 0 and there is a report, or no kernel ran.",
    )
    emulate.add_argument("--fast", action="store_true", help="look at no accesses, only run")
    emulate.add_argument(
        "-I", dest="include", action="append", type=Path, default=[], metavar="DIR"
    )
    emulate.add_argument("-D", dest="define", action="append", default=[], metavar="NAME[=VALUE]")
    emulate.add_argument("--std", default="c++17", help="of C++ (c++17)")
    emulate.add_argument(
        "--schedule",
        default="ascending",
        metavar="ORDER",
        help="of blocks and threads, such as random:7 (ascending)",
    )
    emulate.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="interrupt it then (never)"
    )
    emulate.add_argument(
        "--patience",
        type=float,
        metavar="SECONDS",
        help="of processor time, after which a kernel of which no thread comes on is endless "
        "(30; 0: for ever)",
    )
    emulate.add_argument("file", type=Path, metavar="FILE.cu")
    emulate.add_argument("arguments", nargs=argparse.REMAINDER, help="the program's own")
    emulate.set_defaults(run=_emulate)

    launch = commands.add_parser(
        "launch",
        help="run a script as several processes that train together",
        description="Runs the script as ranks of MPI, by the mpiexec beside this Python or on the "
        "PATH. When one fails or is killed, all end, and the exit status is not 0.",
    )
    launch.add_argument("-n", type=_positive, required=True, metavar="N", help="how many ranks")
    launch.add_argument(
        "--mpi",
        default="",
        metavar="OPTIONS",
        help="further options for mpiexec, as '--hostfile hosts', in one argument",
    )
    launch.add_argument("-m", dest="module", action="store_true", help="it is a module's name")
    launch.add_argument("script", metavar="FILE.py", help="the script")
    launch.add_argument("arguments", nargs=argparse.REMAINDER, help="the script's own")
    launch.set_defaults(run=_launch)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def _size(text: str) -> tuple[str, list[int]]:
    name, _, values = text.partition("=")
    try:
        return name, [int(value) for value in values.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"is like n=1,33, not {text!r}") from None


# The commands are imported when they run: ``tapegrad --help`` and ``tapegrad doctor`` answer even
# where something that the demo needs is broken.


def _demo(arguments: argparse.Namespace) -> int:
    from .demo import demo

    demo(arguments.epochs, arguments.device, arguments.seed, arguments.out)
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from .doctor import doctor

    print(doctor())
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    from .bench.command import bench

    return bench(arguments)


def _emulate(arguments: argparse.Namespace) -> int:
    from .emulating.command import emulate

    return emulate(arguments)


def _launch(arguments: argparse.Namespace) -> int:
    from .distributed.launch import launch

    script = [*["-m"] * arguments.module, arguments.script, *arguments.arguments]
    return launch(arguments.n, script, arguments.mpi.split())


def _check(arguments: argparse.Namespace) -> int:
    from .custom.command import check_files

    only = arguments.only.split(",") if arguments.only else None
    return check_files(
        arguments.files,
        only,
        mutate=not arguments.no_mutants,
        sizes=dict(arguments.size),
        schedule=arguments.schedule,
        seconds=arguments.seconds,
    )
