"""Many jobs come in with one request: in turns with others, and all of them or none."""

import asyncio
from typing import Any

import pytest

from opsconsole_coordinator import giving_way
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec
from tests.coordinator.server.peer import Agent, Operator, Site, some_job_id
from tests.waiting import until

MANY = 300


class Gate:
    """Stands in the place of asyncio where loops give way: once it has begun, a loop waits there."""

    def __init__(self) -> None:
        self._turns_left = 0
        self.is_reached = asyncio.Event()
        self.is_open = asyncio.Event()
        self.is_cancelled = False

    def begin(self, turns: int = 2) -> None:
        """Have the loop wait that comes so far."""
        self._turns_left = turns

    async def sleep(self, delay_s: float) -> None:
        """Give way."""
        self._turns_left -= 1
        if self._turns_left:
            await asyncio.sleep(delay_s)
            return
        self.is_reached.set()
        try:
            await self.is_open.wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Where it waits, two of the jobs that come in have been looked at."""
    made = Gate()
    monkeypatch.setattr(giving_way, "TURN_S", -1.0)
    monkeypatch.setattr(giving_way, "asyncio", made)
    return made


def many(**fields: Any) -> api.SubmitJobs:
    return api.SubmitJobs(
        submissions=tuple(
            api.Submission(some_job_id(), JobSpec(**{"command": ("true", str(number)), **fields}))
            for number in range(MANY)
        )
    )


async def stored(site: Site) -> dict[JobId, int]:
    """The jobs that are in the store, and how many events tell of each."""
    return await site.commit_loop.database.read(
        lambda connection: dict(
            connection.execute(
                "SELECT jobs.job_id, count(events.seq) FROM jobs LEFT JOIN events ON events.job_id = jobs.job_id GROUP BY 1"
            ).fetchall()
        )
    )


async def registered(site: Site) -> Agent:
    agent = await site.agent()
    await agent.register(max_concurrent_jobs=1)
    return agent


async def has_left(site: Site, job_id: JobId) -> None:
    await until(lambda: job_id not in site.commit_loop.fleet.jobs)


async def test_others_are_answered_meanwhile_and_see_nothing_of_it_until_all_is_there(site: Site, gate: Gate) -> None:
    async with await site.operator() as operator, await site.operator() as other:
        request = many(held=True)
        gate.begin()
        number = await operator.ask(request)
        await gate.is_reached.wait()
        assert (await other.call(api.ListJobs())).jobs == ()
        assert not site.commit_loop.fleet.jobs
        assert not site.commit_loop.fleet.is_dirty
        gate.is_open.set()
        answer = await operator.answer(number)
        assert [row.id for row in answer.jobs] == [one.job_id for one in request.submissions]
        assert {row.name for row in answer.jobs} == {"true"}
        assert await stored(site) == {one.job_id: 1 for one in request.submissions}


async def test_a_client_that_goes_away_in_the_middle_leaves_nothing(site: Site, gate: Gate) -> None:
    operator = await site.operator()
    gate.begin()
    await operator.ask(many(held=True))
    await gate.is_reached.wait()
    await operator.close()
    await until(lambda: gate.is_cancelled)
    assert not site.commit_loop.fleet.jobs
    assert not site.commit_loop.fleet.is_dirty
    assert await stored(site) == {}
    async with await site.operator() as another:
        assert (await another.submit(held=True)).state == "held"


async def test_a_mistake_in_the_last_one_is_found_before_anything_came_in(site: Site, gate: Gate) -> None:
    gate.is_open.set()
    async with await site.operator() as operator:
        submissions = many().submissions
        one = api.Submission(some_job_id(), JobSpec(command=("true",), after=(f"{submissions[0].job_id}/9",)))
        with pytest.raises(InvalidRequest, match="that job has 1 task"):
            await operator.call(api.SubmitJobs(submissions=(*submissions, one)))
        assert not site.commit_loop.fleet.jobs
        assert await stored(site) == {}


async def test_two_at_once_have_their_turns_and_their_jobs_stand_one_behind_the_other(site: Site, gate: Gate) -> None:
    async with await site.operator() as operator, await site.operator() as other:
        first, second = many(held=True), many(held=True)
        gate.begin()
        number = await operator.ask(first)
        await gate.is_reached.wait()
        await other.call(second)
        gate.is_open.set()
        await operator.answer(number)
        jobs = sorted(site.commit_loop.fleet.jobs.values(), key=lambda job: job.seq)
        assert [job.seq for job in jobs] == list(range(1, 2 * MANY + 1))
        assert [job.id for job in jobs] == [one.job_id for one in (*second.submissions, *first.submissions)]
        assert set((await stored(site)).values()) == {1}


async def test_the_same_twice_at_once_is_the_same_jobs(site: Site, gate: Gate) -> None:
    async with await site.operator() as operator, await site.operator() as other:
        request = many(held=True)
        gate.begin()
        number = await operator.ask(request)
        await gate.is_reached.wait()
        answer = await other.call(request)
        gate.is_open.set()
        assert (await operator.answer(number)).jobs == answer.jobs
        assert await stored(site) == {one.job_id: 1 for one in request.submissions}


async def test_the_same_that_has_run_and_ended_meanwhile_isnt_run_again(site: Site, gate: Gate) -> None:
    async with await registered(site) as agent, await site.operator() as operator, await site.operator() as other:
        [one] = many().submissions[:1]
        held = many(held=True).submissions
        gate.begin()
        number = await operator.ask(api.SubmitJobs(submissions=(*held, one)))
        await gate.is_reached.wait()
        await other.call(api.SubmitJobs(submissions=(one,)))
        await agent.run_one()
        await has_left(site, one.job_id)
        gate.is_open.set()
        rows = (await operator.answer(number)).jobs
        assert (rows[-1].id, rows[-1].state) == (one.job_id, "succeeded")
        assert len(await stored(site)) == MANY + 1
        assert not site.commit_loop.trouble
        assert not site.commit_loop.counts.failed_commits
        await has_left(site, one.job_id)


async def test_what_a_job_waits_for_may_end_meanwhile(site: Site, gate: Gate) -> None:
    async with await registered(site) as agent, await site.operator() as operator, await site.operator() as other:
        first = (await other.submit()).id
        held = many(held=True).submissions
        one = api.Submission(some_job_id(), JobSpec(command=("true",), after=(first,)))
        gate.begin(2 * (MANY + 1) + 2)  # it looks for whole ids in two loops before it looks at the jobs
        number = await operator.ask(api.SubmitJobs(submissions=(*held, one)))
        await gate.is_reached.wait()
        await agent.run_one()
        await has_left(site, JobId(first))
        gate.is_open.set()
        await operator.answer(number)
        await agent.run_one()
        assert (await operator.wait(one.job_id))[0].state == "succeeded"


async def test_a_template_that_changes_meanwhile_makes_no_other_job_of_what_is_there(site: Site, gate: Gate) -> None:
    async with await site.operator() as operator, await site.operator() as other:
        await set_template(other, default=1)
        one = api.Submission(some_job_id(), JobSpec(command=("t", "{x}"), template="t", held=True))
        gate.begin()
        number = await operator.ask(api.SubmitJobs(submissions=(one, *many(held=True).submissions)))
        await gate.is_reached.wait()
        await set_template(other, default=2)
        await other.call(api.SubmitJobs(submissions=(one,)))
        gate.is_open.set()
        assert (await operator.answer(number)).jobs[0].command == "t 2"


async def set_template(operator: Operator, default: int) -> None:
    parameters = (api.Parameter(name="x", kind="int", default=default),)
    template = api.TemplateRow(name="t", command=("t", "{x}"), parameters=parameters)
    await operator.call(api.SetTemplate(template=template))
