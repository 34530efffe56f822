"""A fleet with a fake clock and fake workers: every test drains what it expects, and then nothing else was sent.

`World` plays the shell: it drains batches, "commits" them, delivers what is to be sent, and lets go of what has
ended. A `FakeWorker` plays an agent by hand: tests say what it reports, and see what it was told.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

import msgspec

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.model import Attempt, Collect, Job, Worker
from opsconsole_coordinator.core.reactor import TICK_MS, Batch, Fleet, Reactor
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol import PROTOCOL_VERSION, link
from opsconsole_protocol.api import EventRow, JobRow, Submission
from opsconsole_protocol.dependency import End
from opsconsole_protocol.ids import AttemptId, JobId, SessionId, WorkerId, job_id
from opsconsole_protocol.link import HEARTBEAT_MS, Mode, Observed
from opsconsole_protocol.spec import JobSpec, Resources
from opsconsole_protocol.state import AttemptState, TaskState
from opsconsole_protocol.task_selection import TaskSelection
from tests.coordinator.core import invariant

M = TypeVar("M")
START_MS = 1_700_000_000_000


def gpus(count: int, memory_mb: int = 24_000) -> tuple[link.Gpu, ...]:
    """`count` free GPUs."""
    return tuple(
        link.Gpu(index=index, uuid=f"GPU-{index}", name="A100", memory_total_mb=memory_mb) for index in range(count)
    )


class World:
    """See the module."""

    def __init__(self, seed: int = 0) -> None:
        self.random = Random(seed)  # noqa: S311 - chance that repeats itself
        self.reactor = Reactor(Fleet(self.random.getrandbits, store_id="store", name="lab"))
        self.now_ms = START_MS
        self.workers: dict[str, FakeWorker] = {}
        self.events: list[EventRow] = []
        self.rows: dict[JobId, JobRow] = {}
        """As the store has them."""
        self.task_states: dict[str, TaskState] = {}
        """As the store has them."""
        self.attempts: dict[AttemptId, Attempt] = {}
        """Every attempt that was ever committed."""
        self.collects: list[Collect] = []
        """What the shell was told to fetch, and hasn't answered yet."""
        self.on_commit: Callable[[Batch, dict[JobId, JobRow]], None] = lambda *_: None
        self._sessions = 0
        self._jobs = 0

    @property
    def fleet(self) -> Fleet:
        """What is in memory."""
        return self.reactor.fleet

    # --- the shell's part --------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Schedule, commit, release: once or until nothing changes any more."""
        turns = 0
        while self.reactor.must_schedule or self.reactor.is_dirty or self.reactor.has_jobs_to_tell:
            turns += 1
            assert turns < 50, f"it never comes to rest: {self.events[-6:]}"
            self.commit()

    def commit(self) -> None:
        """Take one batch and release it."""
        batch = self.reactor.take_batch(self.now_ms)
        rows = {job.id: view.job_row(self.fleet, job) for job in batch.jobs}
        self.rows.update(rows)
        for job in batch.jobs_added:
            self.task_states |= {job.task_id(task.index): task.state for task in job.look_at_tasks()}
        self.task_states |= {f"{job_id}/task-{task.index}": task.state for job_id, task in batch.tasks}
        self.attempts.update((attempt.id, msgspec.structs.replace(attempt)) for attempt in batch.attempts)
        self.events += batch.events
        self.on_commit(batch, rows)
        self.collects += batch.collects
        by_id = {worker.id: worker for worker in self.workers.values()}
        for worker_id, session, message in batch.sends:
            by_id[worker_id].deliver(session, message)
        for worker_id, session, code, text in batch.closes:
            by_id[worker_id].closed(session, code, text)
        self.reactor.on_committed(batch)

    def pass_ms(self, milliseconds: int, *, beating: bool = True) -> None:
        """Let time pass in ticks; connected workers send their heartbeats unless not `beating`."""
        end_ms = self.now_ms + milliseconds
        while self.now_ms < end_ms:
            self.now_ms = min(end_ms, self.now_ms + TICK_MS)
            if beating:
                for worker in self.workers.values():
                    if worker.session is not None and self.now_ms - worker.record.heard_at_ms >= HEARTBEAT_MS:
                        worker.heartbeat()
            self.reactor.on_tick(self.now_ms)
            self.turn()

    def check(self) -> None:
        """Nothing else was sent than what was taken, and all that is always true is true."""
        self.turn()
        for worker in self.workers.values():
            assert not worker.inbox, f"{worker.name} was told {worker.inbox}"
            assert not worker.ends, f"{worker.name} was disconnected: {worker.ends}"
        self.check_invariants()

    def check_invariants(self) -> None:
        """All that is always true is true."""
        wrong = invariant.check(self.fleet) + invariant.check_idle(self.fleet, self.now_ms)
        assert not wrong, "\n".join(wrong)

    def stored_states(self, ids: Sequence[str]) -> dict[str, TaskState]:
        """How jobs and their tasks stand in the store."""
        found: dict[str, TaskState] = {one: TaskState(self.rows[JobId(one)].state) for one in ids if one in self.rows}
        return found | {name: state for name, state in self.task_states.items() if name.partition("/")[0] in ids}

    def known(self, observed: Sequence[Observed]) -> set[AttemptId]:
        """Which of the observed attempts are only in the store."""
        return {one.attempt_id for one in observed if one.attempt_id in self.attempts} - set(self.fleet.attempts)

    # --- operators ---------------------------------------------------------------------------------------------

    def new_id(self) -> JobId:
        """An id for the next job: the first is 000000000a, and so on."""
        self._jobs += 1
        return job_id(self._jobs + 9)

    def submit(
        self, *, gpus: int = 0, id: JobId | None = None, turn: bool = True, by: str = "ana", **fields: Any  # noqa: A002
    ) -> Job:  # fmt: skip
        """Submit one job."""
        fields.setdefault("command", ("/bin/true",))
        fields.setdefault("resources", Resources(gpus=gpus))
        for kind in End:
            fields[kind.value] = tuple(one.id if isinstance(one, Job) else one for one in fields.get(kind.value, ()))
        spec = JobSpec(**fields)
        one = Submission(id or self.new_id(), spec)
        job = self.reactor.on_submit([one], self.stored_states(spec.comes_after), by, self.now_ms)[0]
        if turn:
            self.turn()
        return job

    def act(self, verb: str, job: Job, index: int | None = None, reason: str = "") -> str:
        """Do a verb as ana."""
        selection = None if index is None else TaskSelection.of(index)
        words = self.reactor.on_act(verb, job.id, selection, "ana", reason, self.now_ms)
        self.turn()
        return words

    def why(self, job: Job) -> str:
        """Why a job stands where it stands."""
        return view.why(self.fleet, job, self.now_ms)[0]

    def set_project(self, status: str, name: str = "default") -> None:
        """Set a project's status as ana; what comes of it shows after the next turn."""
        self.reactor.on_set_project(name, None, status, "ana", self.now_ms)

    # --- workers -----------------------------------------------------------------------------------------------

    def worker(self, name: str = "w1", slots: int = 1, **fields: Any) -> "FakeWorker":
        """A worker that has joined and taken note of its empty desired set."""
        worker = FakeWorker(self, name, slots, **fields)
        self.workers[name] = worker
        worker.connect()
        worker.take(link.Registered)
        return worker

    def next_session(self) -> SessionId:
        """A number that no connection had before."""
        self._sessions += 1
        return SessionId(self._sessions)


