"""Who may do what with streams: others' streams, others' tasks, roles, credentials that are revoked, and what is written down."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from opsconsole_coordinator.server.streams import TransferPolicy
from opsconsole_protocol import api, link
from opsconsole_protocol.error import Conflict, Forbidden, LimitExceeded, NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.state import AttemptState
from opsconsole_protocol.stream.message import (
    FileRoot,
    KeepContent,
    OpenStream,
    PeerKind,
    Purpose,
    ReadFiles,
    RootKind,
    StreamGrant,
    Via,
    Way,
    WriteFiles,
)
from tests.coordinator.server import peer
from tests.coordinator.server.peer import Agent, Operator, Site, some_secret
from tests.coordinator.server.stream_peer import ask_to_fetch, keep, make_tree, upload_of
from tests.waiting import until

MOUNTS = {"io_paths": {"input": "/in", "output": "/out"}, "mounts": [{"label": "lab", "path": "/mnt/lab"}]}
NOBODYS = ContentId("5f" * 32)


async def to_mount(operator: Operator, worker: str, **fields: object) -> StreamGrant:
    """A stream by which files are put on a worker."""
    purpose = WriteFiles(root=FileRoot(kind=RootKind.MOUNT, mount="input"))
    wanted = OpenStream(**{"purpose": purpose, "peer": worker, **fields})  # type: ignore[arg-type]
    answer: api.StreamAnswer = await operator.call(api.AskForStream(open=wanted))
    return answer.grant


async def served(agent: Agent) -> StreamGrant:
    return (await agent.take(link.ServeStream)).grant


async def test_both_ends_are_told_what_they_need_and_no_more(site: Site) -> None:
    async with await site.operator() as operator, await site.agent("gpu-a") as agent:
        await agent.register(properties=MOUNTS)
        mine = await to_mount(operator, "gpu-a", via=Via.DIRECT)
        theirs = await served(agent)
        assert (mine.peer, mine.peer_name, mine.via) == (PeerKind.WORKER, "gpu-a", Via.DIRECT)
        assert (theirs.peer, theirs.is_initiator, theirs.stream_id) == (PeerKind.HOST, False, mine.stream_id)
        assert mine.shared_secret == theirs.shared_secret
        assert len({mine.secret, theirs.secret, mine.shared_secret}) == 3
        assert mine.ttl_ms == 60_000


@pytest.mark.parametrize("has_answered", [False, True])
async def test_who_waits_for_a_worker_that_died_before_it_answered_hears_so_once_it_is_back(
    site: Site, has_answered: bool
) -> None:
    """The next life of an agent knows nothing of what the one before was asked; one that has answered is a matter of both ends."""
    secret = some_secret()
    async with await site.operator() as operator:
        async with await site.agent("gpu-a", secret=secret) as agent:
            await agent.register(properties=MOUNTS)
            stream_id = (await to_mount(operator, "gpu-a")).stream_id
            await served(agent)
            if has_answered:
                await agent.send(link.Signal(stream_id=stream_id, body=b"1"))
                await operator.call(api.AwaitSignals(stream_id=stream_id, wait_ms=10_000))
        async with await site.agent("gpu-a", secret=secret) as agent:
            await agent.register(properties=MOUNTS, run_id="run-2")
            await agent.send(link.Contents(whole=True))
            later_id = (await to_mount(operator, "gpu-a")).stream_id
            said = await operator.call(api.AwaitSignals(stream_id=stream_id, wait_ms=0 if has_answered else 10_000))
            assert said.is_over is not has_answered
            assert ("gpu-a had lost its connection" in said.stopped) is not has_answered
            await agent.send(link.Contents(whole=True))
            await agent.send(link.Signal(stream_id=later_id, body=b"2"))
            assert (await operator.call(api.AwaitSignals(stream_id=later_id, wait_ms=10_000))).bodies == (b"2",)


async def test_signals_go_to_the_other_end_of_the_stream_and_to_nobody_else(site: Site) -> None:
    async with (
        await site.operator() as operator, await site.operator_of("operator") as other, await site.agent("a") as agent,
        await site.agent("b") as stranger,
    ):  # fmt: skip
        await agent.register(properties=MOUNTS)
        await stranger.register(properties=MOUNTS)
        stream_id = (await to_mount(operator, "a")).stream_id
        await served(agent)
        await operator.call(api.SendSignal(stream_id=stream_id, body=b"1"))
        await operator.call(api.SendSignal(stream_id=stream_id, body=b"2"))
        assert [(await agent.take(link.Signal)).body for _ in range(2)] == [b"1", b"2"]
        for request in (api.SendSignal(stream_id=stream_id, body=b"x"), api.EndStream(stream_id=stream_id)):
            with pytest.raises(NotFound, match="there is no such stream of yours any more"):
                await other.call(request)
        assert (await other.call(api.AwaitSignals(stream_id=stream_id, wait_ms=0))).is_over
        await stranger.send(link.Signal(stream_id=stream_id, body=b"x"), link.StreamEnded(stream_id=stream_id))
        await agent.send(link.Signal(stream_id=stream_id, body=b"3"))
        answer = await operator.call(api.AwaitSignals(stream_id=stream_id, wait_ms=10_000))
        assert (answer.bodies, answer.is_over) == ((b"3",), False)


async def test_who_waits_for_signals_hears_the_end(site: Site) -> None:
    async with await site.operator() as operator, await site.operator() as waiter, await site.agent("a") as agent:
        await agent.register(properties=MOUNTS)
        stream_id = (await to_mount(operator, "a")).stream_id
        waiting = await waiter.ask(api.AwaitSignals(stream_id=stream_id, wait_ms=10_000))
        await operator.call(api.EndStream(stream_id=stream_id, error="cancelled"))
        assert (await waiter.answer(waiting)).is_over


async def test_signals_that_nobody_takes_are_bounded(site: Site) -> None:
    async with await site.operator() as operator, await site.agent("a") as agent:
        await agent.register(properties=MOUNTS)
        stream_id = (await to_mount(operator, "a")).stream_id
        await served(agent)
        await agent.send(*[link.Signal(stream_id=stream_id, body=b"x" * 65_536)] * 100)
        await operator.call(api.ListWorkers())
        answer = await operator.call(api.AwaitSignals(stream_id=stream_id, wait_ms=10_000))
        assert 1 <= len(answer.bodies) <= 32


async def test_an_agent_fetches_only_what_a_task_of_its_own_needs(site: Site, tmp_path: Path) -> None:
    upload = upload_of(make_tree(tmp_path, {"a": b"1"}))
    async with await site.operator() as operator, await site.agent("a") as agent, await site.agent("b") as stranger:
        await agent.register()
        await stranger.register()
        await operator.call(api.OfferContents(host="mbp-7", host_id="h1", content_ids=(upload.content_id,), wait_ms=0))
        await operator.submit(worker="a", uploads=(replace(upload, host="mbp-7", host_id="h1"),))
        attempt_id = await agent.assigned()
        for content_id, attempt in ((NOBODYS, attempt_id), (upload.content_id, ""), (upload.content_id, "j.0.0.x")):
            with pytest.raises(Forbidden):
                await ask_to_fetch(agent, content_id, attempt)
        with pytest.raises(Forbidden, match=f"{attempt_id} is not an attempt that this worker runs"):
            await ask_to_fetch(stranger, upload.content_id, attempt_id)
        assert (await ask_to_fetch(agent, upload.content_id, attempt_id)).peer is PeerKind.HOST
        await agent.report(attempt_id, AttemptState.SUCCEEDED, started_at_ms=1, finished_at_ms=2, exit_code=0)
        with pytest.raises(Forbidden):
            await ask_to_fetch(agent, upload.content_id, attempt_id)


async def test_an_agent_reads_and_writes_no_files_of_others(site: Site) -> None:
    root = FileRoot(kind=RootKind.MOUNT, mount="input")
    async with await site.agent("a") as agent, await site.agent("b") as other:
        await agent.register(properties=MOUNTS)
        await other.register(properties=MOUNTS)
        purposes: tuple[Purpose, ...] = (ReadFiles(root=root), WriteFiles(root=root))
        for number, purpose in enumerate(purposes, 1):
            await agent.send(link.AskForStream(number=number, open=OpenStream(purpose=purpose, peer="b")))
            refused = await agent.take(link.StreamRefused)
            assert (refused.number, refused.code) == (number, "forbidden")
        upload = KeepContent(content_id=NOBODYS, size_bytes=1, files=1)
        await agent.send(link.AskForStream(number=3, open=OpenStream(purpose=upload)))
        assert (await agent.take(link.StreamRefused)).code == "forbidden"


async def test_what_is_nowhere_is_said_to_be_nowhere(site: Site, tmp_path: Path) -> None:
    upload = replace(upload_of(make_tree(tmp_path, {"a": b"1"})), host="mbp-7", host_id="h1")
    async with await site.operator() as operator, await site.agent("a") as agent, await site.agent("b") as other:
        await agent.register()
        await other.register()
        offer = api.OfferContents(host="mbp-7", host_id="h1", content_ids=(upload.content_id,), wait_ms=0)
        await operator.call(offer)
        await operator.submit(worker="a", uploads=(upload,))
        attempt_id = await agent.assigned()
        await operator.call(replace(offer, content_ids=()))
        with pytest.raises(NotFound, match="nobody who is connected has data"):
            await ask_to_fetch(agent, upload.content_id, attempt_id)
        await other.send(link.Contents(added=(upload.content_id,)))
        await operator.call(api.ListWorkers())
        grant = await ask_to_fetch(agent, upload.content_id, attempt_id)
        assert (grant.peer, grant.peer_name) == (PeerKind.WORKER, "b")
        assert (await served(other)).purpose == grant.purpose


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        (OpenStream(purpose=KeepContent(content_id=NOBODYS, size_bytes=1 << 40, files=1)), LimitExceeded, "are too much"),
        (OpenStream(purpose=WriteFiles(root=FileRoot(kind=RootKind.MOUNT, mount="lab")), peer="a"), Forbidden, "lab on a is not writable"),
        (OpenStream(purpose=WriteFiles(root=FileRoot(kind=RootKind.MOUNT, mount="lba")), peer="a"), NotFound, "a has no mount 'lba'"),
        (OpenStream(purpose=WriteFiles(root=FileRoot(kind=RootKind.MOUNT, mount="input"))), OpsconsoleError, "whose mount"),
        (OpenStream(purpose=WriteFiles(root=FileRoot(kind=RootKind.MOUNT, mount="input")), peer="c"), NotFound, "there is no worker c"),
        (OpenStream(purpose=WriteFiles(root=FileRoot(kind=RootKind.OUTPUT, job_id="0000000001"))), OpsconsoleError, "stays as it is"),
        (OpenStream(purpose=ReadFiles(root=FileRoot(kind=RootKind.OUTPUT, job_id="0000000001"))), NotFound, "there is no job"),
        (OpenStream(purpose=ReadFiles(root=FileRoot(kind=RootKind.MOUNT, mount="input")), peer="b"), Unavailable, "b, which is not connected"),
    ],
)  # fmt: skip
async def test_what_can_not_be_is_refused_in_one_line(
    site: Site, wanted: OpenStream, error: type[OpsconsoleError], words: str
) -> None:
    async with await site.operator() as operator, await site.agent("a") as agent:
        await agent.register(properties=MOUNTS)
        async with await site.agent("b") as gone:
            await gone.register(properties=MOUNTS)
        await until(lambda: len(site.commit_loop.sessions) == 1)
        with pytest.raises(error, match=words) as refused:
            await operator.call(api.AskForStream(open=wanted))
        assert "\n" not in refused.value.message


async def test_streams_of_one_person_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsconsole_coordinator.server.stream_broker.STREAMS_OF_ONE_MAX", 2)
    async with (
        await site.operator() as operator,
        await site.operator_of("operator") as other,
        await site.agent("a") as agent,
    ):
        await agent.register(properties=MOUNTS)
        first = await to_mount(operator, "a")
        await to_mount(operator, "a")
        with pytest.raises(LimitExceeded, match="has 2 streams open: wait until some have ended"):
            await to_mount(operator, "a")
        await to_mount(other, "a")
        await operator.call(api.EndStream(stream_id=first.stream_id))
        await to_mount(operator, "a")


async def test_streams_that_nobody_has_ended_give_way_after_a_while(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsconsole_coordinator.server.stream_broker.STREAMS_OF_ONE_MAX", 2)
    monkeypatch.setattr("opsconsole_coordinator.server.stream_broker.FORSAKEN_S", 0)
    async with await site.operator() as operator, await site.agent("a") as agent:
        await agent.register(properties=MOUNTS)
        first, second, third = [await to_mount(operator, "a") for _ in range(3)]
        assert set(site.streams.broker._streams) == {second.stream_id, third.stream_id}
        assert (await operator.call(api.AwaitSignals(stream_id=first.stream_id))).is_over


async def test_streams_of_which_nothing_is_heard_are_forgotten(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsconsole_coordinator.server.stream_broker.SILENT_S", 0)
    async with await site.operator() as operator, await site.agent("a") as agent:
        await agent.register(properties=MOUNTS)
        await to_mount(operator, "a")
        assert len(site.streams.broker) == 1
        site.streams.broker.sweep()
        assert len(site.streams.broker) == 0
        assert site.streams.broker.counts.ended["none", "expired"] == 1


async def test_workers_fetch_from_each_other_where_the_coordinator_has_much_to_send(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsconsole_coordinator.server.stream_plan.SPREAD_FROM", 1)
    manifest = make_tree(tmp_path / "tree", {"a": b"1"})
    async with await site.operator() as operator, await site.agent("a") as agent, await site.agent("b") as other:
        await agent.register()
        await other.register()
        await keep(site, operator, tmp_path / "tree", manifest)
        await operator.submit(worker="a", uploads=(upload_of(manifest),))
        attempt_id = await agent.assigned()
        await until(lambda: site.streams.broker.store_streams() == 0)
        await other.send(link.Contents(added=(manifest.content_id,)))
        await until(
            lambda: (
                site.commit_loop.fleet.contents.sources(manifest.content_id, site.commit_loop.fleet.workers).worker_ids
            )
        )
        first = await ask_to_fetch(agent, manifest.content_id, attempt_id)
        second = await ask_to_fetch(agent, manifest.content_id, attempt_id, number=2)
        assert (first.peer, second.peer, second.peer_name) == (PeerKind.COORDINATOR, PeerKind.WORKER, "b")


async def test_a_coordinator_that_relays_nothing_says_so(tmp_path: Path) -> None:
    async with (
        peer.site(tmp_path, transfer=TransferPolicy(relay=False)) as site, await site.operator() as operator,
        await site.agent("a") as agent,
    ):  # fmt: skip
        await agent.register(properties=MOUNTS)
        assert not (await to_mount(operator, "a")).relay
        with pytest.raises(Unavailable, match="relays nothing"):
            await to_mount(operator, "a", via=Via.RELAY)


async def test_a_revoked_credential_ends_its_streams(site: Site) -> None:
    async with (
        await site.operator() as admin,
        await site.operator_of("operator") as person,
        await site.agent("a") as agent,
    ):
        await agent.register(properties=MOUNTS)
        theirs = await to_mount(person, "a")
        of_worker = await to_mount(admin, "a")
        await admin.call(api.RevokePeople(names=("the-operator",)))
        await agent.send(link.Signal(stream_id=theirs.stream_id, body=b"x"))
        streams = site.streams.broker._streams
        assert set(streams) == {of_worker.stream_id}
        await admin.call(api.SetWorker(name="a", action="revoke"))
        assert not streams
        assert site.streams.broker.counts.ended["none", "revoked"] == 2


async def test_the_end_that_stays_is_told_to_end_a_stream_of_a_revoked_credential(site: Site) -> None:
    """The stream may stand between the two, where the coordinator can't cut it."""
    secret = some_secret()
    async with await site.operator() as admin, await site.operator_of("operator") as person:
        async with await site.agent("a", secret=secret) as agent:
            await agent.register(properties=MOUNTS)
            theirs, late = [await to_mount(person, "a") for _ in range(2)]
            of_worker = await to_mount(admin, "a")
            await agent.send(link.Signal(stream_id=of_worker.stream_id, body=b"1"))
            await admin.call(api.AwaitSignals(stream_id=of_worker.stream_id, wait_ms=10_000))
            waiting = await (waiter := await site.operator()).ask(api.AwaitSignals(stream_id=of_worker.stream_id))
            await admin.call(api.RevokePeople(names=("the-operator",)))
            told = [await agent.take(link.StopStream) for _ in range(2)]
            assert [one.stream_id for one in told] == [theirs.stream_id, late.stream_id]
            assert {one.reason for one in told} == {"the credential of the-operator was revoked"}
        await until(lambda: not site.commit_loop.sessions)
        async with await site.agent("a", secret=secret) as again:
            await again.register(properties=MOUNTS)
            await again.send(link.Contents())
            assert (await again.take(link.StopStream)).stream_id == theirs.stream_id
        await admin.call(api.SetWorker(name="a", action="revoke"))
        stopped = api.SignalsAnswer(is_over=True, stopped="the credential of a was revoked")
        assert await waiter.answer(waiting) == stopped
        assert await waiter.call(api.AwaitSignals(stream_id=of_worker.stream_id)) == stopped
        await waiter.close()


