"""One operator's connection: calls come in, answers go out as they are ready, and updates once it is subscribed."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from msgspec import Raw
from starlette.websockets import WebSocket

from opsconsole_coordinator.server import preencoded, snapshot
from opsconsole_coordinator.server.broadcaster import Broadcaster, Subscriber
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.identity import Caller, Identities
from opsconsole_coordinator.server.operator_api import OperatorApi
from opsconsole_coordinator.server.outbox import Closed, Outbox, receive
from opsconsole_protocol import PROTOCOL_VERSION, api
from opsconsole_protocol.api.codec import read_calls, server_codec
from opsconsole_protocol.codec import BATCH_BYTES_MAX
from opsconsole_protocol.error import LimitExceeded, OpsconsoleError, ProtocolError, VersionMismatch

log = logging.getLogger("opsconsole.coordinator.operator")

CALLS_SERVED_MAX = 64
WAITS_MAX = 1_000
OPERATOR_OUTBOX_MAX = 1_000
GREET_TIMEOUT_S = 10.0
ENVELOPE_BYTES = 1_024
"""The bytes of an answer's frame beside the answer, at most."""


class OperatorSession:
    """Lives as long as its websocket."""

    def __init__(
        self,
        socket: WebSocket,
        commit_loop: CommitLoop,
        operator_api: OperatorApi,
        broadcaster: Broadcaster,
        identities: Identities,
        caller: Caller,
        version: str,
    ) -> None:
        self._socket = socket
        self._commit_loop = commit_loop
        self._operator_api = operator_api
        self._broadcaster = broadcaster
        self._identities = identities
        self._caller = caller
        self._version = version
        self._codec = server_codec()
        self._outbox = Outbox(socket, self._codec.encode, OPERATOR_OUTBOX_MAX, self._overflowed)
        self._call_slots = asyncio.Semaphore(CALLS_SERVED_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscriber: Subscriber | None = None
        self._pusher: asyncio.Task[None] | None = None
        self._waiting = 0
        self._reserved: set[str] = set()
        """The jobs for which this connection has reserved offers: these are free once it is gone."""
        self._large_answer_lock = asyncio.Lock()
        self._is_over = asyncio.Event()

    def end(self, reason: str) -> None:
        """The credential was revoked: tell the peer, and close the connection, also where the peer doesn't read."""
        self._outbox.end(api.Failure(0, "unauthenticated", reason))
        self._is_over.set()

    async def run(self) -> None:
        """Serve the connection to its end."""
        sender = asyncio.create_task(self._outbox.run(), name="send to operator")
        receiver = asyncio.create_task(self._receive(), name="receive from operator")
        over = asyncio.create_task(self._is_over.wait(), name="operator shut out")
        try:
            await asyncio.wait((sender, receiver, over), return_when=asyncio.FIRST_COMPLETED)
            if self._outbox.is_ending and not sender.done():
                await asyncio.wait((sender,), timeout=1)
        finally:
            if self._subscriber is not None:
                self._broadcaster.unsubscribe(self._subscriber)
                self._commit_loop.open_consoles.remove(self._caller.actor)
            tasks = [sender, receiver, over, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for job_id in self._reserved:
                self._operator_api.offers.give_up(job_id, self._caller)

    async def _receive(self) -> None:
        try:
            async with asyncio.timeout(GREET_TIMEOUT_S):
                await self._greet()
            while True:
                await self._take(await receive(self._socket))
        except Closed:
            return
        except TimeoutError:
            self._outbox.end(api.Failure(0, "protocol", "no greeting came in time"))
        except OpsconsoleError as error:
            self._outbox.end(api.Failure(0, error.code, str(error)))

    async def _take(self, frame: bytes) -> None:
        """Answer the calls of a frame. Nothing of it is kept once they are answered: it may have been 10,000 jobs."""
        for message in self._decode(frame):
            if isinstance(message, api.Failure):
                self._outbox.put(message)
            else:
                await self._start_call(message)

    def _decode(self, frame: bytes) -> Sequence[api.ClientMessage | api.Failure]:
        """The messages of a frame. In the place of a call that exceeds a limit stands the failure that answers it."""
        try:
            return self._codec.decode(frame)
        except ProtocolError as error:
            try:
                return read_calls(frame)
            except ProtocolError:
                raise error from None

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
                coordinator=self._commit_loop.name,
                version=self._version,
                store_id=self._commit_loop.fleet.store_id,
                role=str(self._caller.role),
                actor=self._caller.actor,
            )
        )

    async def _start_call(self, message: api.ClientMessage) -> None:
        if not isinstance(message, api.Call):
            raise ProtocolError("only calls are expected after the greeting")
        if not self._operator_api.route(message.request).is_waiting(message.request):
            await self._call_slots.acquire()
            self._start_task(message, self._done)
        elif self._waiting < WAITS_MAX:
            self._waiting += 1
            self._start_task(message, self._done_waiting)
        else:
            line = f"{WAITS_MAX} calls of this connection wait already: let some end, or open another"
            self._outbox.put(api.Failure(message.number, "limit", line))

    def _start_task(self, call: api.Call, done: Callable[[asyncio.Task[None]], None]) -> None:
        task = asyncio.create_task(self._answer(call), name=f"call {call.number}")
        self._tasks.add(task)
        task.add_done_callback(done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._call_slots.release()

    def _done_waiting(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._waiting -= 1

    async def _answer(self, call: api.Call) -> None:
        result = "ok"
        try:
            if isinstance(call.request, api.Subscribe):
                self._operator_api.require_role(call.request, self._identities.refreshed(self._caller))
                await self._subscribe(call.number, call.request)
            elif self._operator_api.route(call.request).is_large:
                # One is made at a time, once the one before has been sent: answers that a peer doesn't read don't pile up.
                async with self._large_answer_lock:
                    await self._outbox.drained()
                    self._outbox.put(await self._ask(call))
            else:
                self._outbox.put(await self._ask(call))
                if isinstance(call.request, api.ReserveOffer):
                    asked = {*self._reserved, call.request.job_id}
                    self._reserved = self._operator_api.offers.still_reserved(asked)
        except OpsconsoleError as error:
            result = error.code
            self._outbox.put(api.Failure(call.number, error.code, str(error)))
        except Exception:
            log.exception("a call failed for a reason of our own: %s", type(call.request).__name__)
            text = "the coordinator made a mistake over this; its log says more. Please report it"
            result = "internal"
            self._outbox.put(api.Failure(call.number, result, text))
        self._commit_loop.counts.requests[str(call.request.__struct_config__.tag), result] += 1

    async def _ask(self, call: api.Call) -> Raw:
        answer = preencoded.encode(
            api.Answer(
                call.number, await self._operator_api.answer(call.request, self._identities.refreshed(self._caller))
            )
        )
        if len(answer) > BATCH_BYTES_MAX - ENVELOPE_BYTES:
            size = len(answer) >> 20
            raise LimitExceeded(f"the answer has {size} MiB: ask for a page (tasks_from, tasks_limit)")
        return answer

    async def _subscribe(self, number: int, request: api.Subscribe) -> None:
        """Answer with a snapshot, and let updates follow; another subscription begins anew."""
        if self._pusher is not None:
            self._pusher.cancel()
        if self._subscriber is not None:
            self._broadcaster.unsubscribe(self._subscriber)
        else:
            self._commit_loop.open_consoles.append(self._caller.actor)
        # Subscribed before the snapshot is read, so that no change is missed: folding one twice changes nothing. But no
        # update is sent before the snapshot, which would overwrite it.
        subscriber = self._subscriber = self._broadcaster.subscribe()
        answer, rest = await snapshot.build(
            self._commit_loop, self._broadcaster.worker_row_cache, request.finished_limit
        )
        self._outbox.put(api.Answer(number, answer))
        pusher = self._pusher = asyncio.create_task(self._push(subscriber, rest), name="push updates")
        self._tasks.add(pusher)
        pusher.add_done_callback(self._tasks.discard)

    async def _push(self, subscriber: Subscriber, rest: list[Raw]) -> None:
        for update in rest:
            await self._outbox.drained()
            self._outbox.put(update)
        while True:
            await subscriber.wait()
            await self._outbox.drained()
            if subscriber.is_behind:
                self._overflowed()
                return
            self._outbox.put(subscriber.next_update())

    def _overflowed(self) -> None:
        """Answers were dropped: the connection is ended, so that the peer connects anew and gets a new snapshot."""
        self._commit_loop.counts.overflows["operator"] += 1
        self._outbox.end(api.Failure(0, "unavailable", "this connection doesn't read fast enough; connect again"))
