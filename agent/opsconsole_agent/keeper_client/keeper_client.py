"""The agent's link to its keeper: found or started, spoken to in batches, and found again whenever it is lost."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Self

import msgspec

from opsconsole_agent.keeper import state_file
from opsconsole_agent.keeper.process import MARK, Identity, look, read_mark
from opsconsole_agent.keeper.service import SOCKET_NAME
from opsconsole_agent.keeper_client.message import (
    AttemptExited,
    AttemptStarted,
    KeeperEvent,
    KeeperHello,
    KeeperLost,
    Reply,
    StartCommand,
)
from opsconsole_agent.keeper_client.spawn import bury, is_our_child, start_keeper
from opsconsole_agent.keeper_client.wire import Wire
from opsconsole_protocol.error import OpsconsoleError, Unavailable, VersionMismatch
from opsconsole_protocol.ids import AttemptId

_START_TIMEOUT_S = 10.0
_RETRY_FIRST_S = 0.01
_RETRY_MOST_S = 5.0
_UNREAD_MOST = 20_000
"""Events kept for a slow reader before the keeper's socket is left unread."""

_log = logging.getLogger(__name__)


class KeeperLink:
    """One agent's link. Make it with `connect`; read `events` or `batches`; end it with `close`.

    Commands sent in one turn of the loop leave in one write. A command raises Unavailable when the keeper is lost
    before it has answered: what came of it is in the next hello. Refusals raise NotFound (no such attempt here),
    Conflict (it has ended, or was started before), InvalidRequest, LimitExceeded or Unavailable.
    """

    def __init__(self, state_dir: Path, idle_s: float | None) -> None:
        """Not to be called: use `connect`."""
        self._state_dir = state_dir.absolute()
        self._idle_s = idle_s
        self._wire: Wire | None = None
        self._unread: deque[KeeperEvent] = deque()
        self._news = asyncio.Event()
        self._closed = False
        self._quitting = False
        self._keeping: asyncio.Task[None] | None = None
        self._key = ""
        self._identity: Identity | None = None
        self._absence = ""
        self._leaders: dict[AttemptId, Identity] = {}

    @classmethod
    async def connect(cls, state_dir: Path, *, idle_s: float | None = None) -> Self:
        """Find the keeper of this folder or start one; `idle_s` is how long a started one stays without work (60).

        Raises VersionMismatch when a running keeper speaks another protocol, Unavailable when none can be started.
        """
        link = cls(state_dir, idle_s)
        try:
            await asyncio.to_thread(state_dir.mkdir, mode=0o700, parents=True, exist_ok=True)
            wire = await link._reach()
        except OSError as error:
            raise Unavailable(f"no keeper can work in {state_dir}: {error.strerror}") from error
        link._keeping = asyncio.create_task(link._keep(wire), name="keeper link")
        return link

    async def close(self) -> None:
        """Hang up; the keeper and all attempts go on."""
        self._closed = True
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        if self._wire is not None:
            self._wire.hang_up()
        self._news.set()

    @property
    def connected(self) -> bool:
        """Whether a command can be sent now."""
        return self._wire is not None and self._wire.open

    def complaint(self) -> str:
        """What keeps it from answering, in words; empty where nothing is known to."""
        if not self.connected:
            return f"its keeper was lost and no other can be started: {self._absence}" if self._absence else ""
        process = None if self._identity is None else look(self._identity[0])
        if process is None or process.identity != self._identity:
            return ""
        if process.state in {"T", "t"}:
            return f"its keeper is stopped: `kill -CONT {process.pid}` on the worker lets it go on"
        return f"its keeper (pid {process.pid}) doesn't answer; tasks there can't be started or stopped"

    # ---- commands ----

    def start(self, command: StartCommand) -> asyncio.Future[Reply]:
        """Start an attempt, also without `await`: the command is on its way when this returns.

        When the future is done, AttemptStarted, or AttemptExited with an error, is among the events.
        """
        fields = msgspec.structs.asdict(command)
        user = fields.pop("user")
        if user is None:
            return self._ask("start", fields)
        # By another name: a keeper that has never heard of users has to refuse it, not start it as root.
        return self._ask("start_as", {**fields, "user": msgspec.structs.asdict(user)})

    async def freeze(self, attempt_id: AttemptId) -> int:
        """Stop every process of an attempt; returns how many there are."""
        return await self._signal(attempt_id, "freeze")

    async def thaw(self, attempt_id: AttemptId) -> int:
        """Let a frozen attempt run again; returns how many processes it has."""
        return await self._signal(attempt_id, "thaw")

    async def term(self, attempt_id: AttemptId, *, grace_ms: int | None = None) -> int:
        """Ask every process to end (SIGTERM, then thaw); returns how many were asked. Doesn't kill after the grace.

        Processes that outlive the leader are killed when `grace_ms` (2,000) are over, counted from now.
        """
        return await self._signal(attempt_id, "term", grace_ms=grace_ms)

    async def kill(self, attempt_id: AttemptId) -> int:
        """Kill every process until none lives; AttemptExited follows when that is so. Returns how many there were."""
        return await self._signal(attempt_id, "kill")

    def forget(self, attempt_ids: Iterable[AttemptId]) -> None:
        """Have exits dropped that the coordinator has committed. Not answered: one that got lost is in the next hello."""
        if self._wire is not None:
            self._wire.tell("forget", {"attempt_ids": list(attempt_ids)})

    async def adopt(
        self,
        attempt_id: AttemptId,
        pid: int | None = None,
        start_time: int | None = None,
        paths: Sequence[str] = (),
    ) -> bool:
        """Have a keeper that doesn't know an attempt look for it, by leader or by its environment mark.

        `paths`: where its stdout and stderr belong. True: it is live, or its AttemptExited (exit not known) follows. False, only without a pid: it never started.
        """
        if pid is None:
            pid, start_time = self._leaders.get(attempt_id, (None, None))
        fields: dict[str, object] = {
            "attempt_id": attempt_id,
            "pid": pid,
            "start_time": start_time,
            "paths": list(paths),
        }
        reply = await self._ask("adopt", fields)
        return bool(reply.found)

    async def pids(self) -> dict[AttemptId, list[int]]:
        """The living processes of every attempt."""
        return (await self._ask("pids", {})).pids or {}

    async def quit(self) -> None:
        """End the keeper and this link; raises Conflict while an attempt lives. Unforgotten exits stay in its log."""
        self._quitting = True
        try:
            await self._ask("quit", {})
        except OpsconsoleError:
            self._quitting = False
            raise
        await self.close()

    async def _signal(self, attempt_id: AttemptId, action: str, *, grace_ms: int | None = None) -> int:
        fields: dict[str, object] = {"attempt_id": attempt_id, "action": action, "grace_ms": grace_ms}
        return (await self._ask("signal", fields)).processes or 0

    def _ask(self, kind: str, fields: dict[str, object]) -> asyncio.Future[Reply]:
        if self._wire is not None and self._wire.open:
            return self._wire.ask(kind, fields)
        refused: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        refused.set_exception(Unavailable("the keeper is not there; it is being looked for"))
        return refused

    # ---- events ----

    async def events(self) -> AsyncIterator[KeeperEvent]:
        """Every event in order, a KeeperHello first; ends after `close` or a final KeeperLost."""
        async for batch in self.batches():
            for event in batch:
                yield event

    async def batches(self) -> AsyncIterator[list[KeeperEvent]]:
        """The same, as lists of all that has come since the last one: one transaction a list."""
        while True:
            while not self._unread:
                if self._closed:
                    return
                self._news.clear()
                await self._news.wait()
            batch = list(self._unread)
            self._unread.clear()
            if self._wire is not None:
                self._wire.resume()
            yield batch

    def _publish(self, event: KeeperEvent) -> None:
        match event:  # who leads what: a keeper whose log is gone has to be told
            case AttemptStarted():
                self._leaders[event.attempt_id] = (event.pid, event.start_time)
            case AttemptExited():
                self._leaders.pop(event.attempt_id, None)
            case KeeperHello():
                self._leaders |= {one.attempt_id: (one.pid, one.start_time) for one in event.live}
                for exited in event.exits:
                    self._leaders.pop(exited.attempt_id, None)
        self._unread.append(event)
        self._news.set()
        if len(self._unread) > _UNREAD_MOST and self._wire is not None:
            self._wire.pause()

    # ---- staying connected ----

    async def _keep(self, wire: Wire) -> None:
        """Come back whenever the keeper or the connection is gone."""
        while True:
            reason = await wire.lost
            self._wire = None
            bury()
            if self._quitting:
                return
            if wire.replaced:
                self._end("another agent has taken the keeper over")
                return
            self._publish(KeeperLost(reason))
            pause_s = _RETRY_FIRST_S
            while True:
                try:
                    wire = await self._reach()
                    break
                except VersionMismatch as error:
                    self._end(error.message)
                    return
                except (Unavailable, OSError) as error:
                    self._absence = error.message if isinstance(error, Unavailable) else (error.strerror or str(error))
                    await asyncio.sleep(pause_s)
                    pause_s = min(_RETRY_MOST_S, 2 * pause_s)

    def _end(self, reason: str) -> None:
        self._publish(KeeperLost(reason, final=True))
        self._closed = True

    async def _reach(self) -> Wire:
        """Connect to whoever holds the lock; start a keeper when nobody does."""
        loop = asyncio.get_running_loop()
        give_up_at_s = loop.time() + _START_TIMEOUT_S
        pause_s = _RETRY_FIRST_S
        while True:
            wire = await self._dial()
            if wire is not None:
                return wire
            if loop.time() > give_up_at_s:
                raise Unavailable(f"the keeper of {self._state_dir} doesn't answer; end it and try again")
            if await start_keeper(self._state_dir, self._idle_s, _START_TIMEOUT_S, self._key):
                wire = await self._dial()
                if wire is not None:
                    return wire
            # Somebody holds the lock and doesn't listen: a keeper that is starting, or one that is ending.
            await asyncio.sleep(pause_s)
            pause_s = min(0.2, 2 * pause_s)

    async def _dial(self) -> Wire | None:
        """A connection whose hello has come, or None when nobody answers."""

        def publish(event: KeeperEvent) -> None:
            if isinstance(event, KeeperHello):
                self._wire = wire  # who hears the hello may send a command at once
            self._publish(event)

        wire = Wire(publish)
        folder = os.open(self._state_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # A unix socket's path is at most 107 bytes long, whatever the folder's is.
            path = f"/proc/self/fd/{folder}/{SOCKET_NAME}"
            await asyncio.get_running_loop().create_unix_connection(lambda: wire, path)
        except OSError:
            return None
        finally:
            os.close(folder)
        identity = self._identity_of(wire)
        if identity is None:
            wire.hang_up()
            aside = state_file.set_aside(str(self._state_dir / SOCKET_NAME))
            _log.error("who listened in place of the keeper is none: its socket was set aside as %s", aside)
            return None
        try:
            await asyncio.wait([wire.ready], timeout=_START_TIMEOUT_S)
        finally:
            if not wire.ready.done():
                wire.hang_up()
        if not wire.ready.done():
            return None
        try:
            wire.ready.result()
        except VersionMismatch as error:
            raise VersionMismatch(f"{error.message} (in {self._state_dir})") from None
        except Unavailable:
            return None
        self._identity = identity
        self._key = wire.key
        self._absence = ""
        return wire

    def _identity_of(self, wire: Wire) -> Identity | None:
        """Who answered, if that can be a keeper: the one before, one that we started, or at first any that is no task.

        Whoever has the rights of the agent can listen on a socket of that name, once the keeper is killed.
        """
        pid, user = wire.peer
        process = look(pid)
        if user not in {0, os.geteuid(), os.stat(self._state_dir).st_uid} or process is None:  # noqa: PTH116
            return None
        if self._identity is not None:
            return process.identity if process.identity == self._identity or is_our_child(pid) else None
        return process.identity if (read_mark(pid) or "") in {"", os.environ.get(MARK, "")} else None
