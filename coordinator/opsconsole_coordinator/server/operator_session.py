"""One operator's connection: calls in, answers out, each in its own time; updates once subscribed."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from starlette.websockets import WebSocket

from opsconsole_coordinator.core import view
from opsconsole_coordinator.server import catalog
from opsconsole_coordinator.server.desk import Desk
from opsconsole_coordinator.server.hub import ROWS_MAX, Hub, Subscriber
from opsconsole_coordinator.server.identity import Caller
from opsconsole_coordinator.server.kernel import Kernel
from opsconsole_coordinator.server.outbox import Closed, Outbox, receive
from opsconsole_coordinator.store import query
from opsconsole_protocol import PROTOCOL_VERSION, api, codec
from opsconsole_protocol.codec import FRAME_BYTES_MAX
from opsconsole_protocol.error import LimitExceeded, OpsconsoleError, ProtocolError, VersionMismatch

log = logging.getLogger("opsconsole.coordinator.operator")

CALLS_MAX = 64
WAITS_MAX = 1_000
OUTBOX_MAX = 1_000
GREET_TIMEOUT_S = 10.0
EVENTS_AT_START = 200


class OperatorSession:
    """Lives as long as its websocket."""

    def __init__(self, socket: WebSocket, kernel: Kernel, desk: Desk, hub: Hub, caller: Caller, version: str) -> None:
        self._socket = socket
        self._kernel = kernel
        self._desk = desk
        self._hub = hub
        self._caller = caller
        self._version = version
        self._codec = codec.server_side()
        self._outbox = Outbox(socket, self._codec.encode, OUTBOX_MAX, self._overflowed)
        self._room = asyncio.Semaphore(CALLS_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscriber: Subscriber | None = None
        self._pusher: asyncio.Task[None] | None = None
        self._waiting = 0

    async def run(self) -> None:
        """Serve the connection to its end."""
        sender = asyncio.create_task(self._outbox.run(), name="send to operator")
        receiver = asyncio.create_task(self._receive(), name="receive from operator")
        try:
            await asyncio.wait((sender, receiver), return_when=asyncio.FIRST_COMPLETED)
            if self._outbox.is_ending and not sender.done():
                await asyncio.wait((sender,), timeout=1)
        finally:
            if self._subscriber is not None:
                self._hub.unsubscribe(self._subscriber)
            tasks = [sender, receiver, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self) -> None:
        try:
            async with asyncio.timeout(GREET_TIMEOUT_S):
                await self._greet()
            while True:
                for message in self._codec.decode(await receive(self._socket)):
                    await self._take(message)
        except Closed:
            return
        except TimeoutError:
            self._outbox.end(api.Failure(0, "protocol", "no greeting came in time"))
        except OpsconsoleError as error:
            self._outbox.end(api.Failure(0, error.code, str(error)))

    async def _greet(self) -> None:
        match self._codec.decode(await receive(self._socket)):
            case [api.Hello(protocol=protocol)]:
                if protocol != PROTOCOL_VERSION:
                    raise VersionMismatch(
                        f"you speak protocol {protocol} and the coordinator {PROTOCOL_VERSION}: "
                        "install the same version of opsconsole on both"
                    )
            case _:
                raise ProtocolError("the first message has to be `hello`, alone")
        self._outbox.put(
            api.Welcome(
                protocol=PROTOCOL_VERSION,
                coordinator=self._kernel.name,
                version=self._version,
                store_id=self._kernel.fleet.store_id,
                role=str(self._caller.role),
                actor=self._caller.actor,
            )
        )

    async def _take(self, message: api.ClientMessage) -> None:
        if not isinstance(message, api.Call):
            raise ProtocolError("only calls are expected after the greeting")
        if not _waits(message.request):
            await self._room.acquire()
            self._begin(message, self._done)
        elif self._waiting < WAITS_MAX:
            self._waiting += 1
            self._begin(message, self._done_waiting)
        else:
            line = f"{WAITS_MAX} calls of this connection wait already: let some end, or open another"
            self._outbox.put(api.Failure(message.number, "limit", line))

    def _begin(self, call: api.Call, done: Callable[[asyncio.Task[None]], None]) -> None:
        task = asyncio.create_task(self._answer(call), name=f"call {call.number}")
        self._tasks.add(task)
        task.add_done_callback(done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    def _done_waiting(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._waiting -= 1

    async def _answer(self, call: api.Call) -> None:
        try:
            if isinstance(call.request, api.Subscribe):
                await self._subscribe(call.number, call.request)
                return
            answer = api.Answer(call.number, await self._desk.answer(call.request, self._caller))
            if isinstance(answer.answer, api.DetailAnswer):
                self._check_size(answer)
            self._outbox.put(answer)
        except OpsconsoleError as error:
            self._outbox.put(api.Failure(call.number, error.code, str(error)))
        except Exception:
            log.exception("a call failed for a reason of our own: %s", type(call.request).__name__)
            text = "the coordinator made a mistake over this; its log says more. Please report it"
            self._outbox.put(api.Failure(call.number, "internal", text))

    def _check_size(self, answer: api.Answer) -> None:
        size = len(self._codec.encode([answer]))
        if size > FRAME_BYTES_MAX:
            raise LimitExceeded(f"the answer has {size >> 20} MiB: ask for a page (tasks_from, tasks_limit)")

    async def _subscribe(self, number: int, request: api.Subscribe) -> None:
        """Answer with a snapshot, and let updates follow; another subscription begins anew."""
        if self._pusher is not None:
            self._pusher.cancel()
        if self._subscriber is not None:
            self._hub.unsubscribe(self._subscriber)
        # Changes are gathered from before the snapshot is read: what is in both folds to the same. But none is told
        # before the snapshot, which would overwrite it.
        subscriber = self._subscriber = self._hub.subscribe()
        snapshot, rest = await self._snapshot(request)
        self._outbox.put(api.Answer(number, api.SnapshotAnswer(snapshot=snapshot)))
        subscriber.begin(rest)
        pusher = self._pusher = asyncio.create_task(self._push(subscriber), name="push updates")
        self._tasks.add(pusher)
        pusher.add_done_callback(self._tasks.discard)

    async def _snapshot(self, request: api.Subscribe) -> tuple[api.Snapshot, list[api.JobRow]]:
        """What is committed, and the live jobs that don't fit the first frame."""
        kernel = self._kernel
        projects = await catalog.projects(kernel.database)

        def read(connection: sqlite3.Connection) -> tuple[list[api.JobRow], list[api.JobRow], list[api.EventRow], int]:
            return (
                query.live_rows(connection),
                list(query.job_rows(connection, ended_only=True, limit=request.finished_limit)),
                query.events(connection, limit=EVENTS_AT_START),
                query.committed_seq(connection),
            )

        live, ended, events, seq = await kernel.database.read(read)
        fleet, now_ms = kernel.fleet, kernel.clock.now_ms()
        snapshot = api.Snapshot(
            seq=seq,
            coordinator=kernel.name,
            workers=tuple(view.worker_row(fleet, worker, now_ms) for worker in fleet.workers.values()),
            jobs=(*live[:ROWS_MAX], *ended),
            events=tuple(reversed(events)),
            jobs_total=sum(sum(row.job_counts.values()) for row in projects),
            projects=projects,
        )
        return snapshot, live[ROWS_MAX:]

    async def _push(self, subscriber: Subscriber) -> None:
        while True:
            update = await subscriber.next()
            await self._outbox.drained()
            if subscriber.is_behind:
                self._overflowed()
                return
            self._outbox.put(update)

    def _overflowed(self) -> None:
        """Answers were dropped: the only clean way on is a new connection, with a new snapshot."""
        self._outbox.end(api.Failure(0, "unavailable", "this connection doesn't read fast enough; connect again"))


def _waits(request: api.AnyRequest) -> bool:
    """Whether the answer may be a long time coming without any work in between: such calls hold up no others."""
    return isinstance(request, api.WaitJobs) or (isinstance(request, api.ReadLog) and request.wait_ms > 0)
