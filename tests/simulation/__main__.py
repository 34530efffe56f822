"""`python -m tests.simulation --minutes 10`, or `--seed N --story` to replay one."""

import argparse
import os
import sys
import time

from tests.simulation.plan import FAULTS, make_plan
from tests.simulation.world import Outcome, run


def main() -> int:
    """Run schedules until the time is over or one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to go on")
    parser.add_argument("--count", type=int, help="how many schedules, instead")
    parser.add_argument("--from-seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="run this one only")
    parser.add_argument("--story", action="store_true", help="print what happened")
    parser.add_argument("--without", default="", help=f"leave these out, with commas: acts, {', '.join(FAULTS)}")
    parser.add_argument("--only", help="all faults are of these kinds")
    parser.add_argument("--keep-going", action="store_true", help="don't stop at the first failure")
    options = parser.parse_args()
    without = set(filter(None, options.without.split(",")))
    only = None if options.only is None else [kind for kind in options.only.split(",") if kind]
    if options.seed is not None:
        outcome = run(make_plan(options.seed, without, only=only), with_story=True)
        print("\n".join(outcome.story if options.story or outcome.violation else outcome.story[-5:]))
        _show(outcome)
        return 1 if outcome.violation else 0
    return _many(options, without, only)


def _many(options: argparse.Namespace, without: set[str], only: list[str] | None) -> int:
    began_s, seed, failures, virtual_ms = time.monotonic(), options.from_seed, 0, 0
    last = None if options.count is None else seed + options.count
    while seed != last and (last is not None or time.monotonic() - began_s < options.minutes * 60):
        outcome = run(make_plan(seed, without, only=only))
        virtual_ms += outcome.virtual_ms
        if outcome.violation:
            failures += 1
            _show(outcome)
            if not options.keep_going:
                break
        seed += 1
    took_s = time.monotonic() - began_s
    count = seed - options.from_seed
    print(
        f"{count} schedules, {failures} failed, {60 * count / took_s:,.0f} a minute, {virtual_ms / 3.6e6:.1f} virtual hours"
    )
    return 1 if failures else 0


def _show(outcome: Outcome) -> None:
    if outcome.violation:
        print(f"seed {outcome.seed} FAILED at {outcome.virtual_ms / 1000:.3f} s: {outcome.violation}")
        print(f"  replay: python -m tests.simulation --seed {outcome.seed} --story")
    else:
        print(
            f"seed {outcome.seed}: well, after {outcome.steps} steps and {outcome.virtual_ms / 1000:.0f} virtual seconds"
        )


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # a story must not depend on the order of sets
        command = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606
    sys.exit(main())
