"""What the coordinator says, exchange by exchange."""

import pytest

from opsconsole_agent.core.effect import (
    FinishLog,
    ForgetAttempt,
    PersistIntent,
    PrepareAttempt,
    RewindLog,
    SendObservation,
    SendReport,
    StartAttempt,
    Terminate,
)
from opsconsole_agent.core.event import AttemptExited, AttemptStarted, LinkUp, LogComplete
from opsconsole_agent.core.reactor import FORGOTTEN_MAX, REPORT_LENGTH_MAX
from opsconsole_protocol.error import IllegalTransition
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import JobAssignment, Mode, Observe, SetWant, Want
from opsconsole_protocol.state import AttemptState
from tests.agent.core.script import Script, desired, make_launch


@pytest.fixture
def script() -> Script:
    script = Script()
    script.connect()
    script.nothing_else()
    return script


def test_an_assignment_becomes_a_process_whose_intent_is_written_down_first(script: Script) -> None:
    script.assign("a")
    assert script.kinds() == ["PrepareAttempt"]
    script.prepared("a")
    assert script.kinds() == ["PersistIntent", "StartAttempt"]
    script.started("a")
    (report,) = script.drain(SendReport)
    assert [(one.attempt_id, one.state) for one in report.report.attempts] == [("a", "running")]
    assert report.report.seen == script.seq


def test_an_assignment_that_comes_twice_starts_once(script: Script) -> None:
    script.run("a")
    script.nothing_else()
    script.assign("a")
    assert script.drain(PrepareAttempt) == []
    assert script.drain(StartAttempt) == []
    script.connect(desired("a"))
    assert script.drain(PrepareAttempt) == []


def test_a_message_that_was_taken_into_account_is_not_looked_at_again(script: Script) -> None:
    script.run("a")
    script.want("a", Mode.PAUSE)
    script.paused("a")
    script.nothing_else()
    script.tell(SetWant(seq=script.seq - 1, attempt_id=AttemptId("a"), want=Want()))
    assert script.kinds() == []


def test_what_ended_is_registered_on_every_connection_until_forgotten(script: Script) -> None:
    script.run("a")
    script.exited("a", 3)
    for _ in range(3):
        (registered,) = script.connect(desired("a"))
        assert (registered.state, registered.exit_code, registered.error) == ("failed", 3, "exit code 3")
        assert registered.log_sizes == {"stdout": 3}
    script.forget("a")
    assert script.drain(ForgetAttempt) == [ForgetAttempt(AttemptId("a"), clean=True, launch=make_launch())]
    assert script.connect() == ()


def test_what_ended_and_was_forgotten_is_not_run_again_by_an_old_message(script: Script) -> None:
    script.run("a")
    script.exited("a")
    script.forget("a")
    assert script.asked(ForgetAttempt) == ["a"]
    script.nothing_else()
    script.tell(JobAssignment(seq=1, desired=desired("a")))
    assert script.kinds() == []


def test_a_restored_coordinator_that_wants_a_forgotten_attempt_hears_that_it_ran(script: Script) -> None:
    script.run("a")
    script.exited("a")
    script.forget("a")
    assert script.asked(ForgetAttempt) == ["a"]
    script.nothing_else()
    script.connect(desired("a"))
    assert script.drain(PrepareAttempt) == []
    assert script.state("a") is AttemptState.WORKER_FAILED
    assert "isn't run twice" in script.observed("a").error


def test_the_memory_of_forgotten_attempts_is_bounded(script: Script) -> None:
    script.run("first")
    script.exited("first")
    script.forget("first")
    assert script.asked(ForgetAttempt) == ["first"]
    for number in range(FORGOTTEN_MAX):
        script.run(f"a{number}")
        script.exited(f"a{number}")
        script.forget(f"a{number}")
        assert script.asked(ForgetAttempt) == [f"a{number}"]
        script.nothing_else()
    assert script.reactor.story("a0") == "forgotten"
    assert script.reactor.story("first") == "never heard of"


def test_what_the_coordinator_does_not_want_is_stopped(script: Script) -> None:
    script.run("a")
    script.nothing_else()
    script.connect()
    assert script.drain(Terminate) == [Terminate(AttemptId("a"), 5_000)]
    assert script.observed("a").reason == "the coordinator no longer wants it"


def test_nothing_is_stopped_while_the_coordinator_is_adopting(script: Script) -> None:
    script.run("a")
    script.nothing_else()
    script.connect(adopting=True)
    assert script.drain(Terminate) == []
    script.connect(adopting=False)
    assert script.drain(Terminate) == [Terminate(AttemptId("a"), 5_000)]


