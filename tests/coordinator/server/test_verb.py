"""Every verb of the operators' API: which role it needs, and which events it leaves. By a real websocket each."""

import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

from opsconsole_coordinator.core.control import VERBS
from opsconsole_protocol import api
from opsconsole_protocol.error import Forbidden
from opsconsole_protocol.ids import ContentId, JobId
from opsconsole_protocol.log import LogQuery
from opsconsole_protocol.share import ShareChange
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState
from opsconsole_protocol.stream.message import FileRoot, KeepContent, OpenStream, ReadFiles, RootKind, WriteFiles
from tests.coordinator.server.peer import Agent, Operator, Site, some_job_id, some_secret

ROLES = ("viewer", "operator", "admin")
SPEC = JobSpec(command=("true",), held=True)
HERE = "lab"
"""The coordinator's name: events about no job, worker or person have it as their subject."""

Event = tuple[str, str]
"""Kind and subject."""
Asked = tuple[api.AnyRequest, list[Event]]
"""What is asked, and the events that it leaves, all in the name of whoever asked."""


@dataclass
class Stage:
    """A coordinator, and things to do something to: each call makes a new one."""

    site: Site
    admin: Operator
    folder: Path
    agents: list[Agent] = field(default_factory=list)
    people: int = 0

    async def job(self, **fields: Any) -> JobId:
        return JobId((await self.admin.submit(**{"held": True, **fields})).id)

    async def ended(self) -> JobId:
        job = await self.job()
        await self.admin.call(api.Act(verb="cancel", ids=(job,)))
        return job

    async def running(self) -> JobId:
        agent = await self.agent()
        job = await self.job(held=False, worker=agent.name)
        await agent.report(await agent.assigned(), AttemptState.RUNNING, started_at_ms=1)
        await self.admin.call(api.ListWorkers())
        return job

    async def agent(self, **fields: Any) -> Agent:
        agent = await self.site.agent(f"w{len(self.agents)}")
        await agent.register(**fields)
        self.agents.append(agent)
        return agent

    async def person(self) -> str:
        self.people += 1
        name = f"person-{self.people}"
        token = await self.site.invite(role="viewer", name=name)
        await (await self.site.operator(some_secret(), Opsconsole_Invitation=token)).close()
        return name

    async def invitation(self) -> str:
        return (await self.site.invite()).partition(".")[0]

    def file(self) -> Path:
        return self.folder / "backup.db"


# --- reading -------------------------------------------------------------------------------------------------------


def plain(request: api.AnyRequest) -> Callable[[Stage], Awaitable[Asked]]:
    async def make(_: Stage) -> Asked:
        return request, []

    return make


def of_job(make_request: Callable[[JobId], api.AnyRequest]) -> Callable[[Stage], Awaitable[Asked]]:
    async def make(stage: Stage) -> Asked:
        return make_request(await stage.job()), []

    return make


# --- changing ------------------------------------------------------------------------------------------------------


async def submit(_: Stage) -> Asked:
    ids = some_job_id(), some_job_id()
    return api.SubmitJobs(submissions=tuple(api.Submission(one, SPEC) for one in ids)), [
        ("submitted", one) for one in ids
    ]


def act(verb: str, find: Callable[[Stage], Awaitable[JobId]]) -> Callable[[Stage], Awaitable[Asked]]:
    async def make(stage: Stage) -> Asked:
        job = await find(stage)
        return api.Act(verb=verb, ids=(job,)), [(verb, job)]

    return make


async def paused(stage: Stage) -> JobId:
    job = await stage.running()
    await stage.admin.call(api.Act(verb="pause", ids=(job,)))
    return job


async def pending(stage: Stage) -> JobId:
    return await stage.job(held=False)


async def cancel_task(stage: Stage) -> Asked:
    task = f"{await stage.job(num_tasks=2)}/task-1"
    return api.Act(verb="cancel", ids=(task,)), [("cancel", task)]


async def set_priority(stage: Stage) -> Asked:
    job = await stage.job()
    return api.SetPriority(id=job, priority=3), [("priority", job)]


async def set_task_priority(stage: Stage) -> Asked:
    job = await stage.job(num_tasks=2)
    return api.SetPriority(id=f"{job}/task-1", priority=3), [("priority", job)]


async def add_tasks(stage: Stage) -> Asked:
    job = await stage.job(command=("train", "{lr}"), task_commands=(("train", "1"),), parameters=({"lr": "1"},))
    return api.AddTasks(id=job, points=({"lr": "2"},)), [("add", job)]


async def cancel_some(stage: Stage) -> Asked:
    job = await stage.job(num_tasks=3)
    return api.Act(verb="cancel", ids=(f"{job}/0-1",)), [("cancel", job)]


