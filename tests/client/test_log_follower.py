"""Following a log through attempts, lost connections and slow readers, against scripted answers."""

import asyncio
from contextlib import aclosing

import pytest
from msgspec.structs import replace

from opsconsole.log_follower import EVERY_LINE, FollowedPage, FollowPolicy, LogFollower
from opsconsole_protocol import api
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.log import LogLine, LogPage, LogQuery, Source
from tests.client.row import job_row, task_row
from tests.waiting import until

JOB = "aaaaaaaaaa"
LIVE = FollowPolicy(pause_s=0, late_lines_ms=0, skip_behind_lines=100, skip_tail_lines=10)
FAST = FollowPolicy(pause_s=0)


class Script:
    """A coordinator with one task: lines by attempt, the states of task and attempts, whether a log is complete."""

    def __init__(self) -> None:
        self.lines: dict[int, list[str]] = {0: []}
        self.states = {0: "running"}
        self.task_state = "running"
        self.complete = True
        self.asked: list[api.ReadLog] = []
        self.looked = 0
        self.connected = True

    async def request(self, request: api.AnyRequest) -> api.AnyAnswer:
        await asyncio.sleep(0)
        if not self.connected:
            raise Unavailable("no connection")
        if isinstance(request, api.ReadLog):
            self.asked.append(request)
            return self._page(request)
        assert isinstance(request, api.ShowJob)
        self.looked += 1
        task = replace(task_row(JOB), state=self.task_state, attempt=max(self.states, default=None))
        return api.DetailAnswer(detail=api.JobDetail(job=job_row(JOB), spec=None, tasks=(task,), events=()))  # type: ignore[arg-type]

    def _page(self, request: api.ReadLog) -> api.LogAnswer:
        query, is_over = request.query, self.task_state in {"succeeded", "failed", "killed"}
        if not self.states:
            page = LogPage(lines=(), next_cursor="", end=True)
            return api.LogAnswer(
                page=page, task_id=f"{JOB}/task-0", attempt=0, attempt_state=self.task_state, finished=is_over
            )
        number = max(self.states) if request.attempt is None else request.attempt
        texts = self.lines[number]
        start = (
            int(query.cursor)
            if query.cursor
            else max(0, len(texts) - query.tail)
            if query.tail
            else query.start_line or 0
        )
        lines = tuple(
            LogLine(at, Source.STDOUT, texts[at], 0) for at in range(start, min(len(texts), start + query.max_lines))
        )
        end = start + len(lines) == len(texts)
        page = LogPage(
            lines=lines, next_cursor=str(start + len(lines)), end=end, first_line=start, total_lines=len(texts)
        )
        return api.LogAnswer(
            page=page, task_id=f"{JOB}/task-0", attempt=number, attempt_state=self.states[number], worker="gpu-a",
            finished=is_over and self.complete and end,
        )  # fmt: skip

    def end(self, state: str = "succeeded") -> None:
        """Let the latest attempt and its task end."""
        self.states[max(self.states)] = self.task_state = state


async def read(follower: LogFollower, pages: int = 1_000) -> list[FollowedPage]:
    """The first `pages` pages, or all."""
    found: list[FollowedPage] = []
    async with aclosing(follower.pages()) as following:
        async for page in following:
            found.append(page)
            if len(found) == pages:
                break
    return found


def texts(pages: list[FollowedPage]) -> list[str]:
    return [line.data for page in pages for line in page.answer.page.lines]


async def test_it_goes_on_with_the_next_line_after_a_lost_connection() -> None:
    script = Script()
    script.lines[0] = ["a", "b", "c"]
    script.end()
    follower = LogFollower(script, JOB, LogQuery(max_lines=2), policy=FAST)
    assert texts(await read(follower, 1)) == ["a", "b"]
    script.connected = False
    with pytest.raises(Unavailable):
        await read(follower)
    script.connected = True
    assert texts(await read(follower)) == ["c"]


async def test_no_page_is_asked_for_before_the_one_before_it_is_dealt_with() -> None:
    script = Script()
    script.lines[0] = ["a", "b"]
    follower = LogFollower(script, JOB, LogQuery(max_lines=1), policy=FAST)
    async with aclosing(follower.pages()) as pages:
        await anext(pages)
        for _ in range(20):  # turns of the loop, in which a page asked for ahead would be
            await asyncio.sleep(0)
        assert len(script.asked) == 1
        assert (follower.attempt, follower.task_index, follower.next_line, follower.total_lines) == (0, 0, 1, 2)


