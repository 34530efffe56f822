"""Who has which trees: the coordinator itself, its workers, and the machines of operators that offer what they have.

Nothing of it is stored: after a start the coordinator looks into its own store, and everybody else tells anew.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from opsconsole_coordinator.core.model import Job, Worker
from opsconsole_protocol import link
from opsconsole_protocol.error import LimitExceeded
from opsconsole_protocol.ids import ContentId, JobId, WorkerId
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.quantity import size_words
from opsconsole_protocol.spec import JobSpec

K = TypeVar("K")
V = TypeVar("V")

WORKER_CONTENTS_MAX = 100_000
"""Of one worker. Further trees count as not there: where one is needed it is looked for again by its worker."""
HOSTS_MAX = 1_000
"""Machines of operators that offer trees at a time."""


class Content(NamedTuple):
    """One tree that a job brings along."""

    content_id: ContentId
    size_bytes: int
    what: str
    """For people: `data.csv`, or `its bundle`."""
    host: str = ""
    """The machine that sends it once a worker is known, by name; empty where the coordinator keeps it."""
    host_id: str = ""
    place: str = ""
    """The worker or filesystem where the same lies anyway, and a task finds it, as `Worker.output_place` has it."""


class Host(NamedTuple):
    """A machine of an operator that is connected, and which trees it sends to whom they are needed by."""

    name: str
    content_ids: frozenset[ContentId]


class Sources(NamedTuple):
    """Who could send a tree now."""

    is_kept: bool
    """The coordinator has it."""
    worker_ids: tuple[WorkerId, ...]
    """Those workers that have it and are there."""
    host_ids: tuple[str, ...]


def contents_of(spec: JobSpec, handed: Iterable[Upload] = ()) -> tuple[Content, ...]:
    """The trees that a job brings along, each once: its uploads, the results that it was handed, and its bundle."""
    if not spec.uploads and spec.bundle is None and not handed:
        return ()
    found = {one.content_id: _of_upload(one) for one in (*spec.uploads, *handed)}
    if spec.bundle is not None:
        one = Content(spec.bundle.content_id, spec.bundle.size_bytes, "its bundle")
        found.setdefault(one.content_id, one)
    return tuple(found.values())


def _of_upload(upload: Upload) -> Content:
    return Content(upload.content_id, upload.size_bytes, upload.name, upload.host, upload.host_id)


def missing_bytes(contents: Iterable[Content], worker: Worker) -> int | None:
    """How much a worker would have to be sent; None where it has all of them. An empty file has to be sent, too."""
    here, places = worker.contents, (worker.id, worker.output_place)
    sizes = [one.size_bytes for one in contents if one.content_id not in here and one.place not in places]
    return sum(sizes) if sizes else None


def supply_words(contents: Sequence[Content], lacks_bytes: int | None) -> str:
    """How far a worker has what a job brings along: `has 3.1 of 3.1 GB of its data`; empty where that is nothing.

    `lacks_bytes`: as `missing_bytes` has it.
    """
    if not contents:
        return ""
    size_bytes = sum(one.size_bytes for one in contents)
    whole = size_words(size_bytes)
    if lacks_bytes == size_bytes:
        return f"has none of its data yet, {whole}"
    has = size_words(size_bytes - (lacks_bytes or 0))
    if lacks_bytes is not None and has == whole:  # a little is lacking, or a file without bytes
        return f"lacks {size_words(lacks_bytes)} of {whole} of its data"
    number, _, unit = has.partition(" ")
    return f"has {number if whole.endswith(f' {unit}') else has} of {whole} of its data"


def arriving(job: Job, here: Collection[ContentId], done_bytes: int) -> tuple[ContentId, int] | None:
    """Which tree comes to a worker that has those `here`, and how much of it has; they come one by one, the code first."""
    bundle = job.spec.bundle
    sizes = {one.content_id: one.size_bytes for one in contents_of(job.spec, job.handed.values())}
    code = () if bundle is None else (bundle.content_id,)
    for one in dict.fromkeys((*code, *(upload.content_id for upload in job.uploads))):
        if one not in here:
            return one, min(max(0, done_bytes), sizes[one])
        done_bytes -= sizes[one]
    return None


class Contents:
    """The trees that can be had, and the jobs in memory that bring trees along."""

    def __init__(self) -> None:
        self._kept: set[ContentId] = set()
        self._hosts: dict[str, Host] = {}
        self._offered: dict[ContentId, set[str]] = {}
        self._holders: dict[ContentId, set[WorkerId]] = {}
        self._jobs: dict[ContentId, set[JobId]] = {}

    # --- what is told ------------------------------------------------------------------------------------------

    def note_worker(self, worker: Worker, message: link.Contents) -> bool:
        """A worker says which trees it has, or what came and went. Returns whether a job brings one of the new ones along."""
        if message.whole:
            self.forget_worker(worker)
        for one in message.removed:
            worker.contents.discard(one)
            _discard(self._holders, one, worker.id)
        added = [one for one in dict.fromkeys(message.added) if one not in worker.contents]
        del added[max(0, WORKER_CONTENTS_MAX - len(worker.contents)) :]
        for one in added:
            worker.contents.add(one)
            self._holders.setdefault(one, set()).add(worker.id)
        return self._is_any_needed(added)

    def forget_worker(self, worker: Worker) -> None:
        """What a worker has isn't known any more: it connects anew and will say, or it is gone."""
        for one in worker.contents:
            _discard(self._holders, one, worker.id)
        worker.contents.clear()

    def note_kept(self, added: Collection[ContentId], removed: Collection[ContentId]) -> bool:
        """The coordinator keeps some trees from now on, others no longer. Returns whether a job brings a new one along."""
        self._kept.difference_update(removed)
        self._kept.update(added)
        return self._is_any_needed(added)

    def note_host(self, host_id: str, name: str, content_ids: Collection[ContentId]) -> bool:
        """A machine offers these trees and no others. Returns whether a job brings a new one along. Raises LimitExceeded."""
        before = self._hosts.get(host_id)
        if before is None and len(self._hosts) >= HOSTS_MAX:
            raise LimitExceeded(
                f"{HOSTS_MAX} machines offer files already: end an opsconsole that waits on one of them"
            )
        known = before.content_ids if before is not None else frozenset()
        host = self._hosts[host_id] = Host(name, frozenset(content_ids))
        for one in known - host.content_ids:
            _discard(self._offered, one, host_id)
        added = host.content_ids - known
        for one in added:
            self._offered.setdefault(one, set()).add(host_id)
        return self._is_any_needed(added)

    def forget_host(self, host_id: str) -> None:
        """A machine of an operator is gone."""
        host = self._hosts.pop(host_id, None)
        for one in host.content_ids if host is not None else ():
            _discard(self._offered, one, host_id)

    def jobs_of_host(self, host_id: str) -> frozenset[JobId]:
        """The jobs in memory that bring something along which a machine offers."""
        host = self._hosts.get(host_id)
        return frozenset(job for one in (host.content_ids if host is not None else ()) for job in self.jobs_with(one))

    # --- jobs --------------------------------------------------------------------------------------------------

    def add_job(self, job: Job) -> None:
        """A job is in memory from now on."""
        for one in contents_of(job.terms.spec, job.handed.values()):
            self._jobs.setdefault(one.content_id, set()).add(job.id)

    def remove_job(self, job: Job) -> None:
        """A job leaves memory."""
        for one in contents_of(job.terms.spec, job.handed.values()):
            _discard(self._jobs, one.content_id, job.id)

    def jobs_with(self, content_id: ContentId) -> frozenset[JobId]:
        """The jobs in memory that bring a tree along, those included that have just ended."""
        return frozenset(self._jobs.get(content_id, ()))

    def jobs_with_any(self) -> set[JobId]:
        """The jobs in memory that bring any tree along: of a hundred thousand that wait, mostly few."""
        return {job_id for some in self._jobs.values() for job_id in some}

    def _is_any_needed(self, content_ids: Iterable[ContentId]) -> bool:
        return any(one in self._jobs for one in content_ids)

    # --- what can be had ---------------------------------------------------------------------------------------

    def sources(self, content_id: ContentId, workers: Mapping[WorkerId, Worker]) -> Sources:
        """Who could send a tree now."""
        holders = sorted(self._holders.get(content_id, ()))
        there = tuple(one for one in holders if one in workers and workers[one].is_reachable)
        return Sources(content_id in self._kept, there, tuple(sorted(self._offered.get(content_id, ()))))

    def can_be_had(self, content_id: ContentId, workers: Mapping[WorkerId, Worker]) -> bool:
        """Whether anybody could send a tree now."""
        if content_id in self._kept or content_id in self._offered:
            return True
        return any(one in workers and workers[one].is_reachable for one in self._holders.get(content_id, ()))

    def shortage(
        self,
        contents: Sequence[Content],
        workers: Mapping[WorkerId, Worker],
        begun: tuple[ContentId, int] | None = None,
    ) -> str:
        """What a job waits for, since nobody who is there has it, and from where; empty where all of it can be had.

        `begun`: how much of one tree has arrived already.
        """
        missing = [one for one in contents if not self.can_be_had(one.content_id, workers)]
        if not missing:
            return ""
        first = missing[0]
        if not first.host_id:
            size = size_words(first.size_bytes)
            return f"waits for {first.what} ({size}), which the coordinator doesn't keep any more: submit it again"
        theirs = {one.content_id: one.size_bytes for one in missing if one.host_id == first.host_id}
        lacks_bytes = sum(theirs.values())
        here_bytes = begun[1] if begun is not None and begun[0] in theirs else 0
        size = f"{size_words(lacks_bytes - here_bytes)} of " * bool(here_bytes) + size_words(lacks_bytes)
        is_here = first.host_id in self._hosts
        state = "which doesn't offer it any more: submit it again there" if is_here else "which is not connected"
        return f"waits for {size} from host {first.host}, {state}"


def _discard(sets: dict[K, set[V]], key: K, value: V) -> None:
    found = sets.get(key)
    if found is not None:
        found.discard(value)
        if not found:
            del sets[key]