class FakeWorker:
    """An agent played by hand."""

    def __init__(self, world: World, name: str, slots: int = 1, **fields: Any) -> None:
        self.world = world
        self.name = name
        self.id = WorkerId(f"id-of-{name}")
        self.session: SessionId | None = None
        self.inbox: list[link.CoordinatorMessage] = []
        self.ends: list[tuple[str, str]] = []
        self.attempts: dict[AttemptId, Observed] = {}
        """What exists here."""
        self.desired: dict[AttemptId, link.Desired] = {}
        self.forgets: list[link.Forget] = []
        self.seen = 0
        self.run_id = "run-1"
        self.store_seq = 0
        self.store_seal = ""
        self.fields = {"max_concurrent_jobs": slots, **fields}

    @property
    def record(self) -> Worker:
        """The worker as the coordinator sees it."""
        return self.world.fleet.workers[self.id]

    # --- the link ----------------------------------------------------------------------------------------------

    def connect(self, **fields: Any) -> None:
        """Register with the whole observed set."""
        world = self.world
        session = world.next_session()
        message = link.Register(**{
            "protocol": PROTOCOL_VERSION, "agent_version": "1", "worker_id": self.id, "name": self.name,
            "run_id": self.run_id, "observed": tuple(self.attempts.values()), "store_id": "store",
            "store_seq": self.store_seq, "store_seal": self.store_seal, **self.fields, **fields,
        })  # fmt: skip
        world.reactor.on_register(session, message, world.known(message.observed), world.now_ms)
        self.inbox.clear()
        self.session = session
        self.seen = 0
        world.turn()

    def disconnect(self) -> None:
        """The socket is closed."""
        assert self.session is not None
        self.world.reactor.on_disconnected(self.record, self.session)
        self.session = None
        self.inbox.clear()
        self.world.turn()

    def deliver(self, session: SessionId, message: link.CoordinatorMessage) -> None:
        """A message arrives; one for an older connection is lost with it."""
        if session == self.session or self.session is None or session > self.session:
            self.inbox.append(message)

    def closed(self, session: SessionId, code: str, text: str) -> None:
        """The coordinator ends a connection."""
        if session == self.session:
            self.session = None
            self.ends.append((code, text))

    def take(self, kind: type[M]) -> M:
        """The next message, which has to be of this kind. After `registered` an empty desired set is taken along."""
        assert self.inbox, f"{self.name} was told nothing"
        message = self.inbox.pop(0)
        assert isinstance(message, kind), f"{self.name} was told {message}"
        self._note(message)
        if isinstance(message, link.Registered) and self.inbox[:1] == [link.DesiredSet(seq=1)]:
            self.take(link.DesiredSet)
        return message

    def take_all(self) -> list[link.CoordinatorMessage]:
        """Whatever there is."""
        taken = []
        while self.inbox:
            message = self.inbox.pop(0)
            self._note(message)
            taken.append(message)
        return taken

    def _note(self, message: link.CoordinatorMessage) -> None:
        self.seen = max(self.seen, getattr(message, "seq", 0))
        match message:
            case link.JobAssignment(desired=desired):
                self._want(desired)
            case link.DesiredSet(attempts=attempts):
                self.desired = {}
                for desired in attempts:
                    self._want(desired)
            case link.Forget(attempt_ids=ids):
                self.forgets.append(message)
                for one in ids:
                    self.attempts.pop(one, None)
                    self.desired.pop(one, None)
            case link.SetWant(attempt_id=attempt_id, want=want) if attempt_id in self.desired:
                self.desired[attempt_id] = msgspec.structs.replace(self.desired[attempt_id], want=want)
            case _:
                pass

    def _want(self, desired: link.Desired) -> None:
        self.desired[desired.attempt_id] = desired
        self.attempts.setdefault(
            desired.attempt_id, Observed(attempt_id=desired.attempt_id, state=AttemptState.ASSIGNED)
        )

    # --- what it says ------------------------------------------------------------------------------------------

    def heartbeat(self, **fields: Any) -> None:
        """A sign of life."""
        world = self.world
        world.reactor.on_heartbeat(self.record, link.Heartbeat(at_ms=0, **fields), world.now_ms)
        world.turn()

    def found(self, size_bytes: int = 6) -> link.InputFile:
        """Take the next question about a file or folder, and answer that it is there."""
        asked = self.take(link.InputFile)
        message = link.FileExists(check_id=asked.check_id, path="/in/file", size_bytes=size_bytes)
        self.world.reactor.on_input_answer(self.record, message, self.world.now_ms)
        self.world.turn()
        return asked

    def missing(self, reason: str, again_ms: int | None = None) -> link.InputFile:
        """Take the next question about a file or folder, and answer that it can't be used."""
        asked = self.take(link.InputFile)
        self.say_missing(asked.check_id, reason, again_ms)
        return asked

    def say_missing(self, check_id: int, reason: str, again_ms: int | None = None) -> None:
        """Answer a question, also one that nobody asked."""
        message = link.FileNotFound(check_id=check_id, reason=reason, again_ms=again_ms)
        self.world.reactor.on_input_answer(self.record, message, self.world.now_ms)
        self.world.turn()

    def say(self, *observed: Observed) -> None:
        """Report attempts, as they are."""
        world = self.world
        message = link.Report(seen=self.seen, attempts=observed)
        world.reactor.on_report(self.record, message, world.known(observed), world.now_ms)
        world.turn()

    def report(self, attempt: Attempt | AttemptId, state: AttemptState, **fields: Any) -> Observed:
        """Report one attempt's new state."""
        attempt_id = attempt if isinstance(attempt, str) else attempt.id
        before = self.attempts.get(attempt_id, Observed(attempt_id=attempt_id, state=AttemptState.ASSIGNED))
        observed = msgspec.structs.replace(before, state=state, **fields)
        self.attempts[attempt_id] = observed
        self.say(observed)
        return observed

    def observe(self, *, seen: int | None = None) -> None:
        """Send the whole observed set."""
        world = self.world
        attempts = tuple(self.attempts.values())
        message = link.Observation(exchange=0, seen=self.seen if seen is None else seen, attempts=attempts)
        world.reactor.on_observation(self.record, message, world.known(attempts), world.now_ms)
        world.turn()

    # --- what it does ------------------------------------------------------------------------------------------

    def assigned(self) -> Attempt:
        """Take the next assignment and confirm it."""
        message = self.take(link.JobAssignment)
        attempt = self.world.fleet.attempts[message.desired.attempt_id]
        self.report(attempt, AttemptState.ASSIGNED)
        return attempt

    def started(self) -> Attempt:
        """Take the next assignment and run it."""
        attempt = self.assigned()
        self.run(attempt)
        return attempt

    def run(self, attempt: Attempt) -> Observed:
        """The process starts."""
        return self.report(attempt, AttemptState.RUNNING, started_at_ms=self.world.now_ms)

    def succeed(self, attempt: Attempt, **fields: Any) -> None:
        """The process ends well, and the coordinator has it all."""
        self.report(attempt, AttemptState.SUCCEEDED, exit_code=0, finished_at_ms=self.world.now_ms, **fields)
        self.forget(attempt)

    def fail(self, attempt: Attempt, error: str = "exit code 1", **fields: Any) -> None:
        """The process ends badly, and the coordinator has it all."""
        self.report(attempt, AttemptState.FAILED, exit_code=1, error=error, finished_at_ms=self.world.now_ms, **fields)
        self.forget(attempt)

    def killed(self, attempt: Attempt) -> None:
        """The process was ended as asked, and the coordinator has it all."""
        self.report(attempt, AttemptState.KILLED, finished_at_ms=self.world.now_ms)
        self.forget(attempt)

    def rest(self, attempt: Attempt) -> None:
        """The rest of the log of an attempt that has ended arrives."""
        assert attempt.seen is not None
        for source, size in attempt.seen.log_sizes.items():
            self.world.reactor.on_logs_stored(attempt.id, source, size)
        self.world.turn()
        self.forget(attempt)

    def forget(self, attempt: Attempt) -> None:
        """The next message says that this attempt may be forgotten."""
        assert self.take(link.Forget).attempt_ids == (attempt.id,)

    def stop(self, attempt: Attempt) -> link.Want:
        """The next message says that this attempt has to end."""
        message = self.take(link.SetWant)
        assert (message.attempt_id, message.want.mode) == (attempt.id, Mode.STOP)
        return message.want


def task_of(job: Job, index: int = 0) -> Task:
    """One of its tasks."""
    return job.tasks[index]


def state(job: Job) -> str:
    """How a job stands, as a word: a type checker takes it for granted that a property doesn't change."""
    return str(job.state)
