"""Looks at what all tasks of a worker print, in a thread of its own and for a tenth of a processor at most."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from opsconsole_agent.recognise.output import Files, Output
from opsconsole_agent.report.appending import append
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.log import Source
from opsconsole_protocol.pattern import Pattern, compile_pattern

LOOK_EVERY_S = 1.0
ROUND_S = 0.1
"""Of processor time for one round; whose turn didn't come begins the next one."""
FINISH_S = 0.2
"""Of processor time for what an ended task has left unread; then only its last lines are read."""
_QUIET_ROUNDS_MAX = 4

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    output: Output
    quiet: int = 0
    skip: int = 0
    """Rounds that are left out, as it was quiet in the last ones."""


class Recogniser:
    """See the module. `files`: where an attempt's files are."""

    def __init__(self, files: Callable[[AttemptId], Files]) -> None:
        self._files = files
        self._watched: dict[AttemptId, _Watched] = {}
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="opsconsole-recogniser")

    async def run(self, live: Callable[[], Mapping[AttemptId, str]]) -> None:
        """Look at what lives, each with the operator's pattern, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if wanted := live():
                await loop.run_in_executor(self._threads, self.look, wanted)

    def finish(self, attempt_id: AttemptId, pattern: str, then: Callable[[], None]) -> None:
        """It has ended: read what is left of its output, then call `then` in the loop."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, self._finish, attempt_id, pattern)
        future.add_done_callback(lambda done: None if done.cancelled() else then())

    def add(self, attempt_id: AttemptId, line: bytes) -> None:
        """Add a line of another's to a report of an attempt that hasn't been told to `finish`; it is there before that is done."""
        path = self._files(attempt_id)(Source.REPORT)[0]
        asyncio.get_running_loop().run_in_executor(self._threads, self._try, attempt_id, lambda _: append(path, line))

    def close(self) -> None:
        """Let the thread go; never waits for it."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    # --- in the thread -----------------------------------------------------------------------------------------

    def look(self, wanted: Mapping[AttemptId, str]) -> None:
        """One round."""
        ends_s = time.thread_time() + ROUND_S
        # In the order of the last round: those that had their turn are at the end.
        order = [one for one in self._watched if one in wanted]
        order += [one for one in wanted if one not in self._watched]
        self._watched = {one: self._watched.get(one) or self._watch(one, wanted[one]) for one in order}
        for attempt_id in order:
            if time.thread_time() > ends_s:
                break
            watched = self._watched[attempt_id] = self._watched.pop(attempt_id)
            if watched.skip > 0:
                watched.skip -= 1
            elif self._try(attempt_id, watched.output.look):
                watched.quiet = 0
            else:
                watched.quiet = min(watched.quiet + 1, _QUIET_ROUNDS_MAX)
                watched.skip = watched.quiet - 1

    def _finish(self, attempt_id: AttemptId, pattern: str) -> None:
        watched = self._watched.pop(attempt_id, None) or self._watch(attempt_id, pattern)
        late_s = time.thread_time() + FINISH_S
        self._try(attempt_id, lambda now_ms: watched.output.finish(now_ms, lambda: time.thread_time() > late_s))

    def _watch(self, attempt_id: AttemptId, pattern: str) -> _Watched:
        return _Watched(Output(self._files(attempt_id), _compiled(pattern)))

    def _try(self, attempt_id: AttemptId, do: Callable[[int], bool | None]) -> bool:
        try:
            return bool(do(time.time_ns() // 1_000_000))
        except OSError as error:
            _log.warning("nothing can be added to the report of %s: %s", attempt_id, error.strerror)
        except Exception:  # noqa: BLE001 – nothing that a task prints may end the agent
            _log.exception("a fault of this program: what %s prints isn't recognised", attempt_id)
        return False


def _compiled(pattern: str) -> Pattern | None:
    try:
        return compile_pattern(pattern) if pattern else None
    except InvalidRequest as error:
        _log.warning("a pattern for metrics is left out: %s", error.message)
        return None
