"""What people and scripts are shown."""

from typing import Any

import pytest

from opsconsole_coordinator.core import view
from opsconsole_protocol import link
from opsconsole_protocol.api import Candidates, OutputsRow
from opsconsole_protocol.bound import WHOLE_MAX
from opsconsole_protocol.error import Conflict
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.link import Observed
from opsconsole_protocol.share import ShareChange
from opsconsole_protocol.spec import JobSpec, Resources
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import World, gpus, task_of


def spec(**fields: object) -> JobSpec:
    return JobSpec(**{"command": ("/bin/true",), **fields})  # type: ignore[arg-type]


def test_candidates_are_every_workers_verdict_best_first(world: World) -> None:
    world.worker("a-busy", gpus=gpus(1), properties={"zone": "a"})
    world.submit(gpus=1)
    world.workers["a-busy"].started()
    world.worker("b-free", gpus=gpus(2), properties={"zone": "a"})
    world.worker("c-wrong", gpus=gpus(2), properties={"zone": "b"})
    world.worker("d-free", gpus=gpus(2), properties={"zone": "a"})
    found = view.candidates(world.fleet, spec(requirements=("zone=a",), resources=Resources(gpus=1)), world.now_ms)
    verdicts = found.verdicts
    because = "the best of 2 (the first by name of those that are as good)"
    assert [(one.worker, one.accepted) for one in verdicts] == [
        ("b-free", True), ("d-free", True), ("a-busy", False), ("c-wrong", False),
    ]  # fmt: skip
    assert (found.text, found.chosen, found.because) == (f"b-free: {because}", "b-free", because)
    assert verdicts[0].gpus_free == 2
    assert verdicts[0].estimated_start_ms == 0
    assert ("zone=a", False, "zone is b") in verdicts[3].checks
    assert verdicts[3].reason == "doesn't meet zone=a: zone is b"


def test_a_check_of_a_value_with_a_semicolon_reads_well(world: World) -> None:
    world.worker(properties={"note": "x"})
    [verdict] = view.candidates(world.fleet, spec(requirements=('note="a; b"',)), world.now_ms).verdicts
    assert ('note="a; b"', False, "note is x") in verdict.checks


def test_asking_for_candidates_assigns_nothing(world: World) -> None:
    worker = world.worker(properties={"io_paths": {"input": "/in"}})
    wanted = spec(inputs=("a.slp",))
    verdicts = view.candidates(world.fleet, wanted, world.now_ms).verdicts
    assert verdicts[0].input == "a.slp: asking the worker"
    world.turn()
    assert not worker.inbox, "who only looks asks nobody"
    world.reactor.on_ask_candidates(wanted, world.now_ms)
    world.turn()
    worker.take(link.InputFile)


