"""``tapegrad emulate``: plain CUDA programs on the CPU. ``tokens`` and ``rewriting`` turn what C++
does not have into what it has, ``sources`` does so for a program and the files it includes,
``running`` compiles and runs it, ``command`` is the command.
"""

from .running import Outcome, Program, compile_program

__all__ = ["Outcome", "Program", "compile_program"]
