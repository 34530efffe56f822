"""Whole stories through the wire: submit, run, read, wait, retry."""

import asyncio
from typing import Any

import msgspec
import pytest

from opsconsole.job_page import next_page
from opsconsole_coordinator.core.reserved_offer import OFFER_RESERVED_MS
from opsconsole_coordinator.server import job_api
from opsconsole_coordinator.store import job_search
from opsconsole_protocol import api, link
from opsconsole_protocol.error import Ambiguous, Conflict, InvalidRequest, NotFound
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.log import LogQuery
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState
from tests.coordinator.server.peer import Agent, Site, some_job_id, some_secret
from tests.waiting import until


async def registered(site: Site, name: str = "w1", **fields: object) -> Agent:
    agent = await site.agent(name)
    await agent.register(**fields)
    return agent


async def fail_one(agent: Agent) -> None:
    attempt_id = await agent.assigned()
    await agent.report(attempt_id, AttemptState.RUNNING, started_at_ms=1)
    end = {"started_at_ms": 1, "finished_at_ms": 2, "exit_code": 3, "error": "exit code 3"}
    await agent.report(attempt_id, AttemptState.FAILED, **end)


async def gone(site: Site, job_id: str) -> None:
    await until(lambda: job_id not in site.commit_loop.fleet.jobs, what="the job to leave memory")


async def test_a_job_from_submission_to_its_end(site: Site) -> None:
    async with await registered(site) as agent, await site.operator() as operator:
        job = await operator.submit(name="train")
        assert (job.state, job.project, job.num_tasks) == ("pending", "default", 1) or job.state == "assigned"
        attempt_id = await agent.run_one(output_path="/out/jobs/x")
        [row] = await operator.wait(job.id)
        assert (row.state, row.worker, row.output_path) == ("succeeded", "w1", "/out/jobs/x")
        await gone(site, job.id)
        detail = (await operator.call(api.ShowJob(id=job.id[:6]))).detail
        [task] = detail.tasks
        assert (task.state, task.exit_code, task.attempts[0].attempt_id) == ("succeeded", 0, attempt_id)
        assert [event.kind for event in detail.events] == ["submitted", "assigned", "running", "succeeded", "finished"]
        one = (await operator.call(api.ShowJob(id=f"{job.id}/task-0"))).detail
        assert one.tasks == (task,)
        with pytest.raises(NotFound, match="has 1 tasks"):
            await operator.call(api.ShowJob(id=f"{job.id}/task-1"))
        with pytest.raises(Conflict, match="has ended"):
            await operator.call(api.SetPriority(id=job.id, priority=1))


async def test_the_same_submission_again_is_the_same_job_even_after_its_end(site: Site) -> None:
    async with await registered(site) as agent, await site.operator() as operator:
        one = api.Submission(some_job_id(), JobSpec(command=("a",)))
        request = api.SubmitJobs(submissions=(one,))
        first = await operator.call(request)
        await agent.run_one()
        await operator.wait(one.job_id)
        await gone(site, one.job_id)
        again = await operator.call(request)
        assert (again.jobs[0].id, again.jobs[0].state) == (first.jobs[0].id, "succeeded")
        other = api.Submission(one.job_id, JobSpec(command=("b",)))
        with pytest.raises(Conflict, match="another spec"):
            await operator.call(api.SubmitJobs(submissions=(other,)))
        assert (await operator.call(api.ListJobs())).jobs == again.jobs
        await gone(site, one.job_id)


async def test_the_same_submission_many_times_at_once_is_one_job(site: Site) -> None:
    one = api.SubmitJobs(submissions=(api.Submission(some_job_id(), JobSpec(command=("a",), held=True)),))
    operators = [await site.operator() for _ in range(4)]
    answers = await asyncio.gather(*(operator.call(one) for operator in operators))
    assert len({answer.jobs[0].id for answer in answers}) == 1
    assert len(site.commit_loop.fleet.jobs) == 1
    for operator in operators:
        await operator.close()


