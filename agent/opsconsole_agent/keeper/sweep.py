"""Signal every process of an attempt, those included that are being born meanwhile.

`look` takes a fresh census and returns the attempt's living processes, and whether it may have missed one.
"""

import signal
import time

from opsconsole_agent.keeper.process import Identity, Process, now_ticks, send, send_to_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Look = Callable[[], "tuple[list[Process], bool]"]

_BIRTHS_S = 2.0
"""How long to run after processes that fork as fast as they are found."""
_SETTLE_S = 0.05
"""How long to wait until stopped processes stand still; one in an uninterruptible call stops when that returns."""
_PAUSE_S = 0.0005
_UNSURE_ROUNDS_MAX = 5


def stop(look: "Look") -> bool:
    """SIGSTOP until a look finds nobody new. False when births outran us; everybody found is stopped all the same."""
    return _to_fixed_point(look, signal.SIGSTOP, lambda members: all(process.stopped for process in members))


def kill(look: "Look") -> bool:
    """SIGKILL until a look finds nobody new. False when births outran us."""
    return _to_fixed_point(look, signal.SIGKILL, lambda members: not members)


def _to_fixed_point(look: "Look", signum: int, settled: "Callable[[list[Process]], bool]") -> bool:
    reached: set[Identity] = set()
    give_up_at = time.monotonic() + _BIRTHS_S
    settled_by = 0.0
    unsure_rounds = 0
    while True:
        members, unsure = look()
        fresh = [process for process in members if process.identity not in reached]
        now = time.monotonic()
        if fresh:
            if now > give_up_at:
                return False
            # Groups first: a signal to a group misses no child that is being born in it.
            for group in {process.group for process in fresh}:
                send_to_group(group, signum)
            for process in fresh:
                send(process, signum)
                reached.add(process.identity)
            settled_by = now + _SETTLE_S
            continue
        if unsure and unsure_rounds < _UNSURE_ROUNDS_MAX:
            unsure_rounds += 1
        elif settled(members) or now > settled_by:
            return True
        time.sleep(_PAUSE_S)


def resume(look: "Look", spare: set[Identity]) -> None:
    """SIGCONT everybody but `spare` (stopped by somebody else before we came)."""
    reached: set[Identity] = set()
    while True:
        # Once to all: one in an uninterruptible call has its stop still before it. Later only to who stands still.
        fresh = [
            process
            for process in look()[0]
            if process.identity not in reached and process.identity not in spare and (process.stopped or not reached)
        ]
        if not fresh:
            return
        for process in fresh:
            send(process, signal.SIGCONT)
            reached.add(process.identity)


def terminate(look: "Look") -> set[Identity]:
    """SIGTERM once to everybody who lives now, but not to what they start in order to clean up; returns who was asked."""
    asked: set[Identity] = set()
    asked_at_ticks = now_ticks()
    fresh = look()[0]
    while fresh:
        for process in fresh:
            send(process, signal.SIGTERM)
            asked.add(process.identity)
        # Who was born before we came and was missed, as its parent died or it became another program meanwhile.
        fresh = [
            process for process in look()[0] if process.identity not in asked and process.start_time < asked_at_ticks
        ]
    return asked
