"""logs: the task's own bytes, each on its own stream, from where one asks."""

import io
import json
from typing import Any

import pytest

from opsconsole_console.cli.log_writer import LogWriter
from opsconsole_console.cli.option import moment_ms
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.log import LogLine, Source
from opsconsole_protocol.spec import JobSpec
from tests.client.fake_server import FakeServer
from tests.client.row import NOW_MS
from tests.console.cli.conftest import Run

JOB = "aaaaaaaaaa"


@pytest.fixture
def job(server: FakeServer) -> str:
    server.add_job(JOB)
    server.log(JOB, "one", "two")
    server.log(JOB, "oops", source=Source.STDERR)
    server.log(JOB, "loading: 10%\rloading: 99%", "\x1b[31mred\x1b[0m")
    server.finish(JOB)
    return JOB


def test_streams_stay_apart_and_bytes_stay_raw(run: Run, job: str) -> None:
    ran = run("logs", job)
    assert ran.code == 0
    assert ran.out == "one\ntwo\nloading: 10%\rloading: 99%\n\x1b[31mred\x1b[0m\n"
    assert ran.err == "oops\n"


def test_following_a_finished_task_prints_all_and_ends(run: Run, job: str) -> None:
    assert run("logs", "-f", job).out.splitlines()[0] == "one"
    assert run("logs", "-f", f"{job}/task-0", "--source", "stderr").err == "oops\n"


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["--tail", "1", "--source", "stdout"], "\x1b[31mred\x1b[0m\n"),
        (["--start-line", "-2", "--source", "stdout", "--grep", "o"], "two\nloading: 10%\rloading: 99%\n"),
        (["--start-line", "1", "--grep", "^t"], "two\n"),
        (["--since", str(NOW_MS / 1000 + 0.004)], "\x1b[31mred\x1b[0m\n"),
    ],
)
def test_selections(run: Run, job: str, words: list[str], out: str) -> None:
    assert run("logs", job, *words).out == out


def test_timestamps_and_json(run: Run, job: str) -> None:
    assert run("logs", job, "--timestamps", "--tail", "1").out.startswith("2025-10-09T08:53:20.004Z \x1b[31m")
    lines = [json.loads(line) for line in run("logs", job, "--json").out.splitlines()]
    assert lines[2] == {
        "task": f"{JOB}/task-0", "attempt": 0, "line_number": 2, "source": "stderr", "data": "oops",
        "timestamp_ms": NOW_MS + 2, "start": 0, "partial": False,
    }  # fmt: skip
    assert len(lines) == 5


def test_many_pages_make_one_log(run: Run, server: FakeServer, job: str) -> None:
    def small_pages(fake: FakeServer, request: api.ReadLog) -> api.AnyAnswer:
        from msgspec.structs import replace

        return fake._page(replace(request, query=replace(request.query, max_lines=2)))

    server.answers[api.ReadLog] = small_pages
    assert run("logs", job).out.count("\n") == 4


def test_all_tasks_of_a_job_are_told_apart_and_one_can_be_chosen(run: Run, server: FakeServer) -> None:
    server.add_job(JOB, JobSpec(command=("x",), num_tasks=2))
    for index in range(2):
        server.log(JOB, f"from {index}", index=index)
        server.finish(JOB, index)
    assert run("logs", JOB).out == "[0] from 0\n[1] from 1\n"
    assert run("logs", JOB, "--task", "1").out == "from 1\n"
    assert run("logs", f"{JOB}/task-1").out == "from 1\n"


def test_an_earlier_attempt(run: Run, server: FakeServer) -> None:
    server.add_job(JOB)
    server.log(JOB, "first")
    server.log(JOB, "second", attempt=1)
    server.finish(JOB, attempt=0, exit_code=1)
    server.finish(JOB, attempt=1)
    assert run("logs", JOB).out == "second\n"
    assert run("logs", JOB, "--attempt", "0").out == "first\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--grep", "("], "is not a regular expression"),
        (["--tail", "1", "--start-line", "2"], "exclude each other"),
        (["--since", "yesterday"], "'yesterday' is no time"),
        (["--source", "stdin"], "is none of"),
    ],
)
def test_wrong_selections(run: Run, job: str, words: list[str], message: str) -> None:
    ran = run("logs", job, *words)
    assert ran.code == 2
    assert message in ran.err


def test_points_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: NOW_MS * 1_000_000)
    assert moment_ms("10m") == NOW_MS - 600_000
    assert moment_ms("1760000000.5") == NOW_MS + 500
    assert moment_ms("2025-10-09T08:53:20+00:00") == NOW_MS
    with pytest.raises(InvalidRequest):
        moment_ms("")


# --- fragments -------------------------------------------------------------------------------------------------


def written(lines: list[LogLine], **options: Any) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    writer = LogWriter(out=out, err=err, **options)
    for line in lines:
        writer.write([line], f"{JOB}/task-3", 0)
    writer.close()
    return out.getvalue(), err.getvalue()


def part(number: int, data: str, start: int = 0, *, source: Source = Source.STDOUT, partial: bool = False) -> LogLine:
    return LogLine(number, source, data, NOW_MS, partial=partial, start=start)


CASES: list[tuple[list[LogLine], str]] = [
    ([part(0, "ab", partial=True), part(0, "cd", 2)], "abcd\n"),
    ([part(0, "ab", partial=True), part(1, "e", source=Source.STDERR), part(0, "cd", 2)], "abcd\n"),
    ([part(0, "ab", partial=True), part(2, "new")], "ab\nnew\n"),
    ([part(0, "no newline", partial=True)], "no newline"),
    ([part(0, "")], "\n"),
]


@pytest.mark.parametrize(("lines", "out"), CASES)
def test_fragments_of_a_line_become_one_line(lines: list[LogLine], out: str) -> None:
    assert written(lines)[0] == out


def test_a_prefix_stands_once_a_line() -> None:
    lines = [part(0, "ab", partial=True), part(0, "cd", 2), part(1, "x")]
    assert written(lines, prefix=True)[0] == "[3] abcd\n[3] x\n"


def test_an_unfinished_line_is_ended_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    writer = LogWriter(out=out, err=io.StringIO())
    writer.write([part(0, "50 %", partial=True)], f"{JOB}/task-0", 0)
    writer.close()
    assert out.getvalue() == "50 %\n"


@pytest.mark.parametrize("text", ["9" * 400, "9" * 16, "0001-01-01T00:00+23:00", "9999-12-31T23:59:59-23:00"])
def test_a_time_that_no_calendar_has_is_refused_in_words(text: str) -> None:
    """Hard use 65."""
    with pytest.raises(InvalidRequest) as error:
        moment_ms(text)
    assert len(error.value.message) < 200


@pytest.mark.parametrize("at_ms", [-1, 0, 253_402_300_799_999, 253_402_300_800_000, 1 << 62])
def test_a_line_of_a_worker_whose_clock_is_mad_is_printed_all_the_same(at_ms: int) -> None:
    """Hard use 65: `logs -t` after the year 9999."""
    out, _ = written([LogLine(0, Source.STDOUT, "hello", at_ms)], timestamps=True)
    assert out.endswith("Z hello\n")
