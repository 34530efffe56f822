"""What kinds of events there are: the `kind` of an event row, stored and sent as these strings.

A row may hold a kind that isn't here, from another version: it is shown by its word.
"""

from enum import StrEnum


class EventKind(StrEnum):
    """What happened. An operator's act is an imperative (`cancel`), what came of itself is a past tense (`killed`)."""

    # jobs
    SUBMITTED = "submitted"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    PRIORITY = "priority"
    ADD = "add"
    """A sweep is given more tasks."""
    TIMEOUT = "timeout"
    """The job's own time limit ended it."""
    BLOCKED = "blocked"
    UNBLOCKED = "unblocked"
    GANG = "gang"
    """A gang starts over."""
    FINISHED = "finished"

    # tasks and attempts
    ASSIGNED = "assigned"
    BUILDING = "building"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"
    PREEMPTED = "preempted"
    LOST = "lost"
    """An attempt, or a worker, was given up on."""
    RETRACTED = "retracted"
    REPLACED = "replaced"
    ADOPTED = "adopted"
    UNSCHEDULABLE = "unschedulable"
    COLLECTED = "collected"
    """The coordinator keeps what a task made."""
    COLLECT_FAILED = "collect failed"
    CHECKPOINT = "checkpoint"
    """A task has saved what it can go on from."""
    NOTE = "note"
    """A task has something to say."""
    SAVE_LATE = "save late"
    """A task hasn't saved the checkpoint in time that it was asked for."""

    # workers
    JOINED = "joined"
    """A worker, or a person."""
    RETURNED = "returned"
    SILENT = "silent"
    DRAIN = "drain"
    UNDRAIN = "undrain"
    RESERVE = "reserve"
    UNRESERVE = "unreserve"
    """An operator reserved it, or took that back."""
    MAINTENANCE = "maintenance"
    AVAILABLE = "available"
    RESERVED = "reserved"
    BUSY = "busy"
    TROUBLE = "trouble"
    RECOVERED = "recovered"
    GPU = "gpu"
    AVOIDED = "avoided"
    USED_AGAIN = "used again"
    REMOVE = "remove"

    # people, and the coordinator itself
    INVITED = "invited"
    REVOKE = "revoke"
    """A worker, a person or an invitation."""
    RENAME = "rename"
    PROJECT = "project"
    TEMPLATE = "template"
    CLEANED = "cleaned"
    REMOVED = "removed"
    """What retention removed."""
    RESTORED = "restored"
    """The store was found to be restored from a backup."""
    CONFIRMED = "confirmed"
    BACKUP = "backup"
    NOTICE = "notice"
    """Somebody wasn't told of something, and won't be."""

    # into a task
    EXEC = "exec"
    """An operator ran a program in it."""
    SHELL = "shell"
    FORWARD = "forward"
    """An operator had connections to a port of it."""

    # files
    TRANSFERRED = "transferred"
    """Files went from one place to another, or didn't get there."""