async def test_a_worker_hears_at_once_that_the_other_end_gave_up(site: Site, tmp_path: Path) -> None:
    upload = replace(upload_of(make_tree(tmp_path, {"a": b"1"})), host="mbp-7", host_id="h1")
    async with await site.operator() as operator, await site.agent("a") as agent:
        await agent.register()
        offer = api.OfferContents(host="mbp-7", host_id="h1", content_ids=(upload.content_id,), wait_ms=0)
        await operator.call(offer)
        await operator.submit(worker="a", uploads=(upload,))
        grant = await ask_to_fetch(agent, upload.content_id, await agent.assigned())
        await operator.call(api.EndStream(stream_id=grant.stream_id, error="it has changed"))
        assert await agent.take(link.StopStream) == link.StopStream(stream_id=grant.stream_id, reason="it has changed")


async def test_machines_that_offer_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsconsole_coordinator.server.content_host.HOSTS_OF_ONE_MAX", 2)
    monkeypatch.setattr("opsconsole_coordinator.core.content.HOSTS_MAX", 3)
    async with await site.operator() as admin, await site.operator_of("operator") as person:

        async def offers(who: Operator, host_id: str) -> None:
            await who.call(api.OfferContents(host="mbp-7", host_id=host_id, content_ids=(NOBODYS,), wait_ms=0))

        for host_id in ("h1", "h2", "h1"):
            await offers(admin, host_id)
        with pytest.raises(LimitExceeded, match="offers files on 2 machines: end that on some of them first"):
            await offers(admin, "h3")
        await offers(person, "h3")
        with pytest.raises(LimitExceeded, match="3 machines"):
            await offers(person, "h4")


