"""The ``tapegrad`` command: ``tapegrad demo`` and ``tapegrad doctor``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's own); returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
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
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


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
