"""The lives of attempts: slots, pauses, stops, time, restarts."""

from typing import Any

import msgspec
import pytest

from opsconsole_agent.core.effect import (
    AbandonPreparation,
    FinishLog,
    ForgetAttempt,
    Kill,
    NoteFault,
    Pause,
    PersistIntent,
    PrepareAttempt,
    Resume,
    SendReport,
    StartAttempt,
    Terminate,
)
from opsconsole_agent.core.event import (
    AttemptExited,
    AttemptPrepared,
    BuildStarted,
    ClockMoved,
    Contact,
    EngineHello,
    FoundAttempt,
    IntentsFound,
    LinkDown,
    LogComplete,
    OutputTooLarge,
    PauseFailed,
    PreparationFailed,
    StartFailed,
    StopAll,
)
from opsconsole_agent.core.intent import PROCESS, Intent
from opsconsole_agent.core.lifecycle import KILL_AGAIN_MS, WAITING_NEWS_MS
from opsconsole_agent.core.phase import PHASE_MOVES, Move, Phase
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import DesiredSet, Mode, Want
from opsconsole_protocol.spec import Resources
from opsconsole_protocol.state import AttemptState
from tests.agent.core.script import Script, desired, make_launch

A, B, C = AttemptId("a"), AttemptId("b"), AttemptId("c")


@pytest.fixture
def script() -> Script:
    script = Script()
    script.connect()
    script.nothing_else()
    return script


# --- slots -----------------------------------------------------------------------------------------------------------


def test_surplus_assignments_wait_in_order_with_a_reason(script: Script) -> None:
    for name in ("a", "b", "c", "d"):
        script.assign(name)
    assert script.asked(PrepareAttempt) == ["a", "b"]
    for name in ("c", "d"):
        assert script.state(name) is AttemptState.ASSIGNED
        assert script.observed(name).reason == "waiting for a slot: max_concurrent_jobs is 2"
    script.prepared("a")
    script.started("a")
    script.exited("a")
    assert script.asked(PrepareAttempt) == ["c"]
    assert script.observed("c").reason == ""


def test_a_slot_is_free_only_when_the_kill_is_proven(script: Script) -> None:
    script.run("a")
    script.run("b")
    script.assign("c")
    script.nothing_else()
    script.want("a", Mode.STOP, grace_ms=1_000)
    assert script.asked(Terminate) == ["a"]
    script.pass_time(60_000)
    assert Kill(A) in script.drain(Kill)
    assert script.drain(PrepareAttempt) == []
    script.exited("a", None, signal=9)
    assert script.asked(PrepareAttempt) == ["c"]


def test_two_attempts_never_share_a_gpu() -> None:
    script = Script(slots=4)
    script.connect()
    script.run("a", gpu_ids=("GPU-1",))
    script.assign("b", gpu_ids=("GPU-1", "GPU-2"))
    script.assign("c", gpu_ids=("GPU-3",))
    assert script.asked(PrepareAttempt) == ["c"]
    assert script.observed("b").reason == "waiting for GPU GPU-1: a has it"
    script.exited("a")
    assert script.asked(PrepareAttempt) == ["b"]


def test_attempts_that_share_keep_their_shares_over_a_restart(script: Script) -> None:
    shared: dict[str, Any] = {
        "gpu_ids": ("GPU-1",), "gpu_sizes_mb": (24_000,), "resources": Resources(gpus=1, gpu_memory_mb=9_000, share=True),
    }  # fmt: skip
    script.run("a", **shared)
    script.run("b", **shared)
    again = Script()
    again.tell(IntentsFound(intents=intents_of(script)))
    live = tuple(FoundAttempt(attempt_id=one, started_at_ms=1) for one in (A, B))
    again.tell(EngineHello(engine=PROCESS, live=live))
    again.connect(desired("a", **shared), desired("b", **shared))
    again.assign("c", **shared)
    assert again.asked(PrepareAttempt) == []
    assert again.observed("c").reason == "waiting for GPU GPU-1: a and b have it"
    again.exited("a")
    assert again.asked(PrepareAttempt) == ["c"]


