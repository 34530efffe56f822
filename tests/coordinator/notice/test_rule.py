"""Which notices committed events make, for whom, and how long a failed delivery waits."""

import hashlib
import hmac

import pytest

from opsconsole_coordinator.notice import rule as core
from opsconsole_coordinator.notice.rule import Command, Notice, NoticeRule, Occasion, Wait, Webhook
from opsconsole_protocol.api import EventRow, JobRow
from opsconsole_protocol.event_kind import EventKind

ORIGIN = ("store", "lab")


def rule(*on: str, **fields: object) -> NoticeRule:
    return NoticeRule(Command(("/bin/cat",)), frozenset(map(Occasion, on)), **fields)  # type: ignore[arg-type]


def row(**fields: object) -> JobRow:
    return JobRow(**{
        "id": "job-1", "name": "fit", "project": "pose", "state": "failed", "reason": "exit code 1", "priority": 0, "num_tasks": 1,
        "task_counts": {}, "worker": "w1", "output_path": None, "submitted_by": "ana", "created_at_ms": 1_000, "started_at_ms": 2_000,
        "finished_at_ms": 3_000, **fields,
    })  # type: ignore[arg-type]  # fmt: skip


def event(kind: EventKind = EventKind.FINISHED, subject: str = "job-1", seq: int = 7) -> EventRow:
    return EventRow(seq=seq, at_ms=3_000, actor="coordinator", kind=kind, text="what happened", subject=subject)


def told(rules: list[NoticeRule], events: list[EventRow], *rows: JobRow) -> list[Notice]:
    return [one for _, one in core.of_events(rules, events, {one.id: one for one in rows}, ORIGIN)]


@pytest.mark.parametrize(
    ("state", "on", "kind"),
    [
        ("succeeded", "end", "end"),
        ("succeeded", "failure", None),
        ("killed", "end", "end"),
        ("killed", "failure", None),
        ("failed", "failure", "failure"),
        ("failed", "end", "failure"),
        ("unschedulable", "failure", "failure"),
        ("failed", "attention", None),
    ],
)
def test_an_end_is_told_to_those_who_ask_for_its_kind(state: str, on: str, kind: str | None) -> None:
    assert [one.kind for one in told([rule(on)], [event()], row(state=state))] == ([] if kind is None else [kind])


def test_a_rule_is_about_its_person_and_project() -> None:
    assert told([rule("end", person="ana", project="pose")], [event()], row())
    assert not told([rule("end", person="bob")], [event()], row())
    assert not told([rule("end", project="other")], [event()], row())


def test_two_rules_get_the_same_id_and_two_ends_different_ones() -> None:
    first, second = told([rule("end"), rule("failure")], [event()], row())
    assert first.id == second.id
    assert told([rule("end")], [event(seq=8)], row())[0].id != first.id


def test_a_job_that_was_retried_since_or_removed_makes_none() -> None:
    assert not told([rule("end")], [event()], row(state="running", finished_at_ms=None))
    assert not told([rule("end")], [event()])


def test_a_lost_worker_is_told_to_rules_about_everybody_only() -> None:
    lost = event(EventKind.LOST, "w1")
    assert not told([rule("attention", person="ana")], [lost])
    (notice,) = told([rule("attention")], [lost])
    assert (notice.worker, notice.job, notice.reason) == ("w1", "", "what happened")


def test_attention_for_many_tasks_of_a_job_is_one_notice() -> None:
    late = [event(EventKind.SAVE_LATE, f"job-1/task-{n}", 10 + n) for n in range(5)]
    (notice,) = told([rule("attention", person="ana")], late, row(state="running", finished_at_ms=None))
    assert (notice.job, notice.kind, notice.state) == ("job-1", "attention", "running")


def test_a_wait_is_told_once_when_it_gets_too_long() -> None:
    waiting = row(state="pending", started_at_ms=None, finished_at_ms=None, created_at_ms=1_000, waiting_since_ms=1_000)
    rules = [rule("wait", wait_ms=500)]

    def found(since_ms: int, now_ms: int, job: JobRow = waiting) -> list[Notice]:
        return [one for _, one in core.of_waiting(rules, [Wait(job, job.created_at_ms)], since_ms, now_ms, ORIGIN)]

    assert not found(0, 1_499)
    (notice,) = found(1_499, 1_500)
    assert notice.reason == "waits for more than 500ms: exit code 1"
    assert not found(1_500, 9_999)
    assert not found(0, 9_999, row(state="held", started_at_ms=None, finished_at_ms=None, waiting_since_ms=None))
    assert not found(0, 9_999, row(state="pending", started_at_ms=None, finished_at_ms=None, waiting_since_ms=None))
    assert not found(0, 9_999, row(state="pending", finished_at_ms=None, waiting_since_ms=None))


def test_delays_grow_to_a_limit_whatever_the_number() -> None:
    delays = [core.delay_ms(n) for n in (1, 2, 3, 8, 9, 10**6)]
    assert delays == [5_000, 10_000, 20_000, core.TRY_LAST_MS, core.TRY_LAST_MS, core.TRY_LAST_MS]


def test_the_signature_covers_time_and_body() -> None:
    expected = hmac.new(b"k", b'17.{"a":1}', hashlib.sha256).hexdigest()
    assert core.signature(b"k", "17", b'{"a":1}') == f"sha256={expected}"


def test_a_rules_key_changes_with_what_it_says_and_not_with_where_its_secret_is() -> None:
    hook = NoticeRule(Webhook("http://h/1", "a"), frozenset({Occasion.END}))
    assert hook.key == NoticeRule(Webhook("http://h/1", "b"), frozenset({Occasion.END})).key
    assert hook.key != NoticeRule(Webhook("http://h/2", "a"), frozenset({Occasion.END})).key
