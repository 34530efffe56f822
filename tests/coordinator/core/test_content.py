"""Who has which trees, where jobs with data go, and what they wait for."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from opsconsole_coordinator.core import content, view
from opsconsole_coordinator.core.content import HOSTS_MAX, Content, Contents, contents_of, supply_words
from opsconsole_coordinator.core.demand import kind_of
from opsconsole_coordinator.core.history import Kind, Run
from opsconsole_coordinator.core.model import Job, Worker
from opsconsole_coordinator.core.ranking import FETCH_BYTES_A_MS, FETCH_MS
from opsconsole_protocol import link
from opsconsole_protocol.error import InvalidRequest, LimitExceeded
from opsconsole_protocol.ids import ContentId, WorkerId
from opsconsole_protocol.job_content import Bundle, Upload
from opsconsole_protocol.spec import JobSpec, Resources
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import FakeWorker, World, state

GB = 1_000_000_000
A, B, C = (ContentId(letter * 64) for letter in "abc")
CODE = Bundle(content_id=C, size_bytes=2_000_000, files=40, folder="/home/ana/study", commit="0123abc", dirty=True)


def upload(content_id: ContentId = A, size_bytes: int = 12 * GB, *, host: str = "", name: str = "") -> Upload:
    """One file to bring along, kept by the coordinator where no host is named."""
    host_id = f"id-of-{host}" if host else ""
    name = name or f"{content_id[0]}.slp"
    return Upload(name=name, content_id=content_id, size_bytes=size_bytes, files=1, host=host, host_id=host_id)


def keep(world: World, *added: ContentId, removed: Sequence[ContentId] = ()) -> None:
    """The coordinator keeps these trees from now on."""
    world.reactor.on_kept(added, removed, world.now_ms)
    world.turn()


def offer(world: World, host: str, *content_ids: ContentId) -> None:
    """A laptop is there and offers these trees."""
    world.reactor.on_host_offers(f"id-of-{host}", host, content_ids, world.now_ms)
    world.turn()


def has(worker: FakeWorker, *added: ContentId, whole: bool = True, removed: Sequence[ContentId] = ()) -> None:
    """A worker says which trees it has."""
    message = link.Contents(whole=whole, added=added, removed=tuple(removed))
    worker.world.reactor.on_contents(worker.record, message, worker.world.now_ms)
    worker.world.turn()


def because(world: World, **fields: Any) -> str:
    """Which worker a job would go to now, and why."""
    return view.candidates(world.fleet, JobSpec(command=("a",), **fields), world.now_ms).text


# --- what is launched ----------------------------------------------------------------------------------------------


def test_an_attempt_is_told_what_its_job_brings_along_and_so_is_each_retry(world: World) -> None:
    keep(world, A, C)
    worker = world.worker()
    job = world.submit(
        uploads=(upload(),), bundle=CODE, setup="uv sync", collect=("models/*",), max_retries_failure=1
    )  # fmt: skip
    for _ in range(2):
        attempt = worker.started()
        launch = worker.desired[attempt.id].launch
        assert (launch.uploads, launch.bundle) == ((upload(),), CODE)
        assert (launch.setup, launch.collect) == ("uv sync", ("models/*",))
        worker.fail(attempt)
        world.pass_ms(2_000)
    assert state(job) == "failed"


def test_each_tree_counts_once() -> None:
    spec = JobSpec(command=("a",), uploads=(upload(), upload(name="again.slp"), upload(B)), bundle=CODE)
    assert [one.what for one in contents_of(spec)] == ["again.slp", "b.slp", "its bundle"]


# --- waiting -------------------------------------------------------------------------------------------------------


def test_a_job_waits_for_the_host_that_has_its_data_and_starts_when_it_is_there(world: World) -> None:
    worker = world.worker()
    job = world.submit(uploads=(upload(host="mbp-7"),))
    words = "waits for 12 GB from host mbp-7, which is not connected"
    assert world.why(job) == words
    assert world.rows[job.id].reason == words
    assert view.task_row(job, job.tasks[0], ()).reason == words
    assert because(world, uploads=(upload(host="mbp-7"),)) == words
    offer(world, "mbp-7", A)
    worker.started()
    assert state(job) == "running"


@pytest.mark.parametrize("names", [{"worker": "w1"}, {"workers": ("w1", "w2")}, {"num_tasks": 2, "gang": True}])
def test_whatever_else_a_job_asks_for_the_sentence_is_the_same(world: World, names: dict[str, Any]) -> None:
    world.worker("w1")
    world.worker("w2")
    job = world.submit(uploads=(upload(host="mbp-7"),), **names)
    assert world.why(job).endswith("waits for 12 GB from host mbp-7, which is not connected")


def test_what_several_uploads_of_one_host_lack_is_added_up(world: World) -> None:
    world.worker()
    offer(world, "desk", C)
    job = world.submit(uploads=(upload(host="mbp-7"), upload(B, GB, host="mbp-7"), upload(C, GB, host="desk")))
    assert world.why(job) == "waits for 13 GB from host mbp-7, which is not connected"


def test_a_host_that_is_there_without_the_data_is_said_to_be_there(world: World) -> None:
    world.worker()
    offer(world, "mbp-7", B)
    job = world.submit(uploads=(upload(host="mbp-7"),))
    assert world.why(job) == "waits for 12 GB from host mbp-7, which doesn't offer it any more: submit it again there"


def test_a_host_that_goes_takes_its_offer_along(world: World) -> None:
    offer(world, "mbp-7", A)
    world.reactor.on_host_gone("id-of-mbp-7", world.now_ms)
    world.reactor.on_host_gone("id-of-nobody", world.now_ms)
    world.worker()
    job = world.submit(uploads=(upload(host="mbp-7"),))
    assert world.why(job) == "waits for 12 GB from host mbp-7, which is not connected"


def fetched(worker: FakeWorker, done: float, total: float, text: str = "files") -> None:
    """A worker says how far a step of its only attempt's preparation is."""
    [attempt] = worker.record.live.values()
    worker.heartbeat(progress={attempt.id: link.TaskProgress(done=done, total=total, text=text)})
    worker.world.turn()