def test_what_waits_is_written_down_so_that_a_restart_finds_it(script: Script) -> None:
    for name in ("a", "b", "c"):
        script.assign(name)
    assert script.asked(PrepareAttempt) == ["a", "b"]
    script.nothing_else()
    script.pass_time(WAITING_NEWS_MS - 1)
    assert script.kinds() == []
    script.pass_time(1)
    (persisted,) = script.drain(PersistIntent)
    assert (persisted.intent.attempt_id, persisted.intent.released) == ("c", False)
    (report,) = script.drain(SendReport)
    assert [(one.attempt_id, one.state) for one in report.report.attempts] == [("c", "assigned")]


def test_a_short_wait_is_worth_neither_a_file_nor_a_report(script: Script) -> None:
    for name in ("a", "b", "c"):
        script.assign(name)
    script.prepared("a")
    script.started("a")
    script.exited("a")
    assert script.asked(PrepareAttempt) == ["b", "c"]
    script.nothing_else()
    script.prepared("c")
    assert script.kinds() == ["PersistIntent", "StartAttempt"]
    script.pass_time(10_000)
    assert script.kinds() == []


@pytest.mark.parametrize("waiting", [True, False])
def test_what_is_retracted_before_its_start_is_given_back(script: Script, waiting: bool) -> None:
    if waiting:
        script.assign("x")
        script.assign("y")
    script.assign("a")
    script.want("a", Mode.RETRACT, "moves to a free worker")
    assert (script.state("a"), script.observed("a").error) == ("killed", "moves to a free worker")
    assert script.asked(AbandonPreparation) == ([] if waiting else ["a"])
    assert script.asked(PrepareAttempt) == (["x", "y"] if waiting else ["a"])


def test_what_is_retracted_too_late_goes_on(script: Script) -> None:
    script.assign("a")
    script.prepared("a")
    script.want("a", Mode.RETRACT)
    script.started("a")
    script.run("b")
    script.want("b", Mode.RETRACT)
    script.pass_time(60_000)
    assert [script.state("a"), script.state("b")] == ["running", "running"]
    assert script.drain(Terminate) == []


def test_an_agent_that_stops_its_tasks_says_so(script: Script) -> None:
    script.run("a")
    script.run("b", Want(grace_ms=1_000))
    script.assign("c")
    script.tell(StopAll(reason="its agent was told to stop its tasks"))
    assert script.drain(Terminate) == [Terminate(A, 5_000), Terminate(B, 1_000)]
    assert (script.state("c"), script.observed("c").error) == ("killed", "its agent was told to stop its tasks")


def test_a_log_that_turns_out_shorter_is_reported_again(script: Script) -> None:
    script.run("a")
    script.exited("a")
    script.nothing_else()
    script.tell(LogComplete(attempt_id=A, sizes={"stdout": 3}))
    assert script.kinds() == []
    script.tell(LogComplete(attempt_id=A, sizes={"stdout": 1}))
    (report,) = script.drain(SendReport)
    assert report.report.attempts[0].log_sizes == {"stdout": 1}


# --- before the process ----------------------------------------------------------------------------------------------


def test_preparation_that_is_work_is_reported_as_building(script: Script) -> None:
    script.assign("a")
    script.tell(BuildStarted(attempt_id=A, at_ms=5))
    assert script.state("a") is AttemptState.BUILDING
    assert script.asked(PrepareAttempt) == ["a"]
    script.tell(AttemptPrepared(attempt_id=A, at_ms=9, output_path="/out", ports={"http": 8000}, from_cache=True))
    script.started("a")
    observed = script.observed("a")
    assert (observed.build_started_ms, observed.build_finished_ms, observed.build_from_cache) == (5, 9, True)
    assert (observed.state, observed.output_path, observed.ports) == ("running", "/out", {"http": 8000})