def test_why_a_running_job_runs_is_its_state_and_where(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    worker.started()
    assert view.why(world.fleet, job, world.now_ms) == ("running on w1", ())


def test_why_a_job_of_many_tasks_stands_where_it_stands_is_counted(world: World) -> None:
    world.worker(slots=1)
    job = world.submit(num_tasks=3)
    world.workers["w1"].started()
    text, verdicts = view.why(world.fleet, job, world.now_ms)
    assert text == "2 pending, 1 running on w1; task-1 waits: w1 is full: 1 of 1 slot taken by true (000000000a)"
    assert [(one.worker, one.accepted) for one in verdicts] == [("w1", False)]


def test_why_one_task_stands_where_it_stands(world: World) -> None:
    worker = world.worker(slots=1)
    job = world.submit(num_tasks=3, max_retries_failure=2)
    running = worker.started()
    assert view.why(world.fleet, job, world.now_ms, 0) == ("task-0 is running", ())
    text, verdicts = view.why(world.fleet, job, world.now_ms, 2)
    assert (text, len(verdicts)) == (
        "task-2 is pending: w1 is full: 1 of 1 slot taken by true (000000000a)",
        1,
    )
    worker.fail(running, "exit code 3")
    assert world.why(job).endswith("task-2 waits: w1 is full: 1 of 1 slot taken by true (000000000a)"), (
        "the one whose time has come"
    )
    assert view.why(world.fleet, job, world.now_ms, 0)[0] == (
        "task-0 is pending: exit code 3 (failed 1 of 3, again in 1s)"
    )
    worker.started()


def test_why_the_rest_of_a_job_waits_is_why_it_may_not_begin(world: World) -> None:
    world.worker(slots=1)
    job = world.submit(num_tasks=2)
    world.workers["w1"].started()
    world.set_project("paused")
    world.turn()
    assert world.why(job).endswith(
        "; task-1 waits: project default is paused: `opsconsole project set default --status active` lets it go on"
    )
    world.act("cancel", job)
    assert "task-1" not in world.why(job)
    world.workers["w1"].take(link.SetWant)


def test_only_what_waits_needs_a_worker(world: World) -> None:
    world.worker(slots=1)
    job = world.submit(num_tasks=2)
    world.workers["w1"].started()
    needed = [view.waiting_demand(world.fleet, job, world.now_ms, index) for index in (None, 0, 1)]
    assert [one is not None for one in needed] == [True, False, True]


def test_why_counts_equal_refusals(world: World) -> None:
    for number in range(3):
        world.worker(f"w{number}")
        world.submit(worker=f"w{number}")
        world.workers[f"w{number}"].started()
    job = world.submit()
    assert world.why(job) == "3 workers, each is full: 1 of 1 slot taken"


def test_a_worker_row_shows_the_workers_own_state_whatever_its_properties_say(world: World) -> None:
    worker = world.worker(slots=2, properties={"status": "reserved", "max_concurrent_jobs": 9, "sleap_version": "1.4"})
    row = view.worker_row(world.fleet, worker.record, world.now_ms)
    assert (row.status, row.connection, row.running_tasks, row.max_concurrent_jobs) == ("available", "connected", 0, 2)
    assert row.properties == {
        "status": "available", "max_concurrent_jobs": 2, "sleap_version": "1.4",
        "io_paths": {"input": None, "output": None, "filesystem": ""},
    }  # fmt: skip


def test_a_worker_row_shows_free_gpus_and_what_needs_attention(world: World) -> None:
    cards = (gpus(2)[0], link.Gpu(index=1, uuid="GPU-1", name="A100", state="lost", message="off the bus"))
    worker = world.worker(gpus=cards)
    row = view.worker_row(world.fleet, worker.record, world.now_ms)
    assert (row.gpus_free, row.attention) == (("GPU-0",), "GPU 1 lost: off the bus")


def test_a_job_row_names_worker_and_output_where_there_is_one(world: World) -> None:
    one, two = world.worker("w1"), world.worker("w2")
    single, double = world.submit(), world.submit(num_tasks=2)
    attempt = one.assigned()
    one.report(attempt, AttemptState.RUNNING, started_at_ms=1, output_path="/out/jobs/a")
    row = world.rows[single.id]
    assert (row.worker, row.output_path, row.progress) == ("w1", "/out/jobs/a", None)
    two.succeed(two.started())
    row = world.rows[double.id]
    assert (row.worker, row.output_path, row.progress) == ("w2", None, 0.5)
    one.succeed(attempt)
    one.succeed(one.started()) if one.inbox else two.succeed(two.started())
    assert world.rows[double.id].progress == 1.0


def test_a_job_of_one_task_is_where_its_last_attempt_was(world: World) -> None:
    one = world.worker("w1")
    job = world.submit(max_retries_failure=1)
    attempt = one.started()
    one.fail(attempt)
    one.disconnect()
    two = world.worker("w2")
    world.pass_ms(120_000)
    two.succeed(two.started())
    assert job.worker_names == {"w1", "w2"}
    assert world.rows[job.id].worker == "w2"


def test_a_task_row_shows_its_last_attempt_and_all_before(world: World) -> None:
    worker = world.worker(gpus=gpus(1))
    job = world.submit(gpus=1, max_retries_failure=1, parameters=({"lr": 0.1},))
    first = worker.started()
    worker.fail(first, "exit code 1", peak_memory_mb=7)
    waiting = view.task_row(job, task_of(job), [world.attempts[first.id]])
    assert (waiting.state, waiting.exit_code, waiting.finished_at_ms, waiting.error) == (
        "pending", None, None, "exit code 1",
    )  # fmt: skip
    world.pass_ms(2_000)
    second = worker.started()
    row = view.task_row(job, task_of(job), [world.attempts[first.id], second])
    assert (row.state, row.attempt, row.worker, row.parameters) == ("running", 1, "w1", {"lr": 0.1})
    assert [(one.state, one.exit_code, one.peak_memory_mb) for one in row.attempts] == [
        ("failed", 1, 7), ("running", None, None),
    ]  # fmt: skip
    assert row.attempts[0].gpu_ids == ("GPU-0",)


def test_what_tasks_left_is_added_up_and_a_retry_counts_in_the_place_of_what_was_before(world: World) -> None:
    worker = world.worker()
    job = world.submit(num_tasks=2, max_retries_failure=1)
    assert (view.job_row(world.fleet, job).output_files, view.job_row(world.fleet, job).output_bytes) == (None, None)
    worker.fail(worker.started(), output_files=5, output_bytes=700)
    assert (world.rows[job.id].output_files, world.rows[job.id].output_bytes) == (5, 700)
    worker.succeed(worker.started(), output_files=2, output_bytes=WHOLE_MAX)
    assert (world.rows[job.id].output_files, world.rows[job.id].output_bytes) == (7, WHOLE_MAX)
    world.pass_ms(2_000)
    again = worker.started()
    worker.succeed(again, output_files=1, output_bytes=8)
    assert world.rows[job.id].output_files == 3
    row = view.task_row(job, task_of(job), [again])
    assert (row.output_files, row.output_bytes, row.attempts[0].output_files) == (1, 8, 1)


def test_a_row_says_what_a_job_is_given_and_from_where(world: World) -> None:
    kept = Upload(name="b.csv", content_id=ContentId("5f" * 32), size_bytes=7, files=1)
    sent = Upload(name="c", content_id=ContentId("5e" * 32), size_bytes=8, files=2, is_folder=True, host="mbp-7")
    rows = view.input_rows(JobSpec(command=("a",), inputs=("a.npy",), uploads=(kept, sent)))
    assert [(row.name, row.size, row.hash, row.source) for row in rows] == [
        ("a.npy", None, None, "worker"), ("b.csv", 7, "5f" * 32, "coordinator"), ("c", 8, "5e" * 32, "mbp-7")
    ]  # fmt: skip
    job = world.submit()
    assert view.outputs_row(world.rows[job.id]) == OutputsRow()


def test_a_task_that_never_ran_has_a_row_too(world: World) -> None:
    job = world.submit(num_tasks=2)
    world.act("cancel", job)
    row = view.task_row(job, task_of(job, 1), [])
    assert (row.state, row.error, row.worker, row.attempts) == ("killed", "cancelled by ana", None, ())


def test_the_estimate_of_a_kind_of_job_is_shown_with_the_next(world: World) -> None:
    worker = world.worker()
    world.submit(name="train")
    attempt = worker.assigned()
    worker.say(Observed(attempt_id=attempt.id, state=AttemptState.SUCCEEDED, started_at_ms=0, finished_at_ms=9_000))
    worker.forget(attempt)
    job = world.submit(name="train")
    assert world.rows[job.id].duration_ms_estimate == 9_000
    verdicts = view.candidates(world.fleet, job.spec, world.now_ms).verdicts
    assert verdicts[0].estimated_duration_ms == 9_000
    worker.started()


def test_a_misspelt_worker_is_guessed_for_whoever_asks_and_not_for_each_job_that_waits(world: World) -> None:
    world.worker("gpu-a")
    job = world.submit(worker="gpuu-a")
    assert world.rows[job.id].reason == "no worker is named gpuu-a"
    text, (found,) = view.why(world.fleet, job, world.now_ms)
    assert text == "no worker is named gpuu-a: did you mean gpu-a?"
    assert found.said


def test_a_verdict_checks_everything_that_was_asked_for(world: World) -> None:
    world.worker("a")
    asked = spec(resources=Resources(gpus=2, cpus=4), worker="b")
    (found,) = view.candidates(world.fleet, asked, world.now_ms).verdicts
    checks = {words: (is_met, has) for words, is_met, has in found.checks}
    assert checks["up"] == (True, "connected")
    assert checks["a slot"] == (True, "0 of 1 taken")
    assert checks["2 GPUs"] == (False, "0 of 0 free")
    assert checks["named b"] == (False, "a")
    assert not checks["4 CPUs"][0]


def test_tasks_that_share_a_folder_have_their_jobs(world: World) -> None:
    """Hard use 44."""
    shared = {"io_paths": {"input": None, "output": "/out", "filesystem": "vast"}}
    local = {"io_paths": {"input": None, "output": "/out", "filesystem": "local"}}
    one, two = world.worker("w1", properties=shared), world.worker("w2", properties=shared)
    three = world.worker("w3", properties=local)
    job = world.submit(num_tasks=3)
    for worker in (one, two, three):
        attempt = worker.started()
        assert (worker is not three) == (attempt.worker_name != "w3")
        path = f"/out/jobs/{job.id}/attempts/{attempt.index}.0.abcd"
        worker.report(attempt, AttemptState.RUNNING, started_at_ms=1, output_path=path)
        expected = None if worker is three else f"/out/jobs/{job.id}"
        assert view.job_row(world.fleet, job).output_path == expected, "another disk, another folder of the same name"


def test_an_agent_that_leaves_when_nothing_waits_counts_its_project_s_tasks(world: World) -> None:
    mine, any_one = world.worker("w1", properties={"project": "pose"}, slots=1), world.worker("w2", slots=1)
    world.reactor.on_set_project("pose", "", None, "ana", world.now_ms)
    for _ in range(2):
        world.submit(num_tasks=3, resources=Resources(gpus=9))
    world.submit(project="pose", num_tasks=2, resources=Resources(gpus=9))
    assert view.waiting_tasks(world.fleet, mine.record) == 2
    assert view.waiting_tasks(world.fleet, any_one.record) == 8


def test_a_job_that_is_not_submitted_yet_is_told_what_it_would_wait_for(world: World) -> None:
    worker = world.worker(slots=3)
    world.reactor.on_set_person("ana", ShareChange(tasks=1), "root", world.now_ms)
    world.submit()
    attempt = worker.started()

    def ask(person: str, **fields: Any) -> Candidates:
        return view.candidates(world.fleet, spec(**fields), world.now_ms, person=person)

    free = ask("bob")
    assert (free.chosen, free.text) == ("w1", "w1: the only one that accepts")
    held = ask("ana")
    limit = "ana has 1 of the 1 task that it may have at a time; this needs 1"
    assert (held.chosen, held.text) == ("", f"{limit}; after that on {free.text}")
    assert held.verdicts == free.verdicts, "workers would take it"
    gang = ask("ana", gang=True, num_tasks=2)
    assert gang.text.startswith("ana may have 1 task at a time; this needs 2; ")
    never = ask("ana", requirements=("zone=z",))
    assert never.text == f"{limit}; {ask('bob', requirements=('zone=z',)).text}"

    world.reactor.on_set_project("vision", None, "paused", "root", world.now_ms, None)
    assert ask("bob", project="vision").text == f"project vision is paused; after that on {free.text}"
    for job in (world.submit(project="vision"), world.submit(project="vision", gang=True, num_tasks=2)):
        assert world.why(job).startswith(
            "project vision is paused: `opsconsole project set vision --status active` lets"
        )
    world.reactor.on_set_project("vision", None, "archived", "root", world.now_ms, None)
    with pytest.raises(Conflict, match="project vision is archived and takes no work"):
        ask("bob", project="vision")
    worker.succeed(attempt)
