"""A failed job is noticed, and stays new until somebody looks at it. Hard use, triage."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from opsconsole_console.app.announcer import sequence
from opsconsole_console.model.announcement import Ends, News, Telling, announcement, of_ends, of_waits
from opsconsole_console.model.failure import SEEN_MAX, Failures, Seen
from opsconsole_console.screen.main.header import Header
from opsconsole_protocol.api import JobRow
from tests.console.app import recorded
from tests.console.app.source import RecordedSource
from tests.console.app.stage import SMALL, stage

ROW = recorded.JOBS["train-lr2"]


def failed(job_id: str, at_ms: int, state: str = "failed") -> JobRow:
    return replace(ROW, id=job_id, name=job_id, state=state, finished_at_ms=at_ms)


def begun(seen: Seen | None = None, *rows: JobRow) -> Failures:
    failures = Failures(seen)
    failures.begin(rows)
    return failures


def test_what_failed_before_the_first_start_of_all_isnt_new() -> None:
    failures = begun(None, failed("a", 10), failed("b", 20))
    assert failures.new == {}
    assert [row.id for row in failures.note([failed("c", 30)])] == ["c"]
    assert list(failures.new) == ["c"]


def test_what_failed_since_it_was_left_is() -> None:
    before = begun(None, failed("a", 10))
    before.note([failed("b", 20), failed("c", 30)])
    before.mark_seen("c")
    seen = msgspec.json.decode(msgspec.json.encode(before.seen), type=Seen)
    after = begun(seen, failed("a", 10), failed("b", 20), failed("c", 30), failed("d", 40))
    assert list(after.new) == ["b", "d"]


def test_cancelled_and_running_ones_are_no_failures_and_a_retry_takes_one_back() -> None:
    failures = begun(Seen(0))
    assert failures.note([failed("a", 10, "killed"), replace(failed("b", 10, "running"), finished_at_ms=None)]) == []
    failures.note([failed("c", 20)])
    failures.note([replace(failed("c", 20, "running"), finished_at_ms=None)])
    assert failures.new == {}
    failures.note([failed("c", 30)])
    failures.mark_seen("c")
    assert failures.note([failed("c", 30)]) == [], "it was looked at"
    assert len(failures.note([failed("c", 50)])) == 1, "it failed once more"


def test_one_goes_to_the_oldest_first_and_back() -> None:
    failures = begun(Seen(0), failed("b", 20), failed("a", 10), failed("c", 30))
    gone = []
    for step in (1, 1, -1, -1, 1, 1, 1, 1):
        job_id = failures.step(step)
        if job_id is not None:
            failures.mark_seen(job_id)
        gone.append(job_id)
    assert gone == ["a", "b", "a", None, "b", "c", None, None]


def test_what_is_remembered_stays_small() -> None:
    failures = begun(Seen(0), failed("first", 1))
    for number in range(2 * SEEN_MAX):
        failures.note([failed(f"j{number}", 10 + number)])
        failures.mark_seen(f"j{number}")
    assert list(failures.new) == ["first"]
    assert len(failures.seen.jobs) <= SEEN_MAX
    assert failures.mark_all_seen() == 1
    assert failures.seen == Seen(9 + 2 * SEEN_MAX, {})


def test_an_announcement_is_a_line_and_cant_do_anything_else() -> None:
    told = Telling(wait_ms=3_600_000)
    assert (
        announcement(told, [News("failure", replace(failed("a", 1), reason="exit code 1"))]) == "a failed: exit code 1"
    )
    many = [News("failure", failed(name, 1)) for name in "abcde"]
    assert announcement(told, many) == "5 jobs failed: a, b, c and 2 more"
    well = News("end", replace(failed("f", 1), state="succeeded", reason=""))
    waits = [News("wait", replace(failed(name, 1), state="pending")) for name in "gh"]
    assert announcement(told, [well]) == "f succeeded"
    words = "1 job failed: a; 1 job ended: f; 2 jobs wait for more than 1h: g, h"
    assert announcement(told, [many[0], well, *waits]) == words
    hostile = "x\x07\x1b]0;title\x07\x1b[2J\x9c"
    said = sequence("osc9", hostile, in_tmux=False)
    assert said.startswith("\x1b]9;")
    assert said.count("\x1b") == 1
    assert said.index("\a") == len(said) - 1
    wrapped = sequence("osc9", hostile, in_tmux=True)
    assert wrapped == "\x1bPtmux;\x1b" + said + "\x1b\\"
    assert sequence("bell", hostile, in_tmux=True) == "\a"
    assert sequence("none", hostile, in_tmux=False) == ""


def test_an_end_is_news_once_and_never_what_had_ended_before() -> None:
    ends = Ends()
    running = replace(failed("a", 1), state="running", finished_at_ms=None)
    assert ends.note([failed("x", 1)]) == []
    assert ends.begin([failed("old", 1), running]) == []
    assert [row.id for row in ends.note([failed("a", 5)])] == ["a"]
    assert ends.note([replace(failed("a", 5), reason="said again")]) == []
    assert ends.note([running]) == []
    assert [row.id for row in ends.note([failed("a", 9)])] == ["a"], "it was run again"
    away = [failed("a", 9), failed("old", 1), failed("fetched", 2), failed("meanwhile", 10)]
    assert [row.id for row in ends.begin(away)] == ["meanwhile"]
    ends.forget(["a"])
    assert [row.id for row in ends.note([failed("a", 9)])] == ["a"]


def test_whoever_looks_elsewhere_is_told_of_what_was_asked_for() -> None:
    well, cancelled = (replace(failed(name, 1), state=name) for name in ("succeeded", "killed"))
    bad = replace(failed("bad", 1), submitted_by="bo")
    jobs = [well, cancelled, bad]

    def told(**asked: Any) -> list[tuple[str, str]]:
        return [(one.kind, one.job.name) for one in of_ends(Telling("bell", **asked), jobs, "ana")]

    assert told() == [("failure", "bad")]
    assert told(mine=True) == []
    assert told(on=("end",)) == [("end", "succeeded"), ("end", "killed"), ("failure", "bad")]
    assert told(on=("wait",), wait_ms=5) == []
    waits = Telling("bell", on=("wait",), wait_ms=500, mine=True)
    pending = replace(
        failed("w", 1),
        state="pending",
        finished_at_ms=None,
        started_at_ms=None,
        created_at_ms=1,
        waiting_since_ms=1_000,
    )
    others = [
        replace(pending, submitted_by="bo"),
        replace(pending, state="held"),
        replace(pending, waiting_since_ms=None),
    ]
    assert [one.job for one in of_waits(waits, [pending, *others], 1_499, 1_500, "ana")] == [pending]
    assert not list(of_waits(waits, [pending], 1_500, 9_000, "ana"))
    assert not list(of_waits(waits, [pending], 0, 1_499, "ana"))


async def test_the_header_counts_failures_and_keys_go_to_them(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        header, table = there.app.query_one(Header), there.app.main.job_pane.table
        assert "new" not in header.text
        for step, job in enumerate(("42f0k9x2mq", "7xk2p4n1zd", "6a0rj8w5te")):
            row = source.fleet.jobs[job]
            source.change_jobs(
                replace(row, state="failed", finished_at_ms=recorded.NOW_MS + step, reason="exit code 1")
            )
        await there.settle()
        assert "✗ 3 new" in header.text
        await there.press("right_square_bracket")
        assert table.cursor_id == "42f0k9x2mq"
        assert "✗ 2 new" in header.text
        await there.press("right_square_bracket", "left_square_bracket")
        assert table.cursor_id == "42f0k9x2mq"
        assert "✗ 1 new" in header.text
        there.app.main.job_pane.set_filter("state=running")
        await there.press("right_square_bracket")
        assert there.screen_name == "JobScreen", "one that the filter hides is opened"
        assert "7xk2p4n1zd" in there.text().splitlines()[0], "it was gone to before going back"
        await there.press("right_square_bracket")
        assert "6a0rj8w5te" in there.text().splitlines()[0], "and from one job's screen to the next"
        await there.press("escape")
        assert "new" not in header.text
        await there.press("right_square_bracket")
        assert "nothing failed unseen" in there.toasts[-1]


async def test_looking_is_moving_the_cursor_to_it_opening_it_or_saying_so(source: RecordedSource) -> None:
    async with stage(source) as there:
        header, table = there.app.query_one(Header), there.app.main.job_pane.table
        under = table.cursor_id
        jobs = [job_id for job_id in table.shown_ids[:4] if job_id != under]
        for job in (under, *jobs):
            source.change_jobs(replace(source.fleet.jobs[str(job)], state="failed", finished_at_ms=recorded.NOW_MS))
        await there.settle()
        assert "✗ 4 new" in header.text, "also the one on which the cursor happens to be"
        await there.press("enter")
        await there.press("escape")
        assert "✗ 3 new" in header.text
        assert table.move_to(jobs[0])
        await there.settle()
        assert "✗ 2 new" in header.text
        await there.press("x")
        assert "new" not in header.text
        assert there.toasts[-1] == "2 failures seen"


async def test_failures_are_announced_as_asked_for_and_not_one_by_one(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(source, telling=Telling("osc9")) as there:
        written: list[str] = []
        monkeypatch.setattr(there.app._announcer, "write", written.append)
        rows = [row for row in source.fleet.jobs.values() if row.finished_at_ms is None][:5]
        source.change_jobs(*(replace(row, state="failed", finished_at_ms=recorded.NOW_MS) for row in rows[:4]))
        source.change_jobs(replace(rows[4], state="failed", finished_at_ms=recorded.NOW_MS))
        await there.settle()
        assert len(written) == 1
        assert "5 jobs failed" in written[0]