def test_failed_preparation_ends_the_attempt_and_frees_its_slot(script: Script) -> None:
    for name in ("a", "b", "c"):
        script.assign(name)
    script.tell(PreparationFailed(attempt_id=A, at_ms=1, error="input x.csv is not there"))
    observed = script.observed("a")
    assert (observed.state, observed.error, observed.exit_known) == ("failed", "input x.csv is not there", True)
    assert observed.cause == "not_started"
    assert script.asked(PrepareAttempt) == ["a", "b", "c"]


def test_an_intent_that_cannot_be_written_fails_the_attempt(script: Script) -> None:
    script.assign("a")
    script.prepared("a")
    assert script.asked(StartAttempt) == ["a"]
    script.tell(StartFailed(attempt_id=A, at_ms=1, error="no space left"))
    assert (script.state("a"), script.observed("a").error) == ("failed", "no space left")
    assert script.reactor.occupied() == frozenset()


@pytest.mark.parametrize("waiting", [True, False])
def test_a_stop_before_the_start_is_reported_at_once(script: Script, waiting: bool) -> None:
    if waiting:
        script.assign("x")
        script.assign("y")
    script.assign("a")
    script.want("a", Mode.STOP, "cancelled by ana")
    observed = script.observed("a")
    assert (observed.state, observed.reason, observed.error) == ("killed", "cancelled by ana", "cancelled by ana")
    assert observed.cause == "cancelled"
    assert observed.started_at_ms is None
    assert script.asked(AbandonPreparation) == ([] if waiting else ["a"])
    assert script.asked(PrepareAttempt) == (["x", "y"] if waiting else ["a"])
    script.nothing_else()
    if not waiting:
        script.prepared("a")  # comes too late and does no harm
        assert script.kinds() == []


def test_a_stop_wanted_from_the_start_starts_nothing(script: Script) -> None:
    script.assign("a", Want(mode=Mode.STOP, reason="cancelled by ana"))
    assert script.state("a") is AttemptState.KILLED
    assert script.drain(PrepareAttempt) == []


def test_a_pause_wanted_before_the_start_starts_nothing(script: Script) -> None:
    script.assign("a", Want(mode=Mode.PAUSE))
    script.assign("b")
    script.want("b", Mode.PAUSE, "paused by ana")
    script.prepared("b")
    assert script.drain(StartAttempt) == []
    assert script.reactor.occupied() == frozenset()
    assert (script.state("a"), script.observed("a").reason) == ("assigned", "paused before it started")
    assert script.observed("b").reason == "paused by ana"
    script.nothing_else()
    script.want("b", Mode.RUN)
    assert script.asked(PrepareAttempt) == ["b"]


# --- pause and resume ------------------------------------------------------------------------------------------------


def test_what_is_paused_is_resumed(script: Script) -> None:
    script.run("a")
    script.want("a", Mode.PAUSE, "paused by ana")
    assert script.drain(Pause) == [Pause(A)]
    assert script.state("a") is AttemptState.RUNNING
    script.paused("a")
    assert (script.state("a"), script.observed("a").reason) == ("paused", "paused by ana")
    script.want("a", Mode.RUN)
    assert script.drain(Resume) == [Resume(A)]
    script.resumed("a")
    assert (script.state("a"), script.observed("a").reason) == ("running", "")


def test_a_wish_that_changes_while_the_keeper_works_is_followed_afterwards(script: Script) -> None:
    script.run("a")
    script.want("a", Mode.PAUSE)
    script.want("a", Mode.RUN)
    assert script.drain(Resume) == []
    script.paused("a")
    assert script.drain(Resume) == [Resume(A)]


def test_one_pause_or_resume_is_asked_for_at_a_time_whatever_is_wanted_meanwhile(script: Script) -> None:
    """A second one while the first was unanswered went unnoticed."""
    script.run("a")
    insist(script, Mode.PAUSE)
    assert script.asked(Pause) == ["a"]
    script.paused("a")
    script.nothing_else()
    insist(script, Mode.RUN)
    assert script.asked(Resume) == ["a"]
    script.resumed("a")


