"""Several tasks on one GPU, by memory: never more than it has, never beside one that has it for itself, and foreign processes count."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.gpu_share import choose_shares
from opsconsole_coordinator.core.judgement import judge
from opsconsole_coordinator.core.live import Live
from opsconsole_coordinator.core.model import Attempt, Job, Reserved, Worker
from opsconsole_protocol import link
from opsconsole_protocol.gpu_load import GPU_SHARING, SHARERS_MAX
from opsconsole_protocol.ids import AttemptId, JobId, SessionId, WorkerId
from opsconsole_protocol.share import ShareChange
from opsconsole_protocol.spec import JobSpec, Place, Resources
from opsconsole_protocol.state import WorkerConnection
from tests.coordinator.core.world import FakeWorker, World, gpus, state
from tests.gpu_rule import gpu_faults

GB = 1024


def card(index: int = 0, memory_mb: int = 24 * GB, *users: link.GpuUser) -> link.Gpu:
    return link.Gpu(index=index, uuid=f"GPU-{index}", name="A100", memory_total_mb=memory_mb, processes=users)


def sharing(world: World, *cards: link.Gpu, name: str = "w1", slots: int = 1, **fields: Any) -> FakeWorker:
    properties = {GPU_SHARING: True} | fields.pop("properties", {})
    return world.worker(name, slots=slots, gpus=cards or (card(),), properties=properties, **fields)


def submit(world: World, memory_mb: int, count: int = 1, **fields: Any) -> Job:
    return world.submit(resources=Resources(gpus=count, gpu_memory_mb=memory_mb, share=True), **fields)


def test_tasks_share_a_gpu_while_its_memory_suffices_and_one_slot_is_enough_for_them(world: World) -> None:
    worker = sharing(world)
    jobs = [submit(world, 6 * GB) for _ in range(5)]
    given = [worker.started() for _ in range(4)]
    assert {one.gpu_ids for one in given} == {("GPU-0",)}
    assert (state(jobs[4]), worker.record.slots_left(), worker.record.slots_left(with_gpus=True)) == ("pending", 0, 0)
    assert world.why(jobs[4]) == (
        "w1 needs 6G of a GPU to share, none has that much left: GPU 0 has 0M of 24G left, shared by 4 tasks; "
        "the tasks are of true (000000000a), true (000000000b) and 2 more"
    )
    launch = worker.desired[given[0].id].launch
    assert (launch.resources.share_mb, launch.gpu_sizes_mb) == (6 * GB, (24 * GB,))
    worker.succeed(given[0])
    worker.started()
    assert state(jobs[4]) == "running"


def test_whole_and_shared_never_meet(world: World) -> None:
    worker = sharing(world, slots=4)
    submit(world, 6 * GB)
    shared = worker.started()
    whole = world.submit(gpus=1)
    assert world.why(whole) == (
        "w1 needs 1 GPU, 0 of 1 free: GPU 0 is shared by 1 task; the task is of true (000000000a)"
    )
    worker.succeed(shared)
    first = worker.started()
    late = submit(world, 6 * GB)
    assert world.why(late) == (
        "w1 needs 6G of a GPU to share, none has that much left: GPU 0 has a task for itself; the task is of true (000000000b)"
    )
    worker.succeed(first)
    worker.started()


def test_a_whole_job_that_waits_is_not_kept_waiting_by_ever_new_shares(world: World) -> None:
    worker = sharing(world, slots=4)
    submit(world, 6 * GB)
    first = worker.started()
    whole = world.submit(gpus=1, priority=1)
    late = submit(world, 6 * GB)
    assert state(late) == "pending"
    assert (
        "GPU 0 has 18G of 24G left, shared by 1 task, and is kept for job 000000000b, which is next in line"
        in world.why(late)
    )
    worker.succeed(first)
    assert worker.started().job_id == whole.id


def test_a_share_that_waits_for_room_has_it_kept(world: World) -> None:
    worker = sharing(world, slots=1)
    submit(world, 12 * GB)
    submit(world, 6 * GB)
    first, _ = worker.started(), worker.started()
    large = submit(world, 16 * GB, priority=1)
    small = submit(world, 6 * GB)
    assert state(small) == "pending", "with it the large one wouldn't fit once the first has ended"
    assert worker.record.reserved is not None
    assert worker.record.reserved.shares == {"GPU-0": 4 * GB}
    worker.succeed(first)
    assert worker.started().job_id == large.id


def test_shares_fill_a_shared_gpu_before_they_break_into_another(world: World) -> None:
    worker = sharing(world, card(0), card(1), slots=2)
    for _ in range(3):
        submit(world, 6 * GB)
    world.submit(gpus=1)
    assert [worker.started().gpu_ids for _ in range(4)] == [("GPU-0",)] * 3 + [("GPU-1",)]


def test_a_task_may_share_several_gpus(world: World) -> None:
    worker = sharing(world, card(0), card(1), slots=2)
    submit(world, 18 * GB)
    submit(world, 6 * GB, count=2)
    assert [worker.started().gpu_ids for _ in range(2)] == [("GPU-0",), ("GPU-0", "GPU-1")]
    assert world.why(submit(world, 6 * GB, count=2)) == (
        "w1 needs 6G of 2 GPUs to share, one has that much left: GPU 0 has 0M of 24G left, shared by 2 tasks; "
        "the tasks are of true (000000000a) and true (000000000b)"
    )


def test_foreign_processes_take_from_what_is_shared(world: World) -> None:
    user = link.GpuUser(pid=4711, name="python", memory_mb=11 * GB + 200, is_compute=True)
    worker = sharing(world, card(2, 24 * GB, user), slots=2)
    submit(world, 6 * GB)
    worker.started()
    whole, late = world.submit(gpus=1), submit(world, 8 * GB)
    assert "GPU 2 is shared by 1 task" in world.why(whole)
    assert world.why(late) == (
        "w1 needs 8G of a GPU to share, none has that much left: GPU 2 has 6.8G of 24G left, shared by 1 task, "
        "used by pid 4711 (python, 11G), which opsconsole didn't start; the task is of true (000000000a)"
    )
    world.act("cancel", whole)
    worker.heartbeat(gpus=(card(2),))
    worker.started()
    assert state(late) == "running"


@pytest.mark.parametrize(
    ("user", "words"),
    [
        (
            {"memory_mb": 200, "is_compute": True},
            "GPU 0 is used by pid 7 (python, 200M), which opsconsole didn't start",
        ),
        ({"memory_mb": None, "is_compute": True}, "GPU 0 is used by pid 7 (python), which opsconsole didn't start"),
        ({"memory_mb": 11_469}, "GPU 0 is used by pid 7 (python, 11G), which opsconsole didn't start"),
        ({"memory_mb": 200}, ""),
    ],
    ids=["computes a little", "computes, and nobody knows how much", "holds much", "a desktop"],
)
def test_who_else_uses_a_gpu_is_said(world: World, user: dict[str, Any], words: str) -> None:
    worker = sharing(world, card(0, 24 * GB, link.GpuUser(pid=7, name="python", **user)))
    job = world.submit(gpus=1)
    if not words:
        worker.started()
    else:
        assert world.why(job) == f"w1 needs 1 GPU, 0 of 1 free: {words}"
        worker.heartbeat(gpus=(card(),))
        worker.started()


def test_what_cannot_be_measured_is_not_shared(world: World) -> None:
    sharing(world, card(0, 24 * GB, link.GpuUser(pid=7, name="python", is_compute=True)))
    job = submit(world, 1 * GB)
    assert "GPU 0 has 0M of 24G left, used by pid 7 (python), which opsconsole didn't start" in world.why(job)


def test_a_task_that_holds_more_than_it_asked_for_is_told_of_once_and_counts_with_what_it_holds(world: World) -> None:
    worker = sharing(world)
    submit(world, 6 * GB)
    attempt = worker.started()
    user = link.GpuUser(pid=9, name="python", memory_mb=20 * GB, attempt_id=attempt.id, is_compute=True)
    for _ in range(2):
        worker.heartbeat(gpus=(card(0, 24 * GB, user),), usage={attempt.id: link.TaskUsage(gpu_memory_mb=20 * GB)})
    told = [one for one in world.events if "asked for" in one.text]
    assert [(one.text, one.subject) for one in told] == [
        (
            "attempt 0 on w1 holds 20G of GPU memory and asked for 6G (--gpu-memory): others on that GPU may run out of it",
            f"{attempt.job_id}/task-0",
        )
    ]
    assert state(submit(world, 5 * GB)) == "pending"
    submit(world, 4 * GB)
    assert worker.started().gpu_ids == ("GPU-0",)


def test_an_agent_that_cannot_count_shares_gets_none(world: World) -> None:
    world.worker(gpus=gpus(1))
    assert (
        world.why(submit(world, 1_000))
        == "no worker fits: w1 its agent is too old to share GPUs: update opsconsole there"
    )


def test_no_more_share_a_gpu_than_may(world: World) -> None:
    worker = sharing(world)
    submit(world, 1, num_tasks=SHARERS_MAX)
    for _ in range(SHARERS_MAX):
        worker.started()
    late = submit(world, 1)
    assert f"GPU 0 is shared by {SHARERS_MAX} tasks, and at most {SHARERS_MAX} may" in world.why(late)


def test_a_share_counts_as_its_part_of_a_gpu(world: World) -> None:
    worker = sharing(world)
    world.reactor.on_set_person("ana", ShareChange(gpus=1), "root", world.now_ms)
    for _ in range(3):
        submit(world, 6 * GB)
        worker.started()
    held = world.fleet.usage.held_by["ana"]
    assert (held.gpus, held.weight, held.tasks) == (0.75, 0.75, 3)
    submit(world, 6 * GB)
    worker.started()
    assert world.why(submit(world, 6 * GB)) == "ana has 1 of the 1 GPU that it may have at a time; this needs 0.25"
    for attempt in list(worker.record.live.values()):
        worker.succeed(attempt)
        worker.take_all()
    world.pass_ms(1_000)
    assert held.gpus == 0.25


def test_a_gang_shares_all_or_nothing(world: World) -> None:
    worker = sharing(world, card(0), card(1), slots=2)
    submit(world, 18 * GB)
    worker.started()
    gang = submit(world, 9 * GB, gang=True, num_tasks=3)
    assert state(gang) == "pending"
    assert world.why(gang).startswith("gang of 3: 2 fit now")
    kept = worker.record.reserved
    assert kept is not None
    assert (kept.gpu_ids, kept.slots, sum(kept.shares.values())) == (frozenset(), 2, 27 * GB)


def test_shares_make_way_for_a_whole_gpu(world: World) -> None:
    world.reactor.on_set_project("default", None, None, "ana", world.now_ms, None, preemptible=True)
    worker = sharing(world, card(0), card(1), slots=2)
    submit(world, 12 * GB, num_tasks=3)
    theirs = [worker.started() for _ in range(3)]
    urgent = world.submit(gpus=1, priority=100)
    world.pass_ms(500)
    on_second = [one for one in theirs if one.gpu_ids == ("GPU-1",)]
    assert [worker.stop(one).reason for one in on_second] == [f"makes way for job {urgent.id} of priority 100"]
    worker.killed(on_second[0])
    assert worker.started().job_id == urgent.id


def test_adopted_attempts_keep_their_shares(world: World) -> None:
    attempt = Attempt(id=AttemptId("a"), job_id=JobId("j"), index=0, number=0, worker_id=WorkerId("w"), worker_name="w")
    assert attempt.gpus == 0
    worker = sharing(world)
    submit(world, 6 * GB)
    given = worker.started()
    worker.disconnect()
    worker.connect()
    worker.take_all()
    again = worker.desired[given.id].launch
    assert (again.gpu_ids, again.resources.share_mb, again.gpu_sizes_mb) == (("GPU-0",), 6 * GB, (24 * GB,))
    assert worker.record.live.load.gpus.shared["GPU-0"] == (1, 6 * GB)


# --- which GPUs: whatever is there ------------------------------------------------------------------------------------

SIZES = st.sampled_from([0, 8_000, 24_000])
SHARES = st.integers(1, 12_000)
USERS = st.tuples(st.one_of(st.none(), st.integers(0, 20_000)), st.booleans())


@given(
    sizes=st.lists(SIZES, min_size=1, max_size=4),
    foreign=st.lists(st.lists(USERS, max_size=2), min_size=4, max_size=4),
    asked=st.lists(
        st.tuples(st.integers(1, 3), st.one_of(st.just(0), SHARES), st.sampled_from([None, *Place])), max_size=12
    ),
    kept=st.one_of(st.none(), st.tuples(st.integers(0, 3), SHARES, st.booleans())),
    slots=st.integers(1, 4),
)
def test_no_gpu_is_ever_promised_beyond_its_memory(
    sizes: Sequence[int],
    foreign: Sequence[Sequence[tuple[int | None, bool]]],
    asked: Sequence[tuple[int, int, Place | None]],
    kept: tuple[int, int, bool] | None,
    slots: int,
) -> None:
    cards = tuple(
        card(index, size, *(
            link.GpuUser(pid=place, name="x", memory_mb=held, is_compute=computes)
            for place, (held, computes) in enumerate(foreign[index])
        ))
        for index, size in enumerate(sizes)
    )  # fmt: skip
    worker = Worker(
        id=WorkerId("w"), name="w", max_concurrent_jobs=slots, gpus=cards, session=SessionId(1), live=Live(),
        connection=WorkerConnection.CONNECTED, properties={GPU_SHARING: True},
    )  # fmt: skip
    if kept is not None:
        gpu_id, share_mb, is_whole = f"GPU-{kept[0]}", kept[1], kept[2]
        worker.reserved = Reserved(
            job_id=JobId("other"), slots=1, gpu_ids=frozenset([gpu_id] if is_whole else []), promised={},
            shares={} if is_whole else {gpu_id: share_mb}, gang=False, with_gpus=True,
        )  # fmt: skip
    free = {
        one.uuid: size - sum(held or 0 for held, _ in foreign[place])
        for place, (one, size) in enumerate(zip(cards, sizes, strict=True))
    }
    for number, (count, share_mb, place) in enumerate(asked):
        wanted = Resources(gpus=count, gpu_memory_mb=share_mb, share=bool(share_mb))
        demand = Demand(JobSpec(command=("a",), resources=wanted, place=place), ())
        offer = judge(worker, demand, {}, "", 0)
        if offer.accepted:
            assert len(set(offer.gpu_ids)) == count
            attempt = Attempt(
                id=AttemptId(str(number)), job_id=JobId("j"), index=0, number=0, worker_id=worker.id, worker_name="w",
                gpu_ids=offer.gpu_ids, share_mb=share_mb,
            )  # fmt: skip
            worker.live[attempt.id] = attempt
            if kept is not None:
                load = worker.live.load.gpus
                assert kept[2] is False or f"GPU-{kept[0]}" not in offer.gpu_ids
                assert share_mb or f"GPU-{kept[0]}" not in offer.gpu_ids
                promised = load.shared.get(f"GPU-{kept[0]}", (0, 0))[1]
                assert not kept[2] and promised + kept[1] <= free.get(f"GPU-{kept[0]}", 0) if promised else True
        else:
            assert offer.reason
            assert (
                not share_mb or choose_shares(worker, demand, worker.reserved)[0] is None or "too old" in offer.reason
            )
    holders = [(one.gpu_ids, one.share_mb) for one in worker.live.values()]
    assert not list(gpu_faults([one for one in holders if one[1]], free))
    assert not list(gpu_faults([(ids, share) for ids, share in holders], {one.uuid: 1 << 30 for one in cards}))
    sharing_tasks = [one for one in holders if one[1]]
    counted = sum(not share for _, share in holders) + min(
        len(sharing_tasks), len({one for ids, _ in sharing_tasks for one in ids})
    )
    assert counted <= slots