async def test_every_attempt_is_read_unless_skipping_is_allowed() -> None:
    script = Script()
    script.lines = {0: ["first"], 1: ["second"], 2: ["third"]}
    script.states = {0: "failed", 1: "failed", 2: "succeeded"}
    script.task_state = "succeeded"
    follower = LogFollower(script, JOB, LogQuery(tail=1), policy=FAST)
    follower.attempt = 0
    pages = await read(follower)
    assert texts(pages) == ["first", "second", "third"]
    assert [page.answer.attempt for page in pages if page.is_new_attempt] == [1, 2]
    latest = LogFollower(script, JOB, LogQuery(tail=1), policy=LIVE)
    latest.attempt = 0
    assert texts(await read(latest)) == ["first", "third"]


async def test_a_slow_reader_goes_on_near_the_end_and_hears_how_much_was_left_out() -> None:
    script = Script()
    script.lines[0] = [f"{number}" for number in range(50)]
    follower = LogFollower(script, JOB, LogQuery(tail=20), policy=LIVE)
    async with aclosing(follower.pages()) as pages:
        assert (await anext(pages)).answer.page.first_line == 30
        script.lines[0] += [f"{number}" for number in range(50, 300)]
        follower.total_lines = 300  # as another page would have said
        script.end()
        page = await anext(pages)
    assert texts([page]) == [f"{number}" for number in range(290, 300)]
    assert page.skipped_lines == 240


async def test_a_long_further_attempt_is_skipped_through_once() -> None:
    """It was begun at its first line, so going on at the end needs a tail that the query no longer has."""
    script = Script()
    script.states = {0: "failed", 1: "succeeded"}
    script.task_state = "succeeded"
    script.lines = {0: ["first"], 1: [f"{number}" for number in range(500)]}
    follower = LogFollower(script, JOB, LogQuery(tail=5, max_lines=50), policy=LIVE)
    follower.attempt = 0
    pages = await read(follower)
    assert [page.skipped_lines for page in pages] == [0, 0, 440]
    assert pages[-1].answer.page.lines[-1].data == "499"


@pytest.mark.parametrize("query", [LogQuery(start_line=0, max_lines=10), LogQuery(grep=".", tail=1_000, max_lines=10)])
async def test_who_reads_from_a_place_or_searches_misses_nothing(query: LogQuery) -> None:
    script = Script()
    script.lines[0] = [f"{number}" for number in range(500)]
    script.end()
    follower = LogFollower(script, JOB, query, policy=LIVE)
    assert texts(await read(follower)) == script.lines[0]


async def test_starting_elsewhere_stays_with_the_attempt() -> None:
    script = Script()
    script.lines = {0: ["a", "b", "c"]}
    script.end()
    follower = LogFollower(script, JOB, LogQuery(tail=1), policy=FAST)
    assert texts(await read(follower)) == ["c"]
    follower.start_at(LogQuery(start_line=1))
    assert texts(await read(follower)) == ["b", "c"]
    assert [one.attempt for one in script.asked] == [None, 0]


async def test_a_named_attempt_is_all_there_is() -> None:
    script = Script()
    script.lines = {0: ["first"], 1: ["second"]}
    script.states = {0: "failed", 1: "succeeded"}
    script.task_state = "succeeded"
    assert texts(await read(LogFollower(script, JOB, LogQuery(), attempt=0, policy=FAST))) == ["first"]
    assert script.looked == 0


async def test_a_task_that_waits_is_said_to_and_its_end_without_a_start_is_the_end() -> None:
    script = Script()
    script.states.clear()
    script.task_state = "pending"
    follower = LogFollower(script, JOB, LogQuery(), policy=FAST)
    async with aclosing(follower.pages()) as pages:
        waiting = await anext(pages)
        assert (waiting.has_begun, waiting.answer.attempt_state, follower.attempt) == (False, "pending", None)
        script.task_state = "killed"
        assert not (await anext(pages)).has_begun
        assert [page async for page in pages] == []


async def test_a_silent_rest_is_given_up_or_waited_for() -> None:
    script = Script()
    script.complete = False
    script.lines[0] = ["the worker is gone"]
    script.end()
    hasty = replace_policy(give_up_s=0.01)
    assert texts(await read(LogFollower(script, JOB, LogQuery(), policy=hasty))) == ["the worker is gone"]
    patient = asyncio.create_task(read(LogFollower(script, JOB, LogQuery(), policy=replace_policy(give_up_s=None))))
    asked = len(script.asked)
    await until(lambda: len(script.asked) > asked + 20, what="it to go on asking")
    script.lines[0].append("it came back")
    script.complete = True
    assert texts(await patient) == ["the worker is gone", "it came back"]


def replace_policy(*, give_up_s: float | None) -> FollowPolicy:
    return FollowPolicy(long_poll_ms=EVERY_LINE.long_poll_ms, pause_s=0.001, give_up_s=give_up_s)
