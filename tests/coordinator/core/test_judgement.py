"""Whether a worker can take a task, which worker shall, and how every refusal reads."""

from types import MappingProxyType
from typing import Any

import pytest

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.capacity import FOREIGN_MEMORY_MB_MAX
from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.fleet import INPUT_ANSWER_MS_MAX
from opsconsole_coordinator.core.judgement import judge
from opsconsole_coordinator.core.question import Answer, Answers, Question
from opsconsole_protocol import link
from opsconsole_protocol.dataset import JobDataset
from opsconsole_protocol.spec import JobSpec, Resources
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import World, gpus, state

MOUNTS: dict[str, Any] = {"mounts": [{"label": "lab", "path": "/mnt/lab", "aliases": ["/Volumes/lab"]}]}
INPUT = {"io_paths": {"input": "/in", "output": "/out", "filesystem": "vast"}}


@pytest.mark.parametrize(
    ("worker", "job", "words"),
    [
        ({}, {"worker": "w2"}, "no worker is named w2"),
        ({}, {"requirements": ("zone=a",)}, "no worker fits: w1 doesn't meet zone=a: zone is not set"),
        (
            {"properties": {"gpu_memory_mb": 8000}},
            {"requirements": ("gpu_memory_mb>=20000",)},
            "no worker fits: w1 doesn't meet gpu_memory_mb>=20000: gpu_memory_mb is 8000",
        ),
        ({}, {"resources": Resources(gpus=1)}, "no worker fits: w1 has no GPU"),
        (
            {"gpu_message": "no NVIDIA driver"},
            {"resources": Resources(gpus=2)},
            "no worker fits: w1 has none of the 2 GPUs needed (no NVIDIA driver)",
        ),
        (
            {"gpus": gpus(2, memory_mb=8000)},
            {"resources": Resources(gpus=1, gpu_memory_mb=9000)},
            "no worker fits: w1 has no GPU of 8.8G needed: its largest has 7.8G",
        ),
        ({}, {"resources": Resources(memory_mb=10)}, "no worker fits: w1 has 0M of the 10M of memory needed"),
        (
            {"properties": {"memory_mb": 100}},
            {"resources": Resources(memory_mb=200)},
            "no worker fits: w1 has 100M of the 200M of memory needed",
        ),
        ({}, {"inputs": ("data.slp",)}, "no worker fits: w1 has no input folder (start its agent with --input-path)"),
        (
            {"properties": INPUT},
            {"inputs": ("lab:runs/a.slp",)},
            "no worker fits: w1 has no mount lab (start its agent with --mount)",
        ),
        (
            {"properties": INPUT},
            {"inputs": ("data.slp", "/Volumes/lab/a.slp")},
            "no worker fits: w1 has no folder with '/Volumes/lab/a.slp' (start its agent with --mount)",
        ),
        (
            {"properties": MOUNTS},
            {"datasets": (JobDataset("lab:a.csv"),)},
            "no worker fits: w1 its agent is too old to look at datasets: update opsconsole there",
        ),
        (
            {"properties": MOUNTS | {"datasets": ["text"]}},
            {"datasets": (JobDataset("s3://lab/a"),)},
            "no worker fits: w1 can't read s3://: pip install 'opsconsole[dataset]' in the environment of its agent",
        ),
        (
            {"properties": {"datasets": ["text"]}},
            {"datasets": (JobDataset("lab:runs/a.csv"),)},
            "no worker fits: w1 has no mount lab (start its agent with --mount)",
        ),
    ],
)
def test_a_refusal_says_what_is_needed_and_what_there_is(
    world: World, worker: dict[str, Any], job: dict[str, Any], words: str
) -> None:
    world.worker("w1", **worker)
    submitted = world.submit(**job)
    assert world.why(submitted) == words
    assert world.rows[submitted.id].reason == words


@pytest.mark.parametrize("name", ["lab:runs/a.slp", "/Volumes/lab/runs/a.slp", "/mnt/lab/runs/a.slp"])
def test_a_file_below_a_mount_is_asked_of_the_workers_that_may_have_it(world: World, name: str) -> None:
    world.worker("w1", properties=INPUT)
    worker = world.worker("w2", properties=MOUNTS)
    job = world.submit(inputs=(name,))
    assert worker.found().filename == name
    worker.started()
    assert state(job) == "running"


def test_a_dataset_is_asked_for_where_it_can_be_looked_at(world: World) -> None:
    old = world.worker("w1", properties=MOUNTS | {"datasets": True})
    worker = world.worker("w2", properties=MOUNTS | {"datasets": ["text", "s3"]})
    datasets = (JobDataset("lab:digits", "a"), JobDataset("s3://lab/x", "b"))
    spec = JobSpec(command=("a",), datasets=datasets)
    world.reactor.on_ask_candidates(spec, world.now_ms)
    world.turn()
    asked = worker.found()
    assert (asked.filename, asked.kind) == ("lab:digits", link.QuestionKind.DATASET)
    job = world.submit(datasets=datasets)
    worker.started()
    assert state(job) == "running"
    assert not old.inbox, "an older agent would not understand the question"


