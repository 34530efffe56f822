"""The client's methods against a fake coordinator."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from opsconsole.client import Client, new_job_id
from opsconsole.sweep import Sweep
from opsconsole.sweep_requests import Points
from opsconsole_protocol import api
from opsconsole_protocol.error import (
    InvalidRequest,
    JobFailedError,
    NotFound,
    NoWorkersAcceptedError,
    NoWorkersAvailableError,
    Unavailable,
)
from opsconsole_protocol.ids import check_job_id
from opsconsole_protocol.log import LogQuery
from opsconsole_protocol.spec import JobSpec, Resources
from tests.client.fake_server import FakeServer
from tests.waiting import until

JOB = "aaaaaaaaaa"
SPEC = JobSpec(command=("true",))


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
async def client(server: FakeServer) -> AsyncIterator[Client]:
    async with await Client.open(server.target) as client:
        yield client


async def follow(client: Client, **options: object) -> list[str]:
    return [line.data async for line in client.follow_log(JOB, **options)]  # type: ignore[arg-type]


async def test_submitting_makes_ids_and_returns_the_rows_in_order(client: Client) -> None:
    rows = await client.submit([JobSpec(command=("a",)), JobSpec(command=("b",))])
    assert [row.name for row in rows] == ["a", "b"]
    assert all(check_job_id(row.id) for row in rows)


async def test_the_same_id_again_is_the_same_job(server: FakeServer, client: Client) -> None:
    job_id = new_job_id()
    first, second = await client.submit(SPEC, job_id), await client.submit(SPEC, job_id)
    assert first[0].id == second[0].id == job_id
    assert len(server.jobs) == 1


@pytest.mark.parametrize(
    "points",
    ["lr=0.1,1 --repeat 1", Sweep({"lr": ("0.1", "1")}, repeat=1), [{"lr": 0.1, "repeat": 0}, {"lr": 1, "repeat": 0}]],
)
async def test_a_sweep_is_one_job_and_takes_more_points(server: FakeServer, client: Client, points: Points) -> None:
    row = await client.sweep(("train", "--lr={lr}"), points, name="lr", resources=Resources(gpus=1))
    spec = server.specs[row.id]
    assert spec.parameters == ({"lr": "0.1", "repeat": "0"}, {"lr": "1", "repeat": "0"})
    assert spec.task_commands == (("train", "--lr=0.1"), ("train", "--lr=1"))
    assert (spec.num_tasks, spec.command, spec.name, spec.resources.gpus) == (2, ("train", "--lr={lr}"), "lr", 1)
    assert await client.add_tasks(row.id, points) == f"2 added to {row.id}"


async def test_a_sweep_of_nothing_is_refused(client: Client) -> None:
    for wrong, message in (("", "no points"), ([{"lr": 1}, {"wd": 1}], "same parameters"), ("wd=1,2", r"write \{wd\}")):
        with pytest.raises(InvalidRequest, match=message):
            await client.sweep(("train", "{lr}"), wrong)
    with pytest.raises(InvalidRequest, match="no points to add"):
        await client.add_tasks(JOB, [])


async def test_a_bad_spec_is_refused_before_anything_is_sent(server: FakeServer, client: Client) -> None:
    with pytest.raises(InvalidRequest, match="not absolute"):
        await client.submit(JobSpec(command=("true",), workdir="here"))
    with pytest.raises(InvalidRequest, match="1 ids for 2 jobs"):
        await client.submit([SPEC, SPEC], [new_job_id()])
    assert server.asked == []


async def test_jobs_are_paged_however_many_there_are(server: FakeServer, client: Client) -> None:
    for number in range(25):
        server.add_job(f"{number:010}", created_at_ms=number // 3)

    def small_pages(fake: FakeServer, request: api.ListJobs) -> api.AnyAnswer:
        from msgspec.structs import replace

        return fake._list_jobs(replace(request, limit=min(request.limit, 4)))

    server.answers[api.ListJobs] = small_pages
    assert [row.id for row in await client.jobs(limit=1_000)] == [f"{number:010}" for number in reversed(range(25))]
    assert len(await client.jobs(limit=7)) == 7


async def test_waiting_ends_when_the_job_has(server: FakeServer, client: Client) -> None:
    server.add_job(JOB)
    waiting = asyncio.create_task(client.wait(JOB))
    await until(lambda: server.asked)
    server.finish(JOB)
    assert (await waiting)[0].state == "succeeded"


async def test_waiting_ends_when_the_time_is_over(server: FakeServer, client: Client) -> None:
    server.add_job(JOB)
    assert (await client.wait(JOB, timeout_s=0.05))[0].state == "pending"


async def test_a_blocked_job_isnt_waited_for(server: FakeServer, client: Client) -> None:
    server.add_job(JOB)
    server.move(JOB, state="blocked")
    assert (await client.wait(JOB))[0].state == "blocked"
    with pytest.raises(JobFailedError, match=f"{JOB} blocked"):
        await client.wait_for_success(JOB)


async def test_a_failed_job_raises_with_code_and_whether_to_try_again(server: FakeServer, client: Client) -> None:
    """Hard use 41; seed 003: code, message, recoverable."""
    server.add_job(JOB)
    server.finish(JOB, exit_code=3, error="exit code 3")
    with pytest.raises(JobFailedError) as failed:
        await client.wait_for_success(JOB)
    error = failed.value
    assert (error.code, error.recoverable, error.exit_code, error.job) == ("failed", False, 3, JOB)
    assert error.message.startswith(f"{JOB} failed")
    server.add_job("bbbbbbbbbb")
    server.finish("bbbbbbbbbb", exit_code=None, state="worker_failed")
    with pytest.raises(JobFailedError) as lost:
        await client.wait_for_success("bbbbbbbbbb")
    assert (lost.value.code, lost.value.recoverable) == ("worker_failed", True)


async def test_now_or_not_at_all(server: FakeServer, client: Client) -> None:
    """Hard use 41; seed 003: nobody matches, everybody declines, or the job is submitted."""
    with pytest.raises(NoWorkersAvailableError, match="no worker matches"):
        await client.submit_now(SPEC)
    server.add_worker("gone", connection="lost")
    server.add_worker("drained", status="maintenance")
    with pytest.raises(NoWorkersAvailableError):
        await client.submit_now(SPEC)
    server.add_worker("gpu-a", status="busy")
    with pytest.raises(NoWorkersAvailableError):
        await client.submit_now(replace(SPEC, resources=Resources(gpus=2)))
    with pytest.raises(NoWorkersAcceptedError, match="gpu-a: busy") as declined:
        await client.submit_now(SPEC)
    assert declined.value.reasons == {"gpu-a": "busy"}
    assert server.jobs == {}
    server.add_worker("gpu-b")
    assert (await client.submit_now(SPEC)).id in server.jobs


async def test_a_field_is_refused_by_name_before_anything_is_sent(server: FakeServer, client: Client) -> None:
    for bad in (replace(SPEC, num_tasks=0), replace(SPEC, priority="high")):
        with pytest.raises(InvalidRequest, match=r"num_tasks: must be at least 1|priority: must be a whole number"):
            await client.submit(bad)
        with pytest.raises(InvalidRequest):
            await client.candidates(bad)
    assert server.asked == []


async def test_waiting_outlives_a_restarted_coordinator(server: FakeServer) -> None:
    retries: list[str] = []
    async with await Client.open(server.target, retry_for_s=30, on_retry=retries.append) as client:
        server.add_job(JOB)
        waiting = asyncio.create_task(client.wait(JOB))
        await until(lambda: server.asked)
        server.hang_up()
        await until(lambda: retries)
        server.listen()
        server.finish(JOB)
        assert (await waiting)[0].state == "succeeded"


async def test_without_patience_a_lost_connection_is_said_at_once(server: FakeServer, client: Client) -> None:
    server.hang_up()
    with pytest.raises(Unavailable):
        await client.health()
    server.listen()
    assert (await client.health()).healthy


async def test_a_relative_change_is_never_repeated(server: FakeServer) -> None:
    async with await Client.open(server.target, retry_for_s=30) as client:
        server.is_deaf = True
        call = asyncio.create_task(client.set_priority(JOB, 1, relative=True))
        await until(lambda: server.asked)
        server.drop_connections()
        with pytest.raises(Unavailable):
            await call
    assert len(server.asked) == 1


# --- logs ------------------------------------------------------------------------------------------------------


async def test_a_log_is_followed_from_before_the_start_to_the_end(server: FakeServer, client: Client) -> None:
    server.add_job(JOB)
    following = asyncio.create_task(follow(client))
    await until(lambda: server.asked)
    server.log(JOB, "one", "two")
    server.move(JOB, state="running", attempt=0)
    await until(lambda: any(isinstance(one, api.ReadLog) and one.query.cursor == "2" for one in server.asked))
    server.log(JOB, "three")
    server.finish(JOB)
    assert await following == ["one", "two", "three"]


async def test_a_task_that_ends_before_it_starts_has_an_empty_log(server: FakeServer, client: Client) -> None:
    server.add_job(JOB)
    following = asyncio.create_task(follow(client))
    await until(lambda: server.asked)
    server.move(JOB, state="unschedulable")
    assert await following == []


async def test_following_goes_on_with_the_next_attempt(server: FakeServer, client: Client) -> None:
    server.add_job(JOB)
    server.log(JOB, "first try", "failed")
    server.move(JOB, state="running", attempt=0)
    following = asyncio.create_task(follow(client, query=LogQuery(tail=1)))
    await until(lambda: any(isinstance(one, api.ReadLog) and one.query.cursor == "1" for one in server.asked))
    server.move(JOB, state="pending", attempt=0, attempt_state="failed")
    server.log(JOB, "second try", "worked", attempt=1)
    server.finish(JOB, attempt=1)
    assert await following == ["failed", "second try", "worked"]


async def test_one_attempt_is_followed_to_its_own_end(server: FakeServer, client: Client) -> None:
    server.add_job(JOB)
    server.log(JOB, "first")
    server.log(JOB, "second", attempt=1)
    server.finish(JOB, attempt=0, exit_code=1)
    server.finish(JOB, attempt=1)
    assert await follow(client, attempt=0) == ["first"]


async def test_last_lines_that_come_after_the_end_are_not_lost(server: FakeServer, client: Client) -> None:
    server.add_job(JOB)
    server.open_logs.add((JOB, 0, 0))
    server.log(JOB, "early")
    server.finish(JOB)
    following = asyncio.create_task(follow(client))
    await until(lambda: any(isinstance(one, api.ShowJob) for one in server.asked))
    server.log(JOB, "late")
    server.open_logs.clear()
    assert await following == ["early", "late"]


async def test_following_outlives_lost_connections_without_losing_or_repeating_a_line(server: FakeServer) -> None:
    server.add_job(JOB)
    server.move(JOB, state="running", attempt=0)
    async with await Client.open(server.target, retry_for_s=30) as client:
        following = asyncio.create_task(follow(client))
        for number in range(5):
            server.log(JOB, f"line {number}")
            server.drop_connections()
        server.finish(JOB)
        assert await following == [f"line {number}" for number in range(5)]


# --- finding the coordinator -----------------------------------------------------------------------------------


async def test_connecting_by_data_folder(server: FakeServer, tmp_path: Path) -> None:
    server.write_data_dir(tmp_path)
    async with await Client.connect(data_dir=tmp_path) as client:
        assert (await client.health()).healthy


async def test_an_empty_data_folder_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="opsconsole serve"):
        await Client.connect(data_dir=tmp_path)