def test_forget_of_something_alive_stops_it_and_then_reports_it(script: Script) -> None:
    script.run("a")
    script.nothing_else()
    script.forget("a")
    assert script.drain(Terminate) == [Terminate(AttemptId("a"), 5_000)]
    script.exited("a", None, signal=15)
    assert script.state("a") is AttemptState.KILLED
    script.forget("a")
    assert script.reactor.attempt("a") is None
    assert script.asked(ForgetAttempt) == ["a"]


def test_a_set_want_for_what_is_not_here_counts_as_seen(script: Script) -> None:
    script.want("nobody", Mode.STOP)
    assert script.kinds() == []
    script.tell(Observe(exchange=7))
    (sent,) = script.drain(SendObservation)
    assert (sent.observation.exchange, sent.observation.seen) == (7, script.seq)


def test_an_observation_is_the_whole_set_and_replaces_pending_reports(script: Script) -> None:
    script.run("a")
    script.assign("b")
    assert script.asked(PrepareAttempt) == ["b"]
    script.nothing_else()
    script.reactor.handle(AttemptExited(attempt_id=AttemptId("a"), at_ms=script.now_ms, exit_code=0), script.now_ms)
    script.reactor.handle(LogComplete(attempt_id=AttemptId("a")), script.now_ms)
    script.tell(Observe(exchange=1))
    (sent,) = script.drain(SendObservation)
    assert {one.attempt_id for one in sent.observation.attempts} == {"a", "b"}
    assert script.drain(SendReport) == []
    assert script.asked(FinishLog) == ["a"]


def test_reports_wait_for_the_link_and_the_new_registration_carries_them() -> None:
    script = Script()
    script.connect()
    script.run("a")
    script.nothing_else()
    script.reactor.begin_exchange()
    script.exited("a")
    assert script.drain(SendReport) == []
    (registered,) = script.connect(desired("a"))
    assert registered.state is AttemptState.SUCCEEDED


def test_what_changes_between_registration_and_link_is_reported_after_it() -> None:
    script = Script()
    script.connect()
    script.run("a")
    script.reactor.begin_exchange()
    script.exited("a")
    script.nothing_else()
    script.tell(LinkUp())
    (report,) = script.drain(SendReport)
    assert [one.state for one in report.report.attempts] == ["succeeded"]


def test_changes_are_coalesced_and_cut_into_reports_of_bounded_length() -> None:
    script = Script(slots=10_000)
    script.connect()
    script.nothing_else()
    count = REPORT_LENGTH_MAX + 1
    for number in range(count):
        want = Want(mode=Mode.STOP, reason="cancelled by ana")
        script.reactor.handle(JobAssignment(seq=script.next_seq(), desired=desired(f"a{number}", want)), script.now_ms)
    reports = [effect for effect in script.reactor.take_effects() if isinstance(effect, SendReport)]
    assert [len(one.report.attempts) for one in reports] == [REPORT_LENGTH_MAX, 1]


def test_the_coordinator_says_how_much_log_it_has_of_what_runs(script: Script) -> None:
    script.run("a")
    script.nothing_else()
    wanted = desired("a")
    script.connect(type(wanted)(attempt_id=wanted.attempt_id, launch=wanted.launch, log_offsets={"stdout": 17}))
    assert script.drain(RewindLog) == [RewindLog(AttemptId("a"), {"stdout": 17})]


def test_an_illegal_event_carries_the_story_and_changes_nothing(script: Script) -> None:
    script.run("a")
    script.nothing_else()
    before = script.observed("a")
    with pytest.raises(IllegalTransition, match=r"'started' for a, which is running: .*assigned.*prepared.*started"):
        script.tell(AttemptStarted(attempt_id=AttemptId("a"), at_ms=1))
    assert script.observed("a") == before
    assert script.reactor.take_effects() == []
    with pytest.raises(IllegalTransition, match="AttemptStarted for ghost, which isn't here"):
        script.tell(AttemptStarted(attempt_id=AttemptId("ghost"), at_ms=1))


def test_a_spec_with_a_secret_is_in_the_intent_only(script: Script) -> None:
    script.run("a", environment={"KEY": "s3cret"})
    (intent,) = script.drain(PersistIntent)
    assert intent.intent.launch is not None
    assert intent.intent.launch.environment == {"KEY": "s3cret"}
    assert "s3cret" not in script.reactor.story("a")
    assert "s3cret" not in repr(script.observed("a"))
