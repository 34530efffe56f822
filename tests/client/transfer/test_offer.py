"""What is too large to be kept is sent from here to whoever the coordinator says wants it."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from opsconsole.client import Client
from opsconsole.transfer import pending
from opsconsole.transfer.board import TransferBoard
from opsconsole.transfer.pending import PendingOffer
from opsconsole.transfer.row import TransferPhase
from opsconsole.transfer.this_host import this_host
from opsconsole_protocol import api
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.error import Conflict, Forbidden, OpsconsoleError
from opsconsole_protocol.host.content.scan import scan_file
from opsconsole_protocol.host.content.session import receive
from opsconsole_protocol.host.content.sink import PlacingSink
from opsconsole_protocol.host.stream.stream import SocketStream, Stream
from opsconsole_protocol.ids import ContentId, JobId
from opsconsole_protocol.stream.error import StreamCancelled
from opsconsole_protocol.stream.message import FetchContent, PeerKind, StreamGrant, Way
from tests.client.fake_server import FakeServer
from tests.waiting import until

JOB = JobId("aaaaaaaaaa")


class Wanting:
    """A coordinator that wants what is offered, once; and the worker that gets it."""

    def __init__(self, server: FakeServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        self.wants = True
        self.unwanted: tuple[ContentId, ...] = ()
        self.looks: Callable[[], None] = lambda: None
        """What the worker does when it has heard what is offered."""
        self.calls: list[api.OfferContents] = []
        self.threads: list[threading.Thread] = []
        server.answers[api.OfferContents] = self._offered
        server.answers[api.EndStream] = lambda _server, _request: api.Done(text="")
        monkeypatch.setattr("opsconsole.transfer.offer.LONG_POLL_MS", 50)
        monkeypatch.setattr("opsconsole.transfer.offer._LOOK_S", 0.01)
        monkeypatch.setattr("opsconsole_protocol.host.stream.negotiation.open_stream", self._open)

    def _offered(self, _server: FakeServer, request: api.OfferContents) -> api.OfferAnswer:
        self.calls.append(request)
        if not self.wants or not request.content_ids:
            return api.OfferAnswer(unwanted=self.unwanted)
        self.wants = False
        purpose = FetchContent(content_id=request.content_ids[0])
        grant = StreamGrant(
            stream_id="s1", secret="x", is_initiator=False, purpose=purpose, peer=PeerKind.WORKER, peer_name="gpu-a"
        )
        return api.OfferAnswer(grants=(grant,))

    def _open(self, *_: object, **__: object) -> Stream:
        near, far = socket.socketpair()
        self.threads.append(threading.Thread(target=self._receive, args=(SocketStream(far, Way.RELAY),)))
        self.threads[-1].start()
        return SocketStream(near, Way.RELAY)

    def _receive(self, stream: SocketStream) -> None:
        def make_sink(manifest: Manifest) -> PlacingSink:
            self.looks()
            return PlacingSink(manifest, self.folder, b"", replace=False)

        try:
            receive(stream, make_sink)
        except OpsconsoleError:
            return
        finally:
            stream.close()


@pytest.fixture
def wanting(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wanting:
    return Wanting(server, tmp_path / "worker", monkeypatch)


@pytest.fixture
async def board(server: FakeServer) -> AsyncIterator[TransferBoard]:
    async with await Client.open(server.target) as client:
        board = TransferBoard(client)
        yield board
        await board.close()


@pytest.fixture
def offer(tmp_path: Path) -> PendingOffer:
    path = tmp_path / "big"
    path.write_text("big")
    one = PendingOffer(
        store_id="store", content_id=scan_file(path).content_id, path=os.fsencode(path), name="big", is_folder=False,
        size_bytes=3, files=1, job_ids=(JOB,),
    )  # fmt: skip
    pending.save(one)
    return one


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_is_wanted_is_sent(
    board: TransferBoard, server: FakeServer, wanting: Wanting, offer: PendingOffer
) -> None:
    server.add_job(JOB)
    task = asyncio.create_task(board.serve_offers())
    await until(lambda: board.rows and board.rows[0].is_over)
    (row,) = board.rows
    assert (row.phase, row.title, row.way, row.job_id) == (TransferPhase.DONE, "big to gpu-a", Way.RELAY, JOB)
    assert (wanting.folder / "big").read_text() == "big"
    assert (wanting.calls[0].host, wanting.calls[0].host_id) == this_host()
    assert pending.offers() == [offer], "another worker may want it, too"
    wanting.unwanted = (offer.content_id,)
    await until(lambda: not pending.offers())
    await stop(task)


async def test_one_that_the_worker_cancels_is_in_the_history_as_cancelled(
    board: TransferBoard, server: FakeServer, wanting: Wanting, offer: PendingOffer
) -> None:
    def cancel() -> None:
        raise StreamCancelled("the transfer was cancelled")

    wanting.looks = cancel
    task = asyncio.create_task(board.serve_offers())
    await until(lambda: board.rows and board.rows[0].is_over)
    assert [row.phase for row in (*board.rows, *await board.history())] == [TransferPhase.CANCELLED] * 2
    assert pending.offers() == [offer]
    await stop(task)


async def test_one_that_is_cancelled_here_isnt_sent_again_by_itself(
    board: TransferBoard, server: FakeServer, wanting: Wanting, offer: PendingOffer
) -> None:
    is_sent, may_end = threading.Event(), threading.Event()

    def hang() -> None:
        is_sent.set()
        may_end.wait(10)

    wanting.looks = hang
    task = asyncio.create_task(board.serve_offers())
    assert await asyncio.to_thread(is_sent.wait, 10)
    board.cancel(board.rows[0].id)
    await until(lambda: board.rows[0].is_over)
    may_end.set()
    assert [row.phase for row in (*board.rows, *await board.history())] == [TransferPhase.CANCELLED] * 2
    await until(lambda: any(isinstance(one, api.EndStream) for one in server.asked))
    calls = len(wanting.calls)
    for thread in wanting.threads:
        await asyncio.to_thread(thread.join, 10)
    assert pending.offers() == [offer]  # `transfers resume` sends it
    with pending.claimed(offer) as is_free:
        assert is_free
    assert len(wanting.calls) == calls
    await stop(task)


async def test_what_has_changed_since_isnt_sent(
    board: TransferBoard, server: FakeServer, wanting: Wanting, offer: PendingOffer, tmp_path: Path
) -> None:
    (tmp_path / "big").write_text("changed")
    task = asyncio.create_task(board.serve_offers())
    await until(lambda: board.rows and board.rows[0].is_over)
    assert board.rows[0].error.endswith("big has changed since the job was submitted: submit it again")
    assert list(wanting.folder.iterdir()) == []
    await until(lambda: any(isinstance(one, api.EndStream) for one in server.asked))
    await stop(task)


async def test_an_offer_for_a_job_that_is_only_about_to_be_submitted_stays(
    board: TransferBoard, server: FakeServer, wanting: Wanting, offer: PendingOffer
) -> None:
    wanting.wants = False
    wanting.unwanted = (offer.content_id,)
    pending.save(replace(offer, created_at_ms=time.time_ns() // 1_000_000))
    task = asyncio.create_task(board.serve_offers())
    await until(lambda: len(wanting.calls) > 3)
    assert pending.exists(offer)
    server.add_job(JOB)
    await until(lambda: not pending.exists(offer))
    await stop(task)


async def test_what_another_process_has_its_hands_on_is_left_to_it(
    board: TransferBoard, wanting: Wanting, offer: PendingOffer
) -> None:
    with pending.claimed(offer):
        task = asyncio.create_task(board.serve_offers())
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert wanting.calls == []
    await until(lambda: wanting.calls)
    await stop(task)


async def test_a_coordinator_that_is_away_is_asked_again(
    board: TransferBoard, server: FakeServer, wanting: Wanting, offer: PendingOffer
) -> None:
    wanting.wants = False
    task = asyncio.create_task(board.serve_offers())
    await until(lambda: wanting.calls)
    server.drop_connections()
    seen = len(wanting.calls)
    await until(lambda: len(wanting.calls) > seen + 1)
    await stop(task)


async def test_who_finds_this_machine_offered_by_another_token_tries_again(
    board: TransferBoard, server: FakeServer, wanting: Wanting, offer: PendingOffer
) -> None:
    offered = server.answers[api.OfferContents]

    def refused_first(server: FakeServer, request: api.OfferContents) -> api.AnyAnswer:
        server.answers[api.OfferContents] = offered
        raise Conflict("somebody else offers files as this machine")

    server.answers[api.OfferContents] = refused_first
    task = asyncio.create_task(board.serve_offers())
    await until((wanting.folder / "big").exists)
    await stop(task)


async def test_what_fails_leaves_nothing_running(
    board: TransferBoard, server: FakeServer, wanting: Wanting, offer: PendingOffer
) -> None:
    def refused(_server: FakeServer, _request: api.OfferContents) -> api.AnyAnswer:
        raise Forbidden("an operator may")

    server.answers[api.OfferContents] = refused
    before = asyncio.all_tasks()
    with pytest.raises(Forbidden):
        await board.run()
    assert not [one for one in asyncio.all_tasks() - before if "_fetch_always" in repr(one)]
