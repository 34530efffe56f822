"""Programs that an operator runs within an attempt: its processes from then on, as if its leader had started them.

So whatever freezes, ends or counts the attempt reaches them. The agent that asked for one hears how it exited, and it lives
no longer than that agent's connection. None of them is written down: a later keeper knows them by the attempt's mark.
"""

import os
import signal
from collections.abc import Callable, MutableMapping

from opsconsole_agent.keeper import event_line, launch
from opsconsole_agent.keeper.attempt import Attempt
from opsconsole_agent.keeper.limit_mark import set_limit_mark
from opsconsole_agent.keeper.process import list_processes, read_environment, send_signal
from opsconsole_agent.keeper.refusal import Refusal


class Guests:
    """All of one keeper. `orphans`: our children by pid that are an attempt's; `tell` takes a line for the agent."""

    def __init__(self, home: int, orphans: MutableMapping[int, Attempt], tell: Callable[[str], None]) -> None:
        self._home = home
        self._orphans = orphans
        self._tell = tell
        self._pids: dict[str, int] = {}

    def start(self, attempt: Attempt, guest_id: str, spec: launch.Launch) -> None:
        """Start one; what `spec` has of an environment is added to the attempt's own. Raises Refusal."""
        if attempt.leader_gone or attempt.killing or attempt.termed:
            raise Refusal("ending", "the task is ending")
        if attempt.frozen:
            raise Refusal("frozen", "the task is paused: nothing can run in it before it is resumed")
        if guest_id in self._pids:
            raise Refusal("duplicate", f"{guest_id} was started before")
        own = attempt.environment or read_environment(attempt.pid)
        if own is None:
            raise Refusal(
                "unknown_environment", "the environment of the task can't be read: it runs as another user by now"
            )
        spec.env = {**own, **spec.env}
        try:
            set_limit_mark(attempt.limit_mark)
            pid = launch.spawn_guest(spec, self._home)
        except launch.LaunchError as error:
            raise Refusal(error.cause, str(error)) from None
        self._orphans[pid] = attempt
        self._pids[guest_id] = pid

    def signal(self, guest_id: str, signum: int) -> int:
        """Signal all that runs in its session, and return how many that were: none where it has exited."""
        pid = self._pids.get(guest_id)
        # As long as we haven't reaped it, its number is the session's.
        found = [one for one in list_processes().values() if pid is not None and one.session == pid and one.alive]
        for process in found:
            send_signal(process, signum)
        return len(found)

    def reaped(self, pid: int, status: int) -> None:
        """A child has ended, which may be one of them."""
        guest_id = next((one for one, its in self._pids.items() if its == pid), None)
        if guest_id is not None:
            del self._pids[guest_id]
            owner = self._orphans.get(pid)
            is_ending = owner is None or owner.leader_gone or owner.killing or owner.termed
            self._tell(event_line.guest_exited(guest_id, os.waitstatus_to_exitcode(status), ending=is_ending))

    def end_all(self) -> None:
        """Nobody is there any more who asked for them."""
        for guest_id in list(self._pids):
            self.signal(guest_id, signal.SIGKILL)
