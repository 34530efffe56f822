"""What a pattern means in the folder of one task."""

import pytest

from opsconsole_protocol.content.task_folder import split_task_folder, task_folder, task_patterns


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


@pytest.mark.parametrize(
    ("path", "split"),
    [
        (b"task-12/a/b", (12, b"a/b")),
        (b"task-0", (0, b"")),
        (b"task-1/new\nline", (1, b"new\nline")),
        (b"task-01/a", (None, b"task-01/a")),
        (b"models/task-1", (None, b"models/task-1")),
    ],
    ids=["deep", "itself", "odd", "zero", "elsewhere"],
)
def test_in_whose_folder_a_path_is(path: bytes, split: tuple[int | None, bytes]) -> None:
    assert split_task_folder(path) == split
    if split[0] is not None:
        assert path.startswith(task_folder(split[0]))
