"""Run a script that imports PyTorch with tapegrad in its place, unchanged::

python -m tapegrad.run script.py arguments...
python -m tapegrad.run -m module arguments...
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from . import torch_names


def main() -> None:
    """Run what the command line names as if Python had been given it, after
    ``torch_names.install()``. Exits with 2 where it names nothing, or no file."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help") or arguments == ["-m"]:
        asked = arguments[:1] not in ([], ["-m"])
        print((__doc__ or "").strip(), file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    module = arguments[0] == "-m"
    if not module and not Path(arguments[0]).exists():
        sys.exit(_no_file(arguments[0]))
    torch_names.install()
    if module:
        sys.argv = arguments[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        script = Path(arguments[0]).resolve()
        sys.path[0] = str(script.parent)
        runpy.run_path(str(script), run_name="__main__")


def _no_file(name: str) -> int:
    print(f"python -m tapegrad.run: there is no file {name!r}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