def set_worker(action: str) -> Callable[[Stage], Awaitable[Asked]]:
    async def make(stage: Stage) -> Asked:
        name = (await stage.agent()).name
        return api.SetWorker(name=name, action=action), [(action, name)]

    return make


async def remove_worker(stage: Stage) -> Asked:
    name = (await stage.agent()).name
    await stage.admin.call(api.SetWorker(name=name, action="revoke"))
    return api.SetWorker(name=name, action="remove"), [("remove", name)]


async def revoke_all_workers(stage: Stage) -> Asked:
    names = [(await stage.agent()).name for _ in range(2)]
    return api.SetWorker(name="", action="revoke", everybody=True), [("revoke", name) for name in names]


async def clean(stage: Stage) -> Asked:
    await stage.ended()
    return api.Clean(attempts=False, history=True, remove=True), [("cleaned", HERE)]


async def remove_jobs(stage: Stage) -> Asked:
    await stage.ended()
    return api.Clean(jobs=(await stage.ended(),), history=True, remove=True), [("cleaned", HERE)]


async def set_project(stage: Stage) -> Asked:
    return api.SetProject(name="vision", status="paused", create=True), [("project", "vision")]


async def share_project(stage: Stage) -> Asked:
    return api.SetProject(name="vision", share=ShareChange(weight=2.0), create=True), [("project", "vision")]


async def set_person(stage: Stage) -> Asked:
    name = await stage.person()
    return api.SetPerson(name=name, share=ShareChange(gpus=2)), [("project", name)]


async def reserve(stage: Stage) -> Asked:
    name, until_ms = (await stage.agent()).name, time.time_ns() // 1_000_000 + 7_200_000
    request = api.Reserve(workers=(name,), from_ms=until_ms - 3_600_000, until_ms=until_ms, maintenance=True)
    return request, [("reserve", name)]


async def reserve_offer(stage: Stage) -> Asked:
    """It is for a minute, and nothing of it is stored."""
    return api.ReserveOffer(job_id=some_job_id(), spec=SPEC, worker=(await stage.agent()).name), []


async def cancel_reservation(stage: Stage) -> Asked:
    request, ((_, name), *_) = await reserve(stage)
    made = await stage.admin.call(request)
    return api.CancelReservation(id=made.reservations[0].id), [("unreserve", name)]


async def set_template(stage: Stage) -> Asked:
    template = api.TemplateRow(name="train", command=("train",))
    return api.SetTemplate(template=template), [("template", "train")]


async def sync_templates(_: Stage) -> Asked:
    template = api.TemplateRow(name="train", command=("train",))
    return api.SyncTemplates(templates=(template,)), [("template", "train")]


async def remove_template(stage: Stage) -> Asked:
    await stage.admin.call(api.SetTemplate(template=api.TemplateRow(name="train", command=("train",))))
    return api.RemoveTemplate(name="train"), [("template", "train")]


async def move(stage: Stage) -> Asked:
    first, second = await stage.job(held=False), await stage.job(held=False)
    return api.MoveJob(id=second, where="before", other=first), [("move", second)]


async def pop(stage: Stage) -> Asked:
    return api.PopJob(), [("cancel", await stage.job(held=False))]


async def clear(stage: Stage) -> Asked:
    return api.ClearQueue(project="default"), [("cancel", await stage.job(held=False))]


async def set_parallel(stage: Stage) -> Asked:
    job = await stage.job(num_tasks=3)
    return api.SetParallel(id=job, max_parallel=2), [("parallel", job)]


async def backup(stage: Stage) -> Asked:
    return api.Backup(path=str(stage.file())), [("backup", HERE)]


async def confirm_restore(stage: Stage) -> Asked:
    stage.site.commit_loop.fleet.adopting = True
    return api.ConfirmRestore(), [("confirmed", HERE)]


async def invite(_: Stage) -> Asked:
    return api.Invite(), [("invited", HERE)]


async def rename_person(stage: Stage) -> Asked:
    name = await stage.person()
    return api.RenamePerson(name=name, new=f"{name}-too"), [("rename", name)]


async def revoke_people(stage: Stage) -> Asked:
    names = tuple([await stage.person() for _ in range(2)])
    return api.RevokePeople(names=names), [("revoke", name) for name in names]


async def revoke_invitations(stage: Stage) -> Asked:
    return api.RevokeInvitations(ids=(await stage.invitation(),)), [("revoke", HERE)]


# --- streams -------------------------------------------------------------------------------------------------------

CONTENT = ContentId("5f" * 32)
MOUNTS = {"io_paths": {"input": "/in", "output": "/out"}, "mounts": []}


