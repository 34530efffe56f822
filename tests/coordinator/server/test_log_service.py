"""Reading logs while they grow: a page never says that it is the last when lines came in after it was read."""

from pathlib import Path
from typing import Any

import pytest

from opsconsole_coordinator.core.model import Attempt, Worker
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.log_service import LogService
from opsconsole_coordinator.store.database import Database
from opsconsole_protocol.api import ReadLog
from opsconsole_protocol.ids import AttemptId, JobId, WorkerId
from opsconsole_protocol.log import LogPage, LogQuery
from opsconsole_protocol.state import AttemptState, TaskState

JOB = JobId("0123456789")
WORKER = WorkerId("worker-00000000")


async def test_an_end_that_comes_while_the_page_is_read_belongs_to_the_next_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_loop = CommitLoop(Database(tmp_path / "opsconsole.db"), "lab")
    logs = LogService(tmp_path / "logs", commit_loop)
    commit_loop.fleet.workers[WORKER] = Worker(id=WORKER, name="gpu-a", connection="connected")
    attempt = Attempt(
        id=AttemptId(f"{JOB}.0.0.x"),
        job_id=JOB,
        index=0,
        number=0,
        worker_id=WORKER,
        worker_name="gpu-a",
        state=AttemptState.SUCCEEDED,
        assigned_at_ms=0,
    )

    async def attempts(*_: Any) -> tuple[TaskState, list[Attempt]]:
        return TaskState(attempt.state), [attempt]

    def read(*_: Any, **__: Any) -> LogPage:
        attempt.open = False  # meanwhile its last lines were stored
        return LogPage(lines=(), next_cursor="", end=True)

    monkeypatch.setattr(logs, "_attempts", attempts)
    monkeypatch.setattr(logs._store, "read", read)
    try:
        answers = [(await logs._answer(ReadLog(id=JOB, query=LogQuery()), "ana", JOB, 0))[0] for _ in range(2)]
        assert [answer.finished for answer in answers] == [False, True]
    finally:
        logs.close()