async def test_why_a_task_waits_is_told_of_that_task(site: Site) -> None:
    async with await registered(site), await site.operator() as operator:
        job = await operator.submit(num_tasks=3, requirements=("note=x",))
        answer = await operator.call(api.Why(id=f"{job.id[:5]}/task-2"))
        assert answer.text.startswith("task-2 is pending: ")
        assert len(answer.verdicts) == 1
        with pytest.raises(NotFound, match="has 3 tasks, from task-0 to task-2"):
            await operator.call(api.Why(id=f"{job.id}/task-3"))


async def test_a_dependency_may_be_named_by_a_prefix_and_may_have_ended(site: Site) -> None:
    async with await registered(site) as agent, await site.operator() as operator:
        first = await operator.submit()
        second = await operator.submit(after=(first.id[:5],))
        assert (await operator.call(api.Why(id=second.id))).text == f"waits for true ({first.id}, assigned)"
        await agent.run_one()
        await agent.run_one()
        assert [row.state for row in await operator.wait(first.id, second.id)] == ["succeeded", "succeeded"]
        await gone(site, first.id)
        third = await operator.submit(after=(first.id[:5],))
        await agent.run_one()
        assert (await operator.wait(third.id))[0].state == "succeeded"
        with pytest.raises(NotFound):
            await operator.submit(after=("zzzzzzzz",))


async def test_a_failed_job_that_has_left_memory_is_retried_and_unblocks(site: Site) -> None:
    async with await registered(site) as agent, await site.operator() as operator:
        first = await operator.submit()
        second = await operator.submit(after=(first.id,))
        await fail_one(agent)
        assert [row.state for row in await operator.wait(first.id, second.id)] == ["failed", "blocked"]
        await gone(site, first.id)
        result = await operator.call(api.Act(verb="retry", ids=(first.id,)))
        assert "retried by" in result.results[0][1]
        await agent.run_one()
        await agent.run_one()
        assert [row.state for row in await operator.wait(first.id, second.id)] == ["succeeded", "succeeded"]


async def test_a_cancelled_dependent_that_has_left_memory_waits_again_when_it_is_retried(site: Site) -> None:
    async with await registered(site) as agent, await site.operator() as operator:
        first = await operator.submit()
        second = await operator.submit(after=(first.id,))
        await fail_one(agent)
        await operator.wait(first.id)
        await operator.call(api.Act(verb="cancel", ids=(second.id,)))
        await gone(site, second.id)
        await operator.call(api.Act(verb="retry", ids=(second.id,)))
        [row] = await operator.wait(second.id)
        assert (row.state, row.reason) == ("blocked", f"{first.id} didn't succeed (retry it to unblock)")


async def test_a_verb_on_several_is_done_where_it_fits_and_told_for_each(site: Site) -> None:
    async with await site.operator() as operator:
        held, ended = await operator.submit(held=True), await operator.submit(held=True)
        await operator.call(api.Act(verb="cancel", ids=(ended.id,)))
        results = (await operator.call(api.Act(verb="release", ids=(held.id, ended.id)))).results
        assert [one for one, _ in results] == [held.id, ended.id]
        assert "released by" in results[0][1]
        assert "can't release" in results[1][1]
        with pytest.raises(Conflict, match="can't release"):
            await operator.call(api.Act(verb="release", ids=(ended.id,)))
        await gone(site, ended.id)


async def test_prefixes_have_to_be_clear(site: Site) -> None:
    async with await site.operator() as operator:
        spec = JobSpec(command=("a",), held=True)
        ids = [JobId(f"aaaaaaaaa{digit}") for digit in "0123"]
        await operator.call(api.SubmitJobs(submissions=tuple(api.Submission(one, spec) for one in ids)))
        with pytest.raises(Ambiguous, match=r"aaaa fits several jobs: aaaaaaaaa0, aaaaaaaaa1, .*type more of the id"):
            await operator.call(api.ShowJob(id="aaaa"))
        assert (await operator.call(api.ShowJob(id=" AAAAAAAAA2 "))).detail.job.id == ids[2]
        for wrong in ("", "*", "../x", "a" * 11, "'; drop"):
            with pytest.raises(InvalidRequest):
                await operator.call(api.ShowJob(id=wrong))


