"""Streams by way of a real coordinator: trees that it keeps and serves, and two ends that it joins."""

from pathlib import Path

from opsconsole_protocol import api
from tests.coordinator.server.peer import Site
from tests.coordinator.server.stream_peer import fetch, keep, make_tree, upload_of

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
