"""Holds real packages to the gate and writes what was found.

    python3 survey/run.py                      # every package
    python3 survey/run.py pyhessian gpy        # these
    python3 survey/run.py --pages              # only the site, the badges and the table of the README

Environments, one per package, are made below FLATGAUGE_SURVEY_CACHE (default: the user's cache folder). The program is
the one given by --flatgauge, or the one on PATH. Needs Python 3.11 and nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from harness import environment, gate, pages  # noqa: E402
from harness.package import Package, every  # noqa: E402


def serve(name: str, cell: str) -> None:
    """Becomes the adapter of a package: the command that the gate starts."""
    package = Package.read(HERE / "packages" / name)
    interpreter = environment.make(package)
    os.environ["SURVEY_CELL"] = cell
    os.environ.setdefault("SURVEY_COMPILED", str(environment.cache() / "compiled"))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    os.execv(interpreter, [interpreter, *environment.words(package, HERE), str(package.adapter)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="folders of survey/packages; all unless given")
    parser.add_argument("--flatgauge", default="flatgauge", help="the program, if it is not on PATH")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cell", action="append", help="only this cell of the packages named")
    parser.add_argument("--pages", action="store_true", help="write the pages from the results there are")
    parser.add_argument("--repeat", action="store_true", help="run again and compare decision by decision; writes nothing")
    parser.add_argument("--serve", nargs=2, metavar=("PACKAGE", "CELL"), help="answer the gate (what --command is given)")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(*arguments.serve)
    names = arguments.packages or [package.name for package in every(HERE) if not package.table.get("absent")]
    unknown = [name for name in names if not (HERE / "packages" / name / "package.toml").is_file()]
    if unknown:
        print(f"no package '{unknown[0]}', expected a folder of survey/packages", file=sys.stderr)
        return 2
    changed = 0
    if not arguments.pages:
        for name in names:
            package = Package.read(HERE / "packages" / name)
            if arguments.repeat:
                changed += gate.repeat(package, arguments)
            else:
                gate.run(package, arguments)
    if not arguments.repeat:
        pages.write(HERE)
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
