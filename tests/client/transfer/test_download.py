"""Which worker is asked for what."""

import pytest

from opsconsole.transfer.download import parts_of, task_patterns
from opsconsole_protocol.api import JobDetail
from opsconsole_protocol.error import NotFound
from opsconsole_protocol.spec import JobSpec
from tests.client.row import job_row, task_row

JOB = "aaaaaaaaaa"


def detail(*workers: str | None) -> JobDetail:
    tasks = tuple(task_row(JOB, index, worker=worker) for index, worker in enumerate(workers))
    return JobDetail(
        job=job_row(JOB, num_tasks=len(workers)), spec=JobSpec(command=("true",)), tasks=tasks, events=()
    )  # fmt: skip


@pytest.mark.parametrize(
    ("patterns", "index", "own"),
    [
        ((), 3, ()),
        (("models/*",), 3, ("models/*",)),
        (("task-3/models/*",), 3, ("models/*",)),
        (("task-3",), 3, ("**",)),
        (("task-3/",), 3, ("**",)),
        (("task-4/x",), 3, None),
        (("task-*/x",), 3, ("task-*/x", "x")),
        (("**/x",), 3, ("**/x",)),
        (("*",), 3, ("*", "**")),
    ],
)
def test_a_pattern_as_it_counts_from_a_tasks_folder(
    patterns: tuple[str, ...], index: int, own: tuple[str, ...] | None
) -> None:
    assert task_patterns(patterns, index) == own


def test_the_only_task_is_the_job() -> None:
    (part,) = parts_of(detail("gpu-a"), ["m"])
    assert (part.worker, part.root.task_index, part.folder, part.patterns) == ("gpu-a", None, b"", ("m",))


def test_tasks_are_asked_for_one_by_one() -> None:
    parts = parts_of(detail("gpu-a", None, "gpu-b"), ["task-2/m", "n"])
    assert [(part.worker, part.folder, part.patterns) for part in parts] == [
        ("gpu-a", b"task-0", ("n",)),
        ("gpu-b", b"task-2", ("m", "n")),
    ]


def test_what_has_not_begun_has_no_results() -> None:
    with pytest.raises(NotFound, match="has not been started yet"):
        parts_of(detail(None), [])
