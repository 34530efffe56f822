"""Any conversation with agents at all, held against a model of it: the real session and commit loop, on virtual time."""

from contextlib import ExitStack
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from opsconsole_coordinator.server.agent_session import DEAD_AFTER_MS, REGISTER_TIMEOUT_S
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_protocol import PROTOCOL_VERSION, api, link
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import AttemptId, WorkerId, job_id
from opsconsole_protocol.link import LogChunk, Observed, encode_frame
from opsconsole_protocol.link.codec import agent_codec
from opsconsole_protocol.log import Source
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState
from tests.simulation.coordinator import Coordinator
from tests.simulation.network import End, Network
from tests.simulation.store import Disk
from tests.simulation.virtual import Loop
from tests.simulation.world import _Log, _shell_patches

NAME = "w1"
_codec = agent_codec()
_WRONG = (b"", b"\xc1garbage", b"\x90", _codec.encode([link.Heartbeat(at_ms=1)]), b"\x01\x01\x00\x01a")


class Talk:
    """One connection of the agent, and what the model thinks of it: fresh, registered or over."""

    def __init__(self, end: End, now_ms: int) -> None:
        self.end = end
        self.opened_ms = now_ms
        self.stage = "fresh"
        self.is_closed = False
        self.seq = 0
        self._inbox: list[link.CoordinatorMessage] = []
        end.on_frame = lambda frame: self._inbox.extend(_codec.decode(frame))
        end.on_closed = self._close

    def _close(self) -> None:
        self.is_closed = True

    def send(self, *messages: link.AgentMessage) -> None:
        self.end.send(_codec.encode(messages))

    def take(self) -> list[link.CoordinatorMessage]:
        """What has come since the last time; numbers only grow."""
        found, self._inbox = self._inbox, []
        for message in found:
            seq = getattr(message, "seq", None)
            if seq is not None:
                assert seq > self.seq
                self.seq = seq
        return found