async def stream_to_keep(_: Stage) -> Asked:
    purpose = KeepContent(content_id=CONTENT, size_bytes=1, files=1)
    return api.AskForStream(open=OpenStream(purpose=purpose)), []


def stream_of_mount(*, is_to_write: bool) -> Callable[[Stage], Awaitable[Asked]]:
    async def make(stage: Stage) -> Asked:
        name = (await stage.agent(properties=MOUNTS)).name
        root = FileRoot(kind=RootKind.MOUNT, mount="input")
        purpose = WriteFiles(root=root) if is_to_write else ReadFiles(root=root)
        return api.AskForStream(open=OpenStream(purpose=purpose, peer=name)), []

    return make


async def stream_of_outputs(stage: Stage) -> Asked:
    agent = await stage.agent(properties=MOUNTS)
    job = await stage.job(held=False, worker=agent.name)
    await agent.report(await agent.assigned(), AttemptState.RUNNING, started_at_ms=1, output_path=f"/out/jobs/{job}")
    await stage.admin.call(api.ListWorkers())
    root = FileRoot(kind=RootKind.OUTPUT, job_id=job)
    return api.AskForStream(open=OpenStream(purpose=ReadFiles(root=root))), []


class Verb(NamedTuple):
    """The least role that may ask, and how a request that would do something is made."""

    request: type[Any]
    role: str
    make: Callable[[Stage], Awaitable[Asked]]


TABLE = {
    "submit": Verb(api.SubmitJobs, "operator", submit),
    "act cancel": Verb(api.Act, "operator", act("cancel", Stage.job)),
    "act cancel a task": Verb(api.Act, "operator", cancel_task),
    "act cancel some tasks": Verb(api.Act, "operator", cancel_some),
    "act pause": Verb(api.Act, "operator", act("pause", Stage.running)),
    "act resume": Verb(api.Act, "operator", act("resume", paused)),
    "act retry": Verb(api.Act, "operator", act("retry", Stage.ended)),
    "act hold": Verb(api.Act, "operator", act("hold", pending)),
    "act release": Verb(api.Act, "operator", act("release", Stage.job)),
    "set_priority": Verb(api.SetPriority, "operator", set_priority),
    "set_priority of a task": Verb(api.SetPriority, "operator", set_task_priority),
    "add_tasks": Verb(api.AddTasks, "operator", add_tasks),
    "move_job": Verb(api.MoveJob, "operator", move),
    "pop_job": Verb(api.PopJob, "operator", pop),
    "clear_queue": Verb(api.ClearQueue, "operator", clear),
    "set_parallel": Verb(api.SetParallel, "operator", set_parallel),
    "set_project": Verb(api.SetProject, "operator", set_project),
    "set_project share": Verb(api.SetProject, "admin", share_project),
    "set_person": Verb(api.SetPerson, "admin", set_person),
    "reserve": Verb(api.Reserve, "admin", reserve),
    "cancel_reservation": Verb(api.CancelReservation, "admin", cancel_reservation),
    "reservations": Verb(api.ListReservations, "viewer", plain(api.ListReservations())),
    "usage": Verb(api.AskUsage, "viewer", plain(api.AskUsage())),
    "set_template": Verb(api.SetTemplate, "operator", set_template),
    "sync_templates": Verb(api.SyncTemplates, "operator", sync_templates),
    "remove_template": Verb(api.RemoveTemplate, "operator", remove_template),
    "set_worker drain": Verb(api.SetWorker, "operator", set_worker("drain")),
    "set_worker undrain": Verb(api.SetWorker, "operator", set_worker("undrain")),
    "set_worker revoke": Verb(api.SetWorker, "admin", set_worker("revoke")),
    "set_worker revoke all": Verb(api.SetWorker, "admin", revoke_all_workers),
    "set_worker remove": Verb(api.SetWorker, "admin", remove_worker),
    "clean": Verb(api.Clean, "operator", clean),
    "clean of a job": Verb(api.Clean, "operator", remove_jobs),
    "clean, shown only": Verb(api.Clean, "operator", plain(api.Clean(attempts=False, history=True))),
    "backup": Verb(api.Backup, "admin", backup),
    "confirm_restore": Verb(api.ConfirmRestore, "admin", confirm_restore),
    "invite": Verb(api.Invite, "admin", invite),
    "invitations": Verb(api.ListInvitations, "admin", plain(api.ListInvitations())),
    "revoke_invitations": Verb(api.RevokeInvitations, "admin", revoke_invitations),
    "people": Verb(api.ListPeople, "admin", plain(api.ListPeople())),
    "rename_person": Verb(api.RenamePerson, "admin", rename_person),
    "revoke_people": Verb(api.RevokePeople, "admin", revoke_people),
    "workers": Verb(api.ListWorkers, "viewer", plain(api.ListWorkers())),
    "jobs": Verb(api.ListJobs, "viewer", plain(api.ListJobs())),
    "projects": Verb(api.ListProjects, "viewer", plain(api.ListProjects())),
    "templates": Verb(api.ListTemplates, "viewer", plain(api.ListTemplates())),
    "events": Verb(api.ListEvents, "viewer", plain(api.ListEvents())),
    "health": Verb(api.AskHealth, "viewer", plain(api.AskHealth())),
    "subscribe": Verb(api.Subscribe, "viewer", plain(api.Subscribe())),
    "job_request": Verb(api.AskCandidates, "viewer", plain(api.AskCandidates(spec=SPEC, wait_ms=0))),
    "reserve_offer": Verb(api.ReserveOffer, "operator", reserve_offer),
    "free_offer": Verb(api.FreeOffer, "operator", plain(api.FreeOffer(job_id=some_job_id()))),
    "show": Verb(api.ShowJob, "viewer", of_job(lambda job: api.ShowJob(id=job))),
    "why": Verb(api.Why, "viewer", of_job(lambda job: api.Why(id=job))),
    "graph": Verb(api.AskGraph, "viewer", of_job(lambda job: api.AskGraph(id=job))),
    "wait": Verb(api.WaitJobs, "viewer", of_job(lambda job: api.WaitJobs(ids=(job,), timeout_ms=1))),
    "stream to keep a tree": Verb(api.AskForStream, "operator", stream_to_keep),
    "stream to put files": Verb(api.AskForStream, "operator", stream_of_mount(is_to_write=True)),
    "stream to get files": Verb(api.AskForStream, "operator", stream_of_mount(is_to_write=False)),
    "stream to get outputs": Verb(api.AskForStream, "viewer", stream_of_outputs),
    "await_signals": Verb(api.AwaitSignals, "viewer", plain(api.AwaitSignals(stream_id="s", wait_ms=0))),
    "find_contents": Verb(api.FindContents, "viewer", plain(api.FindContents(content_ids=(CONTENT,)))),
    "offer_contents": Verb(
        api.OfferContents,
        "operator",
        plain(api.OfferContents(host="h", host_id="h", content_ids=(CONTENT,), wait_ms=0)),
    ),
    "logs": Verb(api.ReadLog, "viewer", of_job(lambda job: api.ReadLog(id=job, query=LogQuery()))),
    "metrics": Verb(api.ReadMetrics, "viewer", of_job(lambda job: api.ReadMetrics(id=job, names=("loss",)))),
}


