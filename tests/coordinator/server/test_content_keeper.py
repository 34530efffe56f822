"""What the coordinator keeps: pinned while a job needs it, across restarts; results that a job collects; and bounds."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from opsconsole_coordinator.server.streams import TransferPolicy
from opsconsole_protocol import api, link
from opsconsole_protocol.content.frame import failure
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.error import Conflict, Forbidden, LimitExceeded, NotFound, OpsconsoleError
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.ids import AttemptId, JobId
from opsconsole_protocol.state import AttemptState
from opsconsole_protocol.stream.message import (
    FileRoot,
    KeepContent,
    OpenStream,
    PeerKind,
    ReadFiles,
    RootKind,
    StreamGrant,
)
from tests.coordinator.server import peer
from tests.coordinator.server.peer import Agent, Operator, Site
from tests.coordinator.server.stream_peer import (
    ask_to_keep,
    dialled,
    fetch,
    keep,
    make_tree,
    received,
    sent,
    upload_of,
)
from tests.waiting import until

WAIT_S = 20.0


def holders(data_dir: Path) -> dict[str, int]:
    """Who holds how many trees, once the coordinator has ended. Names without what follows their first dot."""
    store = ContentStore(data_dir / "content", 1 << 30)
    try:
        found: dict[str, int] = {}
        for holder, content_ids in store.holders().items():
            found[holder.partition(".")[0]] = found.get(holder.partition(".")[0], 0) + len(content_ids)
        return found
    finally:
        store.close()


async def test_what_jobs_need_stays_until_the_last_of_them_has_ended(tmp_path: Path) -> None:
    data, manifest = tmp_path / "data", make_tree(tmp_path / "tree", {"a": b"1"})
    async with peer.site(data) as site, await site.operator() as operator:
        await keep(site, operator, tmp_path / "tree", manifest)
        jobs = [await operator.submit(uploads=(upload_of(manifest),), held=True) for _ in range(3)]
        await operator.call(api.Act(verb="cancel", ids=(jobs[0].id,)))
    assert holders(data) == {"needed": 1, "fresh": 1}
    async with peer.site(data) as site, await site.operator(site.token) as operator:
        await site.streams.process.ready(WAIT_S)
        answer = await operator.call(api.FindContents(content_ids=(manifest.content_id,)))
        assert answer.kept == (manifest.content_id,)
        await operator.call(api.Act(verb="cancel", ids=(jobs[1].id, jobs[2].id)))
    assert holders(data) == {"fresh": 1}


async def test_what_no_job_needs_after_a_restart_is_let_go(tmp_path: Path) -> None:
    data, manifest = tmp_path / "data", make_tree(tmp_path / "tree", {"a": b"1"})
    async with peer.site(data) as site, await site.operator() as operator:
        await keep(site, operator, tmp_path / "tree", manifest)
    store = ContentStore(data / "content", 1 << 30)
    store.pin(f"needed.{manifest.content_id}", manifest.content_id)
    store.pin("sending.7k3", manifest.content_id)
    store.close()
    async with peer.site(data) as site:
        await site.streams.process.ready(WAIT_S)
        await site.streams.process.ready(WAIT_S)
    assert holders(data) == {"fresh": 1}


async def test_what_is_kept_is_known_after_a_restart_and_its_jobs_start(tmp_path: Path) -> None:
    data, manifest = tmp_path / "data", make_tree(tmp_path / "tree", {"a": b"1"})
    async with peer.site(data) as site, await site.operator() as operator:
        await keep(site, operator, tmp_path / "tree", manifest)
        await operator.submit(uploads=(upload_of(manifest),))
    async with peer.site(data) as site, await site.agent() as agent:
        await agent.register()
        attempt_id = await agent.assigned()
        await fetch(site, agent, manifest.content_id, attempt_id, tmp_path / "fetched")
    assert (tmp_path / "fetched" / "a").read_bytes() == b"1"


async def test_a_process_that_is_killed_in_the_middle_loses_nothing_that_is_kept(site: Site, tmp_path: Path) -> None:
    manifest = make_tree(tmp_path / "tree", {"a": b"1"})
    async with await site.operator() as operator, await site.agent() as agent:
        await agent.register()
        await keep(site, operator, tmp_path / "tree", manifest)
        process = site.streams.process
        assert process._process is not None
        os.kill(process._process.pid, signal.SIGKILL)
        await until(lambda: not process.is_ready.is_set())
        await operator.submit(uploads=(upload_of(manifest),))
        attempt_id = await agent.assigned()
        await process.ready(WAIT_S)
        await fetch(site, agent, manifest.content_id, attempt_id, tmp_path / "fetched")


async def test_what_is_spoilt_is_not_served_and_not_kept(site: Site, tmp_path: Path) -> None:
    manifest = make_tree(tmp_path / "tree", {"a": b"1"})
    async with await site.operator() as operator, await site.agent() as agent:
        await agent.register()
        await keep(site, operator, tmp_path / "tree", manifest)
        await operator.submit(uploads=(upload_of(manifest),))
        attempt_id = await agent.assigned()
        spoilt = site.data_dir / "content" / "trees" / manifest.content_id / "a"
        spoilt.chmod(0o644)
        spoilt.write_bytes(b"22")
        with pytest.raises(OpsconsoleError, match="something was written into the kept tree"):
            await fetch(site, agent, manifest.content_id, attempt_id, tmp_path / "fetched")
        await until(lambda: not site.streams.process.kept)
        answer = await operator.call(api.FindContents(content_ids=(manifest.content_id,)))
        assert answer.kept == ()


async def test_another_tree_than_was_announced_is_not_taken(site: Site, tmp_path: Path) -> None:
    announced = make_tree(tmp_path / "tree", {"a": b"1"})
    other = make_tree(tmp_path / "other", {"a": b"2"})
    async with await site.operator() as operator:
        grant = await ask_to_keep(operator, announced)
        with pytest.raises(OpsconsoleError):
            await asyncio.to_thread(sent, lambda: dialled(site, grant), tmp_path / "other", other)
        answer = await operator.call(api.FindContents(content_ids=(announced.content_id, other.content_id)))
        assert answer.kept == ()


async def test_a_tree_that_is_kept_already_is_not_sent_again(site: Site, tmp_path: Path) -> None:
    manifest = make_tree(tmp_path / "tree", {"a": b"1" * 100_000})
    async with await site.operator() as operator:
        assert (await keep(site, operator, tmp_path / "tree", manifest)).bytes_sent == 100_000
        assert (await keep(site, operator, tmp_path / "tree", manifest)).bytes_sent == 0


async def test_a_larger_tree_than_announced_or_allowed_is_not_taken(tmp_path: Path) -> None:
    manifest = make_tree(tmp_path / "tree", {"a": os.urandom(200_000)})
    policy = TransferPolicy(keep_upload_bytes=100_000)
    async with peer.site(tmp_path / "data", transfer=policy) as site, await site.operator() as operator:
        answer = await operator.call(api.FindContents(content_ids=()))
        assert answer.keep_bytes_max == 100_000
        with pytest.raises(
            LimitExceeded, match=r"200 kB are too much to be kept by the coordinator, which takes 100 kB"
        ):
            await keep(site, operator, tmp_path / "tree", manifest)
        purpose = KeepContent(content_id=manifest.content_id, size_bytes=1, files=1)  # a lie
        grant = (await operator.call(api.AskForStream(open=OpenStream(purpose=purpose)))).grant
        with pytest.raises(LimitExceeded):
            await asyncio.to_thread(sent, lambda: dialled(site, grant), tmp_path / "tree", manifest)


# --- results that are collected ------------------------------------------------------------------------------------


async def collect(site: Site, agent: Agent, folder: Path, manifest: Manifest) -> StreamGrant:
    """An agent is asked for results that are collected, and sends them."""
    grant = (await agent.take(link.ServeStream)).grant
    assert isinstance(grant.purpose, ReadFiles)
    await asyncio.to_thread(sent, lambda: dialled(site, grant), folder, manifest)
    return grant


async def ask_for_results(operator: Operator, job_id: str, *patterns: str, folder: bytes = b"") -> StreamGrant:
    purpose = ReadFiles(root=FileRoot(kind=RootKind.OUTPUT, job_id=job_id), folder=folder, patterns=patterns)
    answer: api.StreamAnswer = await operator.call(api.AskForStream(open=OpenStream(purpose=purpose)))
    return answer.grant


RESULTS = {"models/best.pt": b"weights", "models/last.pt": b"more", "log.json": b"{}"}


async def finish_one(operator: Operator, agent: Agent, *collect: str) -> tuple[str, AttemptId]:
    """A job that names results to collect has ended."""
    job = await operator.submit(collect=collect)
    attempt_id = await agent.assigned()
    await agent.report(
        attempt_id, AttemptState.SUCCEEDED, started_at_ms=1, finished_at_ms=2, exit_code=0,
        output_path=f"/out/jobs/{job.id}",
    )  # fmt: skip
    await operator.wait(job.id)
    return job.id, attempt_id


async def collected_row(operator: Operator, job_id: str) -> api.CollectedRow:
    row = (await operator.call(api.ShowJob(id=job_id))).detail.tasks[0].collected
    assert isinstance(row, api.CollectedRow)
    return row


async def test_collected_results_survive_their_worker(tmp_path: Path) -> None:
    manifest = make_tree(tmp_path / "out", RESULTS)
    data = tmp_path / "data"
    async with peer.site(data) as site, await site.operator() as operator:
        async with await site.agent() as agent:
            await agent.register()
            job_id, attempt_id = await finish_one(operator, agent, "models/*", "*.json")
            asked = (await collect(site, agent, tmp_path / "out", manifest)).purpose
            assert isinstance(asked, ReadFiles)
            assert (asked.root.job_id, asked.root.attempt_id) == (job_id, attempt_id)
            assert (asked.root.output_path, asked.patterns) == (f"/out/jobs/{job_id}", ("models/*", "*.json"))
            await until(lambda: site.streams.collection.of_task(JobId(job_id), 0) is not None)
        await until(lambda: not site.commit_loop.sessions)
        await until(lambda: not len(site.commit_loop.fleet.output_copies))
        await site.commit_loop.committed()
        row = await collected_row(operator, job_id)
        assert (row.state, row.content_id, row.files) == ("kept", manifest.content_id, 3)
    async with peer.site(data) as site, await site.operator(site.token) as operator:
        await site.streams.process.ready(WAIT_S)
        whole = await ask_for_results(operator, job_id)
        assert (whole.peer, whole.peer_name) == (PeerKind.COORDINATOR, "the coordinator")
        await asyncio.to_thread(received, lambda: dialled(site, whole), tmp_path / "whole")
        assert {name: (tmp_path / "whole" / name).read_bytes() for name in RESULTS} == RESULTS
        models = await ask_for_results(operator, job_id, "best*", folder=b"models")
        await asyncio.to_thread(received, lambda: dialled(site, models), tmp_path / "models")
        assert [path.name for path in sorted((tmp_path / "models").iterdir())] == ["best.pt"]
        none = await ask_for_results(operator, job_id, "*.csv")
        with pytest.raises(OpsconsoleError, match=r"nothing that is kept matches \*\.csv"):
            await asyncio.to_thread(received, lambda: dialled(site, none), tmp_path / "none")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (NotFound("there is no file"), "kept"),
        (Forbidden("not yours"), "failed"),
        (Conflict("a file has changed"), "wanted"),
    ],
)
async def test_what_can_not_be_collected_is_said(site: Site, error: OpsconsoleError, state: str) -> None:
    async with await site.operator() as operator, await site.agent() as agent:
        await agent.register()
        job_id, _ = await finish_one(operator, agent, "models/*")
        grant = (await agent.take(link.ServeStream)).grant

        def refuse() -> None:
            stream = dialled(site, grant)
            stream.send(failure(error))
            while stream.receive_into(bytearray(100)):
                pass
            stream.close()

        await asyncio.to_thread(refuse)
        await until(lambda: not site.streams.broker._streams)
        await site.commit_loop.committed()
        row = await collected_row(operator, job_id)
        assert (row.state, row.content_id) == (state, None)
        assert (error.message in row.reason) == (state != "kept")


async def test_a_worker_that_does_not_send_what_is_collected_is_asked_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsconsole_coordinator.server.stream_broker.TICKET_MS", 0)
    monkeypatch.setattr("opsconsole_coordinator.core.collecting.RETRY_FIRST_MS", 0)
    async with await site.operator() as operator, await site.agent() as agent:
        await agent.register()
        job_id, _ = await finish_one(operator, agent, "models/*")
        first = (await agent.take(link.ServeStream)).grant
        site.streams.broker.sweep()
        await site.commit_loop.committed()
        assert "didn't begin to send" in (await collected_row(operator, job_id)).reason
        await agent.send(link.Heartbeat(at_ms=1))
        second = (await agent.take(link.ServeStream)).grant
        assert first.stream_id != second.stream_id


@pytest.mark.parametrize("again", [False, True], ids=["noticed-on-read", "gone-at-start"])
async def test_collected_results_that_are_damaged_are_told_as_lost(tmp_path: Path, again: bool) -> None:
    manifest = make_tree(tmp_path / "out", RESULTS)
    data = tmp_path / "data"
    async with peer.site(data) as site, await site.operator() as operator:
        async with await site.agent() as agent:
            await agent.register()
            job_id, _ = await finish_one(operator, agent, "**")
            await collect(site, agent, tmp_path / "out", manifest)
            await until(lambda: site.streams.collection.of_task(JobId(job_id), 0) is not None)
            await until(lambda: not len(site.commit_loop.fleet.output_copies))
        await until(lambda: not site.commit_loop.sessions)
        spoilt = data / "content" / "trees" / manifest.content_id / "models" / "best.pt"
        spoilt.parent.chmod(0o755)
        spoilt.chmod(0o644)
        spoilt.write_bytes(b"other bytes")
        if not again:
            grant = await ask_for_results(operator, job_id)
            with pytest.raises(OpsconsoleError, match="was dropped"):
                await asyncio.to_thread(received, lambda: dialled(site, grant), tmp_path / "none")
            await is_lost(site, operator, job_id)
    if again:
        store = ContentStore(data / "content", 1 << 30)
        store.remove(manifest.content_id)
        store.close()
        async with peer.site(data) as site, await site.operator(site.token) as operator:
            await site.streams.process.ready(WAIT_S)
            await is_lost(site, operator, job_id)
    assert holders(data) == {}


async def is_lost(site: Site, operator: Operator, job_id: str) -> None:
    """It is said that a job's kept results are lost."""
    async with asyncio.timeout(WAIT_S):
        while (row := await collected_row(operator, job_id)).state == "kept":
            await site.commit_loop.committed()
    assert (row.state, row.content_id) == ("failed", None)
    assert row.reason == "what the coordinator kept of them was damaged, and is lost"
    assert site.streams.collection.of_task(JobId(job_id), 0) is None


