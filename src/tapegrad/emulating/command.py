"""``tapegrad emulate program.cu``."""

from __future__ import annotations

import argparse

from .running import compile_program, tell


def emulate(arguments: argparse.Namespace) -> int:
    """Compile and run a program, and print what was found; returns the exit status: the program's
    own, or 1 where that is 0 and there is a report, or no kernel ran."""
    program = compile_program(
        arguments.file,
        checked=not arguments.fast,
        folders=arguments.include,
        defines=arguments.define,
        standard=arguments.std,
    )
    outcome = program.run(
        arguments.arguments,
        schedule=arguments.schedule,
        timeout=arguments.timeout,
        patience=arguments.patience,
    )
    tell(outcome, program)
    return outcome.status or int(not outcome.ok)
