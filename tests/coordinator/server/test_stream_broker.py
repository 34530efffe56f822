"""Streams by way of a real coordinator: trees that it keeps and serves, and two ends that it joins."""

import asyncio
from pathlib import Path

from msgspec.structs import replace

from opsconsole_protocol import api, link
from opsconsole_protocol.stream.message import PeerKind, Via, Way
from tests.coordinator.server.peer import Site
from tests.coordinator.server.stream_peer import (
    AgentSignals,
    OperatorSignals,
    ask_to_fetch,
    fetch,
    joined,
    keep,
    make_tree,
    received,
    sent,
    upload_of,
)

FILES = {"data.csv": b"1,2,3\n" * 100_000, "models/a b.pt": b"\0" * 5_000_000 + b"x", "empty": b""}


async def test_a_tree_that_a_client_brings_is_what_an_agent_fetches(site: Site, tmp_path: Path) -> None:
    manifest = make_tree(tmp_path / "tree", FILES)
    async with await site.operator() as operator, await site.agent() as agent:
        await agent.register()
        answer = await operator.call(api.FindContents(content_ids=(manifest.content_id,)))
        assert answer.kept == ()
        summary = await keep(site, operator, tmp_path / "tree", manifest)
        assert summary.bytes == manifest.size_bytes
        answer = await operator.call(api.FindContents(content_ids=(manifest.content_id, manifest.content_id)))
        assert answer.kept == (manifest.content_id,)
        await operator.submit(uploads=(upload_of(manifest),))
        attempt_id = await agent.assigned()
        await fetch(site, agent, manifest.content_id, attempt_id, tmp_path / "fetched")
        assert {name: (tmp_path / "fetched" / name).read_bytes() for name in FILES} == FILES


async def test_what_a_host_offers_an_agent_fetches_by_the_relay(site: Site, tmp_path: Path) -> None:
    manifest = make_tree(tmp_path / "tree", FILES)
    upload = replace(upload_of(manifest), host="mbp-7", host_id="h1")
    async with (
        await site.operator() as operator, await site.operator() as teller, await site.operator() as waiter,
        await site.agent() as agent,
    ):  # fmt: skip
        await agent.register()
        await operator.submit(uploads=(upload,))
        offered = await operator.ask(
            api.OfferContents(host="mbp-7", host_id="h1", content_ids=(manifest.content_id,), wait_ms=10_000)
        )
        attempt_id = await agent.assigned()
        mine = await ask_to_fetch(agent, manifest.content_id, attempt_id, via=Via.RELAY)
        [theirs] = (await operator.answer(offered)).grants
        assert (theirs.stream_id, theirs.is_initiator) == (mine.stream_id, False)
        assert (mine.peer, mine.peer_name) == (PeerKind.HOST, "mbp-7")
        signals = OperatorSignals(teller, waiter, theirs.stream_id)
        sending = asyncio.create_task(
            asyncio.to_thread(sent, lambda: joined(site, theirs, signals), tmp_path / "tree", manifest)
        )
        hers = AgentSignals(agent, mine.stream_id)
        summary = await asyncio.to_thread(received, lambda: joined(site, mine, hers), tmp_path / "fetched")
        await sending
        assert {name: (tmp_path / "fetched" / name).read_bytes() for name in FILES} == FILES
        await agent.send(
            link.StreamEnded(stream_id=mine.stream_id, way=Way.RELAY, bytes=summary.bytes, files=3, milliseconds=40)
        )
        assert (await operator.call(api.AwaitSignals(stream_id=mine.stream_id, wait_ms=0))).is_over