async def test_what_has_moved_is_written_down(site: Site) -> None:
    async with await site.operator() as operator, await site.agent("gpu-a") as agent:
        await agent.register(properties=MOUNTS)
        grant = await to_mount(operator, "gpu-a")
        await operator.call(
            api.EndStream(
                stream_id=grant.stream_id, way=Way.WEBRTC, engine="wrtc", bytes=190_000_000, files=3, milliseconds=2_000
            )
        )
        tiny = await to_mount(operator, "gpu-a")
        await operator.call(api.EndStream(stream_id=tiny.stream_id, way=Way.DIRECT, bytes=105, files=1, milliseconds=3))
        failed = await to_mount(operator, "gpu-a")
        await operator.call(api.EndStream(stream_id=failed.stream_id, error="the disk of gpu-a is full"))
        await site.commit_loop.committed()
        events = [
            one for one in (await operator.call(api.ListEvents(subject="gpu-a"))).events if one.kind == "transferred"
        ]
        assert [one.text for one in events] == [
            "files of input to gpu-a failed: the disk of gpu-a is full",
            "files of input to gpu-a: 105 B by direct, 35 kB/s",  # it was 0 MB/s
            "files of input to gpu-a: 3 files, 190 MB by webrtc with wrtc, 95 MB/s",
        ]
        history = site.streams.broker.history
        assert [(one.peer, one.is_to_initiator) for one in history] == [("gpu-a", False)] * 3
        with pytest.raises(NotFound):
            await operator.call(api.EndStream(stream_id=grant.stream_id))


