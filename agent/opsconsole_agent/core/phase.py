"""The phases of an attempt on this worker, as data.

An attempt *waits* for a slot and its GPUs, is *prepared*, and is *starting* from the moment its engine may have been
asked to start it. While it lives it is *running*, *pausing*, *paused* or *resuming*: an engine that was asked for a pause
is asked for nothing more of the kind until it has answered. *Stopping*: it was told to end, for good. It has *exited*
when nothing of it lives and its log files are being measured, and has *ended* once that is done. What was never
started ends at once.

Every move has a name: that of an event, for what happened, or that of a decision of ours. A move that the table doesn't
have raises IllegalTransition with the attempt's recent story and changes nothing. Of news this is expected: it may come late,
or twice. Of a decision it is a fault of this program (`AttemptSet.decide`).
"""

from collections.abc import Mapping
from enum import StrEnum


class Phase(StrEnum):
    """Where an attempt stands on this worker."""

    WAITING = "waiting"
    PREPARING = "preparing"
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    STOPPING = "stopping"
    EXITED = "exited"
    ENDED = "ended"


class Move(StrEnum):
    """What takes an attempt from one phase to another."""

    # Decisions of ours.
    PREPARE = "prepare"
    WAIT_AGAIN = "wait again"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    DROP = "drop"
    """It is not to be started at all."""
    # What happened, by the names of the events.
    BUILD_STARTED = "build started"
    PREPARED = "prepared"
    PREPARATION_FAILED = "preparation failed"
    STARTED = "started"
    START_FAILED = "start failed"
    FOUND_ALIVE = "found alive"
    PAUSED = "was paused"
    RESUMED = "was resumed"
    PAUSE_FAILED = "pause failed"
    EXITED = "exited"
    LOG_COMPLETE = "log complete"


_P, _M = Phase, Move

PHASE_MOVES: Mapping[Phase, Mapping[Move, Phase]] = {
    _P.WAITING: {
        _M.PREPARE: _P.PREPARING,
        _M.DROP: _P.ENDED,
        # An engine may know more than what was written down.
        _M.FOUND_ALIVE: _P.RUNNING,
        _M.EXITED: _P.EXITED,
    },
    _P.PREPARING: {
        _M.BUILD_STARTED: _P.PREPARING,
        _M.PREPARED: _P.STARTING,
        _M.PREPARATION_FAILED: _P.ENDED,
        _M.DROP: _P.ENDED,
        _M.FOUND_ALIVE: _P.RUNNING,
        _M.EXITED: _P.EXITED,
    },
    _P.STARTING: {
        # A pause was wanted before it started, or the engine was never asked.
        _M.WAIT_AGAIN: _P.WAITING,
        _M.STARTED: _P.RUNNING,
        _M.START_FAILED: _P.ENDED,
        _M.FOUND_ALIVE: _P.RUNNING,
        _M.EXITED: _P.EXITED,
    },
    _P.RUNNING: {
        _M.PAUSE: _P.PAUSING,
        _M.STOP: _P.STOPPING,
        # An answer may come late, after a failure was told in its place.
        _M.PAUSED: _P.PAUSED,
        _M.RESUMED: _P.RUNNING,
        _M.PAUSE_FAILED: _P.RUNNING,
        _M.EXITED: _P.EXITED,
    },
    _P.PAUSING: {
        _M.PAUSED: _P.PAUSED,
        _M.RESUMED: _P.RUNNING,
        _M.PAUSE_FAILED: _P.RUNNING,
        _M.STOP: _P.STOPPING,
        _M.EXITED: _P.EXITED,
    },
    _P.PAUSED: {
        _M.RESUME: _P.RESUMING,
        _M.STOP: _P.STOPPING,
        _M.PAUSED: _P.PAUSED,
        _M.RESUMED: _P.RUNNING,
        _M.PAUSE_FAILED: _P.PAUSED,
        _M.EXITED: _P.EXITED,
    },
    _P.RESUMING: {
        _M.PAUSED: _P.PAUSED,
        _M.RESUMED: _P.RUNNING,
        _M.PAUSE_FAILED: _P.PAUSED,
        _M.STOP: _P.STOPPING,
        _M.EXITED: _P.EXITED,
    },
    _P.STOPPING: {
        # Whoever is told to end is resumed for it; a pause that was under way may still be answered.
        _M.PAUSED: _P.STOPPING,
        _M.RESUMED: _P.STOPPING,
        _M.PAUSE_FAILED: _P.STOPPING,
        _M.EXITED: _P.EXITED,
    },
    _P.EXITED: {
        _M.LOG_COMPLETE: _P.ENDED,
    },
    _P.ENDED: {
        # A file was lost before all of it was shipped: its size is corrected.
        _M.LOG_COMPLETE: _P.ENDED,
    },
}

DECISIONS = frozenset({Move.PREPARE, Move.WAIT_AGAIN, Move.PAUSE, Move.RESUME, Move.STOP, Move.DROP})
UNSTARTED = frozenset({Phase.WAITING, Phase.PREPARING})
LIVE = frozenset({Phase.RUNNING, Phase.PAUSING, Phase.PAUSED, Phase.RESUMING, Phase.STOPPING})
OVER = frozenset({Phase.EXITED, Phase.ENDED})
