"""The keeper's program: `python -I -S main.py STATE_DIR [IDLE_S]`.

It ends after IDLE_S seconds (60) without an agent, an attempt, or an exit that the agent hasn't let it forget. Exit codes:
0 idle for long enough or told to quit, 2 wrong usage, 3 another keeper holds STATE_DIR.
"""

# Pathlib would cost a third of the start.
# ruff: noqa: PTH100, PTH120

import os
import sys


def _find_package() -> None:
    """Make our package importable, as `-I` leaves its folder out. It comes last, so that it shadows no other module."""
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


if __name__ == "__main__":
    _find_package()
    from opsconsole_agent.keeper.startup import run

    sys.exit(run(sys.argv[1:]))
