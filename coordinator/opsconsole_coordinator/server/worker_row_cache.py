"""The rows of workers as they are now; each version of a row is encoded once, however many are told of it."""

from collections.abc import Callable, Iterable

from msgspec import Raw

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.server import preencoded
from opsconsole_coordinator.server.commit_loop import CommitLoop, ToldRows
from opsconsole_protocol import api
from opsconsole_protocol.api import EventRow
from opsconsole_protocol.ids import WorkerId


class WorkerRowCache:
    """Rows are made when somebody asks for them, so heartbeats cost nothing while nobody looks."""

    def __init__(self, commit_loop: CommitLoop) -> None:
        self._commit_loop = commit_loop
        self._fleet = commit_loop.fleet
        self._was_adopting = False
        self._rows: dict[WorkerId, Raw] = {}
        self._everyone: api.AnyAnswer | None = None
        commit_loop.commit_listeners.append(self)

    def publish(self, jobs: ToldRows, workers: Iterable[WorkerId], events: list[EventRow], seq: int) -> None:
        """Forget these workers' rows, which are out of date."""
        del jobs, events, seq
        for worker in workers:
            self._rows.pop(worker, None)
            self._everyone = None

    def row(self, worker_id: WorkerId) -> Raw | None:
        """One worker's row; None where there is no such worker any more, or it was revoked."""
        self._check()
        worker = self._fleet.workers.get(worker_id)
        return self._row(worker) if worker is not None and not worker.revoked else None

    def rows(self) -> tuple[Raw, ...]:
        """The rows of all workers that weren't revoked."""
        self._check()
        return tuple(self._row(worker) for worker in self._fleet.workers.values() if not worker.revoked)

    def everyone(self) -> api.AnyAnswer:
        """The list of all workers that weren't revoked, ordered by name and encoded as a whole."""
        self._check()
        if self._everyone is not None:
            return self._everyone
        found = self.those(lambda worker: not worker.revoked)
        if all(
            worker.revoked or worker.id in self._rows for worker in self._fleet.workers.values()
        ):  # all rows are cached, so the list holds until one changes
            self._everyone = found
        return found

    def those(self, are_wanted: Callable[[Worker], bool]) -> api.AnyAnswer:
        """The list of the wanted workers, ordered by name."""
        self._check()
        workers = sorted(filter(are_wanted, self._fleet.workers.values()), key=lambda worker: worker.name)
        return preencoded.answer(api.WorkerList(workers=preencoded.rows(map(self._row, workers), api.WorkerRow)))

    def _check(self) -> None:
        """Forget all rows once the fleet was built anew, or a restore was noticed or confirmed, which changes every row."""
        fleet = self._commit_loop.fleet
        if fleet is not self._fleet or fleet.adopting is not self._was_adopting:
            self._fleet, self._was_adopting = fleet, fleet.adopting
            self._rows.clear()
            self._everyone = None

    def _row(self, worker: Worker) -> Raw:
        found = self._rows.get(worker.id)
        if found is None:
            now_ms = self._commit_loop.clock.now_ms()
            found = preencoded.encode(view.worker_row(self._fleet, worker, now_ms))
            if worker.avoided_until_ms <= now_ms:  # the row of an avoided worker changes as time passes
                self._rows[worker.id] = found
        return found
