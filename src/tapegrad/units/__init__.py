"""Sources in CUDA that are compiled while a program runs, one function and dtype at a time:
``source`` reads them as text, ``unit`` compiles and loads them. Kernels of one's own (custom) and
those that are written for fused functions (fusion) both go this way.
"""

from .source import Function, Source, read
from .unit import CompileError, Unit

__all__ = ["CompileError", "Function", "Source", "Unit", "read"]
