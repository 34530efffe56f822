"""Who may open a stream to whom: grants, tickets, the signals between two ends, and what is written down of it.

The bytes of a stream never pass through here. What two ends need to find each other does, and expires.
"""

import asyncio
import contextlib
import logging
import secrets
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from opsconsole_coordinator.core.model import worker_actor
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.content_keeper import ContentKeeper
from opsconsole_coordinator.server.open_stream import SIGNALS_MAX, STORE, OpenStream, Party, PartyKind, StreamEnd
from opsconsole_coordinator.server.stream_plan import Plan
from opsconsole_coordinator.server.transfer_process import TransferProcess
from opsconsole_coordinator.transfer.message import Expect, Over, Receive, Relay, Serve
from opsconsole_protocol import link
from opsconsole_protocol.api import SignalsAnswer
from opsconsole_protocol.error import LimitExceeded, NotFound, Unavailable
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import WorkerId, spell
from opsconsole_protocol.quantity import size_words
from opsconsole_protocol.stream.message import (
    FetchContent,
    IceServer,
    KeepContent,
    PeerKind,
    ReachPort,
    ReadFiles,
    RunInTask,
    StreamGrant,
    Via,
    Way,
    way_words,
)
from opsconsole_protocol.stream.message import OpenStream as Wanted

log = logging.getLogger("opsconsole.coordinator.stream")

STREAMS_MAX = 10_000
"""That are known at a time."""
STREAMS_OF_ONE_MAX = 200
"""That one person or worker has opened."""
TICKET_MS = 60_000
SILENT_S = 86_400.0
"""A stream of which nothing was heard for this long, and which isn't carried here, is forgotten: no transfer takes longer."""
STOPPED_MAX = 1_000
"""Streams that were ended here, of which it is remembered why: an end that isn't connected then is told when it is back."""
FORSAKEN_S = 300.0
"""Where somebody has as many streams open as may be, one that wasn't heard of for this long gives way."""
SWEEP_S = 5.0
HISTORY_MAX = 1_000
STREAM_ID_LENGTH = 16
SECRET_BYTES = 32
STORE_LABEL = "store"


@dataclass(frozen=True, slots=True)
class StreamPolicy:
    """What the coordinator's configuration says of streams."""

    relay: bool = True
    relay_mb_s: int = 0
    ice_servers: tuple[IceServer, ...] = ()


class Ended(NamedTuple):
    """What an initiator says at a stream's end."""

    way: Way | None
    bytes: int
    files: int
    milliseconds: int
    error: str
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer that has ended."""

    at_ms: int
    who: str
    peer: str
    what: str
    is_to_initiator: bool
    ended: Ended


@dataclass(slots=True)
class StreamCounts:
    """What has happened since the start."""

    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Streams, by their way (or `none`, or `store`: to or from the coordinator's own) and by how they ended: `ok`, `failed`, `expired`, `revoked`."""
    bytes: Counter[str] = field(default_factory=Counter)
    """Bytes that their initiators say were moved, by way."""


