"""How far running jobs are by what their tasks print: whoever looks is shown it at once, not with the next heartbeat."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from opsconsole_coordinator.server.commit_loop import ToldRows
from opsconsole_coordinator.store import journal
from opsconsole_protocol import api, link
from opsconsole_protocol.ids import AttemptId, JobId
from opsconsole_protocol.link import TaskProgress
from opsconsole_protocol.state import AttemptState
from tests.coordinator.server.peer import Agent, Site
from tests.waiting import until

HALF, MORE = TaskProgress(done=50, total=100, eta_ms=9_000), TaskProgress(done=60, total=100)


async def started(site: Site, agent: Agent) -> AttemptId:
    attempt_id = await agent.assigned()
    await agent.report(attempt_id, AttemptState.RUNNING, started_at_ms=1)
    await until(lambda: site.commit_loop.fleet.attempts[attempt_id].state is AttemptState.RUNNING)
    await site.commit_loop.committed()
    return attempt_id


async def prints(site: Site, agent: Agent, attempt_id: AttemptId, progress: TaskProgress) -> None:
    """A heartbeat brings a task's progress; it has been shown when this returns."""
    await agent.send(link.Heartbeat(at_ms=1, progress={attempt_id: progress}))
    job = JobId(attempt_id.partition(".")[0])
    await until(lambda: job in site.commit_loop.shown and site.commit_loop.shown[job].advance == progress)


async def seen(site: Site, job: str) -> Sequence[TaskProgress | None]:
    """What somebody who connects now sees of a job, by every way."""
    async with await site.operator() as newcomer:
        snapshot = (await newcomer.call(api.Subscribe())).snapshot
        rows: list[api.JobRow] = [
            *(row for row in snapshot.jobs if row.id == job),
            *(await newcomer.call(api.ListJobs())).jobs,
            *(await newcomer.call(api.ListJobs(filter="train"))).jobs,
            (await newcomer.call(api.ShowJob(id=job))).detail.job,
            (await newcomer.call(api.Why(id=job))).job,
            *(await newcomer.call(api.WaitJobs(ids=(job,), timeout_ms=0))).jobs,
        ]
    assert [row.id for row in rows] == [job] * 6
    return [row.advance for row in rows]


async def test_whoever_looks_is_shown_how_far_a_job_is(site: Site) -> None:
    async with await site.agent() as agent, await site.operator() as operator:
        await agent.register()
        job = (await operator.submit(command=("train",))).id
        attempt_id = await started(site, agent)
        for progress in (HALF, MORE):
            await prints(site, agent, attempt_id, progress)
            assert await seen(site, job) == [progress] * 6
        await operator.call(api.Act(verb="pause", ids=(job,)))  # which is committed, with the row as it stands
        assert await seen(site, job) == [MORE] * 6
        await operator.call(api.Act(verb="resume", ids=(job,)))
        await prints(site, agent, attempt_id, HALF)
        await agent.report(attempt_id, AttemptState.SUCCEEDED, started_at_ms=1, finished_at_ms=2, exit_code=0)
        await operator.wait(job)
        assert await seen(site, job) == [None] * 6
        assert not site.commit_loop.shown


async def test_what_is_shown_in_several_frames_is_so_in_each(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsconsole_coordinator.server.snapshot.UPDATE_ROWS_MAX", 1)
    async with await site.agent() as agent, await site.operator() as operator:
        await agent.register(max_concurrent_jobs=2)
        jobs = [(await operator.submit(command=("train",))).id for _ in range(2)]
        for attempt_id in [await started(site, agent) for _ in jobs]:
            await prints(site, agent, attempt_id, HALF)
        async with await site.operator() as newcomer:
            snapshot = (await newcomer.call(api.Subscribe())).snapshot
            update = await newcomer.take(api.Update)
    assert {row.id: row.advance for row in (*snapshot.jobs, *update.jobs)} == dict.fromkeys(jobs, HALF)


class Recorder:
    """Every row that is told of a job."""

    def __init__(self) -> None:
        self.rows: list[api.JobRow] = []

    def publish(self, jobs: ToldRows, *_: object) -> None:
        self.rows += (row for row in jobs.values() if isinstance(row, api.JobRow))


async def test_nothing_is_shown_that_is_not_committed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a job changes while the batch is committed that shows its progress."""
    async with await site.agent() as agent, await site.operator() as operator:
        await agent.register()
        job = JobId((await operator.submit(command=("train",))).id)
        attempt_id = await started(site, agent)
        recorder = Recorder()
        site.commit_loop.commit_listeners.append(recorder)
        commit, begun, go_on = journal.commit, asyncio.Event(), asyncio.Event()

        async def slow(*arguments: Any) -> None:
            begun.set()
            await go_on.wait()
            await commit(*arguments)

        monkeypatch.setattr(journal, "commit", slow)
        site.commit_loop.fleet.attempts[attempt_id].progress = HALF
        site.commit_loop.fleet.show_job(site.commit_loop.fleet.jobs[job])
        other = await operator.ask(api.SetProject(name="vision", create=True))
        await begun.wait()
        cancelled = await operator.ask(api.Act(verb="cancel", ids=(job,)))
        await until(lambda: site.commit_loop.fleet.jobs[job].stop_reason)
        go_on.set()
        await operator.answer(other)
        await operator.answer(cancelled)
        assert [(row.advance, "cancelled" in row.reason) for row in recorder.rows] == [(HALF, False), (HALF, True)]


async def test_after_a_lost_batch_nothing_is_shown_beyond_the_store(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await site.agent() as agent, await site.operator() as operator:
        await agent.register()
        await operator.submit(command=("train",))
        await prints(site, agent, await started(site, agent), HALF)

        async def fail(*_: Any) -> None:
            monkeypatch.undo()
            raise OSError("disk full")

        monkeypatch.setattr(journal, "commit", fail)
        await operator.ask(api.SetProject(name="vision", create=True))
        await until(lambda: not site.commit_loop.shown, what="the coordinator to start over")
