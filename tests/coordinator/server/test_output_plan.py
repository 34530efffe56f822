"""Which worker is asked about which output folder, and which may go by themselves (hard use: clean-up)."""

import pytest

from opsconsole_coordinator.core.model import Worker, job_folder
from opsconsole_coordinator.server.output_plan import is_due, plan
from opsconsole_coordinator.server.retention import DAY_MS
from opsconsole_coordinator.store.ended import OutputFolder
from opsconsole_protocol.ids import JobId, WorkerId

A, B, C, D = (WorkerId(name) for name in "abcd")
NOW_MS = 1_000 * DAY_MS


def worker(worker_id: WorkerId, filesystem: str = "local", output: str = "/out") -> Worker:
    return Worker(id=worker_id, name=worker_id, properties={"io_paths": {"output": output, "filesystem": filesystem}})


def folder(job: str, *writers: WorkerId, days_ago: float = 10) -> OutputFolder:
    return OutputFolder(JobId(job), NOW_MS - round(days_ago * DAY_MS), f"/out/jobs/{job}", writers)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/out/jobs/j0b", "/out/jobs/j0b"),
        ("/out/jobs/j0b/task-3/attempts/3.1.ab", "/out/jobs/j0b"),
        ("/out/jobs/j0bber", ""),
        ("/elsewhere", ""),
        ("", ""),
    ],
)
def test_a_jobs_folder_is_known_by_its_name(path: str, found: str) -> None:
    assert job_folder(path, "j0b") == found


def test_a_shared_folder_is_asked_for_once_a_local_one_of_each_worker() -> None:
    fleet = {one.id: one for one in (worker(A, "vast"), worker(B, "vast"), worker(C), worker(D))}
    found = plan([folder("one", A, B), folder("two", C, D), folder("three", B, C)], fleet, list(fleet), list(fleet))
    assert found.asked == {A: ["one"], B: ["three"], C: ["two", "three"], D: ["two"]}
    assert found.unknown == {}


def test_another_worker_of_the_filesystem_answers_for_one_that_is_away() -> None:
    fleet = {one.id: one for one in (worker(A, "vast"), worker(B, "vast"), worker(C, "vast", "/other"), worker(D))}
    assert plan([folder("one", A)], fleet, list(fleet), [B, C]).asked == {B: ["one"]}
    found = plan([folder("one", A), folder("two", D)], fleet, list(fleet), [C])
    assert found == ({}, {A: 1, D: 1}, {"one", "two"})


def test_only_those_are_asked_that_are_meant_and_still_known() -> None:
    fleet = {one.id: one for one in (worker(A, "vast"), worker(B, "vast"), worker(D))}
    assert plan([folder("one", A, B), folder("two", D)], fleet, [B], [A, B, D]) == ({B: ["one"]}, {}, set())
    assert plan([folder("one", WorkerId("gone"))], fleet, list(fleet), list(fleet)) == ({}, {}, set())


@pytest.mark.parametrize(
    ("days", "is_over"),
    [
        ({A: 9.0, B: 9.0}, True),
        ({A: 9.0, B: 11.0}, False),
        ({A: 11.0, B: 9.0}, False),
        ({A: 9.0, B: 0.0}, False),
        ({A: 9.0}, False),
        ({}, False),
    ],
)
def test_an_output_goes_when_the_longest_time_of_all_who_wrote_there_is_over(
    days: dict[WorkerId, float], is_over: bool
) -> None:
    fleet = {one.id: one for one in (worker(A, "vast"), worker(B, "vast"))}
    assert is_due(folder("one", A, B), days, fleet, NOW_MS) is is_over


def test_a_worker_that_is_gone_for_good_has_no_say() -> None:
    fleet = {A: worker(A), B: worker(B)}
    fleet[B].revoked = True
    assert is_due(folder("one", A, B, WorkerId("gone")), {A: 9.0}, fleet, NOW_MS)
    assert not is_due(folder("one", B, WorkerId("gone")), {B: 9.0}, fleet, NOW_MS)