def shown(world: World, job: Job) -> str:
    """The reason in the row of the only job, which is shown anew."""
    [one] = world.reactor.take_batch(world.now_ms).jobs_shown
    assert one is job
    return view.job_row(world.fleet, job).reason


def test_a_host_that_goes_while_its_files_are_fetched_is_named_with_what_is_still_to_come(world: World) -> None:
    worker = world.worker()
    offer(world, "mbp-7", A)
    job = world.submit(uploads=(upload(host="mbp-7"),))
    worker.report(worker.assigned(), AttemptState.BUILDING)
    fetched(worker, 8.8 * GB, 12 * GB)
    assert state(job) == "building"
    assert "waits" not in world.why(job)
    world.commit()
    world.reactor.on_host_gone("id-of-mbp-7", world.now_ms)
    words = "waits for 3.2 GB of 12 GB from host mbp-7, which is not connected"
    assert (world.why(job), shown(world, job)) == (words, words)
    world.reactor.on_host_offers("id-of-mbp-7", "mbp-7", (A,), world.now_ms)
    assert shown(world, job) == ""
    world.reactor.on_host_offers("id-of-mbp-7", "mbp-7", (B,), world.now_ms)
    assert shown(world, job).endswith("from host mbp-7, which doesn't offer it any more: submit it again there")
    has(worker, A)  # from somebody else
    assert "waits" not in world.why(job)


