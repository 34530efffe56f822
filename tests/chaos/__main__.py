"""`python -m tests.chaos --minutes 10`, or `--seed N` for one schedule again: the strikes are the same, chance isn't."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.scenario import chaos
from tests.chaos.strike import HANGS, KEEPERS, KILLS, NETWORK
from tests.process.lab import lab

_SPARING = (*KILLS, *HANGS, *NETWORK)
_ALL = (*_SPARING, *KEEPERS)


def main() -> int:
    """Run schedules until the time is over or one fails. Odd seeds spare the keepers: then no exit code may be lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to go on")
    parser.add_argument("--from-seed", type=int, default=0, help="the first seed; even ones kill keepers, too")
    parser.add_argument("--only", help=f"strike in these ways only, with commas: {', '.join(_ALL)}")
    parser.add_argument("--seed", type=int, help="run this one only")
    options = parser.parse_args()
    only = tuple(options.only.split(",")) if options.only else None
    began_s = time.monotonic()
    seed = options.from_seed if options.seed is None else options.seed
    while True:
        try:
            with tempfile.TemporaryDirectory(prefix="chaos-") as folder, lab(Path(folder)) as made:
                checks = chaos(made, seed, only or (_ALL if seed % 2 == 0 else _SPARING))
        except AssertionError as error:
            print(f"{error}\nseed {seed} FAILED; again: python -m tests.chaos --seed {seed}")
            return 1
        print(
            f"seed {seed}: well, {sum(checks.values())} checks, {time.monotonic() - began_s:.0f} s so far", flush=True
        )
        seed += 1
        if options.seed is not None or time.monotonic() - began_s > options.minutes * 60:
            return 0


if __name__ == "__main__":
    sys.exit(main())