async def test_results_of_a_removed_job_are_let_go(site: Site, tmp_path: Path) -> None:
    manifest = make_tree(tmp_path / "out", RESULTS)
    collection = site.streams.collection
    async with await site.operator() as operator, await site.agent() as agent:
        await agent.register()
        await finish_one(operator, agent, "models/*")
        await collect(site, agent, tmp_path / "out", manifest)
        await until(lambda: collection.size_bytes == manifest.size_bytes)
        await until(
            lambda: not len(site.commit_loop.fleet.output_copies)
        )  # which the core hears after the store has it
        await collection.sweep()
        assert collection.size_bytes == manifest.size_bytes
        await operator.call(api.Clean(attempts=False, history=True, remove=True))
        assert collection.size_bytes == 0
        await until(lambda: not site.streams.process.kept)


async def test_the_oldest_results_go_where_all_are_too_large(tmp_path: Path) -> None:
    manifests = [make_tree(tmp_path / f"out-{number}", {"a": os.urandom(40_000)}) for number in range(2)]
    policy = TransferPolicy(keep_content_bytes=120_000)
    async with (
        peer.site(tmp_path / "data", transfer=policy) as site, await site.operator() as operator,
        await site.agent() as agent,
    ):  # fmt: skip
        await agent.register()
        jobs: list[JobId] = []
        for number, manifest in enumerate(manifests):
            jobs.append(JobId((await finish_one(operator, agent, "*"))[0]))
            await collect(site, agent, tmp_path / f"out-{number}", manifest)
        collection = site.streams.collection
        await until(lambda: collection.of_task(jobs[1], 0) is not None)
        await until(lambda: collection.of_task(jobs[0], 0) is None)
        await site.commit_loop.committed()
        removed = [one.text for one in (await operator.call(api.ListEvents())).events if one.kind == "removed"]
        assert removed == ["the kept results of 1 task removed: all of them are to stay below 60 kB"]
