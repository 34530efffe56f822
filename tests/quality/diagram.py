"""Draws docs/states.md from the transition tables: `python -m tests.quality.diagram` writes it anew."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from opsconsole_agent.core.phase import PHASE_MOVES, Move, Phase
from opsconsole_protocol import state

S = TypeVar("S", bound=StrEnum)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "states.md"


def diagram(moves: Mapping[S, frozenset[S]], first: S) -> str:
    """A Mermaid state diagram of one table."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    for old, news in moves.items():
        lines += [f"    {old} --> {new}" for new in sorted(news)]
        if not news:
            lines.append(f"    {old} --> [*]")
    return "\n".join([*lines, "```"])


def labelled_diagram(moves: Mapping[Phase, Mapping[Move, Phase]], first: Phase) -> str:
    """A Mermaid state diagram of a table whose moves have names: one arrow for all that lead to the same phase."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    for old, found in moves.items():
        for new in sorted(set(found.values())):
            names = ", ".join(sorted(move for move, to in found.items() if to is new))
            lines.append(f"    {old} --> {new}: {names}")
    last = [phase for phase, found in moves.items() if set(found.values()) <= {phase}]
    return "\n".join([*lines, *(f"    {phase} --> [*]" for phase in last), "```"])


def page() -> str:
    """The whole page."""
    order = " → ".join(str(one) for one in (*state.JOB_STATE_ORDER_UNFINISHED, *state.JOB_STATE_ORDER_FINISHED))
    return f"""# States

`python -m tests.quality.diagram` draws this page from the tables in `protocol/opsconsole_protocol/state.py` and
`agent/opsconsole_agent/core/phase.py`, and a test fails if the page isn't up to date. An illegal move raises an error and changes
nothing. The error carries the recent history of its attempt, task or job.

## An attempt

Agents report states, not moves; after a time without a connection, an agent reports only the latest state. A report may
therefore skip states forward, but it never leads out of an end state.

{diagram(state.ATTEMPT_MOVES, state.AttemptState.ASSIGNED)}

## A task

{diagram(state.TASK_MOVES, state.TaskState.PENDING)}

## A job

A job's state follows from its tasks. It is the first of these states that any of its tasks is in:

{order}

## An attempt on its worker

The agent goes by these phases. It reports an attempt as `assigned` until it is live (as `building`, if preparing it takes
time), then as `running` or `paused`, and at last with the state in which it ended. Every arrow bears the names of its moves.
The agent decides on `prepare`, `wait again`, `pause`, `resume`, `stop` and `drop`; all other moves are things that happened.

{labelled_diagram(PHASE_MOVES, Phase.WAITING)}
"""


if __name__ == "__main__":
    PAGE.write_text(page())