def test_a_mount_that_a_worker_gets_later_counts(world: World) -> None:
    worker = world.worker(properties=INPUT)
    job = world.submit(inputs=("lab:runs/a.slp",))
    assert state(job) == "pending"
    message = link.UpdateMetadata(properties={"mounts": MOUNTS["mounts"]})
    world.reactor.on_update_metadata(worker.record, message, world.now_ms)
    world.turn()
    worker.take(link.MetadataUpdated)
    worker.found()
    worker.started()
    assert state(job) == "running"


def test_a_worker_without_the_mount_says_so_file_by_file(world: World) -> None:
    world.worker(properties=INPUT)
    spec = JobSpec(command=("a",), inputs=("data.slp", "lab:runs/a.slp"))
    verdict = view.candidates(world.fleet, spec, world.now_ms).verdicts[0]
    assert [(one.name, one.state, one.detail) for one in verdict.inputs] == [
        ("data.slp", "asking", "asking the worker"), ("lab:runs/a.slp", "no_folder", "no mount lab")
    ]  # fmt: skip


def test_a_folder_that_a_worker_lacks_is_a_file_that_it_lacks(world: World) -> None:
    """So that who shows why it is refused doesn't say it twice."""
    world.worker("w1", properties=INPUT)
    verdict = view.candidates(world.fleet, JobSpec(command=("a",), inputs=("/nowhere/a",)), world.now_ms).verdicts[0]
    assert (verdict.accepted, verdict.lacks_file) == (False, True)
    assert verdict.reason == "has no folder with '/nowhere/a' (start its agent with --mount)"


def test_without_workers_it_says_how_to_get_one(world: World) -> None:
    job = world.submit()
    assert world.why(job) == "no worker has joined yet (opsconsole invite prints the line that joins one)"


def test_each_gpu_has_one_task(world: World) -> None:
    worker = world.worker(slots=9, gpus=gpus(3))
    world.submit(gpus=2)
    world.submit(gpus=1)
    third = world.submit(gpus=1)
    taken = [worker.started().gpu_ids for _ in range(2)]
    assert taken == [("GPU-0", "GPU-1"), ("GPU-2",)]
    assert world.why(third) == (
        "w1 needs 1 GPU, 0 of 3 free: each has a task; "
        "the tasks are of true (000000000a) and true (000000000b)"
    )  # fmt: skip


def test_a_free_gpu_does_not_wait_for_slots_that_tasks_without_have(world: World) -> None:
    """Hard use 14."""
    worker = world.worker(slots=2, gpus=gpus(2))
    sleepers = [world.submit() for _ in range(8)]
    first, _ = worker.started(), worker.started()
    urgent = world.submit(gpus=1, priority=100)
    assert worker.started().job_id == urgent.id
    row = view.worker_row(world.fleet, worker.record, world.now_ms)
    assert (row.running_tasks, row.status) == (3, "busy")
    worker.report(first, AttemptState.SUCCEEDED, exit_code=0, finished_at_ms=world.now_ms + 60_000)
    worker.forget(first)
    assert [state(job) for job in sleepers[2:]] == ["pending"] * 6, "tasks without GPUs only fill what is left"
    world.submit(gpus=1)
    worker.started()
    third = world.submit(gpus=1)
    assert world.why(third) == ("w1 is full: 2 of 2 slots taken by true (000000000j) and true (000000000k)")


def test_the_smallest_gpu_that_suffices_is_given(world: World) -> None:
    cards = tuple(
        link.Gpu(index=index, uuid=f"GPU-{index}", name="x", memory_total_mb=memory_mb)
        for index, memory_mb in enumerate((80_000, 24_000, 40_000))
    )
    worker = world.worker(slots=3, gpus=cards)
    for memory_mb in (30_000, 0, 0):
        world.submit(resources=Resources(gpus=1, gpu_memory_mb=memory_mb))
    assert [worker.started().gpu_ids for _ in range(3)] == [("GPU-2",), ("GPU-1",), ("GPU-0",)]


def test_asking_for_gpu_memory_is_asking_for_a_gpu(world: World) -> None:
    worker = world.worker(gpus=gpus(1))
    world.submit(resources=Resources(gpu_memory_mb=1_000))
    assert worker.started().gpu_ids == ("GPU-0",)


def test_a_task_without_gpus_gets_none(world: World) -> None:
    worker = world.worker(gpus=gpus(1))
    world.submit()
    assert worker.started().gpu_ids == ()