async def test_a_batch_with_one_mistake_adds_nothing(site: Site) -> None:
    async with await site.operator() as operator:
        good, bad = JobSpec(command=("a",)), JobSpec(command=("",))
        batch = (api.Submission(some_job_id(), good), api.Submission(some_job_id(), bad))
        with pytest.raises(InvalidRequest):
            await operator.call(api.SubmitJobs(submissions=batch))
        assert (await operator.call(api.ListJobs())).jobs == ()


# --- waiting and reading -------------------------------------------------------------------------------------------


async def test_waiting_ends_with_the_last_job_or_the_time(site: Site) -> None:
    async with await registered(site) as agent, await site.operator() as operator:
        first, second = await operator.submit(), await operator.submit()
        rows = await operator.wait(first.id, second.id, timeout_ms=50)
        assert "succeeded" not in {row.state for row in rows}
        waiting = await operator.ask(api.WaitJobs(ids=(first.id, second.id)))
        await agent.run_one()
        await agent.run_one()
        assert [row.state for row in (await operator.answer(waiting)).jobs] == ["succeeded", "succeeded"]


async def test_a_reader_that_waits_wakes_when_bytes_come(site: Site) -> None:
    async with await registered(site) as agent, await site.operator() as operator:
        job = await operator.submit()
        early = await operator.ask(api.ReadLog(id=job.id, query=LogQuery(), wait_ms=10_000))
        attempt_id = await agent.assigned()
        await agent.log(attempt_id, b"first\n")
        page = (await operator.answer(early)).page
        assert [line.data for line in page.lines] == ["first"]
        again = await operator.ask(api.ReadLog(id=job.id, query=LogQuery(cursor=page.next_cursor), wait_ms=10_000))
        await agent.log(attempt_id, b"second\n", offset=6)
        answer = await operator.answer(again)
        assert ([line.data for line in answer.page.lines], answer.finished) == (["second"], False)
        last = await operator.ask(
            api.ReadLog(id=job.id, query=LogQuery(cursor=answer.page.next_cursor), wait_ms=10_000)
        )
        await agent.report(
            attempt_id, AttemptState.SUCCEEDED, exit_code=0, started_at_ms=1, finished_at_ms=2,
            log_sizes={"stdout": 13},
        )  # fmt: skip
        end = await operator.answer(last)
        assert (end.page.lines, end.finished, end.attempt_state) == ((), True, "succeeded")


async def test_nobody_waits_for_the_log_of_a_worker_that_is_lost(site: Site) -> None:
    async with await registered(site) as agent, await site.operator() as operator:
        job = await operator.submit()
        await agent.run_one(log_sizes={"stdout": 100})
        await operator.wait(job.id)
        answer = await operator.call(api.ReadLog(id=job.id, query=LogQuery()))
        assert not answer.finished, "bytes are outstanding"
        site.commit_loop.fleet.workers[agent.worker_id].connection = "lost"
        answer = await operator.call(api.ReadLog(id=job.id, query=LogQuery()))
        assert answer.finished


async def test_reading_what_is_not_there(site: Site) -> None:
    async with await site.operator() as operator:
        job = await operator.submit()
        answer = await operator.call(api.ReadLog(id=job.id, query=LogQuery()))
        assert (answer.page.lines, answer.finished, answer.attempt_state) == ((), False, "pending")
        with pytest.raises(NotFound, match="has no attempt 3"):
            await operator.call(api.ReadLog(id=job.id, attempt=3, query=LogQuery()))
        with pytest.raises(NotFound, match="has no task 5"):
            await operator.call(api.ReadLog(id=job.id, task_index=5, query=LogQuery()))