class SessionMachine(RuleBasedStateMachine):
    """One worker, whose agent dials again and again, says the right thing and the wrong, and falls silent."""

    def __init__(self) -> None:
        super().__init__()
        self.loop, rng = Loop(), Random(0)  # noqa: S311 - chance that repeats itself
        self.stack = ExitStack()
        for patch in _shell_patches(_Log(self.loop, lambda _: None)):
            self.stack.enter_context(patch)
        self.disk = Disk(self.loop, rng)
        self.network = Network(self.loop, rng)
        self.coordinator = Coordinator(self.loop, self.network, self.disk, rng, lambda _: None)
        self.coordinator.start()
        self.rng = rng
        self.talks: list[Talk] = []
        self.present: Talk | None = None
        self.wanted: set[AttemptId] = set()
        self.running: set[AttemptId] = set()
        self.heard_ms = 0
        self.beats = 0
        self.settle()

    def settle(self, milliseconds: int = 150) -> None:
        self.loop.run(self.loop.now_ms + milliseconds)
        assert not self.loop.errors, self.loop.errors

    def teardown(self) -> None:
        self.coordinator.crash()
        self.stack.close()
        self.disk.connection.close()

    # --- the model's ear -----------------------------------------------------------------------------------------

    def hear(self, talk: Talk) -> list[link.CoordinatorMessage]:
        """What came, without new work, which the model only notes."""
        return self.note(talk, talk.take())

    def note(self, talk: Talk, messages: list[link.CoordinatorMessage]) -> list[link.CoordinatorMessage]:
        rest: list[link.CoordinatorMessage] = []
        for message in messages:
            if isinstance(message, link.JobAssignment):
                assert talk is self.present
                assert message.desired.attempt_id not in self.wanted
                self.wanted.add(message.desired.attempt_id)
            else:
                rest.append(message)
        return rest

    def over(self, talk: Talk, code: str) -> None:
        """The coordinator has ended it, and said why."""
        said = self.hear(talk)
        assert [one.code for one in said if isinstance(one, link.PeerError)] == [code], said
        assert talk.is_closed
        talk.stage = "over"
        if self.present is talk:
            self.present = None

    # --- what the agent does -------------------------------------------------------------------------------------

    @precondition(lambda self: sum(talk.stage == "fresh" for talk in self.talks) < 3)
    @rule()
    def dial(self) -> None:
        found: list[End | None] = []
        self.network.dial(NAME, found.append)
        self.settle()
        assert found[0] is not None
        self.talks.append(Talk(found[0], self.loop.now_ms))

    @precondition(lambda self: any(talk.stage == "fresh" for talk in self.talks))
    @rule(data=st.data())
    def register(self, data: st.DataObject) -> None:
        talk = data.draw(st.sampled_from([one for one in self.talks if one.stage == "fresh"]))
        before, self.present, talk.stage = self.present, talk, "registered"
        observed = tuple(Observed(attempt_id=one, state=AttemptState.RUNNING, started_at_ms=1) for one in self.running)
        talk.send(self.registration(observed))
        self.settle()
        first, second, *rest = talk.take()
        assert isinstance(first, link.Registered)
        assert isinstance(second, link.DesiredSet)
        told = {desired.attempt_id for desired in second.attempts}
        assert told == self.wanted, "what was assigned is still wanted"
        assert not self.note(talk, rest)
        self.heard_ms = self.loop.now_ms
        if before is not None:
            self.over(before, "conflict")

    def registration(self, observed: tuple[Observed, ...] = (), name: str = NAME) -> link.Register:
        return link.Register(
            protocol=PROTOCOL_VERSION, agent_version="1", worker_id=WorkerId(name), name=name, run_id="run",
            max_concurrent_jobs=2, observed=observed,
        )  # fmt: skip

    @precondition(lambda self: any(talk.stage == "fresh" for talk in self.talks))
    @rule(data=st.data(), wrong=st.sampled_from([*_WRONG, None]))
    def begin_wrongly(self, data: st.DataObject, wrong: bytes | None) -> None:
        talk = data.draw(st.sampled_from([one for one in self.talks if one.stage == "fresh"]))
        talk.end.send(_codec.encode([self.registration(name="else")]) if wrong is None else wrong)
        self.settle()
        self.over(talk, "protocol")

    @precondition(lambda self: self.present is not None)
    @rule(count=st.integers(1, 3))
    def beat(self, count: int) -> None:
        talk = self.now()
        numbers = range(self.beats, self.beats + count)
        self.beats += count
        talk.send(*(link.Heartbeat(at_ms=number) for number in numbers))
        self.settle()
        self.heard_ms = self.loop.now_ms
        acks = [one for one in self.hear(talk) if isinstance(one, link.HeartbeatAck)]
        assert [one.at_ms for one in acks] == list(numbers), "each is answered once, in order"
        commit_loop = self.commit_loop()
        assert all(one.store_seq <= commit_loop.committed_seq for one in acks)

    @precondition(lambda self: self.present is not None)
    @rule(frame=st.sampled_from([b"\x91\xc1", _codec.encode([link.Observe(exchange=1)]), b"register again"]))
    def speak_nonsense(self, frame: bytes) -> None:
        talk = self.now()
        talk.end.send(_codec.encode([self.registration()]) if frame == b"register again" else frame)
        self.settle()
        assert [one.code for one in self.hear(talk) if isinstance(one, link.PeerError)] == ["protocol"]
        assert not talk.is_closed, "what it wanted to say is still a difference that it repeats"

    @precondition(lambda self: self.present is not None)
    @rule(state=st.sampled_from([AttemptState.RUNNING, AttemptState.FAILED]))
    def report_a_stranger(self, state: AttemptState) -> None:
        talk = self.now()
        stranger = AttemptId(f"{job_id(self.rng.getrandbits(50))}.0.0.zzzz")
        talk.send(link.Report(seen=talk.seq, attempts=(Observed(attempt_id=stranger, state=state),)))
        self.settle()
        [answer] = self.hear(talk)
        match answer:
            case link.Forget(attempt_ids=ids):
                assert (state, ids) == (AttemptState.FAILED, (stranger,))
            case link.SetWant(attempt_id=attempt_id, want=want):
                assert (state, attempt_id, want.mode) == (AttemptState.RUNNING, stranger, link.Mode.STOP)
            case _:
                raise AssertionError(answer)

    @precondition(lambda self: self.present is not None)
    @rule(is_ours=st.booleans())
    def send_a_log(self, is_ours: bool) -> None:
        talk = self.now()
        some = next(iter(sorted(self.running)), None) if is_ours else None
        attempt_id = some or AttemptId("0000000000.0.0.zzzz")
        talk.end.send(encode_frame(LogChunk(attempt_id, Source.STDOUT, 0, 1, b"x")))
        self.settle()
        acks = [one for one in self.hear(talk) if isinstance(one, link.LogAck)]
        expected = [((attempt_id, "stdout", 1),)] if some is not None else []
        assert [one.offsets for one in acks] == expected

    @precondition(lambda self: self.present is not None and self.wanted - self.running)
    @rule()
    def start(self) -> None:
        talk, attempt_id = self.now(), min(self.wanted - self.running)
        talk.send(link.Report(seen=talk.seq, attempts=(self.told(attempt_id, AttemptState.RUNNING),)))
        self.running.add(attempt_id)
        self.settle()
        assert not self.hear(talk)

    @precondition(lambda self: self.present is not None and self.running)
    @rule(times=st.integers(1, 2))
    def finish(self, times: int) -> None:
        talk, attempt_id = self.now(), min(self.running)
        report = link.Report(seen=talk.seq, attempts=(self.told(attempt_id, AttemptState.SUCCEEDED),))
        talk.send(*([report] * times))
        self.running.discard(attempt_id)
        self.wanted.discard(attempt_id)
        self.settle()
        said = self.hear(talk)
        assert said
        assert all(isinstance(one, link.Forget) and one.attempt_ids == (attempt_id,) for one in said)

    @staticmethod
    def told(attempt_id: AttemptId, state: AttemptState) -> Observed:
        return Observed(
            attempt_id=attempt_id, state=state, started_at_ms=1, exit_code=None if state == "running" else 0
        )

    @precondition(lambda self: any(talk.stage != "over" for talk in self.talks))
    @rule(data=st.data())
    def hang_up(self, data: st.DataObject) -> None:
        talk = data.draw(st.sampled_from([one for one in self.talks if one.stage != "over"]))
        talk.end.close()
        talk.stage = "over"
        if self.present is talk:
            self.present = None
        self.settle()

    # --- what else happens -----------------------------------------------------------------------------------------

    @rule()
    def submit(self) -> None:
        spec = JobSpec(command=("work",), lost_after_ms=3_600_000)
        answers: list[object] = []
        submission = api.Submission(job_id(self.rng.getrandbits(50)), spec)
        self.coordinator.ask(api.SubmitJobs(submissions=(submission,)), answers.append, answers.append)
        self.settle()
        assert answers
        self.note_work()

    @rule()
    def fall_silent(self) -> None:
        self.settle(DEAD_AFTER_MS + DEAD_AFTER_MS // 4 + 500)

    @rule()
    def fail_a_commit(self) -> None:
        commit_loop = self.commit_loop()
        self.disk.fail_next = True
        commit_loop.fleet.audit(commit_loop.clock.now_ms(), "ana", EventKind.PROJECT, "x", "x")
        commit_loop.changed()
        self.settle(3_000)
        if self.present is not None:
            self.over(self.present, "unavailable")

    # --- what holds ------------------------------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        now_ms = self.loop.now_ms
        for talk in self.talks:
            if talk.stage == "fresh" and now_ms - talk.opened_ms > REGISTER_TIMEOUT_S * 1000:
                self.settle()
                self.over(talk, "protocol")
        if self.present is not None and now_ms - self.heard_ms > DEAD_AFTER_MS:
            assert self.present.is_closed or now_ms - self.heard_ms < DEAD_AFTER_MS * 1.3
            if self.present.is_closed:
                self.hear(self.present)
                self.present.stage, self.present = "over", None
        self.note_work()
        commit_loop = self.commit_loop()
        worker = commit_loop.fleet.workers.get(WorkerId(NAME))
        assert len(commit_loop.sessions) == (self.present is not None)
        assert (worker is not None and worker.session is not None) == (self.present is not None)
        assert all(
            talk.is_closed or talk.stage == "registered" or talk.end.is_open
            for talk in self.talks
            if talk.stage != "over"
        )

    def note_work(self) -> None:
        if self.present is not None and not self.present.is_closed:
            assert not [one for one in self.hear(self.present) if isinstance(one, link.PeerError)]

    def now(self) -> Talk:
        assert self.present is not None
        self.note_work()
        return self.present

    def commit_loop(self) -> CommitLoop:
        life = self.coordinator.life
        assert life is not None
        return life.commit_loop


TestSession = SessionMachine.TestCase
TestSession.settings = settings(
    max_examples=40, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