def test_gpus_that_others_use_are_not_free(world: World) -> None:
    def card(memory_mb: int, attempt_id: str = "") -> tuple[link.Gpu, ...]:
        user = link.GpuUser(pid=7, name="python", memory_mb=memory_mb, attempt_id=attempt_id)
        return (link.Gpu(index=0, uuid="GPU-0", name="A100", memory_total_mb=24_000, processes=(user,)),)

    worker = world.worker(gpus=card(FOREIGN_MEMORY_MB_MAX + 1))
    job = world.submit(gpus=1)
    assert (
        world.why(job)
        == "w1 needs 1 GPU, 0 of 1 free: GPU 0 is used by pid 7 (python, 500M), which opsconsole didn't start"
    )
    worker.heartbeat(gpus=card(FOREIGN_MEMORY_MB_MAX))
    world.pass_ms(1_000)
    worker.started()


def test_a_broken_gpu_is_not_given_and_heals(world: World) -> None:
    def card(state: str, message: str = "") -> tuple[link.Gpu, ...]:
        return (link.Gpu(index=0, uuid="GPU-0", name="A100", state=state, message=message),)

    worker = world.worker(gpus=card("lost", "fell off the bus"))
    job = world.submit(gpus=1)
    assert world.why(job) == "w1 needs 1 GPU, 0 of 1 free: GPU 0 is lost: fell off the bus"
    worker.heartbeat(gpus=card("ok"))
    worker.started()


def test_memory_and_cpus_are_promised_once(world: World) -> None:
    worker = world.worker(slots=9, properties={"cpus": 8, "memory_mb": 1_000})
    first = world.submit(resources=Resources(cpus=5, memory_mb=300))
    by_cpu = world.submit(resources=Resources(cpus=4))
    by_memory = world.submit(resources=Resources(memory_mb=800))
    fits = world.submit(resources=Resources(cpus=3, memory_mb=700))
    attempts = {attempt.job_id: attempt for attempt in (worker.started(), worker.started())}
    assert set(attempts) == {first.id, fits.id}
    assert (
        world.why(by_cpu) == "w1 needs 4 CPUs, 0 of 8 free, the rest is held by true (000000000a) and true (000000000d)"
    )
    assert (
        world.why(by_memory)
        == "w1 needs 800M of memory, 0M of 1000M free, the rest is held by true (000000000a) and true (000000000d)"
    )
    worker.succeed(attempts[first.id])
    assert worker.started().job_id == by_cpu.id
    worker.succeed(attempts[fits.id])
    assert worker.started().job_id == by_memory.id


def test_the_emptier_worker_the_fewer_gpus_the_first_name_in_this_order(world: World) -> None:
    big = world.worker("a-big", slots=2, gpus=gpus(2))
    plain, other = world.worker("b-plain", slots=2), world.worker("c-other", slots=2)
    order = []
    for _ in range(6):
        world.submit()
        [worker] = [one for one in (big, plain, other) if one.inbox]
        worker.started()
        order.append(worker.name)
    assert order == ["b-plain", "c-other", "a-big"] * 2


def test_history_decides_between_workers(world: World) -> None:
    slow, fast = world.worker("a-slow"), world.worker("b-fast")
    for worker, took_ms in 3 * ((slow, 60_000), (fast, 20_000)):
        world.submit(name="train", worker=worker.name)
        attempt = worker.assigned()
        worker.report(attempt, attempt.state.RUNNING, started_at_ms=0)
        worker.report(attempt, attempt.state.SUCCEEDED, started_at_ms=0, finished_at_ms=took_ms)
        worker.forget(attempt)
    world.submit(name="train")
    fast.started()
    world.submit(name="other")
    slow.started()


def test_an_input_file_is_asked_for_before_anything_is_assigned(world: World) -> None:
    worker = world.worker(properties=INPUT)
    job = world.submit(inputs=("data.slp",))
    assert state_of_input(world, job) == "w1 needs data.slp: asking the worker"
    assert worker.found().filename == "data.slp"
    assert worker.started().job_id == job.id


def state_of_input(world: World, job: Any) -> str:
    return world.why(job)


def test_judging_changes_nothing_and_names_what_has_to_be_asked(world: World) -> None:
    worker = world.worker(properties=INPUT)
    demand = Demand(JobSpec(command=("a",), workdir="/data", inputs=("a.slp",)), ())
    folder, file = (
        Question(worker.id, kind, name)
        for kind, name in ((link.QuestionKind.FOLDER, "/data"), (link.QuestionKind.INPUT, "a.slp"))
    )
    late_ms = world.now_ms + 1
    cases: tuple[tuple[Answers, bool, bool, tuple[Question, ...]], ...] = (
        ({}, False, True, (folder,)),
        ({folder: Answer(True, "found", late_ms)}, False, True, (file,)),
        ({folder: Answer(True, "found", 0), file: Answer(True, "found", late_ms)}, True, False, (folder,)),
        ({folder: Answer(False, "is no folder", late_ms)}, False, False, ()),
        ({folder: Answer(True, "found", late_ms), file: Answer(True, "found", late_ms)}, True, False, ()),
    )
    for answers, accepted, soon, questions in cases:
        offer = judge(worker.record, demand, MappingProxyType(dict(answers)), "", world.now_ms)
        assert (offer.accepted, offer.soon, offer.questions) == (accepted, soon, questions)
    assert not world.reactor.is_dirty
    assert not world.fleet.questions.answers


