"""Fetches the results that jobs ask the coordinator to keep, from the workers that have them, when the core says so."""

from collections.abc import Iterable

from opsconsole_coordinator.core.model import Collect, OutputCopy, Worker
from opsconsole_coordinator.server.collection import Collection
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.open_stream import Party, PartyKind
from opsconsole_coordinator.server.stream_broker import StreamBroker
from opsconsole_coordinator.transfer.message import Over
from opsconsole_protocol.error import Forbidden, InvalidRequest, LimitExceeded, NotFound, OpsconsoleError
from opsconsole_protocol.stream.message import FileRoot, ReadFiles, RootKind

_FINAL = frozenset({LimitExceeded.code, InvalidRequest.code, Forbidden.code})
"""Of errors that come again however often it is tried."""


class Collector:
    """Does what `CommitLoop.on_collects` is told, and tells the core what came of it."""

    def __init__(self, commit_loop: CommitLoop, broker: StreamBroker, collection: Collection) -> None:
        self._commit_loop = commit_loop
        self._broker = broker
        self._collection = collection
        commit_loop.on_collects = self.collect

    def collect(self, wanted: Iterable[Collect]) -> None:
        """Begin to fetch these results. Never blocks."""
        for one in wanted:
            worker = self._commit_loop.fleet.workers.get(one.worker_id)
            try:
                if worker is None:
                    raise NotFound("the worker was removed")
                self._begin(one.copy, worker)
            except OpsconsoleError as error:
                self._failed(one.copy, error.code, error.message)

    def _begin(self, copy: OutputCopy, worker: Worker) -> None:
        root = FileRoot(
            kind=RootKind.OUTPUT,
            job_id=copy.job_id,
            task_index=copy.index,
            attempt_id=copy.attempt_id,
            output_path=copy.output_path,
        )
        self._broker.fetch_for_store(
            Party(PartyKind.WORKER, worker.id, worker.name),
            ReadFiles(root=root, patterns=copy.patterns),
            f"results of job {copy.job_id}",
            copy.job_id,
            self._collection.receiving(copy.attempt_id),
            lambda over: self._on_over(copy, over),
        )

    def _on_over(self, copy: OutputCopy, over: Over) -> None:
        if over.code == NotFound.code:
            self._collected(copy, over)  # nothing matches
        elif over.error:
            self._failed(copy, over.code, over.error)
        else:
            self._collected(copy, over)

    def _collected(self, copy: OutputCopy, over: Over) -> None:
        now_ms = self._commit_loop.clock.now_ms()
        self._commit_loop.reactor.on_collected(
            copy.job_id, copy.index, copy.attempt_id, over.content_id, over.files, over.size_bytes, now_ms
        )
        self._commit_loop.changed()

    def _failed(self, copy: OutputCopy, code: str, reason: str) -> None:
        now_ms = self._commit_loop.clock.now_ms()
        self._commit_loop.reactor.on_collect_failed(
            copy.job_id, copy.index, copy.attempt_id, reason, now_ms, is_final=code in _FINAL
        )
        self._commit_loop.changed()
