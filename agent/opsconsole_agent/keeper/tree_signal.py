"""Signals to every process of an attempt, also to those that are started meanwhile.

`list_members` reads the process table anew. It returns the attempt's living processes, and whether it may have missed one.
"""

import signal
import time
from collections.abc import Callable

from opsconsole_agent.keeper.process import Identity, Process, now_ticks, send_signal, send_signal_to_group

ListMembers = Callable[[], tuple[list[Process], bool]]

_FORKING_S = 2.0
"""How long to pursue processes that fork as fast as they are found."""
_SETTLE_S = 0.05
"""How long to wait until processes have stopped; one in an uninterruptible call stops when that call returns."""
_PAUSE_S = 0.0005
_UNSURE_ROUNDS_MAX = 5


def stop(list_members: ListMembers) -> bool:
    """Send SIGSTOP until no new process is found. Return False when they fork too fast.

    Those that were found are stopped.
    """
    return _to_fixed_point(list_members, signal.SIGSTOP, lambda members: all(process.stopped for process in members))


def kill(list_members: ListMembers) -> bool:
    """Send SIGKILL until no new process is found. Return False when they fork too fast."""
    return _to_fixed_point(list_members, signal.SIGKILL, lambda members: not members)


def _to_fixed_point(list_members: ListMembers, signum: int, settled: Callable[[list[Process]], bool]) -> bool:
    reached: set[Identity] = set()
    give_up_at = time.monotonic() + _FORKING_S
    settled_by = 0.0
    unsure_rounds = 0
    while True:
        members, unsure = list_members()
        fresh = [process for process in members if process.identity not in reached]
        now = time.monotonic()
        if fresh:
            if now > give_up_at:
                return False
            # Groups first: a signal to a group misses no child that is being forked in it.
            for group in {process.group for process in fresh}:
                send_signal_to_group(group, signum)
            for process in fresh:
                send_signal(process, signum)
                reached.add(process.identity)
            settled_by = now + _SETTLE_S
            continue
        if unsure and unsure_rounds < _UNSURE_ROUNDS_MAX:
            unsure_rounds += 1
        elif settled(members) or now > settled_by:
            return True
        time.sleep(_PAUSE_S)


def resume(list_members: ListMembers, spare: set[Identity]) -> None:
    """Send SIGCONT to every process but those in `spare`, which somebody else had stopped before us."""
    reached: set[Identity] = set()
    while True:
        # In the first round to all: a process in an uninterruptible call stops only later. Then only to stopped ones.
        fresh = [
            process
            for process in list_members()[0]
            if process.identity not in reached and process.identity not in spare and (process.stopped or not reached)
        ]
        if not fresh:
            return
        for process in fresh:
            send_signal(process, signal.SIGCONT)
            reached.add(process.identity)


def terminate(list_members: ListMembers) -> set[Identity]:
    """Send SIGTERM once to every process that lives now, but not to what they start to clean up.

    Return those reached.
    """
    asked: set[Identity] = set()
    asked_at_ticks = now_ticks()
    fresh = list_members()[0]
    while fresh:
        for process in fresh:
            send_signal(process, signal.SIGTERM)
            asked.add(process.identity)
        # Processes that were there before the call, and were missed because their parent died or they became another
        # program meanwhile.
        fresh = [
            process
            for process in list_members()[0]
            if process.identity not in asked and process.start_time < asked_at_ticks
        ]
    return asked