async def test_candidates_wait_for_what_workers_say_of_input_files(site: Site) -> None:
    async with (
        await registered(site, properties={"io_paths": {"input": "/in"}}) as agent,
        await site.operator() as operator,
    ):
        asking = await operator.ask(api.AskCandidates(spec=JobSpec(command=("a",), inputs=("d.slp",))))
        question = await agent.take(link.InputFile)
        await agent.send(link.FileNotFound(check_id=question.check_id, reason="there is no such file"))
        answer = await operator.answer(asking)
        assert (answer.verdicts[0].accepted, answer.text) == (False, "w1 needs d.slp: there is no such file")


async def test_a_chosen_offer_is_reserved_until_its_job_comes_or_its_connection_is_gone(site: Site) -> None:
    async with await registered(site) as agent, await site.operator() as operator, await site.operator() as other:
        spec, first, second = JobSpec(command=("a",)), some_job_id(), some_job_id()
        reserved = await other.call(api.ReserveOffer(job_id=first, spec=spec))
        assert (reserved.accepted, reserved.worker) == (True, "w1")
        assert 0 < reserved.left_ms <= OFFER_RESERVED_MS
        refused = await operator.call(api.ReserveOffer(job_id=second, spec=spec, worker="w1"))
        assert not refused.accepted
        assert refused.reason.startswith("w1 is full: 1 of 1 slot taken")
        job = await operator.submit()
        await other.close()
        await agent.take(link.JobAssignment)
        assert (await operator.call(api.Why(id=job.id))).job.worker == "w1"
        assert not site.commit_loop.fleet.reservations.offers
        with pytest.raises(InvalidRequest, match="is not a job id"):
            await operator.call(api.ReserveOffer(job_id="x", spec=spec))


async def test_a_paused_project_waits_also_after_a_restart(site: Site) -> None:
    async with await registered(site) as agent, await site.operator() as operator:
        await operator.call(api.SetProject(name="default", status="paused"))
        job = await operator.submit()
        assert (await operator.call(api.Why(id=job.id))).text.startswith("project default is paused: ")
        await site.commit_loop.load()
        assert site.commit_loop.fleet.project_status("default") == "paused"
        await operator.call(api.SetProject(name="default", status="active"))
        with pytest.raises(InvalidRequest, match="is not a project's status"):
            await operator.call(api.SetProject(name="default", status="odd"))
        await agent.close()


async def test_a_project_that_nobody_made_is_as_old_as_its_first_job(site: Site) -> None:
    """Hard use 44."""
    async with await site.operator() as operator:
        first = await operator.submit()
        await operator.submit()
        (project,) = (await operator.call(api.ListProjects())).projects
        assert (project.name, project.created_at_ms) == ("default", first.created_at_ms)


async def test_an_archived_project_refuses_work_also_after_a_restart(site: Site) -> None:
    """Hard use 42."""
    async with await site.operator() as operator:
        await operator.call(api.SetProject(name="default", status="archived"))
        await site.commit_loop.load()
        with pytest.raises(Conflict, match="project default is archived and takes no work"):
            await operator.submit()


async def test_pages_of_jobs_meet(site: Site) -> None:
    async with await site.operator() as operator:
        spec = JobSpec(command=("a",), held=True)
        batch = tuple(api.Submission(some_job_id(), spec) for _ in range(25))
        await operator.call(api.SubmitJobs(submissions=batch))
        seen: list[str] = []
        page = await operator.call(api.ListJobs(limit=10))
        while True:
            seen += [job.id for job in page.jobs]
            if not page.more:
                break
            last = page.jobs[-1]
            page = await operator.call(api.ListJobs(limit=10, before_ms=last.created_at_ms, before_id=last.id))
        assert sorted(seen) == sorted(one.job_id for one in batch)
        assert len(seen) == len(set(seen))
        filtered = await operator.call(api.ListJobs(filter=f"id={seen[3]}"))
        assert [job.id for job in filtered.jobs] == [seen[3]]