def test_who_looks_at_why_a_job_waits_asks_nobody(world: World) -> None:
    worker = world.worker(properties=INPUT)
    world.set_project("paused")
    job = world.submit(inputs=("data.slp",))
    assert view.why(world.fleet, job, world.now_ms)[1][0].input == "data.slp: asking the worker"
    assert not world.reactor.is_dirty
    world.reactor.on_ask_why(job, world.now_ms)
    world.turn()
    assert worker.found().filename == "data.slp"
    assert view.why(world.fleet, job, world.now_ms)[1][0].input == "data.slp: found, 6 B"
    world.act("hold", job)
    world.pass_ms(2 * INPUT_ANSWER_MS_MAX)
    world.reactor.on_ask_why(job, world.now_ms)
    assert not world.reactor.is_dirty, "a held job waits for no worker"


def test_a_missing_input_is_said_and_asked_for_again(world: World) -> None:
    worker = world.worker(properties=INPUT)
    job = world.submit(inputs=("data.slp",))
    worker.missing("there is no such file")
    assert world.why(job) == "w1 needs data.slp: there is no such file"
    world.pass_ms(INPUT_ANSWER_MS_MAX - 1_000)
    assert not worker.inbox
    world.pass_ms(2_000)
    again = worker.found()
    worker.say_missing(again.check_id, "late")
    worker.say_missing(99, "never asked")
    worker.started()


def test_a_worker_that_reconnects_can_take_work_only_then(world: World) -> None:
    worker = world.worker()
    worker.disconnect()
    job = world.submit()
    assert world.why(job) == "w1 is reconnecting"
    world.pass_ms(13_000)
    assert world.why(job) == "w1 is silent"
    world.pass_ms(60_000)
    assert world.why(job) == "w1 is lost"
    worker.connect()
    worker.take(link.Registered)
    worker.started()


def test_a_working_folder_is_part_of_the_choice(world: World) -> None:
    """Hard use 17."""
    one, two = world.worker("gpu-a"), world.worker("gpu-b")
    job = world.submit(workdir="/data/onlyb", max_retries_failure=2)
    asked = one.missing("there is no such folder on this worker")
    assert (asked.kind, asked.filename) == (link.QuestionKind.FOLDER, "/data/onlyb")
    assert "gpu-a needs /data/onlyb: there is no such folder on this worker" in world.why(job)
    two.found()
    assert two.started().job_id == job.id


def test_an_input_that_is_still_being_written_is_waited_for(world: World) -> None:
    """Hard use 18."""
    worker = world.worker(properties=INPUT)
    job = world.submit(inputs=("f.npy",))
    worker.missing("is still growing, 1.2 GB", again_ms=500)
    assert world.why(job) == "w1 needs f.npy: is still growing, 1.2 GB"
    world.pass_ms(500)
    worker.missing("is still growing, 1.9 GB", again_ms=500)
    assert world.rows[job.id].reason == "w1 needs f.npy: is still growing, 1.9 GB"
    world.pass_ms(500)
    worker.found()
    worker.started()


def test_either_of_several_named_workers_will_do(world: World) -> None:
    """Hard use 20."""
    one, two, three = (world.worker(name) for name in ("w1", "w2", "w3"))
    jobs = [world.submit(workers=("w2", "w3")) for _ in range(3)]
    two.started(), three.started()
    assert world.why(jobs[2]) == "2 workers, each is full: 1 of 1 slot taken"
    verdicts = view.why(world.fleet, jobs[2], world.now_ms)[1]
    assert [one.reason for one in verdicts if one.worker == "w1"] == ["isn't the worker that is asked for (w2 or w3)"]
    nobody = world.submit(workers=("x", "y"))
    assert world.why(nobody) == "no worker is named x or y"
    assert not one.record.live


def test_a_worker_of_one_project_takes_only_its_jobs(world: World) -> None:
    """Hard use 38."""
    worker = world.worker("w1", properties={"project": "pose"})
    other = world.submit()
    assert world.why(other) == "no worker fits: w1 takes jobs of project pose only"
    own = world.submit(project="pose")
    assert worker.started().job_id == own.id
    assert state(other) == "pending"