ELSEWHERE: set[type[Any]] = {
    api.SendSignal,
    api.EndStream,
    api.ListFiles,
    api.ReadFilePart,
    api.DescribeDataset,
}
"""Only who has opened a stream may say something of it (test_stream_broker.py); an agent answers for its files (test_file_api.py, test_dataset_api.py)."""


def test_no_kind_of_request_is_missing_here_and_no_way_to_change_something() -> None:
    assert {verb.request for verb in TABLE.values()} | ELSEWHERE == set(get_args(api.AnyRequest))
    assert {f"act {verb}" for verb in VERBS} <= set(TABLE)


def stored(site: Site) -> dict[str, list[Any]]:
    """All that the store holds, but for what goes on by itself while tasks run: what was had of the fleet."""
    with sqlite3.connect(f"file:{site.data_dir / 'opsconsole.db'}?mode=ro", uri=True) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'usage'"
        ).fetchall()
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for (name,) in tables}


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("role", ROLES)
async def test_a_verb_needs_its_role_and_leaves_its_events(site: Site, tmp_path: Path, name: str, role: str) -> None:
    verb = TABLE[name]
    async with await site.operator() as admin, await site.operator_of(role) as caller:
        stage = Stage(site, admin, tmp_path)
        request, expected = await verb.make(stage)
        assert isinstance(request, verb.request)
        await site.commit_loop.committed()
        before, seq = stored(site), site.commit_loop.committed_seq
        if ROLES.index(role) < ROLES.index(verb.role):
            needs = f"this needs the role {verb.role}, and you are {role}: ask an admin for an invitation"
            with pytest.raises(Forbidden, match=needs):
                await caller.call(request)
            expected = []
        else:
            await caller.call(request)
        await site.commit_loop.committed()
        events = [one for one in (await admin.call(api.ListEvents())).events if one.seq > seq]
        theirs = [(one.kind, one.subject) for one in reversed(events) if one.actor == f"the-{role}"]
        assert theirs == expected
        if not expected:
            assert (stored(site), events) == (before, [])
            assert not stage.file().exists()
        elif name != "backup":
            assert stored(site) != before
        else:
            assert stage.file().exists()
        for agent in stage.agents:
            await agent.close()
