"""Why attempts and tasks end, as a code beside the sentence: what a program decides by it reads here, never in the words."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

CAUSE_CHARACTERS_MAX = 40
Cause = Annotated[str, Meta(max_length=CAUSE_CHARACTERS_MAX)]
"""An EndCause; one of a newer version; or empty: it succeeded, hasn't ended, or was stored before there were causes."""


SAVED_EXIT_CODE = 85
"""How a task ends that was asked to save a checkpoint, and has; the module that tasks report by has it as PAUSED_EXIT_CODE."""


class EndCause(StrEnum):
    """What ended an attempt, or a task that had none."""

    # its process
    EXIT_CODE = "exit_code"
    """It ended by itself, with a code that isn't 0."""
    KILLED_BY_SIGNAL = "killed_by_signal"
    """By a signal that this program didn't send."""
    OUT_OF_MEMORY = "out_of_memory"
    """For want of its host's memory: the kernel ended it, or its last lines say so."""
    GPU_OUT_OF_MEMORY = "gpu_out_of_memory"
    """Its last lines say so."""
    EXIT_UNKNOWN = "exit_unknown"
    """Nobody saw how it ended."""

    # its start
    COMMAND_NOT_FOUND = "command_not_found"
    PERMISSION_DENIED = "permission_denied"
    """The command is there, but may not be run."""
    NOT_STARTED = "not_started"
    """It couldn't be prepared or started for another reason."""
    PORT_TAKEN = "port_taken"
    """Another program listens on a port that it needs, as the agent found or its last lines say."""
    CONTENT_AWAY = "content_away"
    """Its files or its code can't be had at the moment: nobody who has them is connected."""
    SETUP_FAILED = "setup_failed"
    BROKEN_DATASET = "broken_dataset"
    """A dataset of its job can't be used as it is. That isn't tried again: it would be found broken again."""
    CHECKPOINT_GONE = "checkpoint_gone"
    """The checkpoint from which it was to go on isn't where it was."""

    # its worker
    DISK_FULL = "disk_full"
    """There was no room for what it wrote, or for what it needs, or its quota is used up."""
    OUTPUT_TOO_LARGE = "output_too_large"
    """It wrote more results than its worker allows one task."""
    HOST_RESTARTED = "host_restarted"
    LOST = "lost"
    """Its worker was given up on, or has it no longer."""
    STOPPED_BY_WORKER = "stopped_by_worker"
    """Its agent was told to leave nothing running."""
    FENCED = "fenced"
    """Its agent ended it, having heard nothing of the coordinator for too long."""

    # somebody, or the coordinator
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    """It, or its job, took longer than was allowed."""
    TOO_MANY_FAILURES = "too_many_failures"
    """Too many tasks of its job had failed."""
    GANG_ENDED = "gang_ended"
    """Another task of its gang ended, or found no worker: none goes on without the others."""
    PREEMPTED = "preempted"
    """It made way, to start again."""
    CHECKPOINTED = "checkpointed"
    """It saved a checkpoint and ended, as it was asked to for a pause."""
    RETRACTED = "retracted"
    """It was taken back before its start."""
    NO_WORKER = "no_worker"
    """No worker could take it in time."""