def insist(script: Script, mode: Mode) -> None:
    """Want it in different words, and once more after a reconnection."""
    for reason in ("ana says so", "bob says so, too", "ana says so"):
        script.want("a", mode, reason)
    script.connect(desired("a", Want(mode=mode, reason="still")))


def test_a_pause_wanted_while_starting_comes_right_after(script: Script) -> None:
    script.assign("a")
    script.prepared("a")
    script.want("a", Mode.PAUSE)
    assert script.drain(Pause) == []
    script.started("a")
    assert script.drain(Pause) == [Pause(A)]


def test_a_pause_that_failed_says_so_and_is_not_tried_for_ever(script: Script) -> None:
    script.run("a")
    script.want("a", Mode.PAUSE)
    assert script.asked(Pause) == ["a"]
    script.nothing_else()
    script.tell(PauseFailed(attempt_id=A, error="can't be paused: not permitted"))
    assert script.observed("a").reason == "can't be paused: not permitted"
    assert script.drain(Pause) == []
    script.want("a", Mode.RUN)
    script.want("a", Mode.PAUSE)
    assert script.drain(Pause) == [Pause(A)]


# --- stop ------------------------------------------------------------------------------------------------------------


def test_cancel_is_term_then_a_real_grace_then_kill(script: Script) -> None:
    script.run("a")
    script.want("a", Mode.STOP, "cancelled by ana", grace_ms=3_000)
    assert script.kinds()[-3:] == ["PersistIntent", "Terminate", "SendReport"]
    script.pass_time(2_999)
    assert script.drain(Kill) == []
    script.pass_time(1)
    assert script.drain(Kill) == [Kill(A)]
    script.pass_time(KILL_AGAIN_MS)
    assert script.drain(Kill) == [Kill(A)]
    script.exited("a", None, signal=9)
    observed = script.observed("a")
    assert (observed.state, observed.signal, observed.error) == ("killed", 9, "cancelled by ana")
    assert script.reactor.next_deadline_ms() is None


def test_after_our_term_the_exit_code_does_not_matter(script: Script) -> None:
    script.run("a")
    script.want("a", Mode.STOP, "cancelled by ana")
    assert script.asked(Terminate) == ["a"]
    script.pass_time(10)
    script.exited("a", 0)
    assert (script.state("a"), script.observed("a").exit_code) == ("killed", 0)


def test_what_ended_before_our_term_keeps_its_natural_result(script: Script) -> None:
    script.run("a")
    ended_at_ms = script.now_ms
    script.pass_time(5)
    script.want("a", Mode.STOP, "cancelled by ana")
    assert script.asked(Terminate) == ["a"]
    script.tell(AttemptExited(attempt_id=A, at_ms=ended_at_ms, exit_code=0))
    script.measured("a")
    assert (script.state("a"), script.observed("a").reason) == ("succeeded", "")


def test_a_second_cancel_with_less_grace_hastens_the_first(script: Script) -> None:
    script.run("a")
    script.want("a", Mode.STOP, grace_ms=60_000)
    script.want("a", Mode.STOP, grace_ms=0)
    script.pass_time(0)
    assert script.drain(Kill) == [Kill(A)]
    assert len(script.drain(Terminate)) == 1


def test_a_stop_wanted_while_starting_comes_right_after(script: Script) -> None:
    script.assign("a")
    script.prepared("a")
    script.want("a", Mode.STOP)
    assert script.drain(Terminate) == []
    script.started("a")
    assert script.drain(Terminate) == [Terminate(A, 5_000)]


