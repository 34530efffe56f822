"""Who needs the coordinator that would stop together with this console. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opsconsole.fleet import Fleet
from opsconsole_console.model.live_task import live_tasks
from opsconsole_protocol.state import TaskState, WorkerConnection

_NAMED_MAX = 4


@dataclass(frozen=True)
class Needs:
    """Who would miss a coordinator: other consoles, workers other than the console's own, and jobs, all by name."""

    consoles: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    live: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any((self.consoles, self.workers, self.live, self.waiting))


def needs(fleet: Fleet, *, own_worker: str | None, watchers: Sequence[str], own_name: str) -> Needs:
    """Who needs the coordinator. `watchers` are the names behind all open consoles, `own_name` is this one's."""
    jobs = sorted((job for job in fleet.jobs.values() if job.finished_at_ms is None), key=lambda job: job.created_at_ms)
    live = [job for job in jobs if live_tasks(job)]
    return Needs(
        consoles=tuple((Counter(watchers) - Counter((own_name,))).elements()),
        workers=tuple(
            sorted(
                w.name
                for w in fleet.workers.values()
                if w.connection == WorkerConnection.CONNECTED and w.id != own_worker
            )
        ),
        live=tuple(job.name for job in live),
        waiting=tuple(job.name for job in jobs if not live_tasks(job) and job.task_counts.get(TaskState.PENDING)),
    )


def question_detail(found: Needs) -> str:
    """What the question says below itself: who needs the coordinator, a line for each kind."""
    lines = ["It runs in this console. It would be missed by"]
    for words, names in (
        ("other consoles", found.consoles),
        ("workers", found.workers),
        ("jobs at work, which go on unseen", found.live),
        ("jobs that wait, and won't start", found.waiting),
    ):
        if names:
            lines.append(f"  {words}: {_some(names)}")
    lines.append("`opsconsole serve` runs one that outlives every console.")
    return "\n".join(lines)


def _some(names: Iterable[str]) -> str:
    many = [name if number == 1 else f"{name} ({number})" for name, number in Counter(names).items()]
    rest = len(many) - _NAMED_MAX
    return ", ".join(many[:_NAMED_MAX]) + (f" and {rest:,} more" if rest > 0 else "")
