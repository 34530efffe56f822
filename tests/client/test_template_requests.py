"""Templates and the queue from Python."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole import Client, Resources, SyncClient
from opsconsole.ask import is_repeatable
from opsconsole_protocol import api
from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import JobSpec
from tests.client.fake_server import FakeServer

FIT = TemplateRow(
    name="fit", command=("fit", "{lr}"), parameters=(Parameter(name="lr", kind="float", maximum=1),),
    defaults={"gpus": "2", "timeout": "2h", "collect": "models/*", "pause_by": "checkpoint", "priority": "3"}, version=4,
)  # fmt: skip


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        server.templates.append(FIT)
        yield server


@pytest.fixture
def client(server: FakeServer, tmp_path: Path) -> Iterator[SyncClient]:
    server.write_data_dir(tmp_path)
    with SyncClient.connect(data_dir=tmp_path) as client:
        yield client


def test_a_job_from_a_template_has_its_defaults_unless_told_otherwise(client: SyncClient, server: FakeServer) -> None:
    row = client.submit_template("fit@4", {"lr": 0.5}, priority=7)
    spec = server.specs[row.id]
    assert (spec.command, spec.template, spec.template_version) == (("fit", "0.5"), "fit", 4)
    assert (spec.resources, spec.timeout_ms, spec.collect, spec.priority) == (
        Resources(gpus=2),
        7_200_000,
        ("models/*",),
        7,
    )
    sweep = server.specs[client.submit_template("fit", [{"lr": 0.5}, {"lr": 0.25}]).id]
    assert (sweep.num_tasks, sweep.task_commands) == (2, (("fit", "0.5"), ("fit", "0.25")))
    with pytest.raises(InvalidRequest, match="lr is at most 1, not 3"):
        client.submit_template("fit", {"lr": 3})


def test_the_queue_is_moved_and_taken_from(client: SyncClient, server: FakeServer) -> None:
    server.add_job("aaaa000001", JobSpec(command=("a",)))
    client.move("aaaa", before="bbbb")
    assert server.asked[-1] == api.MoveJob(id="aaaa", where="before", other="bbbb")
    client.move("aaaa", to="later")
    assert server.asked[-1] == api.MoveJob(id="aaaa", where="later")
    for places in ({}, {"before": "b", "after": "c"}, {"before": "b", "to": "first"}):
        with pytest.raises(InvalidRequest, match="say where to move it"):
            client.move("aaaa", **places)
    client.set_max_parallel("aaaa", 3)
    assert client.pop("pose").spec.command == ("a",)


def test_what_would_be_done_twice_isnt_asked_again() -> None:
    once: tuple[api.AnyRequest, ...] = (
        api.PopJob(),
        api.MoveJob(id="a", where="earlier"),
        api.MoveJob(id="a", where="later"),
    )
    assert not any(map(is_repeatable, once))
    assert is_repeatable(api.MoveJob(id="a", where="before", other="b"))
    assert is_repeatable(api.ClearQueue(project="a"))


async def test_the_history_is_fetched_page_by_page(server: FakeServer, tmp_path: Path) -> None:
    versions = [api.TemplateRow(name="fit", command=("fit",), version=number) for number in (3, 2, 1)]

    def page(_server: FakeServer, request: api.ListTemplates) -> api.TemplateList:
        found = [one for one in versions if request.before is None or one.version < request.before]
        return api.TemplateList(templates=tuple(found[:1]), more=len(found) > 1)

    server.answers[api.ListTemplates] = page
    server.write_data_dir(tmp_path)
    async with await Client.connect(data_dir=tmp_path) as client:
        assert [one.version for one in await client.template_history("fit")] == [3, 2, 1]