class StreamBroker:
    """All streams that are open. Everything here runs on one event loop, and nothing waits."""

    def __init__(
        self, commit_loop: CommitLoop, process: TransferProcess, keeper: ContentKeeper, policy: StreamPolicy
    ) -> None:
        self._commit_loop = commit_loop
        self._process = process
        self._keeper = keeper
        self._policy = policy
        self._streams: dict[str, OpenStream] = {}
        self._stopped: dict[str, OpenStream] = {}
        self.counts = StreamCounts()
        self.history: deque[Transfer] = deque(maxlen=HISTORY_MAX)
        process.listener.on_begun = self._on_begun
        process.listener.on_over = self._on_over
        process.listener.on_lost = self._on_lost

    def __len__(self) -> int:
        return len(self._streams)

    async def run(self) -> None:
        """Forget what has expired, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep()

    def sweep(self) -> None:
        """Forget the streams that nothing was heard of for long, and our own that nobody came for in time."""
        now_s = _now_s()
        for stream in [one for one in self._streams.values() if one.when_over is not None and not one.is_begun]:
            if now_s - stream.granted_s > TICKET_MS / 1000:
                self._end(
                    stream,
                    "expired",
                    f"{stream.responder.party.name} didn't begin to send within {TICKET_MS // 1000} s",
                )
        for stream in [one for one in self._streams.values() if not one.is_begun and now_s - one.heard_s > SILENT_S]:
            self._end(stream, "expired", "nothing was heard of it for too long")

    # --- opening -----------------------------------------------------------------------------------------------

    def open(self, wanted: Wanted, initiator: Party, plan: Plan) -> StreamGrant:
        """Grant a stream that is allowed. The other end is told. Raises Unavailable, LimitExceeded or InvalidRequest."""
        self.check_room(initiator)
        is_store = plan.peer is PeerKind.COORDINATOR
        if not is_store and not self._policy.relay and wanted.via is Via.RELAY:
            raise Unavailable("this coordinator relays nothing (relay in its config.toml): leave --via out")
        stream_id = spell(secrets.randbits(5 * STREAM_ID_LENGTH), STREAM_ID_LENGTH)
        mine, theirs, shared = (secrets.token_urlsafe(SECRET_BYTES) for _ in range(3))
        now_s = _now_s()
        stream = OpenStream(
            id=stream_id, purpose=plan.purpose, what=plan.what, subject=plan.subject, initiator=StreamEnd(initiator),
            responder=StreamEnd(plan.responder), granted_s=now_s, heard_s=now_s,
        )  # fmt: skip
        grant = StreamGrant(
            stream_id=stream_id, secret=mine, shared_secret="" if is_store else shared, is_initiator=True,
            purpose=plan.purpose, peer=plan.peer, peer_name=plan.responder.name, via=wanted.via, failed=wanted.failed,
            relay=self._policy.relay, relay_mb_s=self._policy.relay_mb_s, ice_servers=self._policy.ice_servers,
            ttl_ms=TICKET_MS,
        )  # fmt: skip
        if not is_store:
            stream.session_id = self._session_id(plan.responder)
            peer = PeerKind.WORKER if initiator.kind is PartyKind.WORKER else PeerKind.HOST
            self._serve(
                plan,
                StreamGrant(
                    stream_id=stream_id, secret=theirs, shared_secret=shared, is_initiator=False, purpose=plan.purpose,
                    peer=peer, peer_name=initiator.name, via=wanted.via, failed=wanted.failed, relay=self._policy.relay,
                    relay_mb_s=self._policy.relay_mb_s, ice_servers=self._policy.ice_servers, ttl_ms=TICKET_MS,
                ),
            )  # fmt: skip
        if is_store or self._policy.relay:
            secrets_of_ends = (mine,) if is_store else (mine, theirs)
            work = self._work(plan)
            self._process.expect(Expect(stream_id=stream_id, ttl_ms=TICKET_MS, secrets=secrets_of_ends, work=work))
        self._streams[stream_id] = stream
        return grant

    def store_streams(self) -> int:
        """How many streams there are with the coordinator's own store, those included that may begin any moment."""
        with_store = [one for one in self._streams.values() if one.responder.party.kind is PartyKind.STORE]
        latest_s = _now_s() - TICKET_MS / 1000
        return sum(one.is_begun or (not one.has_passed and one.granted_s > latest_s) for one in with_store)

    def check_room(self, initiator: Party) -> None:
        """Raises LimitExceeded where no more streams are granted to somebody at the moment."""
        if len(self._streams) >= STREAMS_MAX:
            raise LimitExceeded(f"{STREAMS_MAX} streams are open: try again when some have ended")
        mine = [one for one in self._streams.values() if one.initiator.party == initiator]
        if len(mine) >= STREAMS_OF_ONE_MAX:
            oldest = min(mine, key=lambda one: one.heard_s)
            if not oldest.is_begun and _now_s() - oldest.heard_s > FORSAKEN_S:
                self._end(oldest, "expired", "its opener has opened many more since")
                return
            raise LimitExceeded(f"{initiator.name} has {STREAMS_OF_ONE_MAX} streams open: wait until some have ended")

    def _work(self, plan: Plan) -> Relay | Serve | Receive:
        if plan.peer is not PeerKind.COORDINATOR:
            return Relay()
        if isinstance(plan.purpose, KeepContent):
            return self._keeper.receiving(plan.purpose)
        if isinstance(plan.purpose, ReadFiles) and plan.kept:
            return Serve(kept=plan.kept, patterns=plan.purpose.patterns)
        if isinstance(plan.purpose, ReadFiles) and plan.content_id is not None:
            return Serve(content_id=plan.content_id, folder=plan.purpose.folder, patterns=plan.purpose.patterns)
        assert isinstance(plan.purpose, FetchContent)  # noqa: S101 - nothing else is planned with the store
        return Serve(content_id=plan.purpose.content_id)

    def _serve(self, plan: Plan, grant: StreamGrant) -> None:
        if plan.peer is PeerKind.HOST:
            self._keeper.hosts.serve(plan.host_id, grant)
            return
        self._send_to_worker(plan.responder, grant)

    def _session_id(self, party: Party) -> int | None:
        """Of a worker that is connected."""
        session = self._commit_loop.sessions.get(WorkerId(party.key)) if party.kind is PartyKind.WORKER else None
        return session.id if session is not None else None

    def _send_to_worker(self, worker: Party, grant: StreamGrant) -> None:
        session = self._commit_loop.sessions.get(WorkerId(worker.key))
        if session is None:
            raise Unavailable(f"{worker.name} is not connected: try again when it is back")
        session.send(link.ServeStream(grant=grant))

    def fetch_for_store(
        self,
        responder: Party,
        purpose: ReadFiles,
        what: str,
        subject: str,
        work: Receive,
        when_over: Callable[[Over], None],
    ) -> None:
        """Have a worker send files to the coordinator's own store. `when_over` is told once what came of it.

        Raises Unavailable or LimitExceeded.
        """
        self.check_room(STORE)
        now_s = _now_s()
        stream = OpenStream(
            id=spell(secrets.randbits(5 * STREAM_ID_LENGTH), STREAM_ID_LENGTH), purpose=purpose, what=what, subject=subject,
            initiator=StreamEnd(STORE), responder=StreamEnd(responder), granted_s=now_s, heard_s=now_s,
            when_over=when_over,
        )  # fmt: skip
        secret = secrets.token_urlsafe(SECRET_BYTES)
        grant = StreamGrant(
            stream_id=stream.id, secret=secret, is_initiator=False, purpose=purpose, peer=PeerKind.COORDINATOR,
            peer_name=STORE.name, via=Via.RELAY, ttl_ms=TICKET_MS,
        )  # fmt: skip
        self._send_to_worker(responder, grant)
        self._streams[stream.id] = stream
        self._process.expect(Expect(stream_id=stream.id, ttl_ms=TICKET_MS, secrets=(secret,), work=work))

    # --- signals -----------------------------------------------------------------------------------------------

    def signal(self, stream_id: str, sender: Party, body: bytes) -> None:
        """Pass on what one end of a stream tells the other. Raises NotFound or LimitExceeded."""
        stream = self._stream_of(stream_id, sender)
        receiver = stream.other_end(sender)
        assert receiver is not None  # noqa: S101 - the sender is an end of it
        if stream.is_over:
            raise NotFound("this stream is over")
        stream.heard_s = _now_s()
        stream.is_answered = stream.is_answered or receiver is stream.initiator
        stream.signals += 1
        if stream.signals > SIGNALS_MAX:
            self._end(stream, "failed", "its ends told each other too much")
            raise LimitExceeded(f"the ends of a stream may tell each other {SIGNALS_MAX} things")
        if receiver.party.kind is PartyKind.WORKER:
            session = self._commit_loop.sessions.get(WorkerId(receiver.party.key))
            if session is not None:
                session.send(link.Signal(stream_id=stream_id, body=body))
        else:
            receiver.put(body)

    async def await_signals(self, stream_id: str, receiver: Party, wait_ms: int) -> SignalsAnswer:
        """What the other end has told, waited for; and whether nothing more comes, as of a stream that isn't the receiver's."""
        stream = self._streams.get(stream_id) or self._stopped.get(stream_id)
        end = stream.end_of(receiver) if stream is not None else None
        if stream is None or end is None:
            return SignalsAnswer(is_over=True)
        stream.heard_s = _now_s()
        if not end.signals and not stream.is_over and wait_ms:
            end.has_news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(end.has_news.wait(), wait_ms / 1000)
        return SignalsAnswer(bodies=end.take(), is_over=stream.is_over, stopped=stream.stopped)

    def _stream_of(self, stream_id: str, party: Party) -> OpenStream:
        """The stream, one end of which is the party's: others don't learn whether there is one. Raises NotFound."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.end_of(party) is None:
            raise NotFound("there is no such stream of yours any more: ask for a new one")
        return stream

    # --- ends --------------------------------------------------------------------------------------------------

    def ended(self, stream_id: str, party: Party, said: Ended) -> None:
        """An end says that a stream has done its work, or failed. What the initiator says is written down. Raises NotFound."""
        stream = self._stream_of(stream_id, party)
        if stream.end_of(party) is stream.initiator:
            self._note(stream, said)
        self._end(stream, "failed" if said.error else "ok", said.error or "it is done", said.way)
        other = stream.other_end(party)
        if said.error and other is stream.initiator:  # which would wait for a responder that has given up
            stream.over(said.error)
            self._tell_stopped(stream, other)

    def revoke(self, kind: PartyKind, key: str) -> None:
        """A credential was revoked: streams that rest on it end, also those that stand between two others."""
        for stream in list(self._streams.values()):
            revoked = [end for end in stream.ends if (end.party.kind, end.party.key) == (kind, key)]
            if revoked:
                reason = f"the credential of {revoked[0].party.name} was revoked"
                self._remember(stream)
                self._end(stream, "revoked", reason)
                stream.over(reason)
                for end in stream.ends:
                    self._tell_stopped(stream, end)

    def connected(self, worker: Party) -> None:
        """A worker is connected: it may have streams that were ended meanwhile, and may not have heard of one before."""
        session_id = self._session_id(worker)
        for stream in list(self._streams.values()):
            is_ours = stream.responder is stream.end_of(worker) and not stream.is_answered
            if is_ours and stream.session_id not in {None, session_id}:
                reason = f"{worker.name} had lost its connection before it answered: try again"
                self._remember(stream)
                self._end(stream, "failed", reason)
                stream.over(reason)
                self._tell_stopped(stream, stream.initiator)
        for stream in self._stopped.values():
            end = stream.end_of(worker)
            if end is not None:
                self._tell_stopped(stream, end)

    def _tell_stopped(self, stream: OpenStream, end: StreamEnd) -> None:
        """Let an end know that a stream has to end. An agent is sent it; people hear it where they wait for signals."""
        if end.party.kind is PartyKind.WORKER:
            session = self._commit_loop.sessions.get(WorkerId(end.party.key))
            if session is not None:
                session.send(link.StopStream(stream_id=stream.id, reason=stream.stopped))

    def _remember(self, stream: OpenStream) -> None:
        self._stopped[stream.id] = stream
        while len(self._stopped) > STOPPED_MAX:
            del self._stopped[next(iter(self._stopped))]

    def _end(self, stream: OpenStream, how: str, reason: str, way: Way | None = None) -> None:
        self._streams.pop(stream.id, None)
        if stream.when_over is not None:
            failed = Over(stream_id=stream.id, moved_bytes=0, milliseconds=0, error=reason, code=Unavailable.code)
            self._tell_over(stream, failed)
        stream.over()
        self.counts.ended[_way_label(stream, way), how] += 1
        self._process.cancel(stream.id, reason)

    def _on_begun(self, stream_id: str) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.is_begun = True

    def _on_over(self, over: Over) -> None:
        stream = self._streams.get(over.stream_id)
        if stream is not None:
            stream.is_begun = False
            stream.has_passed = True
            stream.heard_s = _now_s()
            if stream.when_over is not None:
                self._tell_over(stream, over)
                self._end(stream, "failed" if over.error else "ok", over.error, Way.RELAY)

    @staticmethod
    def _tell_over(stream: OpenStream, over: Over) -> None:
        when_over, stream.when_over = stream.when_over, None
        if when_over is not None:
            when_over(over)

    def _on_lost(self) -> None:
        for stream in list(self._streams.values()):
            if stream.is_begun:
                self._end(stream, "failed", "the coordinator's transfer process has ended")

    def _note(self, stream: OpenStream, said: Ended) -> None:
        if isinstance(stream.purpose, RunInTask | ReachPort):
            self.counts.bytes[_way_label(stream, said.way)] += said.bytes
            return  # it was written down when it was granted
        now_ms = self._commit_loop.clock.now_ms()
        who, peer = stream.initiator.party, stream.responder.party
        is_to_initiator = isinstance(stream.purpose, FetchContent | ReadFiles)
        self.history.append(Transfer(now_ms, who.name, peer.name, stream.what, is_to_initiator, said))
        self.counts.bytes[_way_label(stream, said.way)] += said.bytes
        if said.error and who.kind is PartyKind.WORKER:
            return  # it tries again, and its log says why
        actor = worker_actor(who.name) if who.kind is PartyKind.WORKER else who.name
        text = transfer_words(stream.what, peer.name, said, is_to_initiator=is_to_initiator)
        self._commit_loop.reactor.on_audit(actor, EventKind.TRANSFERRED, text, stream.subject, now_ms)
        self._commit_loop.changed()


def transfer_words(what: str, peer: str, said: Ended, *, is_to_initiator: bool) -> str:
    """What has moved, in one line: `data.csv from the coordinator: 3 files, 1.2 GB by relay, 95 MB/s`."""
    direction = "from" if is_to_initiator else "to"
    if said.error:
        return f"{what} {direction} {peer} failed: {said.error}"
    files = "" if said.files == 1 else f"{said.files:,} files, "
    by = f" by {way_words(said.way, said.engine)}" if said.way is not None and peer != STORE.name else ""
    speed = f", {size_words(1000 * said.bytes // said.milliseconds)}/s" if said.milliseconds and said.bytes else ""
    return f"{what} {direction} {peer}: {files}{size_words(said.bytes)}{by}{speed}"


def _way_label(stream: OpenStream, way: Way | None) -> str:
    """The way as it is counted: what goes to and from the coordinator's own store isn't relayed."""
    if any(end.party.kind is PartyKind.STORE for end in stream.ends):
        return STORE_LABEL
    return str(way or "none")


def _now_s() -> float:
    return asyncio.get_running_loop().time()
