"""Which worker is asked for what."""

import pytest

from opsconsole.transfer.download import parts_of
from opsconsole_protocol.api import JobDetail
from opsconsole_protocol.error import NotFound
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.stream.message import TASKS_MAX
from tests.client.row import job_row, task_row

JOB = "aaaaaaaaaa"


def detail(*workers: str | None) -> JobDetail:
    tasks = tuple(task_row(JOB, index, worker=worker) for index, worker in enumerate(workers))
    return JobDetail(
        job=job_row(JOB, num_tasks=len(workers)), spec=JobSpec(command=("true",)), tasks=tasks, events=()
    )  # fmt: skip


def test_the_only_task_is_the_job() -> None:
    (part,) = parts_of(detail("gpu-a"), ["m"])
    assert (part.worker, part.root.task_index, part.tasks, part.patterns) == ("gpu-a", None, (), ("m",))


def test_a_worker_is_asked_for_all_its_tasks_at_once() -> None:
    parts = parts_of(detail("gpu-a", None, "gpu-b", "gpu-a"), ["n"])
    assert [(part.worker, part.tasks, part.patterns) for part in parts] == [
        ("gpu-a", (0, 3), ("n",)),
        ("gpu-b", (2,), ("n",)),
    ]
    assert [part.tasks for part in parts_of(detail("gpu-a", None, "gpu-b", "gpu-a"), ["task-3/m"])] == [(3,)]


def test_of_thousands_of_tasks_a_bounded_number_goes_over_one_stream() -> None:
    parts = parts_of(detail(*["gpu-a"] * (2 * TASKS_MAX + 1)), [])
    assert [len(part.tasks) for part in parts] == [TASKS_MAX, TASKS_MAX, 1]


def test_what_has_not_begun_has_no_results() -> None:
    with pytest.raises(NotFound, match="has not been started yet"):
        parts_of(detail(None), [])
