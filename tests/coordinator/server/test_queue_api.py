"""The queue and templates over the wire: what was committed before the answer came is there after a restart, too."""

import sqlite3
from random import Random
from typing import Any

import pytest

from opsconsole.job_page import next_page
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.templates import Templates
from opsconsole_coordinator.server import job_api
from opsconsole_coordinator.store import rebuild
from opsconsole_protocol import api
from opsconsole_protocol.error import Conflict, Forbidden, InvalidRequest, NotFound
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec, Resources
from tests.coordinator.server.peer import Site, some_job_id

FIT = api.TemplateRow(name="fit", command=("fit", "{lr}"), parameters=(api.Parameter(name="lr", kind="float"),))


async def rebuilt(site: Site) -> Fleet:
    """The fleet as a coordinator that starts now would have it."""

    def load(connection: sqlite3.Connection) -> Fleet:
        return rebuild.load(connection, Random(0).getrandbits, "lab", 5)  # noqa: S311 - nothing secret comes of it

    return await site.commit_loop.database.read(load)


async def test_jobs_are_moved_popped_and_cleared(site: Site) -> None:
    async with await site.operator() as operator:
        first, second, third = [await operator.submit(name=name) for name in ("a", "b", "c")]
        done = await operator.call(api.MoveJob(id=third.id[:8], where="before", other=first.id[:8]))
        assert done.text.startswith(f"moved before {first.id} by ")
        [event, *_] = (await operator.call(api.ListEvents(subject=third.id))).events
        assert (event.kind, event.text) == ("move", done.text)
        popped = await operator.call(api.PopJob())
        assert (popped.job.id, popped.job.state, popped.spec.name) == (third.id, "killed", "c")
        held = await operator.call(api.PopJob(project="default", hold=True))
        assert (held.job.id, held.job.state) == (first.id, "held")
        with pytest.raises(NotFound, match="there is no project vision"):
            await operator.call(api.PopJob(project="vision"))
        with pytest.raises(InvalidRequest, match="is a task: name the whole job"):
            await operator.call(api.MoveJob(id=f"{second.id}/task-0", where="first"))
        cleared = await operator.call(api.ClearQueue(project="default"))
        assert set(cleared.ids) == {first.id, second.id}
        with pytest.raises(Conflict, match="only jobs that wait"):
            await operator.call(api.MoveJob(id=second.id, where="first"))


@pytest.mark.parametrize("asked", [{"gpu_memory_mb": 6_000}, {"share": True}, {"gpu_memory_mb": 6_000, "share": True}])
async def test_no_gpu_and_some_of_one_is_refused_and_without_a_number_it_is_one(
    site: Site, asked: dict[str, Any]
) -> None:
    async with await site.operator() as operator:
        with pytest.raises(InvalidRequest, match="--gpus 0 is no GPU"):
            await operator.submit(resources=Resources(gpus=0, **asked))
        template = api.TemplateRow(name="t", command=("t",), defaults={"gpus": "0", "share": "yes", "gpu_memory": "6G"})
        with pytest.raises(InvalidRequest, match="--gpus 0 is no GPU"):
            await operator.call(api.SetTemplate(template=template))
        job = await operator.submit(resources=Resources(gpu_memory_mb=6_000))
        assert site.commit_loop.fleet.jobs[JobId(job.id)].spec.resources.gpus_asked == 1


async def test_a_moved_job_keeps_its_place_over_a_restart(site: Site) -> None:
    async with await site.operator() as operator:
        first, second = [await operator.submit(name=name) for name in ("a", "b")]
        await operator.call(api.MoveJob(id=second.id, where="first"))
    fleet = await rebuilt(site)
    assert list(fleet.order) == [second.id, first.id]
    assert fleet.job_seq == 2, "the next one comes after both"


