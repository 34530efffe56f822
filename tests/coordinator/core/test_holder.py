"""Who holds the places: named where somebody asks why a job waits."""

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.holder import HOLDER_NAME_CHARACTERS_MAX
from opsconsole_protocol import link
from opsconsole_protocol.spec import JobSpec, PauseBy, Resources
from tests.coordinator.core.world import World, gpus, state

BUSY = "w1 is full: 2 of 2 slots taken"


def test_holders_are_named_with_how_they_stand(world: World) -> None:
    worker = world.worker(slots=2)
    first, second = world.submit(name="first"), world.submit(name="second", save_within_ms=10_000)
    one, two = worker.started(), worker.started()
    waits = world.submit()
    held = " by first (000000000a) and second (000000000b)"
    text, (verdict,) = view.why(world.fleet, waits, world.now_ms)
    assert text == BUSY + held
    assert f"{verdict.worker} {verdict.reason}" == BUSY + held
    assert f"w1 {view.candidates(world.fleet, JobSpec(command=('x',)), world.now_ms).verdicts[0].reason}" == BUSY + held
    assert world.rows[waits.id].reason == BUSY, "what is stored with each job names nobody"
    world.act("pause", second)
    worker.take(link.SetWant)
    # What an operator could free comes first.
    assert (
        world.why(waits) == f"{BUSY} by second (000000000b, paused by freeze, keeps its place) and first (000000000a)"
    )
    world.reactor.on_act("pause", second.id, None, "ana", "", world.now_ms, PauseBy.CHECKPOINT)
    world.turn()
    worker.take(link.SetWant)
    assert "second (000000000b, asked to save a checkpoint) and" in world.why(waits)
    world.pass_ms(12_000)
    assert "second (000000000b, asked to save a checkpoint, and late) and" in world.why(waits)
    world.act("cancel", second)
    worker.stop(two)
    assert "second (000000000b, is ending) and" in world.why(waits)
    worker.killed(two)
    worker.started()
    assert state(waits) == "running"
    worker.succeed(one)
    assert state(first) == "succeeded"


def test_two_jobs_are_named_and_the_others_counted(world: World) -> None:
    worker = world.worker(slots=6)
    world.submit(name="sweep", num_tasks=3)
    for name in ("b", "c", "d"):
        world.submit(name=name)
    for _ in range(6):
        worker.started()
    assert world.why(world.submit()).endswith(" by sweep (000000000a, 3 tasks), b (000000000b) and 2 more")


def test_only_those_are_named_who_hold_what_is_short(world: World) -> None:
    worker = world.worker(slots=5, gpus=gpus(1), properties={"cpus": 8, "memory_mb": 100})
    world.submit(name="small")
    world.submit(name="learner", gpus=1)
    world.submit(name="loader", resources=Resources(cpus=8))
    world.submit(name="table", resources=Resources(memory_mb=100))
    for _ in range(4):
        worker.started()
    for resources, holder in (
        (Resources(gpus=1), "GPU 0 has a task; the task is of learner (000000000b)"),
        (Resources(cpus=1), "needs 1 CPU, 0 of 8 free, the rest is held by loader (000000000c)"),
        (Resources(memory_mb=1), "needs 1M of memory, 0M of 100M free, the rest is held by table (000000000d)"),
    ):
        assert world.why(world.submit(resources=resources)).endswith(holder)


def test_workers_that_stand_alike_are_counted_and_each_verdict_names_its_own(world: World) -> None:
    for name in ("w1", "w2"):
        worker = world.worker(name)
        world.submit(name=f"on-{name}")
        worker.started()
    text, verdicts = view.why(world.fleet, world.submit(), world.now_ms)
    assert text == "2 workers, each is full: 1 of 1 slot taken"
    assert [one.reason.partition(" by ")[2] for one in verdicts] == ["on-w1 (000000000a)", "on-w2 (000000000b)"]


def test_a_hostile_or_long_name_is_cleaned_and_cut(world: World) -> None:
    worker = world.worker(slots=2)
    world.submit(name="a\x1b[31m\nb")
    world.submit(name="x" * 200)
    worker.started()
    worker.started()
    text = world.why(world.submit())
    assert text.isprintable()
    assert f"{'x' * (HOLDER_NAME_CHARACTERS_MAX - 1)}… (" in text


def test_a_job_that_was_submitted_held_says_what_it_waits_for(world: World) -> None:
    world.worker()
    for tasks in (1, 3):
        job = world.submit(held=True, num_tasks=tasks)
        assert (state(job), world.why(job)) == ("held", "waits until somebody releases it")
        assert view.job_row(world.fleet, job).reason == "waits until somebody releases it"
