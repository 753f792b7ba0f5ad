from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tapegrad import _build

from .architectures import parse_architectures
from .cache import build_into_cache, build_into_package
from .plans import CHECKED, EXTENSIONS, IN_PACKAGE
from .resources import measure_resources, print_resources
from .sources import BuildError, source_root


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tapegrad._build",
        description=_build.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=[*EXTENSIONS, CHECKED, "resources"])
    parser.add_argument("kernels", nargs="*", help="resources: only these, such as matmul")
    parser.add_argument("--archs", default="80 90a", help="resources: for these architectures")
    options = parser.parse_args(arguments)
    try:
        if options.what == "resources":
            folder = source_root() / "kernels"
            files = [folder / f"{name}.cu" for name in options.kernels]
            files = files or sorted(folder.glob("*.cu"))
            print_resources(measure_resources(files, parse_architectures(options.archs)))
        else:
            start = time.perf_counter()
            inside = options.what in IN_PACKAGE
            path = (build_into_package if inside else build_into_cache)(options.what)
            print(f"{path} ({time.perf_counter() - start:.1f} s)")
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
