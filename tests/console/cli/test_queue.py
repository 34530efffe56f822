"""move, pop, clear, max-parallel, sorted lists: what reaches the coordinator, and what a script can read."""

import json

import pytest

from opsconsole_protocol import api
from opsconsole_protocol.spec import JobSpec
from tests.client.fake_server import FakeServer
from tests.console.cli.conftest import Run


def last(server: FakeServer) -> api.AnyRequest:
    return server.asked[-1]


def test_a_job_is_moved(run: Run, server: FakeServer) -> None:
    server.add_job("aaaa000001", JobSpec(command=("a",)))
    assert run("move", "aaaa", "--before", "bbbb").code == 0
    assert last(server) == api.MoveJob(id="aaaa", where="before", other="bbbb")
    run("move", "aaaa", "--after", "bbbb")
    assert last(server) == api.MoveJob(id="aaaa", where="after", other="bbbb")
    assert run("move", "aaaa", "--first").out == "aaaa000001 moved first\n"
    assert last(server) == api.MoveJob(id="aaaa", where="first")
    server.add_job("cccc000001", JobSpec(command=("a",)))
    assert run("move", "aaaa", "cccc", "--last").out == "2 jobs together, one of them aaaa000001 moved last\n"
    assert last(server) == api.MoveJob(id="cccc", where="after", other="aaaa")
    assert run("move", "aaaa").code == 2
    assert "not allowed with" in run("move", "aaaa", "--first", "--after", "b").err


def test_a_popped_job_is_one_json_object_that_can_be_submitted_again(run: Run, server: FakeServer) -> None:
    spec = JobSpec(command=("train", "--lr", "1"), environment={"A": "b"}, max_parallel=2)
    server.add_job("aaaa000001", spec)
    ran = run("pop", "--project", "pose", "--hold", "2")
    assert last(server) == api.PopJob(project="pose", index=2, hold=True)
    found = json.loads(ran.out)
    assert (found["id"], found["state"]) == ("aaaa000001", "held")
    assert (
        JobSpec(command=tuple(found["spec"]["command"]), environment=found["spec"]["environment"], max_parallel=2)
        == spec
    )
    empty = run("pop")
    assert (empty.code, empty.out, empty.err) == (1, "", "opsconsole: no job waits: there is none to take\n")


def test_a_queue_is_cleared_until_nothing_is_left(run: Run, server: FakeServer) -> None:
    pages = iter([api.Cleared(ids=("b", "c"), more=True), api.Cleared(ids=("a",))])
    server.answers[api.ClearQueue] = lambda _s, _r: next(pages)
    assert run("clear", "pose").out.split() == ["a", "b", "c"]
    server.answers[api.ClearQueue] = lambda _s, _r: api.Cleared(ids=("b", "c"), more=True)
    assert run("clear", "pose", "--dry-run").out.split() == ["b", "c"]
    assert last(server) == api.ClearQueue(project="pose", dry_run=True)


@pytest.mark.parametrize(("number", "wanted"), [("4", 4), ("any", None)])
def test_how_many_run_at_a_time(number: str, wanted: int | None, run: Run, server: FakeServer) -> None:
    server.add_job("aaaa000001", JobSpec(command=("a",)))
    assert run("max-parallel", "aaaa", number).code == 0
    assert last(server) == api.SetParallel(id="aaaa", max_parallel=wanted)
    assert run("max-parallel", "aaaa", "0").err == "opsconsole: 0 is too small: it is at least 1, or `any`\n"


def test_a_list_is_sorted_by_the_coordinator(run: Run, server: FakeServer) -> None:
    run("jobs", "--sort", "priority")
    assert last(server) == api.ListJobs(sort="priority", limit=101)
    run("jobs", "state=pending", "--sort", "+name", "-n", "5")
    assert last(server) == api.ListJobs(filter="state=pending", sort="name", ascending=True, limit=6)
