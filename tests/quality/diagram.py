"""Draws docs/states.md from the transition tables: `python -m tests.quality.diagram` writes it anew."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

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


def page() -> str:
    """The whole page."""
    order = " → ".join(str(one) for one in (*state.JOB_STATE_ORDER_UNFINISHED, *state.JOB_STATE_ORDER_FINISHED))
    return f"""# States

Drawn from the tables in `protocol/opsconsole_protocol/state.py` by `python -m tests.quality.diagram`; a test holds the
two together. An illegal move raises, changes nothing, and carries the entity's recent story.

## An attempt

Agents report states, not moves, and after a time without a link only the latest one. So a report may skip states
forward, never back out of an end.

{diagram(state.ATTEMPT_MOVES, state.AttemptState.ASSIGNED)}

## A task

{diagram(state.TASK_MOVES, state.TaskState.PENDING)}

## A job

Follows from its tasks: it has the first of these states that any of its tasks is in.

{order}
"""


if __name__ == "__main__":
    PAGE.write_text(page())
