"""The fleet in memory, and notes of what has changed. The rules are in the modules beside this one."""

from collections.abc import Callable, Iterable

from opsconsole_coordinator.core.batch import Batch
from opsconsole_coordinator.core.calendar import Reservations
from opsconsole_coordinator.core.checkpoint import CheckpointCopy, CopyCheckpoint
from opsconsole_coordinator.core.content import Contents
from opsconsole_coordinator.core.dependent import some_names
from opsconsole_coordinator.core.history import Kind
from opsconsole_coordinator.core.model import (
    Attempt,
    Collect,
    Job,
    OutputCopy,
    OutputKey,
    Project,
    ProjectStatus,
    Reserved,
    Worker,
)
from opsconsole_coordinator.core.order import Group, Order
from opsconsole_coordinator.core.output_copy import OutputCopies
from opsconsole_coordinator.core.question import UNASKED, Answer, Question, Questions
from opsconsole_coordinator.core.ready import add_ready, tasks_wait_for
from opsconsole_coordinator.core.seal import Seal
from opsconsole_coordinator.core.story import Stories
from opsconsole_coordinator.core.tally import Tally
from opsconsole_coordinator.core.task import Task
from opsconsole_coordinator.core.templates import Templates
from opsconsole_coordinator.core.usage import Usage
from opsconsole_protocol import link
from opsconsole_protocol.api import EventRow
from opsconsole_protocol.bound import cut
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import AttemptId, JobId, SessionId, WorkerId
from opsconsole_protocol.share import EQUAL_SHARE, Share
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import (
    AttemptState,
    TaskState,
    check_attempt_move,
    check_task_move,
)

INPUT_ANSWER_MS_MAX = 15_000
"""An answer about an input file or a folder is asked for again after this time."""
EVENT_CHARACTERS_MAX = 1_000


