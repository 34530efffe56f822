"""`python -m bench [NAME…] [--folder DIR] [--out DIR]`: all figures of docs/performance.md, or some of them.

Names: throughput, startup, logs, fleet, recovery, heavy, key, screen, store, transfer, recognise, metrics, scheduler, waiting,
filter, replay. `--folder` decides which disk is measured. Every row is
printed as it comes; `results.json` and `results.md` go to `--out`.
"""

import argparse
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.row import Row, machine, write

NAMES = (
    "throughput",
    "startup",
    "logs",
    "fleet",
    "recovery",
    "heavy",
    "key",
    "screen",
    "store",
    "transfer",
    "recognise",
    "metrics",
    "scheduler",
    "waiting",
    "filter",
    "replay",
)


def main() -> int:
    """Run the benches that were named and return 1 if one broke off. A bar that isn't met, as on a busy machine, gives 0."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where data goes (%(default)s)")  # noqa: S108
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where results go (%(default)s)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no bench is named {', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
    with tempfile.TemporaryDirectory(prefix="opsconsole-bench-", dir=options.folder) as bytecode:
        # Where the environment says that Python may not keep what it compiles, each start would compile all modules anew.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode
        return _measure(options.names or NAMES, options.folder, options.out)


def _measure(names: Sequence[str], folder: Path, out: Path) -> int:
    where = machine(folder)
    print(where.line(), flush=True)
    began_s = time.monotonic()
    rows: list[Row] = []
    notes: list[str] = []
    for name in names:
        try:
            for row in importlib.import_module(f"bench.{name}").run(folder):
                rows.append(row)
                print(row.line(), flush=True)
        except Exception as error:  # noqa: BLE001  (the other benches go on; this one is shown as broken)
            notes.append(f"{name} broke off: {type(error).__name__}: {error}")
            print(notes[-1], file=sys.stderr)
    write(out, where, rows, notes)
    print(f"{time.monotonic() - began_s:.0f} s; written to {out}/results.md and results.json")
    return 1 if notes else 0


if __name__ == "__main__":
    sys.exit(main())