async def test_a_filter_says_where_it_left_off_instead_of_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hard use 23: "none" was said of what hadn't been looked at."""
    monkeypatch.setattr(job_search, "HEADS_AT_ONCE", 10)
    monkeypatch.setattr(job_api, "WORK_MAX", 10)
    async with await site.operator() as operator:
        names = ["wanted", *["other"] * 24]
        batch = tuple(
            api.Submission(some_job_id(), JobSpec(command=("a",), name=name, held=True)) for name in reversed(names)
        )
        await operator.call(api.SubmitJobs(submissions=batch))
        oldest = min((await operator.call(api.ListJobs())).jobs, key=lambda job: (job.created_at_ms, job.id))
        request, found, pages = api.ListJobs(filter=f"id~{oldest.id}"), list[str](), 0
        while True:
            answer = await operator.call(request)
            pages += 1
            found += [job.id for job in answer.jobs]
            if not answer.more:
                break
            request = next_page(request, answer)
        assert found == [oldest.id]
        assert pages == 3
        request, matched = api.ListJobs(filter=f"id={oldest.id}", inverted=True, count_only=True), 0
        while True:
            answer = await operator.call(request)
            assert answer.jobs == ()
            matched += answer.matched
            if not answer.more:
                break
            request = next_page(request, answer)
        assert matched == 24


async def test_a_restored_store_is_confirmed_once(site: Site) -> None:
    async with await site.operator() as operator:
        with pytest.raises(Conflict, match="nothing to confirm"):
            await operator.call(api.ConfirmRestore())
        secret = some_secret()
        agent = await site.agent(secret=secret)
        seal = site.commit_loop.fleet.seal.of_seq(agent.worker_id, 10_000)
        desired = await agent.register(store_id=site.endpoint.store_id, store_seq=10_000, store_seal=seal)
        assert desired.adopting
        assert (await operator.call(api.AskHealth())).adopting
        await operator.submit()
        await operator.call(api.ConfirmRestore())
        await agent.ended()
        async with await site.agent(secret=secret) as again:
            await again.register(store_id=site.endpoint.store_id, store_seq=10_000, store_seal=seal)
            assert not site.commit_loop.fleet.adopting
        [job] = (await operator.call(api.ListJobs())).jobs
        assert job.state == "assigned"


async def test_templates_are_checked_and_filled_here(site: Site) -> None:
    """Hard use 41."""
    template = api.TemplateRow(
        name="train", command=("train", "--lr={lr}"), parameters=(api.Parameter(name="lr", kind="float"),)
    )

    def spec(**fields: Any) -> JobSpec:
        return JobSpec(**{"command": template.command, "template": "train", "held": True, **fields})

    async with await site.operator() as operator:
        await operator.call(api.SetTemplate(template=template))
        undeclared = msgspec.structs.replace(template, command=("train", "{y}"))
        with pytest.raises(InvalidRequest, match=r"names \{y\}: declare it"):
            await operator.call(api.SetTemplate(template=undeclared))
        for wrong, words in (
            ({"command": ("echo", "{x}"), "template": "nosuch"}, "there is no template 'nosuch'"),
            ({}, "lr is missing"),
            ({"parameters": ({"lr": "fast"},)}, "lr is a number, not 'fast'"),
            ({"parameters": ({"lr": 0.1, "y": 1},)}, "has no parameter 'y'"),
            ({"command": ("echo", "{x}"), "parameters": ({"lr": 0.1},)}, "isn't that of template train"),
        ):
            with pytest.raises(InvalidRequest, match=words):
                await operator.call(api.SubmitJobs(submissions=(api.Submission(some_job_id(), spec(**wrong)),)))
        made = api.Submission(some_job_id(), spec(num_tasks=2, parameters=({"lr": 0.1}, {"lr": "0.2"})))
        await operator.call(api.SubmitJobs(submissions=(made,)))
        (row,) = (await operator.call(api.SubmitJobs(submissions=(made,)))).jobs  # the same again is the same job
        kept = site.commit_loop.fleet.jobs[made.job_id].spec
        assert [kept.command_of(index) for index in range(2)] == [("train", "--lr=0.1"), ("train", "--lr=0.2")]
        assert (kept.parameters, row.num_tasks) == (({"lr": 0.1}, {"lr": 0.2}), 2)