async def test_one_machine_is_offered_by_one_person(site: Site) -> None:
    offer = api.OfferContents(host="mbp-7", host_id="h1", content_ids=(NOBODYS,), wait_ms=0)
    async with await site.operator() as operator, await site.operator_of("operator") as other:
        assert (await operator.call(offer)).grants == ()
        with pytest.raises(Conflict, match="somebody else offers files as mbp-7"):
            await other.call(offer)


async def test_a_machine_that_stops_offering_is_gone(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("opsconsole_coordinator.server.content_host.PRESENCE_S", 0.01)
    upload = replace(upload_of(make_tree(tmp_path, {"a": b"1"})), host="mbp-7", host_id="h1")
    async with await site.operator() as operator, await site.operator() as watcher, await site.agent("a") as agent:
        await agent.register()
        await operator.call(api.OfferContents(host="mbp-7", host_id="h1", content_ids=(upload.content_id,), wait_ms=0))
        await until(lambda: site.streams.keeper.hosts.party("h1") is None)
        job = await operator.submit(uploads=(upload,))
        assert "host mbp-7, which is not connected" in (await watcher.call(api.Why(id=job.id))).text


async def test_a_host_is_told_what_nobody_needs_any_more(site: Site, tmp_path: Path) -> None:
    upload = replace(upload_of(make_tree(tmp_path, {"a": b"1"})), host="mbp-7", host_id="h1")
    offer = api.OfferContents(host="mbp-7", host_id="h1", content_ids=(upload.content_id,), wait_ms=0)
    async with await site.operator() as operator:
        assert (await operator.call(offer)).unwanted == ()  # its job may only come
        job = await operator.submit(uploads=(upload,), held=True)
        assert (await operator.call(offer)).unwanted == ()
        await operator.call(api.Act(verb="cancel", ids=(job.id,)))
        assert (await operator.call(offer)).unwanted == (upload.content_id,)