async def test_how_many_run_at_a_time_is_stored_with_the_spec(site: Site) -> None:
    async with await site.operator() as operator:
        job = await operator.submit(num_tasks=3, max_parallel=1)
        await operator.call(api.SetParallel(id=job.id, max_parallel=2))
        assert (await operator.call(api.ShowJob(id=job.id))).detail.spec.max_parallel == 2
        await operator.call(api.SetParallel(id=job.id))
        assert (await operator.call(api.ShowJob(id=job.id))).detail.spec.max_parallel is None


async def test_a_viewer_looks_and_changes_nothing(site: Site) -> None:
    async with await site.operator_of("viewer") as viewer:
        await viewer.call(api.ListTemplates(name="fit"))
        for request in (
            api.MoveJob(id="a", where="first"), api.PopJob(), api.ClearQueue(project="default"), api.SetParallel(id="a"),
            api.SyncTemplates(templates=()), api.RemoveTemplate(name="fit"),
        ):  # fmt: skip
            with pytest.raises(Forbidden):
                await viewer.call(request)


async def test_versions_of_templates_are_looked_through_and_used(site: Site) -> None:
    async with await site.operator() as operator:
        await operator.call(api.SetTemplate(template=FIT))
        other = api.TemplateRow(name="fit", command=("fit2", "{lr}"), parameters=FIT.parameters)
        changes = (await operator.call(api.SyncTemplates(templates=(other,), project="vision"))).changes
        assert changes == (api.TemplateChange(name="fit", change="changed", version=2),)
        page = await operator.call(api.ListTemplates(name="fit", limit=1))
        assert ([one.label for one in page.templates], page.more) == (["fit@2"], True)
        [older] = (await operator.call(api.ListTemplates(name="fit", before=2))).templates
        assert (older.label, older.command, older.synced) == ("fit@1", ("fit", "{lr}"), "")
        fleet = site.commit_loop.fleet
        fleet.templates = Templates(fleet.templates, {"fit": 2})  # version 1 is only in the store
        spec = JobSpec(command=FIT.command, template="fit", template_version=1, parameters=({"lr": "3"},))
        [job] = (await operator.call(api.SubmitJobs(submissions=(api.Submission(some_job_id(), spec),)))).jobs
        assert (await operator.call(api.ShowJob(id=job.id))).detail.spec.command == ("fit", "3.0")
        await operator.call(api.RemoveTemplate(name="fit"))
        assert (await operator.call(api.ListTemplates())).templates == ()
        assert [one.version for one in (await operator.call(api.ListTemplates(name="fit"))).templates] == [2, 1]
    fleet = await rebuilt(site)
    assert (list(fleet.templates), fleet.templates.last_version("fit")) == ([], 2)


async def test_a_list_is_sorted_and_paged_where_it_is_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await site.operator() as operator:
        for name, priority in (("b", 3), ("D", 1), ("a", 3), ("c", 2)):
            await operator.submit(name=name, priority=priority, project="vision" if name == "c" else "default")

        async def listed(**fields: Any) -> list[str]:
            request, found = api.ListJobs(limit=2, **fields), []
            while True:
                page = await operator.call(request)
                found += [job.name for job in page.jobs]
                if not page.more:
                    return found
                request = next_page(request, page)

        assert await listed(sort="name", ascending=True) == ["a", "b", "c", "D"]
        assert await listed(sort="name") == ["D", "c", "b", "a"]
        assert await listed(sort="priority") == ["a", "b", "c", "D"], "of equals the newest first"
        assert await listed(sort="priority", ascending=True, filter="priority>1", project="default") == ["b", "a"]
        assert len(await listed(sort="started")) == 4, "what nobody knows of is there, too"
        for request, match in (
            (api.ListJobs(sort="prioriti"), "did you mean priority"),
            (api.ListJobs(sort="name", cursor="nonsense"), "the cursor is none of a list's"),
        ):
            with pytest.raises(InvalidRequest, match=match):
                await operator.call(request)
        monkeypatch.setattr(job_api, "SORT_WORK_MAX", -1)
        with pytest.raises(InvalidRequest, match="too many jobs to sort"):
            await operator.call(api.ListJobs(sort="name"))
