"""Entry of the keeper's process: `python -I -S main.py STATE_DIR [IDLE_S]`.

It goes away after IDLE_S seconds (60) without attempts, without exits to hand over and without an agent. Exit codes:
0 gone because idle or told to quit, 2 wrong usage, 3 another keeper holds STATE_DIR.
"""

# Pathlib would cost a third of the start.
# ruff: noqa: PTH100, PTH120

import os
import sys


def _find_package() -> None:
    """Make our siblings importable: `-I` leaves the script's folder out. Last, so that nothing shadows the library."""
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


if __name__ == "__main__":
    _find_package()
    from opsconsole_agent.keeper.startup import run

    sys.exit(run(sys.argv[1:]))