def test_what_is_still_to_come_counts_of_the_host_that_is_away_only(world: World) -> None:
    """The code comes first, then one upload after the other; how far another step is says nothing of them."""
    worker = world.worker()
    keep(world, C)
    offer(world, "mbp-7", A, B)
    job = world.submit(uploads=(upload(host="mbp-7"), upload(B, GB, host="mbp-7")), bundle=CODE)
    worker.report(worker.assigned(), AttemptState.BUILDING)
    total = 13 * GB + CODE.size_bytes
    world.reactor.on_host_gone("id-of-mbp-7", world.now_ms)
    told = []
    for done in (0, CODE.size_bytes // 2):
        fetched(worker, done, total)
        told.append(world.why(job))
    has(worker, C)
    for done, whole in ((CODE.size_bytes + 2 * GB, total), (1, 1)):
        fetched(worker, done, whole)
        told.append(world.why(job))
    has(worker, C, A)
    fetched(worker, CODE.size_bytes + 12 * GB + GB // 2, total)
    told.append(world.why(job))
    sizes = ["13 GB", "13 GB", "11 GB of 13 GB", "13 GB", "500 MB of 1.0 GB"]
    assert told == [f"waits for {size} from host mbp-7, which is not connected" for size in sizes]


def test_the_answer_says_in_fields_too_what_is_lacking(world: World) -> None:
    has(world.worker(), B)
    spec = JobSpec(command=("a",), uploads=(upload(host="mbp-7"), upload(B)))
    verdict = view.candidates(world.fleet, spec, world.now_ms).verdicts[0]
    assert (verdict.accepted, verdict.lacks_content, verdict.lacks_file) == (False, True, False)
    assert verdict.lacks_bytes == 12 * GB
    assert verdict.checks[-1] == ("the job's data", False, verdict.reason)
    keep(world, A)
    verdict = view.candidates(world.fleet, spec, world.now_ms).verdicts[0]
    assert (verdict.accepted, verdict.lacks_content, verdict.lacks_bytes) == (True, False, 12 * GB)
    assert verdict.checks[-1] == ("the job's data", True, "has 12 of 24 GB of its data")


def test_a_worker_that_is_there_can_give_its_data_to_another(world: World) -> None:
    first = world.worker("w1")
    has(first, A)
    blocker = world.submit(worker="w1")
    second = world.worker("w2")
    job = world.submit(uploads=(upload(host="mbp-7"),))
    assert second.started().job_id == job.id
    assert first.started().job_id == blocker.id


def test_what_a_worker_has_counts_only_while_it_is_there(world: World) -> None:
    first, second = world.worker("w1"), world.worker("w2")
    has(first, A)
    first.disconnect()
    job = world.submit(uploads=(upload(host="mbp-7"),))
    assert world.why(job) == "waits for 12 GB from host mbp-7, which is not connected"
    first.connect()
    first.take_all()
    assert state(job) == "pending"  # it hasn't said yet what it has
    has(first, A)
    assert first.started().job_id == job.id
    assert not second.inbox


def test_data_that_nobody_keeps_any_more_has_to_be_submitted_again(world: World) -> None:
    keep(world, A)
    job = world.submit(uploads=(upload(),))
    keep(world, removed=[A])
    worker = world.worker()
    assert world.why(job) == "waits for a.slp (12 GB), which the coordinator doesn't keep any more: submit it again"
    keep(world, A)
    worker.started()
    assert state(job) == "running"


def test_no_room_is_kept_for_a_job_that_waits_for_data(world: World) -> None:
    worker = world.worker(slots=2, properties={"cpus": 2})
    world.submit(uploads=(upload(host="mbp-7"),), resources=Resources(cpus=2))
    later = world.submit(resources=Resources(cpus=1))
    assert worker.started().job_id == later.id
    assert worker.record.reserved is None


# --- where it goes -------------------------------------------------------------------------------------------------


def test_a_worker_that_has_the_data_is_preferred_and_says_so(world: World) -> None:
    keep(world, A, C)
    world.worker("w1", slots=4)
    second = world.worker("w2", slots=4)
    has(second, A, C)
    fields: dict[str, Any] = {"uploads": (upload(),), "bundle": CODE}
    assert because(world, **fields) == "w2: the best of 2 (lacks least of its data), has 12 of 12 GB of its data"
    job = world.submit(**fields)
    second.started()
    assert (
        world.events[-2].text == "attempt 0 assigned to w2, which has 12 of 12 GB of its data: lacks least of its data"
    )
    again = world.submit(**fields)  # although w1 is idle and w2 isn't
    second.started()
    assert state(job) == state(again) == "running"


def test_what_is_still_to_be_sent_is_no_obstacle_and_each_worker_says_how_far_it_has_it(world: World) -> None:
    """A dry run asks before anything is sent."""
    world.worker("w1")
    has(world.worker("w2"), B)
    asked = JobSpec(command=("a",), uploads=(upload(host="mbp-7"), upload(B, GB)))
    refused = view.candidates(world.fleet, asked, world.now_ms)
    assert refused.text == "waits for 12 GB from host mbp-7, which is not connected"
    found = view.candidates(world.fleet, asked, world.now_ms, (A,))
    assert found.text == "w2: the best of 2 (lacks least of its data), has 1.0 of 13 GB of its data"
    assert [(one.worker, one.supply) for one in found.verdicts] == [
        ("w2", "has 1.0 of 13 GB of its data"), ("w1", "has none of its data yet, 13 GB"),
    ]  # fmt: skip


def test_then_the_worker_that_lacks_least_is_taken(world: World) -> None:
    keep(world, A, B)
    has(world.worker("w1"), B)
    has(world.worker("w2"), A)
    fields = {"uploads": (upload(), upload(B, GB))}
    assert because(world, **fields) == "w2: the best of 2 (lacks least of its data), has 12 of 13 GB of its data"


def test_an_empty_file_is_sent_too_and_words_say_how_much(world: World) -> None:
    keep(world, A, B)
    has(world.worker("w1"), A)
    assert (
        because(world, uploads=(upload(), upload(B, 0)))
        == "w1: the only one that accepts, lacks 0 B of 12 GB of its data"
    )
    assert (
        because(world, uploads=(upload(B, 5_000),)) == "w1: the only one that accepts, has none of its data yet, 5.0 kB"
    )
    assert because(world) == "w1: the only one that accepts"
    assert supply_words([Content(A, 12 * GB, "a"), Content(B, 1, "b")], 1) == "lacks 1 B of 12 GB of its data"
    assert supply_words([Content(A, 12 * GB, "a"), Content(B, GB, "b")], 12 * GB) == "has 1.0 of 13 GB of its data"
    assert supply_words([Content(A, 12 * GB, "a"), Content(B, 5, "b")], 12 * GB) == "has 5 B of 12 GB of its data"


def test_a_worker_that_is_faster_by_more_than_the_fetch_takes_is_preferred(world: World) -> None:
    """A lab wants its results: twice the GPU is worth fetching 1 GB for ten hours of training, but not for a second's work."""
    keep(world, A)
    has(world.worker("w1"), A)
    world.worker("w2")
    fetch_ms = FETCH_MS + GB / FETCH_BYTES_A_MS
    fields: dict[str, Any] = {"uploads": (upload(A, GB),), "name": "train"}
    for gain_ms, chosen in ((fetch_ms + 1_000, "w2"), (fetch_ms - 1_000, "w1")):
        spec, kind = JobSpec(command=("a",), **fields), Kind()
        for worker_id, took_ms in 3 * (("id-of-w1", 100_000 + gain_ms), ("id-of-w2", 100_000.0)):
            kind.add(Run(took_ms, WorkerId(worker_id), "", 0, 0, None))
        world.fleet.kinds = {kind_of(spec): kind}
        assert because(world, **fields).startswith(f"{chosen}: ")


def test_a_named_worker_is_taken_though_another_has_the_data(world: World) -> None:
    keep(world, A)
    has(world.worker("w1"), A)
    second = world.worker("w2")
    job = world.submit(uploads=(upload(),), worker="w2")
    assert second.started().job_id == job.id


# --- submission ----------------------------------------------------------------------------------------------------


def test_a_job_whose_data_is_neither_kept_nor_offered_is_refused(world: World) -> None:
    for fields, what in (({"uploads": (upload(),)}, "a.slp (12 GB)"), ({"bundle": CODE}, "its bundle (2.0 MB)")):
        with pytest.raises(InvalidRequest) as caught:
            world.submit(**fields)
        assert str(caught.value) == f"{what} isn't kept here any more: submit it again, so that it is sent once more"
    assert not world.fleet.jobs


def test_a_submission_that_is_repeated_is_not_asked_for_its_data_again(world: World) -> None:
    keep(world, A)
    job = world.submit(uploads=(upload(),))
    keep(world, removed=[A])
    assert world.submit(id=job.id, uploads=(upload(),)) is job


# --- bookkeeping ---------------------------------------------------------------------------------------------------


def test_nothing_is_scheduled_for_trees_that_no_job_brings_along(world: World) -> None:
    worker = world.worker()
    keep(world, A)
    job = world.submit(uploads=(upload(),), held=True)
    reactor = world.reactor
    for one, wakes in ((B, False), (A, True)):
        for tell in (
            partial(reactor.on_kept, [one], [one], world.now_ms),
            partial(reactor.on_contents, worker.record, link.Contents(added=(one,)), world.now_ms),
            partial(reactor.on_host_offers, "id", "mbp-7", [one], world.now_ms),
        ):
            tell()
            assert reactor.must_schedule is wakes
            world.turn()
    assert world.fleet.contents.jobs_with(A) == {job.id}
    world.act("cancel", job)
    world.turn()
    assert not world.fleet.contents.jobs_with(A)


def test_who_has_a_tree_is_told_as_it_changes(world: World) -> None:
    worker = world.worker()
    contents, workers = world.fleet.contents, world.fleet.workers
    keep(world, A)
    offer(world, "mbp-7", A)
    has(worker, A, B)
    assert contents.sources(A, workers) == (True, (worker.id,), ("id-of-mbp-7",))
    has(worker, C, whole=False, removed=[A])
    assert contents.sources(A, workers) == (True, (), ("id-of-mbp-7",))
    assert worker.record.contents == {B, C}
    offer(world, "mbp-7", B)
    keep(world, B, removed=[A])
    assert contents.sources(A, workers) == (False, (), ())
    assert contents.sources(B, workers) == (True, (worker.id,), ("id-of-mbp-7",))
    has(worker)
    assert not worker.record.contents
    assert not contents.can_be_had(C, workers)


def test_a_worker_that_is_removed_has_nothing_any_more(world: World) -> None:
    worker = world.worker()
    has(worker, A)
    worker.disconnect()
    world.pass_ms(61_000)
    world.reactor.on_worker_removed("w1", "ana", world.now_ms)
    world.turn()
    assert world.fleet.contents.sources(A, world.fleet.workers) == (False, (), ())


def test_a_worker_s_trees_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "WORKER_CONTENTS_MAX", 2)
    worker, contents = Worker(id=WorkerId("w"), name="w"), Contents()
    contents.note_worker(worker, link.Contents(added=(A, A, B, C)))
    assert worker.contents == {A, B}
    contents.note_worker(worker, link.Contents(whole=False, added=(C,)))
    assert worker.contents == {A, B}
    contents.note_worker(worker, link.Contents(whole=False, added=(C,), removed=(A,)))
    assert worker.contents == {B, C}


def test_more_machines_than_the_limit_are_refused() -> None:
    contents = Contents()
    for number in range(HOSTS_MAX):
        contents.note_host(f"id-{number}", f"host-{number}", [A])
    with pytest.raises(LimitExceeded):
        contents.note_host("one-more", "mbp-7", [A])
    assert not contents.note_host("id-0", "host-0", [])  # one that is known may go on
    contents.forget_host("id-1")
    contents.note_host("one-more", "mbp-7", [A])


def test_an_attempt_that_waits_stays_where_it_is_while_its_data_is_away(world: World) -> None:
    """Another worker is free, but could not be sent the data."""
    offer(world, "mbp-7", A)
    first = world.worker("w1", slots=1)
    job = world.submit(uploads=(upload(host="mbp-7"),))
    attempt = first.assigned()
    world.reactor.on_host_gone("id-of-mbp-7", world.now_ms)
    world.worker("w2")
    world.pass_ms(5_000)
    assert attempt.state is AttemptState.ASSIGNED
    assert state(job) == "assigned"


# --- room ----------------------------------------------------------------------------------------------------------


def test_a_worker_without_room_is_passed_over_and_says_so(world: World) -> None:
    small, large = world.worker("small"), world.worker("large")
    keep(world, A, B)
    small.heartbeat(host=link.Host(cache_room_mb=5_000))
    assert because(world, uploads=(upload(),)) == "large: the only one that accepts, has none of its data yet, 12 GB"
    job = world.submit(uploads=(upload(),))
    assert large.assigned().job_id == job.id
    # What it has already needs no room.
    has(small, A)
    assert "small" in because(world, uploads=(upload(),))


def test_a_job_for_which_nobody_has_room_waits_and_says_so_until_somebody_has(world: World) -> None:
    worker = world.worker()
    keep(world, A)
    worker.heartbeat(host=link.Host(cache_room_mb=5_000))
    job = world.submit(uploads=(upload(),))
    assert state(job) == "pending"
    assert "needs room for 12 GB; 5.2 GB of its cache are free (cache_bytes)" in view.job_row(world.fleet, job).reason
    worker.heartbeat(host=link.Host(cache_room_mb=50_000))
    world.pass_ms(1_000, beating=False)
    worker.assigned()


def test_an_attempt_that_found_no_room_costs_nothing_and_is_placed_elsewhere(world: World) -> None:
    small, large = world.worker("small"), world.worker("large")
    keep(world, A)
    has(small, A)  # so that it is asked first
    job = world.submit(uploads=(upload(),), max_retries_failure=0, max_retries_preemption=0)
    has(small)  # somebody has spoilt it meanwhile, and its disk has filled
    attempt = small.assigned()
    small.report(
        attempt, AttemptState.WORKER_FAILED, error="the disk is full", cause="disk_full", finished_at_ms=1, log_sizes={}
    )
    assert large.assigned().job_id == job.id
    small.take(link.Forget)
    task = job.tasks[0]
    assert (task.failures, task.preemptions) == (0, 0)
    assert small.record.host.cache_room_mb == 0


def test_alone_it_waits_for_its_worker_to_have_room_again(world: World) -> None:
    worker = world.worker()
    keep(world, A)
    worker.heartbeat(host=link.Host(cache_room_mb=50_000))
    job = world.submit(uploads=(upload(),))
    worker.report(worker.assigned(), AttemptState.WORKER_FAILED, error="full", cause="disk_full", finished_at_ms=1)
    worker.take(link.Forget)
    world.pass_ms(5_000, beating=False)
    assert state(job) == "pending"
    assert "its cache is full" in view.job_row(world.fleet, job).reason
    worker.heartbeat(host=link.Host(cache_room_mb=50_000))
    world.pass_ms(1_000, beating=False)
    worker.assigned()


@pytest.mark.parametrize("cause", ["disk_full", "not_started", "port_taken"])
def test_what_does_not_start_again_and_again_is_tried_ever_more_rarely(world: World, cause: str) -> None:
    """A worker that has all of the data is not short of room for it, and yet its disk is full: it isn't asked without end."""
    worker = world.worker()
    keep(world, A)
    has(worker, A)
    job = world.submit(uploads=(upload(),), max_retries_failure=1, max_retries_preemption=0)
    task = job.tasks[0]
    for _ in range(600):
        for attempt in list(worker.record.live.values()):
            worker.report(
                attempt, AttemptState.WORKER_FAILED, error="not now", cause=cause, finished_at_ms=1, log_sizes={}
            )
        worker.inbox.clear()
        world.pass_ms(1_000)
    assert 10 <= task.attempts <= 20, "at once, after 1, 2, 4 … 60 seconds, and then every minute"
    assert (task.failures, task.preemptions) == (0, 0)
    assert task.reason == "not now (again in 1m)"
    # What starts after all begins to count anew.
    while not worker.record.live:
        world.pass_ms(1_000)
    attempt = next(iter(worker.record.live.values()))
    worker.report(attempt, AttemptState.RUNNING, started_at_ms=1)
    worker.report(attempt, AttemptState.FAILED, started_at_ms=1, error="x", finished_at_ms=2, log_sizes={})
    assert task.unstarted == 0
    worker.inbox.clear()
