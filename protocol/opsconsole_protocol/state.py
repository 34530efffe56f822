"""The life of attempts, tasks and jobs, as data.

An *attempt* is one execution of a task on one worker. It is `assigned` once the coordinator has put it into a
worker's desired set, `building` while the agent stages inputs and runs the job's set-up step, `running` while its
process lives, `paused` while the whole process tree is frozen. It ends exactly once:

- `succeeded`: the process ended with exit code 0;
- `failed`: any other exit, a time-out, or an exit that can't be known;
- `killed`: somebody asked for its end;
- `worker_failed`: its worker was lost, or lost track of it;
- `preempted`: it had to make way, after it had saved a checkpoint for instance.

Agents report *states*, not moves, and what they report while the link is down arrives as the latest state only. So a
report may skip states forward (`assigned` to `succeeded`), but never leads out of an end.

A *task* waits as `pending` (also between two attempts), `held` (an operator said so) or `blocked` (a job it depends
on failed), then has its live attempt's state, then the last attempt's; `unschedulable` when no attempt could ever be
made in time. A task that has saved a checkpoint for a pause is `paused` without a live attempt: it holds nothing, and
resumed it waits for its next one. The state of a *job* follows from its tasks.
"""

from collections.abc import Mapping
from enum import StrEnum

from opsconsole_protocol.error import IllegalTransition


class AttemptState(StrEnum):
    """Where one execution stands."""

    ASSIGNED = "assigned"
    BUILDING = "building"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"
    WORKER_FAILED = "worker_failed"
    PREEMPTED = "preempted"


class TaskState(StrEnum):
    """Where a task, or a job, stands."""

    PENDING = "pending"
    HELD = "held"
    BLOCKED = "blocked"
    ASSIGNED = "assigned"
    BUILDING = "building"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"
    WORKER_FAILED = "worker_failed"
    PREEMPTED = "preempted"
    UNSCHEDULABLE = "unschedulable"


class WorkerStatus(StrEnum):
    """What a worker is free for: a slot is free, none is, what is free is kept for a gang, or an operator drained it."""

    AVAILABLE = "available"
    BUSY = "busy"
    RESERVED = "reserved"
    MAINTENANCE = "maintenance"


class WorkerConnection(StrEnum):
    """Whether a worker is heard of: its heartbeats come, are late, or were given up on."""

    CONNECTED = "connected"
    SILENT = "silent"
    LOST = "lost"


_A, _T = AttemptState, TaskState
_ENDS = frozenset({_A.SUCCEEDED, _A.FAILED, _A.KILLED, _A.WORKER_FAILED, _A.PREEMPTED})

ATTEMPT_MOVES: Mapping[AttemptState, frozenset[AttemptState]] = {
    _A.ASSIGNED: frozenset({_A.BUILDING, _A.RUNNING, _A.PAUSED}) | _ENDS,
    _A.BUILDING: frozenset({_A.RUNNING, _A.PAUSED}) | _ENDS,
    _A.RUNNING: frozenset({_A.PAUSED}) | _ENDS,
    _A.PAUSED: frozenset({_A.RUNNING}) | _ENDS,
    _A.SUCCEEDED: frozenset(),
    _A.FAILED: frozenset(),
    _A.KILLED: frozenset(),
    _A.WORKER_FAILED: frozenset(),
    _A.PREEMPTED: frozenset(),
}

_WAITING = frozenset({_T.PENDING, _T.HELD, _T.BLOCKED})
_LIVE = frozenset({_T.ASSIGNED, _T.BUILDING, _T.RUNNING, _T.PAUSED})
_LAST = frozenset({_T.SUCCEEDED, _T.FAILED, _T.KILLED, _T.WORKER_FAILED, _T.PREEMPTED, _T.UNSCHEDULABLE})

TASK_MOVES: Mapping[TaskState, frozenset[TaskState]] = {
    # A lost worker that returns before its attempt was replaced brings a waiting task straight back to life.
    # One that waits fails when its job times out.
    _T.PENDING: frozenset({_T.HELD, _T.BLOCKED, _T.FAILED, _T.KILLED, _T.UNSCHEDULABLE, _T.WORKER_FAILED}) | _LIVE,
    _T.HELD: frozenset({_T.PENDING, _T.BLOCKED, _T.FAILED, _T.KILLED}) | _LIVE,
    _T.BLOCKED: frozenset({_T.PENDING, _T.HELD, _T.FAILED, _T.KILLED}),
    _T.ASSIGNED: frozenset({_T.BUILDING, _T.RUNNING, _T.PAUSED, _T.PENDING, _T.HELD}) | (_LAST - {_T.UNSCHEDULABLE}),
    _T.BUILDING: frozenset({_T.RUNNING, _T.PAUSED, _T.PENDING, _T.HELD}) | (_LAST - {_T.UNSCHEDULABLE}),
    _T.RUNNING: frozenset({_T.PAUSED, _T.PENDING, _T.HELD}) | (_LAST - {_T.UNSCHEDULABLE}),
    _T.PAUSED: frozenset({_T.RUNNING, _T.PENDING, _T.HELD}) | (_LAST - {_T.UNSCHEDULABLE}),
    # The one way out of an end is an operator's `retry`.
    _T.SUCCEEDED: frozenset(),
    _T.FAILED: frozenset({_T.PENDING}),
    _T.KILLED: frozenset({_T.PENDING}),
    _T.WORKER_FAILED: frozenset({_T.PENDING}),
    _T.PREEMPTED: frozenset({_T.PENDING}),
    _T.UNSCHEDULABLE: frozenset({_T.PENDING}),
}

JOB_STATE_ORDER_UNFINISHED = (_T.RUNNING, _T.PAUSED, _T.BUILDING, _T.ASSIGNED, _T.PENDING, _T.HELD, _T.BLOCKED)
JOB_STATE_ORDER_FINISHED = (_T.FAILED, _T.KILLED, _T.UNSCHEDULABLE, _T.WORKER_FAILED, _T.PREEMPTED, _T.SUCCEEDED)


def is_attempt_finished(state: AttemptState) -> bool:
    """Whether an attempt in this state has ended."""
    return state in _ENDS


def is_task_finished(state: TaskState) -> bool:
    """Whether a task (or a job) in this state has ended."""
    return state in _LAST


def is_task_waiting(state: TaskState) -> bool:
    """Whether a task has no attempt at the moment and isn't finished."""
    return state in _WAITING


def is_task_live(state: TaskState) -> bool:
    """Whether a task has a live attempt."""
    return state in _LIVE


def job_state(task_counts: Mapping[TaskState, int]) -> TaskState:
    """The state of a job whose tasks are counted by state; a job without tasks counts as pending."""
    for state in JOB_STATE_ORDER_UNFINISHED:
        if task_counts.get(state, 0):
            return state
    for state in JOB_STATE_ORDER_FINISHED:
        if task_counts.get(state, 0):
            return state
    return TaskState.PENDING


def check_attempt_move(entity: str, old: AttemptState, new: AttemptState, story: str = "") -> None:
    """Raise IllegalTransition, with the entity's recent `story`, unless the table has the move."""
    if new not in ATTEMPT_MOVES[old]:
        raise IllegalTransition(f"{entity} can't go from {old} to {new}{': ' + story if story else ''}")


def check_task_move(entity: str, old: TaskState, new: TaskState, story: str = "") -> None:
    """Raise IllegalTransition, with the entity's recent `story`, unless the table has the move."""
    if new not in TASK_MOVES[old]:
        raise IllegalTransition(f"{entity} can't go from {old} to {new}{': ' + story if story else ''}")
