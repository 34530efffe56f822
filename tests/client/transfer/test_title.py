"""What transfers are called."""

import pytest

from opsconsole.transfer import title
from opsconsole_protocol.content.glob import literal
from opsconsole_protocol.stream.message import FileRoot, RootKind

LAB = FileRoot(kind=RootKind.MOUNT, mount="lab")
JOB = "42f0k9x2mq"


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        ((), ""),
        (("models/*",), "models/*"),
        ((literal(b"a[1]*?.csv"),), "a[1]*?.csv"),
        ((literal(b"\xff.csv"),), "\ufffd.csv"),
        (("a", "b"), "a and 1 more"),
        (tuple("abcd"), "a and 3 more"),
    ],
)
def test_what_travels(patterns: tuple[str, ...], said: str) -> None:
    assert title.of_patterns(patterns) == said


@pytest.mark.parametrize(
    ("root", "below", "said"),
    [
        (LAB, b"", "alpha:lab"),
        (LAB, b"run7/models", "alpha:lab/run7/models"),
        (LAB, b"\xff", "alpha:lab/\ufffd"),
        (FileRoot(kind=RootKind.OUTPUT, job_id=JOB), b"", JOB),
        (FileRoot(kind=RootKind.OUTPUT, job_id=JOB, task_index=7), b"models", f"{JOB}/task-7:models"),
        (FileRoot(kind=RootKind.WORK, job_id=JOB), b"x", f"{JOB}:x (working folder)"),
        (FileRoot(kind=RootKind.INPUT, job_id=JOB), b"", f"{JOB} (inputs)"),
    ],
)
def test_from_where(root: FileRoot, below: bytes, said: str) -> None:
    assert title.place("alpha", root, below) == said
