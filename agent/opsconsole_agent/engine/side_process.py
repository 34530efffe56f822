"""Programs that run for an attempt before it starts, a setup for example. The keeper is their parent, as it is a task's, so
that whatever they start ends with them. The core never hears of them."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable

import msgspec

from opsconsole_agent.keeper import state_file
from opsconsole_agent.keeper_client.keeper_client import KeeperClient
from opsconsole_agent.keeper_client.message import (
    AttemptExited,
    AttemptFrozen,
    AttemptStarted,
    AttemptThawed,
    KeeperHello,
    StartCommand,
)
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol.error import NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.log import Source

_MARK = ".side-"
"""What the keeper knows such a program by is the attempt's id, this, and something random."""
_KILL_TIMEOUT_S = 5.0

_log = logging.getLogger(__name__)

AttemptNews = AttemptStarted | AttemptExited | AttemptFrozen | AttemptThawed


def attempt_of(side_id: AttemptId) -> AttemptId:
    """The attempt for which a program runs; an attempt's own id stays as it is."""
    return AttemptId(side_id.partition(_MARK)[0])


class SideProcesses:
    """Runs them, and takes what the keeper says of them."""

    def __init__(self, keeper: KeeperClient, state: StateFolder) -> None:
        self._keeper = keeper
        self._state = state
        self._running: dict[AttemptId, asyncio.Future[AttemptExited]] = {}
        self._when_gone: dict[AttemptId, Callable[[], None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, command: StartCommand, when_gone: Callable[[], None] | None = None) -> AttemptExited:
        """Run one for the attempt that `command` names, and return how it ended, when nothing of it lives.

        Cancelled, it is killed, and not waited for: then `when_gone` is called as soon as nothing of it lives. Raises OpsconsoleError where it can't be started, Unavailable where the keeper is lost.
        """
        side_id = AttemptId(f"{command.attempt_id}{_MARK}{secrets.token_hex(4)}")
        ended: asyncio.Future[AttemptExited] = asyncio.get_running_loop().create_future()
        self._running[side_id] = ended
        try:
            await self._keeper.start(msgspec.structs.replace(command, attempt_id=side_id))
            return await ended
        except asyncio.CancelledError:
            self._when_gone[side_id] = when_gone or _nothing
            await self._kill(side_id)
            raise
        finally:
            self._running.pop(side_id, None)

    async def _kill(self, side_id: AttemptId) -> None:
        try:
            async with asyncio.timeout(_KILL_TIMEOUT_S):
                await self._keeper.kill(side_id)
        except NotFound:
            self._when_gone.pop(side_id, _nothing)()
        except (OpsconsoleError, TimeoutError) as error:
            # It has ended, as is told or will be; or the keeper is gone, and its next hello brings it up again.
            _log.info("%s was not killed: %s", side_id, error)

    def take(self, news: AttemptNews) -> bool:
        """Whether this is about one of them."""
        if _MARK not in news.attempt_id:
            return False
        if isinstance(news, AttemptExited):
            self._take_end(news)
        return True

    def _take_end(self, news: AttemptExited) -> None:
        ended = self._running.get(news.attempt_id)
        if ended is not None and not ended.done():
            ended.set_result(news)
        self._when_gone.pop(news.attempt_id, _nothing)()
        self._keeper.forget([news.attempt_id])
        with contextlib.suppress(OSError):
            # The keeper's own name of the log; the attempt's is the one that is read.
            state_file.clear(self._state.kept_log(news.attempt_id, Source.BUILD))

    async def take_hello(self, hello: KeeperHello, paths: Callable[[AttemptId], tuple[str, ...]]) -> KeeperHello | None:
        """The same hello without them; None where the keeper is lost meanwhile. `paths`: the files of an attempt's build.

        One that nobody waits for, since the agent that did has ended, is killed. One that the keeper doesn't know is looked
        for, as a new keeper knows nothing.
        """
        for exited in hello.exits:
            self.take(exited)
        known = {one.attempt_id for one in hello.live}
        for side_id in known:
            if _MARK in side_id and side_id not in self._running:
                self._spawn_kill(side_id)
        for side_id, ended in list(self._running.items()):
            if side_id in known or ended.done():
                continue
            try:
                found = await self._keeper.adopt(side_id, paths=paths(attempt_of(side_id)))
            except Unavailable:
                return None
            if not found and not ended.done():
                ended.set_exception(Unavailable("the keeper of this worker was lost while it ran: try again"))
        return msgspec.structs.replace(
            hello,
            live=[one for one in hello.live if _MARK not in one.attempt_id],
            exits=[one for one in hello.exits if _MARK not in one.attempt_id],
        )

    def _spawn_kill(self, side_id: AttemptId) -> None:
        task = asyncio.create_task(self._kill(side_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what is under way here."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def _nothing() -> None:
    """Nothing is to be done."""
