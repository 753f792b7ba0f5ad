"""The tape in C, where it was compiled (csrc/tape).

Python's code is the definition and serves where there is no compiler, or if the environment
variable ``TAPEGRAD_TAPE`` is ``python``; the extension does the same, faster.
"""

from __future__ import annotations

import os
from types import ModuleType

from .extension import load

compiled: ModuleType | None = None
status = "not used: TAPEGRAD_TAPE=python"
if os.environ.get("TAPEGRAD_TAPE") != "python":
    compiled, status = load("tape", "the tape runs in Python", "csrc/tape")