def test_cancelling_one_attempt_does_not_touch_another(script: Script) -> None:
    script.run("a")
    script.run("b")
    script.want("a", Mode.STOP)
    script.pass_time(60_000)
    assert set(script.asked(Terminate)) == {"a"}
    assert set(script.asked(Kill)) == {"a"}


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_time_out_is_failed_and_says_so(script: Script) -> None:
    script.run("a", timeout_ms=7_200_000)
    script.pass_time(7_199_999)
    assert script.drain(Terminate) == []
    script.pass_time(1)
    assert script.drain(Terminate) == [Terminate(A, 5_000)]
    script.exited("a", None, signal=15)
    observed = script.observed("a")
    assert (observed.state, observed.error, observed.signal) == ("failed", "timed out after 2h", 15)
    assert observed.cause == "timed_out"


def test_paused_time_does_not_count(script: Script) -> None:
    script.run("a", timeout_ms=10_000)
    script.pass_time(4_000)
    script.want("a", Mode.PAUSE)
    script.paused("a")
    script.pass_time(1_000_000)
    assert script.drain(Terminate) == []
    script.want("a", Mode.RUN)
    script.resumed("a")
    script.pass_time(5_999)
    assert script.drain(Terminate) == []
    script.pass_time(1)
    assert script.drain(Terminate) == [Terminate(A, 5_000)]


def test_without_contact_a_fenced_attempt_is_stopped_and_says_why(script: Script) -> None:
    script.run("a", fence_after_ms=60_000)
    script.run("b")
    script.pass_time(50_000)
    script.tell(Contact())
    script.tell(LinkDown())
    script.pass_time(59_999)
    assert script.drain(Terminate) == []
    script.pass_time(1)
    assert script.drain(Terminate) == [Terminate(A, 5_000)]
    script.exited("a", None, signal=15)
    observed = script.observed("a")
    assert observed.state is AttemptState.WORKER_FAILED
    assert observed.error == "stopped by its own fence: no contact with the coordinator for 1m"


def test_a_clock_that_is_set_changes_no_duration(script: Script) -> None:
    script.run("a", timeout_ms=10_000)
    script.run("b", fence_after_ms=20_000)
    script.pass_time(5_000)
    for delta_ms in (3_600_000, -7_200_000):
        script.now_ms += delta_ms
        script.tell(ClockMoved(delta_ms=delta_ms))
        script.pass_time(0)
        assert script.drain(Terminate) == []
    script.pass_time(5_000)
    assert script.drain(Terminate) == [Terminate(A, 5_000)]
    script.pass_time(10_000)
    assert script.drain(Terminate) == [Terminate(B, 5_000)]
    assert script.asked(Kill) == ["a"]


# --- restarts --------------------------------------------------------------------------------------------------------


def intents_of(script: Script) -> tuple[Intent, ...]:
    """What is on disk after all that was persisted: the last of each attempt."""
    latest = {one.intent.attempt_id: one.intent for one in script.effects if isinstance(one, PersistIntent)}
    return tuple(latest.values())


def test_a_restarted_agent_adopts_what_lives_and_reports_what_ended(script: Script) -> None:
    script.run("a", timeout_ms=10_000)
    script.run("b")
    script.assign("c")
    script.pass_time(WAITING_NEWS_MS)
    again = Script()
    again.now_ms = script.now_ms
    again.tell(IntentsFound(intents=intents_of(script)))
    again.tell(
        EngineHello(
            engine=PROCESS,
            live=(FoundAttempt(attempt_id=A, started_at_ms=script.now_ms - WAITING_NEWS_MS),),
            exits=(AttemptExited(attempt_id=B, at_ms=5, exit_code=3, started_at_ms=4),),
        )
    )
    assert again.drain(FinishLog) == [FinishLog(B, failed=True)]
    again.tell(LogComplete(attempt_id=B))
    registered = {one.attempt_id: one for one in again.connect(desired("a"), desired("b"), desired("c"))}
    assert [registered[AttemptId(name)].state for name in "abc"] == ["running", "failed", "assigned"]
    assert registered[B].error == "exit code 3"
    assert again.asked(PrepareAttempt) == ["c"]
    assert again.drain(StartAttempt) == []
    again.pass_time(10_000 - WAITING_NEWS_MS)
    assert again.drain(Terminate) == [Terminate(A, 5_000)]


