"""Operators of a fleet in chaos: they submit and act on a thread of their own, and remember what they were told."""

import random
import secrets
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from opsconsole import SyncClient
from opsconsole_protocol.error import Conflict, OpsconsoleError
from opsconsole_protocol.ids import JobId, job_id
from opsconsole_protocol.spec import JobSpec

TASK = Path(__file__).with_name("task.py")
TIMEOUT_S = 60.0
"""How long a call is repeated while the coordinator is away."""
SHORT_JOBS, SHORT_TASKS = 8, 18
LONG_JOBS = 4
FOREVER_S = 600
"""Of a long task: only a cancel that holds lets the fleet settle before it is over."""


Action = Callable[[], object]


@dataclass(frozen=True)
class Told:
    """Something an operator did, and when it was acknowledged."""

    verb: str
    job_id: JobId
    at_ms: int


@dataclass
class Record:
    """What operators asked for and were told. `asked` comes before the asking, so it may be more than was done."""

    submitted: list[JobId] = field(default_factory=list)
    asked: set[tuple[str, JobId]] = field(default_factory=set)
    told: list[Told] = field(default_factory=list)

    def was_asked(self, verb: str, job: JobId) -> bool:
        """Whether it may have taken effect."""
        return (verb, job) in self.asked


def words(folder: Path, *, lines: int, seconds: float, codes: str = "0", manners: str = "") -> tuple[str, ...]:
    """A task of the load, as a command."""
    program = (sys.executable, "-I", "-S", str(TASK), str(folder), str(lines), f"{seconds:.3f}", codes)
    return (*program, *manners.split())


def new_id() -> JobId:
    """An id that no other job has."""
    return job_id(secrets.randbits(64))


class Operators:
    """Carry out a load that a seed makes, as fast as they are let; `run` is for a thread."""

    def __init__(self, folder: Path, seed: int, say: Callable[[str], None], watch: Callable[[JobId], None]) -> None:
        """`watch` has somebody follow a job's log."""
        self.record = Record()
        self.on_answer: Action = lambda: None
        """Called the moment that something is acknowledged."""
        self._watch = watch
        self.error: BaseException | None = None
        self._folder = folder
        self._rng = random.Random(f"operators {seed}")  # noqa: S311 – chance that repeats itself
        self._say = say
        self._client: SyncClient | None = None
        self._thread = threading.Thread(target=self._run, name="operators")

    def connect(self, client: SyncClient) -> None:
        """Their way in."""
        self._client = client

    def begin(self, over_s: float) -> None:
        """Do what comes first, and start with the rest, to be spread over some seconds."""
        first, self._rest = self._plan(over_s)
        for action in first:
            action()
        self._began_s = time.monotonic()
        self._thread.start()

    def finish(self) -> None:
        """Wait until all is done; raises what went wrong."""
        self._thread.join(2 * TIMEOUT_S)
        assert not self._thread.is_alive(), "operators wait for an answer that doesn't come"
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            for at_s, action in self._rest:
                time.sleep(max(0.0, self._began_s + at_s - time.monotonic()))  # late after a call that had to wait
                action()
        except (OpsconsoleError, AssertionError) as error:
            self.error = error

    # --- what they do ------------------------------------------------------------------------------------------

    def submit(self, spec: JobSpec, job: JobId | None = None) -> JobId:
        """Submit a job; its id makes it safe to repeat."""
        job = new_id() if job is None else job
        self._ask(lambda client: client.submit(spec, job))
        self.record.submitted.append(job)
        self._say(f"submitted {job} {spec.name}")
        return job

    def act(self, verb: str, job: JobId) -> None:
        """Pause, resume or cancel a job. It may be refused: the job has ended, or that was done by a call that got lost."""
        self.record.asked.add((verb, job))
        try:
            answer = self._ask(lambda client: client.act(verb, (job,)))
        except Conflict as error:
            self._say(f"refused: {error.message}")
            return
        self.record.told.append(Told(verb, job, time.time_ns() // 1_000_000))
        self._say(f"told: {answer}")

    def _ask(self, question: Callable[[SyncClient], Any]) -> Any:
        assert self._client is not None
        answer = question(self._client)
        self.on_answer()
        return answer

    # --- the plan ----------------------------------------------------------------------------------------------

    def _plan(self, over_s: float) -> tuple[list[Action], list[tuple[float, Action]]]:
        """What comes first: there shall be long jobs, and some to be paused, whatever is killed. Then when to do what."""
        rng = self._rng
        long = [(new_id(), self._long()) for _ in range(LONG_JOBS)]
        patient = [(new_id(), self._patient()) for _ in range(2)]
        loud = [(new_id(), self._loud()) for _ in range(2)]
        first: list[Action] = [partial(self.submit, spec, job) for job, spec in (*long, *patient, *loud)]
        first += [partial(self._watch, job) for job in (patient[0][0], loud[0][0])]
        short = [partial(self.submit, self._short(number), new_id()) for number in range(SHORT_JOBS)]
        rest: list[Action] = [*short]
        for job, _ in long:
            rest.insert(rng.randrange(1, len(rest) + 1), partial(self.act, "cancel", job))
        for job, _ in patient:
            rest.insert(rng.randrange(1, 3), partial(self.act, "pause", job))
        rest.append(partial(self.act, "resume", patient[0][0]))
        times = sorted(rng.uniform(0, over_s) for _ in rest)
        return first, list(zip(times, rest, strict=True))

    def _short(self, number: int) -> JobSpec:
        """Some of its tasks fail for good, some at first only."""
        rng = self._rng
        most_s = 0.4 if number % 2 else 0.0  # quick ones are assigned ahead of free slots
        commands = tuple(
            words(self._folder, lines=rng.randint(1, 30), seconds=rng.uniform(0, most_s), codes=codes)
            for codes in rng.choices(("0", "3", "7,0"), weights=(8, 1, 1), k=SHORT_TASKS)
        )
        return JobSpec(
            command=commands[0], task_commands=commands, num_tasks=SHORT_TASKS, name=f"short-{number}",
            max_retries_failure=rng.randint(0, 1), max_task_failures=SHORT_TASKS,
        )  # fmt: skip

    def _long(self) -> JobSpec:
        """It has its slot for a while yet when it is told to end."""
        command = words(self._folder, lines=20 * FOREVER_S, seconds=FOREVER_S, manners="deaf")
        return JobSpec(command=command, name="long", grace_ms=500)

    def _loud(self) -> JobSpec:
        """Its log is on its way all the time."""
        return JobSpec(command=words(self._folder, lines=4_000, seconds=3), name="loud")

    def _patient(self) -> JobSpec:
        """It would be over before the chaos is, were it not paused."""
        return JobSpec(command=words(self._folder, lines=150, seconds=3), name="patient")
