"""One ledger for all who look on: equal ones share an update, slow ones get one row of each, and none is forgotten."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from opsconsole.fleet import EVENTS_MAX
from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.server import broadcaster as broadcaster_module
from opsconsole_coordinator.server.broadcaster import Broadcaster, Subscriber
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.worker_row_cache import WorkerRowCache
from opsconsole_coordinator.store.database import Database
from opsconsole_protocol.api import EventRow, JobRow, Update, WorkerList
from opsconsole_protocol.ids import JobId, WorkerId


class Stage:
    """A broadcaster without a network: what is published, and what each would be told."""

    def __init__(self, folder: Path) -> None:
        self.commit_loop = CommitLoop(Database(folder / "opsconsole.db"), "lab")
        self.worker_row_cache = WorkerRowCache(self.commit_loop)
        self.broadcaster = Broadcaster(self.commit_loop, self.worker_row_cache)
        self.seq = 0

    def worker(self, name: str) -> Worker:
        worker = Worker(id=WorkerId(f"id-of-{name}"), name=name)
        self.commit_loop.fleet.workers[worker.id] = worker
        return worker

    def publish(self, *jobs: JobRow, workers: Iterable[WorkerId] = (), events: int = 0) -> None:
        rows = []
        for _ in range(events):
            self.seq += 1
            rows.append(EventRow(seq=self.seq, at_ms=1, actor="ana", kind="submitted", text=""))
        for commit_listeners in self.commit_loop.commit_listeners:
            commit_listeners.publish({JobId(row.id): row for row in jobs}, workers, rows, self.seq)

    def told(self, subscriber: Subscriber) -> Update:
        return msgspec.msgpack.decode(subscriber.next_update(), type=Update)


def job(id_: str, reason: str = "") -> JobRow:
    return JobRow(
        id=id_, name="a", project="p", state="pending", reason=reason, priority=0, num_tasks=1, task_counts={},
        worker=None, output_path=None, submitted_by="ana", created_at_ms=1, started_at_ms=None, finished_at_ms=None,
    )  # fmt: skip


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_those_who_keep_up_share_one_encoded_update(stage: Stage) -> None:
    one, other, slow = (stage.broadcaster.subscribe() for _ in range(3))
    stage.publish(job("a"))
    first = one.next_update()
    assert other.next_update() is first
    stage.publish(job("b"), events=1)
    assert one.next_update() is other.next_update()
    assert [row.id for row in stage.told(slow).jobs] == ["a", "b"]


def test_a_slow_one_is_told_only_the_last_row_of_each(stage: Stage) -> None:
    quick, slow = stage.broadcaster.subscribe(), stage.broadcaster.subscribe()
    for number in range(5):
        stage.publish(job("a", str(number)), job("b"))
        stage.told(quick)
    assert [(row.id, row.reason) for row in stage.told(slow).jobs] == [("a", "4"), ("b", "")]
    assert slow.mark == quick.mark == stage.broadcaster.mark


def test_what_all_were_told_is_kept_no_longer(stage: Stage) -> None:
    subscribers = [stage.broadcaster.subscribe() for _ in range(2)]
    stage.publish(*(job(str(number)) for number in range(10)))
    stage.told(subscribers[0])
    stage.publish(job("new"))
    assert len(stage.broadcaster._ledger) == 11
    for one in subscribers:
        stage.told(one)
    stage.publish(job("newer"))
    assert list(stage.broadcaster._ledger) == [("job", "newer")]
    for one in subscribers:
        stage.broadcaster.unsubscribe(one)
    assert not stage.broadcaster._ledger
    stage.publish(job("unseen"))
    assert not stage.broadcaster._ledger


def test_one_that_reads_nothing_falls_behind_and_the_others_do_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcaster_module, "ROWS_WAITING_MAX", 10)
    stuck, quick = stage.broadcaster.subscribe(), stage.broadcaster.subscribe()
    for number in range(30):
        stage.publish(job(str(number)))
        assert [row.id for row in stage.told(quick).jobs] == [str(number)]
    assert stuck.is_behind
    assert not quick.is_behind
    assert len(stage.broadcaster._ledger) <= 10


def test_a_large_update_comes_in_pieces_that_miss_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcaster_module, "UPDATE_ROWS_MAX", 4)
    subscriber = stage.broadcaster.subscribe()
    stage.publish(*(job(str(number)) for number in range(10)), events=3)
    pieces = []
    while subscriber.mark < stage.broadcaster.mark:
        pieces.append(stage.told(subscriber))
    assert [len(one.jobs) for one in pieces] == [4, 4, 2]
    assert [event.seq for one in pieces for event in one.events] == [1, 2, 3]


def test_a_burst_of_events_is_told_as_far_as_a_view_keeps_it(stage: Stage) -> None:
    subscriber = stage.broadcaster.subscribe()
    for _ in range(3):
        stage.publish(events=EVENTS_MAX - 100)
    seen = [event.seq for event in stage.told(subscriber).events]
    assert seen == list(range(stage.seq - EVENTS_MAX + 1, stage.seq + 1))


def test_workers_are_told_as_they_stand_and_leave(stage: Stage) -> None:
    subscriber, worker = stage.broadcaster.subscribe(), stage.worker("w1")
    stage.publish(workers=[worker.id])
    worker.connection = "connected"
    assert [row.connection for row in stage.told(subscriber).workers] == ["connected"]
    del stage.commit_loop.fleet.workers[worker.id]
    stage.publish(workers=[worker.id])
    assert stage.told(subscriber).workers_removed == (worker.id,)


def _listed(stage: Stage) -> list[tuple[str, str]]:
    found = msgspec.msgpack.decode(cast("Any", stage.worker_row_cache.everyone()), type=WorkerList)
    return [(row.name, row.attention) for row in found.workers]


def test_a_row_is_encoded_once_until_its_worker_changes(stage: Stage) -> None:
    worker, _ = stage.worker("w2"), stage.worker("w1")
    assert stage.worker_row_cache.everyone() is stage.worker_row_cache.everyone()
    row = stage.worker_row_cache.row(worker.id)
    assert stage.worker_row_cache.row(worker.id) is row
    worker.gpu_message = "no driver"
    stage.publish(workers=[worker.id])
    assert stage.worker_row_cache.row(worker.id) != row
    assert _listed(stage) == [("w1", ""), ("w2", "no driver")]


def test_what_changes_by_itself_or_for_all_is_never_out_of_date(stage: Stage) -> None:
    worker = stage.worker("w1")
    worker.avoided_until_ms = stage.commit_loop.clock.now_ms() + 1_000_000
    assert "avoided" in _listed(stage)[0][1]
    worker.avoided_until_ms = 0
    assert _listed(stage) == [("w1", "")]
    stage.commit_loop.fleet.adopting = True
    assert "restored" in _listed(stage)[0][1]
    stage.commit_loop.fleet.adopting = False
    assert _listed(stage) == [("w1", "")]
