"""What the core hands to its shell: rows to commit, messages to release afterwards, and which rows to show anew."""

from dataclasses import dataclass, field

from opsconsole_coordinator.core.calendar import Reservation
from opsconsole_coordinator.core.checkpoint import CopyCheckpoint
from opsconsole_coordinator.core.model import Attempt, Collect, Job, OutputCopy, OutputKey, Project, Worker, copy_job
from opsconsole_coordinator.core.task import Task
from opsconsole_coordinator.core.usage_day import UsageDay
from opsconsole_protocol.api import EventRow, TemplateRow
from opsconsole_protocol.ids import AttemptId, JobId, SessionId, WorkerId
from opsconsole_protocol.link import CoordinatorMessage
from opsconsole_protocol.share import Share


@dataclass(slots=True)
class Batch:
    """Everything since the last batch. `seq` is the last event's sequence number."""

    seq: int
    jobs_added: list[Job] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    specs: list[Job] = field(default_factory=list)
    """Jobs among `jobs` whose spec is another than before."""
    tasks: list[tuple[JobId, Task]] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    workers_shown: list[WorkerId] = field(default_factory=list)
    """Workers whose row is shown anew, whether what changed is stored or not."""
    workers_removed: list[WorkerId] = field(default_factory=list)
    jobs_shown: list[Job] = field(default_factory=list)
    """Jobs whose row is shown anew though nothing changed that is stored."""
    projects: list[Project] = field(default_factory=list)
    people: list[tuple[str, Share]] = field(default_factory=list)
    """What people were given of the fleet."""
    usage: list[UsageDay] = field(default_factory=list)
    templates: list[TemplateRow] = field(default_factory=list)
    """New versions of templates, in their order."""
    templates_removed: list[str] = field(default_factory=list)
    reservations: dict[str, Reservation | None] = field(default_factory=dict)
    """What operators have reserved, by id; None: it is over, or was taken back."""
    events: list[EventRow] = field(default_factory=list)
    sends: list[tuple[WorkerId, SessionId, CoordinatorMessage]] = field(default_factory=list)
    closes: list[tuple[WorkerId, SessionId, str, str]] = field(default_factory=list)
    """Sessions to end, with an error code and message."""
    forgotten: list[AttemptId] = field(default_factory=list)
    output_copies: list[OutputCopy] = field(default_factory=list)
    output_copies_removed: list[OutputKey] = field(default_factory=list)
    collects: list[Collect] = field(default_factory=list)
    """Results to be fetched once this is committed; what comes of each is told to the reactor."""
    checkpoints: list[CopyCheckpoint] = field(default_factory=list)
    """Checkpoints to be copied once this is committed; what comes of each is told to the reactor."""
    adopting: bool = False
    """The store was restored from a backup, and no admin has confirmed that yet."""
    epoch: tuple[int, str] = (0, "")
    """The first sequence number of the epoch in which this was noted, and its mark."""

    def take_calm(self) -> set[JobId]:
        """Those new jobs of which nothing waits, has begun or was handed over, as they are now: of each a copy takes its place, so
        that all that comes later leaves it as it is."""
        calm = {
            job.id: copy_job(job)
            for job in self.jobs_added
            if job.is_fresh and not (job.after or job.open_attempts or job.handed)
        }
        self.jobs_added = [calm.get(job.id, job) for job in self.jobs_added]
        self.jobs = [calm.get(job.id, job) for job in self.jobs]
        return set(calm)

    @property
    def must_commit(self) -> bool:
        """Whether anything has to be durable before the messages go out."""
        return bool(
            self.jobs_added
            or self.jobs
            or self.tasks
            or self.attempts
            or self.workers
            or self.projects
            or self.people
            or self.usage
            or self.templates
            or self.templates_removed
            or self.reservations
            or self.events
            or self.workers_removed
            or self.output_copies
            or self.output_copies_removed
        )