class Fleet:
    """All live entities by id, the waiting jobs in order, and notes of what became dirty since the last batch.

    `random_bits(n)` gives n random bits; the time comes with every call as `now_ms`. `key` is the store's, for seals.
    """

    def __init__(
        self, random_bits: Callable[[int], int], seq: int = 0, store_id: str = "", name: str = "", key: bytes = b""
    ) -> None:
        self.random_bits = random_bits
        self.store_id = store_id
        self.seal = Seal(key)
        self.name = name
        self.attempt_log_bytes = link.ATTEMPT_LOG_BYTES
        self.seq = seq
        self.adopting = False
        """The store was restored from a backup: what it doesn't know is left alone until an admin confirms."""
        self.restore_confirmed = False
        self.jobs: dict[JobId, Job] = {}
        self.workers: dict[WorkerId, Worker] = {}
        self.attempts: dict[AttemptId, Attempt] = {}
        self.dependents: dict[JobId, set[JobId]] = {}
        self.moved: dict[JobId, set[int]] = {}
        """Tasks that have moved since the jobs after theirs were told."""
        self.order = Order()
        self.tally = Tally()
        self.projects: dict[str, Project] = {}
        self.people: dict[str, Share] = {}
        """What people were given of the fleet, where that isn't what everybody has."""
        self.usage = Usage()
        self.templates = Templates()
        self.questions = Questions()
        self.contents = Contents()
        self.output_copies = OutputCopies()
        self.checkpoint_copies: dict[OutputKey, CheckpointCopy] = {}
        self.must_schedule = False
        self.changed: set[WorkerId] = set()
        """The workers that have changed since the scheduler's last pass."""
        self.all_changed = True
        """Something changed since that may concern every worker."""
        self.room: dict[WorkerId, Worker] = {}
        """The workers that could start one more task at once, as the scheduler's last pass left them."""
        self.passes = 0
        """How often the scheduler has passed through the queue."""
        self.next_sample = 0
        """Where among the workers the last sample of them began."""
        self.timed_waits: dict[JobId, None] = {}
        """Jobs with a `scheduling_timeout`."""
        self.timed_jobs: dict[JobId, None] = {}
        """Jobs with a `job_timeout`."""
        self.reserved: dict[WorkerId, Reserved] = {}
        """What is kept free on each worker for a job that doesn't fit yet; each worker holds its own, too."""
        self.reservations = Reservations()
        self.turn_until_ms = 0
        """When the last gang's turn to reserve workers ends, or ended."""
        self.job_seq = 0
        self.kinds: dict[str, Kind] = {}
        """What is remembered of the runs of each kind of job, first the kind that ran the longest time ago."""
        self.stored_logs: Callable[[AttemptId], dict[str, int]] = lambda _: {}
        """How many bytes of each source of an attempt's log are stored, also of an attempt that a restored store has forgotten."""
        self.stories = Stories()
        self._reset_notes()

    # --- notes -------------------------------------------------------------------------------------------------

    def _reset_notes(self) -> None:
        self._jobs_added: dict[JobId, None] = {}
        self._jobs: dict[JobId, None] = {}
        self._specs: dict[JobId, None] = {}
        self._tasks: dict[tuple[JobId, int], None] = {}
        self._attempts: dict[AttemptId, Attempt] = {}
        self._workers: dict[WorkerId, None] = {}
        self._workers_shown: dict[WorkerId, None] = {}
        self._workers_removed: dict[WorkerId, None] = {}
        self._jobs_shown: dict[JobId, None] = {}
        self._projects: dict[str, Project] = {}
        self._people: dict[str, None] = {}
        self._events: list[EventRow] = []
        self._sends: list[tuple[WorkerId, SessionId, link.CoordinatorMessage]] = []
        self._closes: list[tuple[WorkerId, SessionId, str, str]] = []
        self._forgotten: list[AttemptId] = []
        self._output_copies: dict[OutputKey, OutputCopy] = {}
        self._output_copies_removed: dict[OutputKey, None] = {}
        self._collects: list[Collect] = []
        self._checkpoints: list[CopyCheckpoint] = []

    @property
    def is_dirty(self) -> bool:
        """Whether anything was noted since the last batch."""
        return bool(
            self._jobs
            or self._events
            or self._sends
            or self._workers_shown
            or self._attempts
            or self._closes
            or self._output_copies
            or self._output_copies_removed
            or self._collects
            or self._checkpoints
        )

    @property
    def has_jobs_to_show(self) -> bool:
        """Whether something is to be shown of jobs that needs no commit, and may wait for the next tick."""
        return bool(self._jobs_shown)

    def drain(self) -> Batch:
        """Hand over all notes, and begin anew."""
        templates, templates_removed = self.templates.take_notes()
        batch = Batch(
            seq=self.seq,
            jobs_added=[self.jobs[job] for job in self._jobs_added],
            jobs=[self.jobs[job] for job in self._jobs],
            specs=[self.jobs[job] for job in self._specs],
            tasks=[(job, self.jobs[job].tasks[index]) for job, index in self._tasks if job not in self._jobs_added],
            attempts=list(self._attempts.values()),
            workers=[self.workers[worker] for worker in self._workers if worker in self.workers],
            workers_shown=list(self._workers_shown),
            workers_removed=list(self._workers_removed),
            jobs_shown=[self.jobs[job] for job in self._jobs_shown if job in self.jobs and job not in self._jobs],
            projects=list(self._projects.values()),
            people=[(name, self.people.get(name, EQUAL_SHARE)) for name in self._people],
            usage=self.usage.take_dirty(),
            templates=templates,
            templates_removed=templates_removed,
            reservations=self.reservations.take_dirty(),
            events=self._events,
            sends=self._sends,
            closes=self._closes,
            forgotten=self._forgotten,
            output_copies=list(self._output_copies.values()),
            output_copies_removed=list(self._output_copies_removed),
            collects=self._collects,
            checkpoints=self._checkpoints,
            adopting=self.adopting,
            epoch=self.seal.epoch,
        )
        self._reset_notes()
        return batch

    def audit(self, now_ms: int, actor: str, kind: EventKind, text: str, subject: str) -> None:
        """Note an event row: who, when, what, why."""
        text = cut(text, EVENT_CHARACTERS_MAX)
        self.seq += 1
        self._events.append(EventRow(seq=self.seq, at_ms=now_ms, actor=actor, kind=kind, text=text, subject=subject))
        self.stories.add(subject, text)

    def send(self, worker: Worker, message: link.CoordinatorMessage) -> None:
        """Note a message to a worker. One that has no session is told with the whole set when it returns."""
        if worker.session is not None:
            self._sends.append((worker.id, worker.session, message))

    def close(self, worker: Worker, code: str, message: str) -> None:
        """Note that the worker's session shall end."""
        if worker.session is not None:
            self._closes.append((worker.id, worker.session, code, message))
            worker.session = None
        self.show_worker(worker)

    def next_seq(self, worker: Worker) -> int:
        """The next number of a message that changes the worker's desired set."""
        worker.seq += 1
        return worker.seq

    def touch_job(self, job: Job) -> None:
        """Something of the job changed that is stored."""
        self._jobs[job.id] = None

    def is_noted(self, job: Job) -> bool:
        """Whether the next batch writes the job's row anyway."""
        return job.id in self._jobs

    def touch_task(self, job: Job, task: Task) -> None:
        """Something of the task changed that is stored."""
        self._tasks[job.id, task.index] = None
        self._jobs[job.id] = None

    def touch_output_copy(self, copy: OutputCopy) -> None:
        """Results are wanted, or something of that changed."""
        self._output_copies_removed.pop(copy.key, None)
        self._output_copies[copy.key] = copy

    def drop_output_copy(self, copy: OutputCopy) -> None:
        """Results aren't wanted any more, as if they had never been."""
        self._output_copies.pop(copy.key, None)
        self._output_copies_removed[copy.key] = None

    def collect(self, collect: Collect) -> None:
        """Note that results are to be fetched."""
        self._collects.append(collect)

    def copy_checkpoint(self, wanted: CopyCheckpoint) -> None:
        """Note that a checkpoint is to be copied."""
        self._checkpoints.append(wanted)

    def touch_attempt(self, attempt: Attempt) -> None:
        """Something of the attempt changed that is stored."""
        self._attempts[attempt.id] = attempt

    def touch_worker(self, worker: Worker) -> None:
        """Something of the worker changed that is stored."""
        self._workers[worker.id] = None
        self.show_worker(worker)

    def touch_project(self, project: Project) -> None:
        """Something of the project changed."""
        self._projects[project.name] = project

    def touch_person(self, name: str) -> None:
        """Something of what a person was given changed."""
        self._people[name] = None

    def touch_spec(self, job: Job) -> None:
        """The job's spec is another one than before."""
        self._specs[job.id] = None
        self.touch_job(job)

    def remove_worker(self, worker: Worker) -> None:
        """Forget a worker whose attempts have ended and that owes no logs."""
        self.reserved.pop(worker.id, None)
        self.contents.forget_worker(worker)
        del self.workers[worker.id]
        self.changed.add(worker.id)
        self._workers_removed[worker.id] = None
        self._workers_shown[worker.id] = None

    def show_worker(self, worker: Worker) -> None:
        """Something of the worker changed that is shown, but not stored."""
        self._workers_shown[worker.id] = None
        self.changed.add(worker.id)

    def show_readings(self, worker: Worker) -> None:
        """Readings of the worker changed that let no task start."""
        self._workers_shown[worker.id] = None

    def show_job(self, job: Job) -> None:
        """Something of the job changed that is shown, but not stored."""
        self._jobs_shown[job.id] = None

    def ask(self, question: Question, now_ms: int) -> None:
        """Ask a worker about a file or folder, unless its last answer still counts. That answer stands until the next."""
        known = self.questions.answers.get(question, UNASKED)
        if known.good_until_ms <= now_ms:
            self.questions.answers[question] = known._replace(good_until_ms=now_ms + INPUT_ANSWER_MS_MAX)
            check_id = self.questions.number_of(question)
            message = link.InputFile(check_id=check_id, filename=question.name, kind=question.kind)
            self.send(self.workers[question.worker_id], message)

    def note_answer(self, check_id: int, worker_id: WorkerId, answer: Answer) -> None:
        """Note a worker's answer to a question that it was asked; anything else is ignored."""
        if self.questions.note_answer(check_id, worker_id, answer):
            self.changed.add(worker_id)
            self.must_schedule = True

    # --- entities ----------------------------------------------------------------------------------------------

    def add_jobs(self, jobs: Iterable[Job]) -> None:
        """Take in new jobs, with all their tasks in their first state."""
        new = {job.id: job for job in jobs}
        self.jobs |= new
        self._jobs_added.update(dict.fromkeys(new))
        self._jobs.update(dict.fromkeys(new))
        for job in new.values():
            if not job.terms.is_plain:
                self.index_job(job)
        self.tally.add_waiting(job for job in new.values() if job.terms.is_plain)

    def add_tasks(self, job: Job, spec: JobSpec, now_ms: int) -> None:
        """Give a job another spec, with more tasks, which wait: for an operator, where all that is left of it does."""
        held = job.state in {TaskState.HELD, TaskState.PAUSED}
        job.spec = spec
        self.touch_spec(job)
        for index in range(job.num_tasks, spec.num_tasks):
            task = Task(index=index, state=TaskState.HELD, pending_since_ms=now_ms, held=held)
            job.tasks.append(task)
            self.tally.add_task(job, TaskState.HELD)
            self.set_task(job, task, TaskState.HELD if held else TaskState.PENDING)

    def index_job(self, job: Job) -> None:
        """Note a job where other jobs, the clock and those who have its data look for it."""
        self.tally.add_job(job)
        self.contents.add_job(job)
        for other in job.after:
            self.dependents.setdefault(other, set()).add(job.id)
        for one in job.terms.dependencies:
            job.waits.needs[JobId(one.job)] = (*job.needs.get(JobId(one.job), ()), one)
        if job.terms.spec.job_timeout_ms is not None:
            self.timed_jobs[job.id] = None
        if job.terms.spec.scheduling_timeout_ms is not None:
            self.timed_waits[job.id] = None

    def project_status(self, name: str) -> ProjectStatus:
        """A project that nobody has set is active."""
        project = self.projects.get(name)
        return ProjectStatus.ACTIVE if project is None else project.status

    def current(self, task: Task) -> Attempt | None:
        """The task's live or last attempt, while it is in memory."""
        return self.attempts.get(task.current) if task.current is not None else None

    def live_attempts(self, job: Job) -> list[Attempt]:
        """The job's attempts that haven't ended."""
        found = (self.attempts[one] for one in job.open_attempts)
        return [attempt for attempt in found if not attempt.is_finished]

    def set_task(self, job: Job, task: Task, state: TaskState, reason: str = "", cause: str = "") -> None:
        """Move a task along the table of states. `reason` says why in words; `cause` is an EndCause where it ends badly.

        Raises IllegalTransition where the table has no such move, and then nothing changed.
        """
        if task.state is not state:
            check_task_move(job.task_id(task.index), task.state, state, self.stories.tell(job.task_id(task.index)))
        self._tasks[job.id, task.index] = None
        self._jobs[job.id] = None
        task.reason = reason
        task.cause = cause
        if task.state is state:
            return
        self.tally.move(job, task.state, state)
        if task.state is TaskState.PENDING and TaskState.PENDING not in job.counts:
            self.order.discard(job)
        task.state = state
        if job.id in self.dependents:
            self.moved.setdefault(job.id, set()).add(task.index)
        if state is TaskState.PENDING and not job.is_task_waiting(task.index):
            add_ready(job, task.index)
            group = self.queue(job)
            if group is not None and job.spec.gang:
                group.look_again()
            self.must_schedule = True

    def queue(self, job: Job) -> Group | None:
        """Put a job with pending tasks where the scheduler looks, and return its group; not where more than a worker is missing."""
        waits = self.waits_for(job) or tasks_wait_for(job)
        if waits:
            self.order.discard(job)
            if job.fault or not job.blocked_by:  # else its reason says why
                self.note_reason(job, waits)
            return None
        before = self.order.group_of(job.id)
        group = self.order.add(job)
        if group is not before and not group.must_explain:
            self.note_reason(job, group.reason)
        return group

    def note_reason(self, job: Job, reason: str) -> None:
        """Say why the job's next task waits."""
        if job.reason != reason:
            job.reason = reason
            self.touch_job(job)

    def waits_for(self, job: Job) -> str:
        """What a job waits for that isn't a worker; empty where it is one."""
        if job.fault or job.waiting_on or job.blocked_by:
            return job.fault or f"waits for {some_names({*job.waiting_on, *job.blocked_by})}"
        most = job.terms.spec.max_parallel
        if most is not None and (count := sum(not one.lost for one in self.live_attempts(job))) >= most:
            run = "task runs" if count == 1 else "tasks run"
            return f"{count} {run}, and no more than {most} of it may at a time (--max-parallel)"
        return ""

    def look_again(self, job: Job) -> None:
        """Something changed that a job waited for, if it waits."""
        group = self.order.group_of(job.id)
        if group is not None:
            group.look_again()
            self.must_schedule = True

    def note_all_changed(self) -> None:
        """Something changed that may let any worker take any task."""
        self.all_changed = self.must_schedule = True

    def set_attempt(self, attempt: Attempt, state: AttemptState) -> None:
        """Move an attempt along the table of states. Raises IllegalTransition, and then nothing changed."""
        if attempt.state is not state:
            story = self.stories.tell(f"{attempt.job_id}/task-{attempt.index}")
            check_attempt_move(f"attempt {attempt.id}", attempt.state, state, story)
            attempt.state = state
        self.touch_attempt(attempt)

    def hold_slot(self, job: Job, worker: Worker, attempt: Attempt, now_ms: int) -> None:
        """Give the attempt its slot and GPUs."""
        worker.live[attempt.id] = attempt
        self.usage.begin(job, attempt, now_ms)
        self.show_worker(worker)

    def release_slot(self, job: Job, attempt: Attempt, now_ms: int) -> None:
        """Free the attempt's slot and GPUs: nothing of it lives, or nobody can tell any more."""
        worker = self.workers.get(attempt.worker_id)
        if worker is not None and worker.live.take_out(attempt.id) is not None:
            worker.ended[attempt.id] = attempt
            self.usage.end(job, attempt, now_ms)
            self.order.note_release(job.spec.project, job.submitted_by)
            if job.spec.max_parallel is not None and job.ready:
                self.queue(job)
            self.show_worker(worker)
            self.must_schedule = True

    def close_attempt(self, attempt: Attempt) -> None:
        """Close an attempt that its worker may forget: it leaves memory once that is committed."""
        attempt.open = False
        self.touch_attempt(attempt)
        job = self.jobs.get(attempt.job_id)
        if job is not None:
            job.open_attempts -= {attempt.id}
        self._forgotten.append(attempt.id)
        worker = self.workers.get(attempt.worker_id)
        if worker is not None:
            worker.ended.pop(attempt.id, None)

    def release_attempt(self, task: Task) -> None:
        """The task's last attempt is about to be replaced: if it is closed, it leaves memory once that is committed."""
        last = self.current(task)
        if last is not None and not last.open:
            self._forgotten.append(last.id)

    def evict(self, forgotten: Iterable[AttemptId], jobs: Iterable[JobId]) -> None:
        """Drop from memory, after a commit, what has ended and is in the store."""
        for attempt_id in forgotten:
            attempt = self.attempts.get(attempt_id)
            if attempt is not None and attempt.is_finished and not attempt.open:
                job = self.jobs.get(attempt.job_id)
                if job is None or job.tasks[attempt.index].current != attempt_id:
                    del self.attempts[attempt_id]
        for job_id in jobs:
            job = self.jobs.get(job_id)
            if job is None or (job.is_fresh and job.ready):
                continue  # most of 10,000 that came in at once
            if job.is_finished and not job.open_attempts and not self.is_noted(job):
                self._evict_job(job)

    def _evict_job(self, job: Job) -> None:
        self.order.discard(job)
        for task in () if job.is_fresh else job.tasks:
            if task.current is not None:
                self.attempts.pop(task.current, None)
            self.stories.forget(job.task_id(task.index))
        self.stories.forget(job.id)
        for other in job.after:
            if (dependents := self.dependents.get(other)) is not None:
                dependents.discard(job.id)
                if not dependents:
                    del self.dependents[other]
        self.moved.pop(job.id, None)
        self.timed_jobs.pop(job.id, None)
        self.timed_waits.pop(job.id, None)
        self.contents.remove_job(job)
        self.tally.add_job(job, -1)
        del self.jobs[job.id]
