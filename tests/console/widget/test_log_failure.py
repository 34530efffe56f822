"""Where a log's failure is found. Hard use, triage: a failed task is shown where it failed."""

import pytest

from opsconsole_console.widget.log_failure import failure_start
from opsconsole_protocol.log import LogLine, Source

TRACEBACK = ["Traceback (most recent call last):", '  File "train.py", line 3, in <module>', "ValueError: NaN"]


def found(*texts: str, error: str = "") -> str | None:
    lines = [LogLine(number, Source.STDERR, text, 0) for number, text in enumerate(texts)]
    if error:
        lines.append(LogLine(len(lines), Source.ERROR, error, 0))
    place = failure_start(lines)
    return None if place is None else lines[place].data


@pytest.mark.parametrize(
    ("lines", "start"),
    [
        (("fine", *TRACEBACK, "bye"), TRACEBACK[0]),
        (("fine", "ERROR first", "fine", "ERROR last", "fine"), "ERROR last"),
        ((*TRACEBACK, *["fine"] * 500, "Killed"), "Killed"),
        (("\x1b[31mTraceback (most recent call last):\x1b[0m", "ValueError"), "\x1b[31m" + TRACEBACK[0] + "\x1b[0m"),
        (("fine", "fine"), None),
        ((), None),
    ],
)
def test_the_last_traceback_or_error_is_the_failure(lines: tuple[str, ...], start: str | None) -> None:
    assert found(*lines) == start


def test_what_we_say_ourselves_counts_only_where_the_task_said_nothing() -> None:
    assert found("fine", error="exit code 1") == "exit code 1"
    assert found(*TRACEBACK, error="exit code 1") == TRACEBACK[0]


def test_of_chained_tracebacks_the_last_is_meant() -> None:
    assert (
        found("first: " + TRACEBACK[0], *TRACEBACK, "During handling of the above exception:", *TRACEBACK)
        == (TRACEBACK[0])
    )