def test_what_was_found_does_nothing_before_the_coordinator_speaks(script: Script) -> None:
    script.run("a")
    script.run("b")
    script.assign("c")
    script.want("b", Mode.PAUSE)
    assert script.asked(Pause) == ["b"]
    again = Script(slots=5)
    again.tell(IntentsFound(intents=intents_of(script)))
    live = (FoundAttempt(attempt_id=A, started_at_ms=1), FoundAttempt(attempt_id=B, started_at_ms=1, is_paused=True))
    again.tell(EngineHello(engine=PROCESS, live=live))
    again.pass_time(1_000_000)
    assert {type(one) for one in again.effects} <= {PersistIntent}
    assert again.state("b") is AttemptState.PAUSED
    again.connect(adopting=True)
    assert {type(one) for one in again.effects} <= {PersistIntent}


def test_an_attempt_whose_start_never_reached_the_keeper_is_started_again(script: Script) -> None:
    script.assign("a")
    script.prepared("a")
    assert script.asked(StartAttempt) == ["a"]
    again = Script()
    again.tell(IntentsFound(intents=intents_of(script)))
    again.tell(EngineHello(engine=PROCESS, unstarted=frozenset({A})))
    assert again.state("a") is AttemptState.ASSIGNED
    again.connect(desired("a"))
    assert again.asked(PrepareAttempt) == ["a"]


def test_an_exit_that_nobody_saw_is_a_failure_that_says_so_even_after_another_restart(script: Script) -> None:
    script.run("a")
    again = Script()
    again.tell(IntentsFound(intents=intents_of(script)))
    again.tell(EngineHello(engine=PROCESS))
    again.measured("a", sizes={"stdout": 9})
    third = Script()
    third.tell(IntentsFound(intents=intents_of(again)))
    third.tell(EngineHello(engine=PROCESS))
    for one in (again, third):
        observed = one.observed("a")
        assert (observed.state, observed.exit_known, observed.exit_code) == ("failed", False, None)
        assert (
            observed.error
            == "exit code unknown: its keeper has no record of how it ended; its last lines may be missing"
        )
        assert observed.log_sizes == {"stdout": 9}


def test_a_keeper_that_says_why_an_exit_is_unknown_is_quoted(script: Script) -> None:
    script.run("a")
    exited = AttemptExited(attempt_id=A, at_ms=9, exit_known=False, error="the host restarted")
    script.tell(EngineHello(engine=PROCESS, exits=(exited,)))
    script.measured("a")
    assert script.observed("a").error == "exit code unknown: the host restarted; its last lines may be missing"


def test_a_damaged_spec_is_a_failed_attempt_and_no_crash() -> None:
    script = Script()
    script.tell(IntentsFound(damaged=((A, "its spec is damaged: remove /x"),)))
    script.tell(EngineHello(engine=PROCESS))
    script.measured("a")
    observed = script.observed("a")
    assert (observed.state, observed.exit_known) == ("failed", False)
    assert observed.error == "exit code unknown: its spec is damaged: remove /x; its last lines may be missing"
    assert script.reactor.occupied() == frozenset()


def test_a_process_without_a_spec_is_kept_until_the_coordinator_says(script: Script) -> None:
    for wanted in (True, False):
        again = Script()
        again.tell(IntentsFound(damaged=((A, "damaged"),)))
        again.tell(EngineHello(engine=PROCESS, live=(FoundAttempt(attempt_id=A, started_at_ms=1),)))
        assert again.state("a") is AttemptState.RUNNING
        again.connect(*([desired("a", gpu_ids=("GPU-1",))] if wanted else []))
        assert bool(again.drain(Terminate)) is not wanted
        if wanted:
            again.assign("b", gpu_ids=("GPU-1",))
            assert again.observed("b").reason == "waiting for GPU GPU-1: a has it"


