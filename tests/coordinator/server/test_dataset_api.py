"""Datasets on workers, as operators ask for them: who may, which worker is asked, and what is said when it can't be."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.server import dataset_api
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.dataset_api import DatasetApi, role_to_describe
from opsconsole_coordinator.server.identity import Caller
from opsconsole_coordinator.store.database import Database
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol import link
from opsconsole_protocol.api import DescribeDataset
from opsconsole_protocol.dataset import DATASETS, DatasetQuery
from opsconsole_protocol.error import InvalidRequest, NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.ids import SessionId, WorkerId
from opsconsole_protocol.state import WorkerConnection
from opsconsole_protocol.stream.message import FileRoot, RootKind
from tests.protocol import sample
from tests.waiting import until

ANA = Caller("ana", Role.OPERATOR)
LAB = DatasetQuery(root=FileRoot(kind=RootKind.MOUNT, mount="lab"), path=b"a.csv")
URL = DatasetQuery(url="https://ana:geheim@h/a.csv")


class Site:
    """A coordinator with one worker, whose answer the test gives."""

    def __init__(self, commit_loop: CommitLoop) -> None:
        self.api = DatasetApi(commit_loop)
        self.asked: list[Any] = []
        self.said: dict[str, Any] | None = {"description": sample.DATASET}
        self.commit_loop = commit_loop
        self.properties: dict[str, Any] = {"mounts": [{"label": "lab", "path": "/lab"}], DATASETS: True}
        self.worker = Worker(
            id=WorkerId("w"), name="gpu-a", properties=self.properties, session=SessionId(1),
            connection=WorkerConnection.CONNECTED,
        )  # fmt: skip
        commit_loop.fleet.workers[self.worker.id] = self.worker
        commit_loop.sessions[self.worker.id] = self  # type: ignore[assignment]

    def send(self, message: Any) -> None:
        self.asked.append(message)
        if self.said is not None:
            said = link.DatasetDescribed(check_id=message.check_id, **self.said)
            asyncio.get_running_loop().call_soon(self.commit_loop.questions.answer, self.worker.id, said)

    async def refused(self, query: DatasetQuery, worker: str = "gpu-a") -> OpsconsoleError:
        with pytest.raises(OpsconsoleError) as error:
            await self.api.describe(DescribeDataset(worker=worker, query=query), ANA)
        return error.value


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    database = Database(tmp_path / "opsconsole.db")
    await database.open()
    yield Site(CommitLoop(database, "lab"))
    await database.close()


def test_a_viewer_may_ask_for_a_jobs_and_an_operator_for_all_else() -> None:
    for kind in RootKind:
        role = Role.OPERATOR if kind is RootKind.MOUNT else Role.VIEWER
        assert role_to_describe(DescribeDataset(query=DatasetQuery(root=FileRoot(kind=kind)))) is role
    assert role_to_describe(DescribeDataset(query=URL)) is Role.OPERATOR


async def test_a_path_and_a_url(site: Site) -> None:
    for query in (LAB, URL):
        answer = await site.api.describe(DescribeDataset(worker="gpu-a", query=query), ANA)
        assert (answer.description, answer.fault, answer.worker) == (sample.DATASET, None, "gpu-a")
        assert site.asked[-1].query == query


async def test_a_fault_is_an_answer_and_an_error_is_raised(site: Site) -> None:
    site.said = {"fault": sample.DATASET_FAULT}
    answer = await site.api.describe(DescribeDataset(worker="gpu-a", query=LAB), ANA)
    assert (answer.description, answer.fault) == (None, sample.DATASET_FAULT)
    site.said = {"code": "not_found", "error": "a.csv is not there"}
    error = await site.refused(LAB)
    assert (type(error), error.message) == (NotFound, "a.csv is not there")


async def test_what_nobody_is_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(await site.refused(DatasetQuery()), InvalidRequest)
    assert isinstance(await site.refused(replace(LAB, url=URL.url)), InvalidRequest)
    assert isinstance(await site.refused(DatasetQuery(url="file:///etc/passwd")), InvalidRequest)
    assert "which worker is to read it" in (await site.refused(URL, worker="")).message
    assert isinstance(await site.refused(URL, worker="gpu-z"), NotFound)
    del site.properties[DATASETS]
    assert "is too old to be asked for datasets" in (await site.refused(LAB)).message
    site.worker.connection = WorkerConnection.SILENT
    away = await site.refused(URL)
    assert isinstance(away, Unavailable)
    assert away.message.startswith("https://h/a.csv is to be read on gpu-a, which is not connected")
    assert site.asked == []


async def test_one_at_a_time_and_not_for_ever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_api, "ANSWER_WAIT_S", 0.2)
    site.said = None
    both = [asyncio.create_task(site.refused(LAB)) for _ in range(2)]
    await until(lambda: len(site.asked) == 1)
    assert {one.message for one in await asyncio.gather(*both)} == {"gpu-a didn't answer within 0.2 s: try again"}
    assert len(site.asked) == 2
