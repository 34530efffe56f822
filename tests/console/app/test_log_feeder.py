"""Following a log: pages, attempts, lost connections, back-pressure."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from opsconsole.fleet import Fleet
from opsconsole_console.model.log_target import LogTarget, likely_task
from opsconsole_console.service import log_feeder
from opsconsole_console.service.log_feeder import LogFeeder
from opsconsole_protocol.api import LogAnswer, ReadLog, ShowJob
from opsconsole_protocol.log import LogLine
from tests.console.app import recorded
from tests.console.app.source import RecordedSource
from tests.waiting import until

TRAIN = LogTarget("42f0k9x2mq", "train-lr3")
ENDED = LogTarget("g0h2v7q4dm", "train-lr1")
"""Its task has succeeded."""


class Sink:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.places: list[LogAnswer] = []
        self.notes: list[str] = []
        self.starts = 0

    def show_lines(self, lines: Sequence[LogLine]) -> None:
        self.lines.extend(lines)

    def show_place(self, answer: LogAnswer) -> None:
        self.places.append(answer)

    def show_note(self, note: str) -> None:
        self.notes.append(note)

    def start_over(self) -> None:
        self.lines.clear()
        self.starts += 1


@pytest.fixture
def source(source: RecordedSource) -> RecordedSource:
    source.fleet.reset(source.snapshot)
    return source


@asynccontextmanager
async def running(feeder: LogFeeder) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(feeder.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_starts_at_the_tail_and_follows_by_cursor(source: RecordedSource) -> None:
    sink = Sink()
    async with running(LogFeeder(source, TRAIN, sink)):
        await until(lambda: len(sink.lines) == 1_000)
        assert sink.lines[-1].line_number == 2_999
        await until(lambda: len(source.log_requests) == 2)
        waiting = source.log_requests[-1]
        assert waiting.query.cursor == "3000"
        assert waiting.wait_ms == log_feeder.POLICY.long_poll_ms
        assert waiting.attempt == 1, "once known, the attempt is named"
        source.log.say("one more", "and another")
        await until(lambda: len(sink.lines) == 1_002)
        assert [line.data for line in sink.lines[-2:]] == ["one more", "and another"]


async def test_it_ends_with_the_task(source: RecordedSource) -> None:
    sink = Sink()
    source.log.finish()
    async with running(LogFeeder(source, ENDED, sink)) as task:
        await until(task.done)
    assert len(sink.lines) == 1_000
    assert sink.places[-1].attempt_state == "succeeded"
    assert source.asked(ShowJob), "it looked whether there is a further attempt"


async def test_a_pinned_attempt_is_read_as_such(source: RecordedSource) -> None:
    sink = Sink()
    source.log.finish()
    async with running(LogFeeder(source, LogTarget("42f0k9x2mq", "t", attempt=0), sink)) as task:
        await until(task.done)
    assert {request.attempt for request in source.log_requests} == {0}
    assert not source.asked(ShowJob)


async def test_of_several_tasks_one_at_work_is_chosen(source: RecordedSource) -> None:
    sink = Sink()
    async with running(LogFeeder(source, LogTarget("51c7hh3d0v", "sweep", num_tasks=32), sink)):
        await until(lambda: sink.lines)
    assert source.log_requests[0].task_index == 11


async def test_a_lost_connection_is_said_and_healed(source: RecordedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_feeder, "_RETRY_S", 0.01)
    sink = Sink()
    source.connected = False
    async with running(LogFeeder(source, TRAIN, sink)):
        await until(lambda: sink.notes)
        assert "no connection" in sink.notes[0]
        source.connected = True
        await until(lambda: len(sink.lines) == 1_000)


async def test_an_unknown_job_ends_it_with_a_word(source: RecordedSource) -> None:
    sink = Sink()
    async with running(LogFeeder(source, LogTarget("zzzz", "gone"), sink)) as task:
        await until(task.done)
    assert sink.notes == ["there is no job zzzz"]


async def test_holding_stops_reading_and_going_on_takes_it_up(source: RecordedSource) -> None:
    sink = Sink()
    feeder = LogFeeder(source, TRAIN, sink)
    async with running(feeder):
        await until(lambda: len(source.log_requests) == 2)
        feeder.pause()
        source.log.say("first")
        await until(lambda: sink.lines[-1].data == "first", what="the page that was asked for already")
        source.log.say("second")
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(source.log_requests) == 2
        feeder.resume()
        await until(lambda: sink.lines[-1].data == "second")


async def test_far_behind_it_goes_on_at_the_end(source: RecordedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = dataclasses.replace(log_feeder.POLICY, skip_behind_lines=500, skip_tail_lines=100)
    monkeypatch.setattr(log_feeder, "POLICY", policy)
    monkeypatch.setattr(log_feeder, "PAGE_LINES", 100)
    monkeypatch.setattr(log_feeder, "TAIL_LINES", 100)
    sink = Sink()
    feeder = LogFeeder(source, TRAIN, sink)
    async with running(feeder):
        await until(lambda: sink.lines and sink.lines[-1].line_number == 2_999)
        feeder.pause()
        source.log.say(*(f"line {number}" for number in range(2_000)))
        await until(lambda: sink.lines[-1].line_number == 3_099, what="the page that was asked for already")
        feeder.resume()
        await until(lambda: sink.lines[-1].line_number == 4_999)
        assert sink.starts == 1
        assert len(sink.lines) == 100


async def test_history_is_the_lines_before(source: RecordedSource) -> None:
    lines = await LogFeeder(source, TRAIN, Sink()).history(2_000)
    assert (lines[0].line_number, lines[-1].line_number) == (1_000, 1_999)


async def test_the_next_attempt_is_followed(source: RecordedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_feeder, "POLICY", dataclasses.replace(log_feeder.POLICY, pause_s=0.01))
    sink = Sink()
    original = source.log.read

    async def read(request: ReadLog, fleet: Fleet) -> LogAnswer:
        answer = await original(request, fleet)
        over = not request.attempt
        state = "failed" if over else "running"
        return replace(answer, attempt=request.attempt or 0, attempt_state=state, finished=over and answer.page.end)

    monkeypatch.setattr(source.log, "read", read)
    async with running(LogFeeder(source, TRAIN, sink)):
        await until(lambda: sink.places and sink.places[-1].attempt == 1)
    assert sink.starts == 1
    assert source.asked(ShowJob)


def test_whose_log_is_most_likely_meant() -> None:
    assert likely_task(recorded.tasks_of("preprocess")) == 61
    assert likely_task(recorded.tasks_of("report")) == 0
    assert likely_task(()) == 0
