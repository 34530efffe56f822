"""The agent's client of its keeper: it finds or starts the keeper, and does so again whenever that is lost."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Self

import msgspec

from opsconsole_agent.keeper import state_file
from opsconsole_agent.keeper.process import MARK, Identity, find_process, read_mark
from opsconsole_agent.keeper.service import SOCKET_NAME
from opsconsole_agent.keeper_client.keeper_connection import KeeperConnection
from opsconsole_agent.keeper_client.message import (
    AttemptExited,
    AttemptStarted,
    JoinCommand,
    KeeperEvent,
    KeeperHello,
    KeeperLost,
    Reply,
    StartCommand,
)
from opsconsole_agent.keeper_client.spawn import is_our_child, reap_keepers, start_keeper
from opsconsole_protocol.error import OpsconsoleError, Unavailable, VersionMismatch
from opsconsole_protocol.ids import AttemptId

_START_TIMEOUT_S = 10.0
_RETRY_FIRST_S = 0.01
_RETRY_LAST_S = 5.0
_UNREAD_MAX = 20_000
"""How many events wait for a slow reader before the keeper's socket is left unread."""

_log = logging.getLogger(__name__)


class KeeperClient:
    """One agent's client. Make it with `connect`, read `events` or `batches`, and end it with `close`.

    Commands sent in one turn of the loop leave in one write. A command raises Unavailable when the keeper is lost
    before it has replied; the next hello shows what came of it. A refused command raises NotFound (no such attempt here),
    Conflict (it has ended, or was started before), InvalidRequest, LimitExceeded or Unavailable.
    """

    def __init__(self, state_dir: Path, idle_s: float | None) -> None:
        """Use `connect` instead."""
        self._state_dir = state_dir.absolute()
        self._idle_s = idle_s
        self._connection: KeeperConnection | None = None
        self._unread: deque[KeeperEvent] = deque()
        self._has_events = asyncio.Event()
        self._closed = False
        self._quitting = False
        self._connecting: asyncio.Task[None] | None = None
        self._key = ""
        self._identity: Identity | None = None
        self._failure = ""
        self._leaders: dict[AttemptId, Identity] = {}

    @classmethod
    async def connect(cls, state_dir: Path, *, idle_s: float | None = None) -> Self:
        """Find the keeper of this folder or start one, which stays without work for `idle_s` (60).

        Raises VersionMismatch when a running keeper speaks another protocol, Unavailable when none can be started.
        """
        client = cls(state_dir, idle_s)
        try:
            await asyncio.to_thread(state_dir.mkdir, mode=0o700, parents=True, exist_ok=True)
            connection = await client._connect_or_start()
        except OSError as error:
            raise Unavailable(f"no keeper can work in {state_dir}: {error.strerror}") from error
        client._connecting = asyncio.create_task(client._stay_connected(connection), name="keeper client")
        return client

    async def close(self) -> None:
        """Close the connection; the keeper and all attempts go on."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._connection is not None:
            self._connection.hang_up()
        self._has_events.set()

    @property
    def connected(self) -> bool:
        """Whether a command can be sent now."""
        return self._connection is not None and self._connection.open

    def problem(self) -> str:
        """Say what keeps the keeper from answering; "" when nothing is known to."""
        if not self.connected:
            return f"its keeper was lost and no other can be started: {self._failure}" if self._failure else ""
        process = None if self._identity is None else find_process(self._identity[0])
        if process is None or process.identity != self._identity:
            return ""
        if process.state in {"T", "t"}:
            return f"its keeper is stopped: `kill -CONT {process.pid}` on the worker lets it go on"
        return f"its keeper (pid {process.pid}) doesn't answer; tasks there can't be started or stopped"

    # ---- commands ----

    def start(self, command: StartCommand) -> asyncio.Future[Reply]:
        """Start an attempt. The command is on its way when this returns, whether the future is awaited or not.

        When the future is done, AttemptStarted, or AttemptExited with an error, is among the events.
        """
        fields = msgspec.structs.asdict(command)
        user = fields.pop("user")
        if user is None:
            return self._request("start", fields)
        # A command of its own, so that a keeper which doesn't know users refuses it, and doesn't start it as root.
        return self._request("start_as", {**fields, "user": msgspec.structs.asdict(user)})

    async def join(self, command: JoinCommand) -> None:
        """Run a program within a live attempt; GuestExited follows. Raises Forbidden, too, for a file that can't be run."""
        await self._request("join", msgspec.structs.asdict(msgspec.structs.replace(command, user=None)) | {
            "user": None if command.user is None else msgspec.structs.asdict(command.user)
        })  # fmt: skip

    async def signal_guest(self, guest: str, number: int) -> None:
        """Signal all that runs in the session of such a program; nothing where it has exited."""
        await self._request("signal_guest", {"guest": guest, "signal": number})

    async def freeze(self, attempt_id: AttemptId) -> int:
        """Stop every process of an attempt and return how many there are."""
        return await self._signal(attempt_id, "freeze")

    async def thaw(self, attempt_id: AttemptId) -> int:
        """Let a frozen attempt run again and return how many processes it has."""
        return await self._signal(attempt_id, "thaw")

    async def term(self, attempt_id: AttemptId, *, grace_ms: int | None = None) -> int:
        """Send SIGTERM to every process, then thaw them. Return how many there were.

        Processes that outlive the leader are killed `grace_ms` (2,000) from now. A leader that goes on isn't killed.
        """
        return await self._signal(attempt_id, "term", grace_ms=grace_ms)

    async def kill(self, attempt_id: AttemptId) -> int:
        """Kill every process until none lives and return how many there were. AttemptExited follows when none does."""
        return await self._signal(attempt_id, "kill")

    def forget(self, attempt_ids: Iterable[AttemptId]) -> None:
        """Have the keeper forget exits that the coordinator has stored. There is no reply; a lost one is in the next hello."""
        if self._connection is not None:
            self._connection.notify("forget", {"attempt_ids": list(attempt_ids)})

    async def adopt(
        self,
        attempt_id: AttemptId,
        pid: int | None = None,
        start_time: int | None = None,
        paths: Sequence[str] = (),
    ) -> bool:
        """Have a keeper that doesn't know an attempt look for it, by its leader or by its environment mark.

        `paths`: the files of its stdout and stderr. Return True when it is live or its AttemptExited follows (exit not
        known), or False, only without a pid, when it never started.
        """
        if pid is None:
            pid, start_time = self._leaders.get(attempt_id, (None, None))
        fields: dict[str, object] = {
            "attempt_id": attempt_id,
            "pid": pid,
            "start_time": start_time,
            "paths": list(paths),
        }
        reply = await self._request("adopt", fields)
        return bool(reply.found)

    async def pids(self) -> dict[AttemptId, list[int]]:
        """Return the pids of the living processes of every attempt."""
        return (await self._request("pids", {})).pids or {}

    async def quit(self) -> None:
        """End the keeper and this client. Raises Conflict while an attempt lives. Exits that aren't forgotten stay in its log."""
        self._quitting = True
        try:
            await self._request("quit", {})
        except OpsconsoleError:
            self._quitting = False
            raise
        await self.close()

    async def _signal(self, attempt_id: AttemptId, action: str, *, grace_ms: int | None = None) -> int:
        fields: dict[str, object] = {"attempt_id": attempt_id, "action": action, "grace_ms": grace_ms}
        return (await self._request("signal", fields)).processes or 0

    def _request(self, kind: str, fields: dict[str, object]) -> asyncio.Future[Reply]:
        if self._connection is not None and self._connection.open:
            return self._connection.request(kind, fields)
        refused: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        refused.set_exception(Unavailable("the keeper is not there; it is being looked for"))
        return refused

    # ---- events ----

    async def events(self) -> AsyncIterator[KeeperEvent]:
        """Yield every event in order, a KeeperHello first; ends after `close` or a final KeeperLost."""
        async for batch in self.batches():
            for event in batch:
                yield event

    async def batches(self) -> AsyncIterator[list[KeeperEvent]]:
        """Yield events in lists, each of all that has come since the last list."""
        while True:
            while not self._unread:
                if self._closed:
                    return
                self._has_events.clear()
                await self._has_events.wait()
            batch = list(self._unread)
            self._unread.clear()
            if self._connection is not None:
                self._connection.resume()
            yield batch

    def _publish(self, event: KeeperEvent) -> None:
        match event:  # the leaders are remembered, as a keeper whose log is gone has to be told them
            case AttemptStarted():
                self._leaders[event.attempt_id] = (event.pid, event.start_time)
            case AttemptExited():
                self._leaders.pop(event.attempt_id, None)
            case KeeperHello():
                self._leaders |= {one.attempt_id: (one.pid, one.start_time) for one in event.live}
                for exited in event.exits:
                    self._leaders.pop(exited.attempt_id, None)
        self._unread.append(event)
        self._has_events.set()
        if len(self._unread) > _UNREAD_MAX and self._connection is not None:
            self._connection.pause()

    # ---- the connection ----

    async def _stay_connected(self, connection: KeeperConnection) -> None:
        """Connect again whenever the keeper or the connection is gone."""
        while True:
            reason = await connection.lost
            self._connection = None
            reap_keepers()
            if self._quitting:
                return
            if connection.replaced:
                self._give_up("another agent has taken the keeper over")
                return
            self._publish(KeeperLost(reason))
            pause_s = _RETRY_FIRST_S
            while True:
                try:
                    connection = await self._connect_or_start()
                    break
                except VersionMismatch as error:
                    self._give_up(error.message)
                    return
                except (Unavailable, OSError) as error:
                    self._failure = error.message if isinstance(error, Unavailable) else (error.strerror or str(error))
                    await asyncio.sleep(pause_s)
                    pause_s = min(_RETRY_LAST_S, 2 * pause_s)

    def _give_up(self, reason: str) -> None:
        self._publish(KeeperLost(reason, final=True))
        self._closed = True

    async def _connect_or_start(self) -> KeeperConnection:
        """Connect to the keeper of the folder; start one when there is none. Raises as `connect`, and OSError."""
        loop = asyncio.get_running_loop()
        give_up_at_s = loop.time() + _START_TIMEOUT_S
        pause_s = _RETRY_FIRST_S
        while True:
            connection = await self._connect()
            if connection is not None:
                return connection
            if loop.time() > give_up_at_s:
                raise Unavailable(f"the keeper of {self._state_dir} doesn't answer; end it and try again")
            if await start_keeper(self._state_dir, self._idle_s, _START_TIMEOUT_S, self._key):
                connection = await self._connect()
                if connection is not None:
                    return connection
            # Another process holds the lock and doesn't listen: a keeper that is starting or ending.
            await asyncio.sleep(pause_s)
            pause_s = min(0.2, 2 * pause_s)

    async def _connect(self) -> KeeperConnection | None:
        """Return a connection whose hello has come, or None when no keeper answers. Raises VersionMismatch."""

        def publish(event: KeeperEvent) -> None:
            if isinstance(event, KeeperHello):
                self._connection = connection  # a reader of the hello may send a command at once
            self._publish(event)

        connection = KeeperConnection(publish)
        folder = os.open(self._state_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # The path of a unix socket is at most 107 bytes long, that of the folder may be longer.
            path = f"/proc/self/fd/{folder}/{SOCKET_NAME}"
            await asyncio.get_running_loop().create_unix_connection(lambda: connection, path)
        except OSError:
            return None
        finally:
            os.close(folder)
        identity = self._identity_of(connection)
        if identity is None:
            connection.hang_up()
            aside = state_file.set_aside(str(self._state_dir / SOCKET_NAME))
            _log.error("who listened in place of the keeper is none: its socket was set aside as %s", aside)
            return None
        try:
            await asyncio.wait([connection.ready], timeout=_START_TIMEOUT_S)
        finally:
            if not connection.ready.done():
                connection.hang_up()
        if not connection.ready.done():
            return None
        try:
            connection.ready.result()
        except VersionMismatch as error:
            raise VersionMismatch(f"{error.message} (in {self._state_dir})") from None
        except Unavailable:
            return None
        self._identity = identity
        self._key = connection.key
        self._failure = ""
        return connection

    def _identity_of(self, connection: KeeperConnection) -> Identity | None:
        """Return the identity of the process that answered, or None when it can't be a keeper.

        It has to be the keeper of before or one that we started; at first it may be any process that is no task. Once the
        keeper was killed, a task with the agent's rights can listen on a socket of that name.
        """
        pid, user = connection.peer
        process = find_process(pid)
        if user not in {0, os.geteuid(), os.stat(self._state_dir).st_uid} or process is None:  # noqa: PTH116
            return None
        if self._identity is not None:
            return process.identity if process.identity == self._identity or is_our_child(pid) else None
        return process.identity if (read_mark(pid) or "") in {"", os.environ.get(MARK, "")} else None