def test_a_cancel_under_way_goes_on_after_a_restart(script: Script) -> None:
    script.run("a")
    script.want("a", Mode.STOP, "cancelled by ana", grace_ms=3_000)
    assert script.asked(Terminate) == ["a"]
    again = Script()
    again.now_ms = script.now_ms + 1_000
    again.tell(IntentsFound(intents=intents_of(script)))
    again.tell(EngineHello(engine=PROCESS, live=(FoundAttempt(attempt_id=A, started_at_ms=1),)))
    assert again.drain(Terminate) == [Terminate(A, 3_000)]
    again.pass_time(2_000)
    assert again.drain(Kill) == [Kill(A)]
    again.exited("a", None, signal=9)
    assert (again.state("a"), again.observed("a").error) == ("killed", "cancelled by ana")


def test_paused_time_does_not_count_across_a_restart_either(script: Script) -> None:
    script.run("a", timeout_ms=10_000)
    script.pass_time(4_000)
    script.want("a", Mode.PAUSE)
    script.paused("a")
    again = Script()
    again.now_ms = script.now_ms + 500_000
    again.tell(IntentsFound(intents=intents_of(script)))
    again.tell(EngineHello(engine=PROCESS, live=(FoundAttempt(attempt_id=A, started_at_ms=1_000_000, is_paused=True),)))
    again.connect(desired("a", timeout_ms=10_000))
    assert again.drain(Resume) == [Resume(A)]
    again.resumed("a")
    again.pass_time(5_999)
    assert again.drain(Terminate) == []
    again.pass_time(1)
    assert again.drain(Terminate) == [Terminate(A, 5_000)]


def test_a_keeper_that_comes_back_resolves_what_is_alive_gone_or_was_asked(script: Script) -> None:
    script.run("a")
    script.run("b")
    script.want("a", Mode.PAUSE)
    script.want("b", Mode.STOP)
    assert (script.asked(Pause), script.asked(Terminate)) == (["a"], ["b"])
    live = tuple(FoundAttempt(attempt_id=one, started_at_ms=1) for one in (A, B))
    script.tell(EngineHello(engine=PROCESS, live=live))
    assert script.drain(Pause) == [Pause(A)]
    assert script.drain(Terminate) == [Terminate(B, 5_000)]


def test_an_exit_of_something_forgotten_is_forgotten_by_the_keeper_too(script: Script) -> None:
    script.tell(EngineHello(engine=PROCESS, exits=(AttemptExited(attempt_id=A, at_ms=1, exit_code=0),)))
    assert script.drain(ForgetAttempt) == [ForgetAttempt(A, clean=False)]


def test_what_was_declared_dead_and_turns_up_alive_is_killed(script: Script) -> None:
    script.run("a")
    script.tell(EngineHello(engine=PROCESS))
    script.measured("a")
    script.tell(EngineHello(engine=PROCESS, live=(FoundAttempt(attempt_id=A, started_at_ms=1),)))
    assert script.drain(Kill) == [Kill(A)]
    assert script.state("a") is AttemptState.FAILED


def test_an_attempt_of_an_engine_that_is_not_here_is_left_as_it_is(script: Script) -> None:
    script.run("a", gpu_ids=("GPU-1",))
    script.run("b", timeout_ms=10_000)
    script.want("b", Mode.PAUSE)
    script.paused("b")
    script.assign("c")
    intents = tuple(msgspec.structs.replace(one, engine="slurm") for one in intents_of(script))
    again = Script()
    again.tell(IntentsFound(intents=intents))
    again.tell(EngineHello(engine=PROCESS))
    assert [one.attempt_id for one in again.reactor.foreign()] == ["a", "b"]
    assert again.reactor.expected() == ()
    for _ in range(2):
        registered = {one.attempt_id: one for one in again.connect(desired("b"), desired("c"))}
        assert [(registered[one].state, registered[one].gpu_ids) for one in (A, B)] == [
            ("running", ("GPU-1",)),
            ("paused", ()),
        ], "what isn't wanted, or is wanted otherwise, waits for its engine"
        assert registered[A].reason == "started by the engine slurm, which this agent doesn't have: it is left as it is"
    again.pass_time(1_000_000)
    assert not again.drain(PrepareAttempt), "they have their slots"


