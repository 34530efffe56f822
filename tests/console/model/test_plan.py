"""What a key means for a selection of jobs."""

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from opsconsole_console.model import plan as verbs
from opsconsole_console.model.plan import Plan
from opsconsole_protocol.api import ActResult, JobRow
from tests.console.app import recorded

ROWS = recorded.JOBS


def jobs(*names: str) -> list[JobRow]:
    return [ROWS[name] for name in names]


def ids(*names: str) -> tuple[str, ...]:
    return tuple(ROWS[name].id for name in names)


def test_pause_pauses_what_runs_and_else_resumes() -> None:
    assert verbs.plan_pause(jobs("train-lr3", "segment-v2")) == verbs.Plan(
        "pause", ids("train-lr3"), left_out="1 is paused"
    )
    assert verbs.plan_pause(jobs("segment-v2")) == verbs.Plan("resume", ids("segment-v2"))


def test_hold_holds_what_waits_and_else_releases() -> None:
    assert verbs.plan_hold(jobs("eval", "nightly-eval")) == verbs.Plan("hold", ids("eval"), left_out="1 is held")
    assert verbs.plan_hold(jobs("nightly-eval")) == verbs.Plan("release", ids("nightly-eval"))
    assert verbs.plan_hold(jobs("sweep")) == verbs.Plan("hold", ids("sweep")), "some of its tasks wait"


def test_cancel_leaves_out_what_has_ended() -> None:
    assert verbs.plan_cancel(jobs("train-lr3", "train-lr2")).ids == ids("train-lr3")


def test_retry_means_what_failed_wholly_or_in_part() -> None:
    found = verbs.plan_retry(jobs("train-lr2", "quick-look", "grid-ablation-with-a-rather-long-name", "train-lr3"))
    assert found.ids == ids("train-lr2", "quick-look", "grid-ablation-with-a-rather-long-name")


@pytest.mark.parametrize(
    ("plan", "name", "said"),
    [
        (verbs.plan_pause, "eval", "hold it with h"),
        (verbs.plan_pause, "nightly-eval", "release it with h"),
        (verbs.plan_pause, "train-lr1", "has ended"),
        (verbs.plan_hold, "train-lr3", "pause it with p"),
        (verbs.plan_hold, "train-lr1", "doesn't wait"),
        (verbs.plan_cancel, "train-lr1", "has ended"),
        (verbs.plan_retry, "train-lr1", "with e"),
        (verbs.plan_retry, "train-lr3", "hasn't failed"),
    ],
)
def test_a_verb_that_cant_apply_says_what_to_do_instead(plan: object, name: str, said: str) -> None:
    assert callable(plan)
    found = plan(jobs(name))
    assert found.ids == ()
    assert said in found.refusal
    assert name in found.refusal


def test_the_question_names_what_would_end() -> None:
    assert verbs.cancel_question(jobs("train-lr3")) == "Cancel train-lr3?"
    assert "42f0k9x2mq" in verbs.cancel_detail(jobs("train-lr3"))
    assert "4 of 32 tasks at work" in verbs.cancel_detail(jobs("sweep"))
    many = [ROWS[f"fold-{number}"] for number in range(6)]
    assert verbs.cancel_question(many) == "Cancel 6 jobs?"
    assert verbs.cancel_detail(many) == "fold-0, fold-1, fold-2, fold-3 and 2 more"


@pytest.mark.parametrize(
    ("plan", "state", "said"),
    [
        (verbs.plan_cancel, "killed", "all 10 have ended already: there is nothing to cancel"),
        (verbs.plan_pause, "pending", "all 10 wait: hold them with h instead"),
        (verbs.plan_pause, "killed", "all 10 have ended already: there is nothing to pause"),
        (verbs.plan_hold, "running", "all 10 run: pause them with p instead"),
        (verbs.plan_retry, "succeeded", "all 10 succeeded: run one again with e"),
        (verbs.plan_priority, "failed", "all 10 have ended already: a priority does nothing any more"),
    ],
)
def test_of_many_it_is_said_how_all_of_them_stand(plan: object, state: str, said: str) -> None:
    """Hard use 23: "none of 10 jobs has ended" was said of ten that had."""
    assert callable(plan)
    row = ROWS["train-lr1"]
    finished_ms = None if state in {"pending", "running"} else row.finished_at_ms
    assert plan([replace(row, state=state, finished_at_ms=finished_ms)] * 10).refusal == said


def test_of_many_that_stand_differently_each_is_counted() -> None:
    assert verbs.plan_pause(jobs("eval", "nightly-eval", "train-lr1", "train-lr2")).refusal == (
        "2 have ended already, 1 waits, 1 is held"
    )
    assert verbs.plan_cancel(jobs("train-lr3", "train-lr1", "train-lr2")).left_out == "2 have ended already"


def test_what_was_done_is_said_in_a_line() -> None:
    def outcome(verb: str, *results: tuple[str, str], refused: tuple[str, ...] = (), left_out: str = "") -> str:
        return verbs.outcome(verb, ActResult(results=results, refused=refused), {"42f": "train"}, left_out)

    assert outcome("pause", ("42f", "paused")) == "train: paused"
    assert outcome("pause", ("a", "paused"), ("b", "paused")) == "2 jobs paused"
    assert outcome("pause", ("a", "paused"), ("b", "paused"), left_out="1 waits") == "2 jobs paused; 1 waits"
    assert outcome("cancel", ("a", "cancelled"), ("b", "already ended")) == "1 cancelled; 1 already ended"
    assert outcome("cancel", ("j/task-1", "cancelled"), ("j/task-2", "cancelled")) == "2 tasks cancelled"
    assert outcome("pause", ("a", "paused"), ("b", "it has just ended"), refused=("b",)) == (
        "1 job paused; 1 not: it has just ended"
    )


class CountedId(str):
    """An id that counts how often it is looked up or compared."""

    __slots__ = ()
    looks = 0

    def __hash__(self) -> int:
        CountedId.looks += 1
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        CountedId.looks += 1
        return super().__eq__(other)


@pytest.mark.parametrize("plan", [verbs.plan_hold, verbs.plan_cancel, verbs.plan_retry, verbs.plan_priority])
def test_what_is_planned_for_ten_times_as_many_takes_ten_times_as_long(
    plan: Callable[[Sequence[JobRow]], Plan],
) -> None:
    def looks(number: int) -> int:
        waits = replace(ROWS["eval"], state="blocked" if plan is verbs.plan_retry else "pending")
        many = [replace(waits, id=CountedId(index)) for index in range(number)]
        CountedId.looks = 0
        assert len(plan(many).ids) == number
        return CountedId.looks

    assert looks(1_000) <= 11 * looks(100)
