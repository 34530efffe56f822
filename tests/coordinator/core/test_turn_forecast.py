"""When a job that waits is expected to start, and who is ahead of it."""

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.demand import kind_of
from opsconsole_coordinator.core.history import SURE, Kind, Run
from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.core.turn_forecast import AHEAD_JOBS_MAX, ahead_of
from opsconsole_protocol.gpu_load import GPU_SHARING
from opsconsole_protocol.ids import WorkerId
from opsconsole_protocol.spec import JobSpec, Resources
from tests.coordinator.core.world import World, gpus

MINUTE_MS = 60_000


def remember(world: World, name: str, *minutes: int) -> None:
    """Jobs of this name have taken so long."""
    kind = world.fleet.kinds.setdefault(kind_of(JobSpec(command=("a",), name=name)), Kind())
    for one in minutes:
        kind.add(Run(one * MINUTE_MS, WorkerId("w"), "", 0, 0, None))


def starts(world: World, job: Job) -> list[tuple[int, ...] | None]:
    """When each worker is expected to start it, in minutes."""
    ahead = ahead_of(world.fleet, job, world.now_ms)
    found = [one.start for one in view.why(world.fleet, job, world.now_ms, ahead=ahead)[1]]
    return [
        None if one is None else tuple(ms // MINUTE_MS for ms in (one.low_ms, one.mid_ms, one.high_ms)) for one in found
    ]


def test_a_start_follows_from_what_runs_and_from_who_is_ahead(world: World) -> None:
    remember(world, "long", *range(50, 50 + SURE))
    worker = world.worker(gpus=gpus(1))
    running = world.submit(gpus=1, name="long")
    worker.started()
    first = world.submit(gpus=1, name="long")
    second = world.submit(gpus=1)
    assert starts(world, first) == [(50, 54, 58)]
    assert starts(world, second) == [(100, 108, 116)]
    assert list(ahead_of(world.fleet, second, world.now_ms).standing) == [first.id]
    world.now_ms += 52 * MINUTE_MS
    assert starts(world, first) == [(0, 2, 6)]
    world.now_ms += 10 * MINUTE_MS
    assert starts(world, first) == [None], "it takes longer than expected: nobody knows"
    assert running.state == "running"


def test_nothing_is_claimed_of_what_never_ran(world: World) -> None:
    worker = world.worker()
    world.submit()
    worker.started()
    waits = world.submit()
    assert starts(world, waits) == [None]
    assert [one.takes for one in view.why(world.fleet, waits, world.now_ms)[1]] == [None]


def test_those_of_a_higher_priority_are_ahead_for_sure_and_others_as_things_stand(world: World) -> None:
    remember(world, "long", *range(50, 50 + SURE))
    worker = world.worker()
    world.submit(name="long")
    worker.started()
    urgent = world.submit(name="long", priority=5, by="bo")
    other = world.submit(name="long", by="cy")
    mine = world.submit(name="long")
    ahead = ahead_of(world.fleet, mine, world.now_ms)
    assert (list(ahead.sure), list(ahead.standing)) == ([urgent.id], [urgent.id, other.id])
    assert starts(world, mine) == [(100, 162, 174)], "after the first at the earliest, after both at the latest"
    [new] = view.candidates(world.fleet, JobSpec(command=("a",), priority=9), world.now_ms).verdicts
    assert new.start is not None
    assert new.start.low_ms == 50 * MINUTE_MS


def test_whom_no_worker_fits_is_ahead_of_nobody(world: World) -> None:
    """Neither by name, nor so that of others nothing could be said for sheer numbers."""
    remember(world, "long", *range(50, 50 + SURE))
    worker = world.worker()
    world.submit(name="long")
    worker.started()
    for _ in range(AHEAD_JOBS_MAX + 1):
        world.submit(gpus=8, priority=5)
    urgent = world.submit(name="long", priority=5)
    mine = world.submit(name="long")
    assert list(ahead_of(world.fleet, mine, world.now_ms).standing) == [urgent.id]
    assert starts(world, mine) == [(100, 108, 116)]


def test_a_worker_that_refuses_at_the_last_moment_is_passed_by(world: World) -> None:
    """A place that was given is taken back at no cost, and the task looks elsewhere."""
    from opsconsole_protocol.end_cause import EndCause
    from opsconsole_protocol.state import AttemptState

    first, second = world.worker("w1"), world.worker("w2")
    job = world.submit()
    attempt = first.assigned()
    first.report(attempt, AttemptState.WORKER_FAILED, error="no room", cause=EndCause.DISK_FULL)
    first.forget(attempt)
    world.pass_ms(2_000)
    assert second.started().job_id == job.id
    assert (job.tasks[0].failures, job.tasks[0].preemptions) == (0, 0)


def test_shares_of_gpus_are_followed_by_their_memory(world: World) -> None:
    remember(world, "long", *range(50, 50 + SURE))
    remember(world, "short", *range(10, 10 + SURE))
    worker = world.worker(slots=1, gpus=gpus(1, 24_000), properties={GPU_SHARING: True})

    def share(memory_mb: int, name: str) -> Job:
        return world.submit(name=name, resources=Resources(gpus=1, gpu_memory_mb=memory_mb, share=True))

    share(14_000, "long")
    share(8_000, "short")
    for _ in range(2):
        worker.started()
    small, large, whole = share(6_000, "small"), share(12_000, "large"), world.submit(gpus=1, name="whole")
    assert starts(world, small) == [(10, 14, 18)], "the one of 8G leaves room enough"
    assert starts(world, large) == [(50, 54, 58)], (
        "beside the small one, which may run for ever, there is room once 14G are free"
    )
    assert starts(world, whole) == [None], "nobody knows how long those take that are ahead"
    world.act("cancel", small)
    world.act("cancel", large)
    assert starts(world, whole) == [(50, 54, 58)], "a GPU is whole once the last one has left it"


def test_shares_that_are_ahead_are_placed_on_gpus_that_are_shared_already(world: World) -> None:
    remember(world, "long", *range(50, 50 + SURE))
    worker = world.worker(slots=2, gpus=gpus(2, 24_000), properties={GPU_SHARING: True})
    world.submit(gpus=2, name="long")
    worker.started()
    half = Resources(gpus=1, gpu_memory_mb=12_000, share=True)
    world.submit(name="long", num_tasks=2, resources=half)
    whole = world.submit(gpus=1, name="whole")
    assert starts(world, whole) == [(50, 54, 58)], "both halves are of one GPU"