def test_what_cannot_be_decided_for_one_attempt_keeps_nothing_from_the_next(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.run("a")
    script.run("b")
    monkeypatch.setitem(PHASE_MOVES, Phase.RUNNING, {Move.STOP: Phase.STOPPING})
    pause, stop = Want(mode=Mode.PAUSE), Want(mode=Mode.STOP)
    script.tell(DesiredSet(seq=script.next_seq(), attempts=(desired("a", pause), desired("b", stop))))
    assert script.asked(NoteFault) == ["a"]
    assert script.asked(Pause) == []
    assert script.asked(Terminate) == ["b"]
    assert script.state("a") == "running"


def test_an_engine_speaks_for_its_own_attempts_and_has_to_say_its_name(script: Script) -> None:
    script.run("a")
    script.run("b")
    script.tell(EngineHello(engine="slurm", unstarted=frozenset({A}), lost_with_host=frozenset({B})))
    assert (script.state("a"), script.state("b")) == ("running", "running")
    with pytest.raises(TypeError, match="engine"):
        EngineHello()  # type: ignore[call-arg]


def test_what_never_started_is_started_by_the_engine_that_is_here() -> None:
    script = Script()
    waiting = Intent(attempt_id=A, launch=make_launch(), engine="slurm")
    script.tell(IntentsFound(intents=(waiting,)))
    script.tell(EngineHello(engine=PROCESS))
    assert script.reactor.foreign() == ()
    script.connect(desired("a"))
    script.prepared("a")
    assert script.asked(StartAttempt) == ["a"]
    assert script.drain(PersistIntent)[-1].intent.engine == "process"


def test_an_end_that_was_under_way_is_no_unstarted_attempt(script: Script) -> None:
    """It went back to waiting, and nothing ever came of it."""
    script.run("a")
    script.want("a", Mode.STOP, "cancelled by ana")
    intents = intents_of(script)
    assert script.asked(Terminate) == ["a"]
    again = Script()
    again.tell(IntentsFound(intents=intents))
    again.tell(EngineHello(engine=PROCESS, unstarted=frozenset({A})))
    again.measured("a")
    assert (again.state("a"), again.observed("a").error) == ("killed", "cancelled by ana")


def test_more_found_alive_than_allowed_starts_nothing_until_there_is_room() -> None:
    script = Script(slots=1)
    script.tell(
        EngineHello(engine=PROCESS, live=tuple(FoundAttempt(attempt_id=one, started_at_ms=1) for one in (A, B)))
    )
    script.connect(desired("a"), desired("b"), desired("c"))
    assert script.drain(PrepareAttempt) == []
    script.exited("a")
    assert script.drain(PrepareAttempt) == []
    script.exited("b")
    assert script.asked(PrepareAttempt) == [C]


def test_a_task_that_writes_too_much_is_ended_as_one_that_failed(script: Script) -> None:
    script.run("a")
    too_large = OutputTooLarge(attempt_id=A, reason="its results have 3 GB")
    script.tell(too_large)
    assert script.asked(Terminate) == ["a"]
    script.tell(too_large)  # the next measurement
    assert script.asked(Terminate) == []
    script.exited("a", None, signal=15)
    observed = script.observed("a")
    assert (observed.state, observed.error, observed.cause) == ("failed", "its results have 3 GB", "output_too_large")
    script.tell(too_large)  # late
    script.forget("a")
    script.tell(too_large)
    assert script.asked(ForgetAttempt) == ["a"]
