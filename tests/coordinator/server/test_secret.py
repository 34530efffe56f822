"""The values of a job's environment may be secrets: whoever only looks gets none, in no answer and no update."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from opsconsole_protocol import api
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState
from tests.coordinator.server.peer import Operator, Site
from tests.coordinator.server.test_verb import TABLE, Stage, stream_of_outputs

SECRET = "open-sesame-7k3m9q"
ENVIRONMENT = {"API_KEY": SECRET, "MODE": "fast"}


@dataclass
class Listener:
    """An operator of a role, with every frame that came."""

    operator: Operator
    frames: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        receive = self.operator.socket.recv

        async def noted() -> bytes:
            frame = await receive(decode=False)
            self.frames.append(frame)
            return frame

        self.operator.socket.recv = noted  # type: ignore[method-assign, assignment]

    @property
    def has_heard(self) -> bool:
        return any(SECRET.encode() in frame for frame in self.frames)


class OneJob(Stage):
    """Every request is about one job."""

    known = JobId("")

    async def job(self, **_: object) -> JobId:
        return self.known


async def ask_all(stage: OneJob, listener: Listener) -> None:
    """Everything that a viewer may ask, about the one job where it is about one; a stream needs an agent and a job of its own."""
    about_any = [verb for verb in TABLE.values() if verb.role == "viewer" and verb.make is not stream_of_outputs]
    made = [(await verb.make(stage))[0] for verb in about_any]
    job = stage.known
    more = (
        api.ShowJob(id=f"{job}/task-0"), api.ShowJob(id=job, tasks_limit=0), api.ListEvents(subject=job),
        api.ListJobs(filter=SECRET), api.ListJobs(filter="train"), api.AskCandidates(spec=JobSpec(command=("a",))),
    )  # fmt: skip
    for request in (*made, *more):
        await listener.operator.call(request)


@pytest.mark.parametrize(("role", "may_see"), [("viewer", False), ("operator", True), ("admin", True)])
async def test_a_secret_reaches_those_only_who_may_give_it(
    site: Site, tmp_path: Path, role: str, may_see: bool
) -> None:
    async with await site.agent() as agent, await site.operator() as admin, await site.operator_of(role) as operator:
        await agent.register()
        listener, stage = Listener(operator), OneJob(site, admin, tmp_path)
        await operator.call(api.Subscribe())
        spec = {"command": ("train",), "environment": ENVIRONMENT, "num_tasks": 2, "max_task_failures": 2}
        stage.known = JobId((await admin.submit(**spec, requirements=("zone=nowhere",))).id)
        await ask_all(stage, listener)
        stage.known = JobId((await admin.submit(**spec)).id)
        first = await agent.assigned()
        await ask_all(stage, listener)
        await agent.report(first, AttemptState.RUNNING, started_at_ms=1)
        await ask_all(stage, listener)
        await agent.report(first, AttemptState.FAILED, started_at_ms=1, finished_at_ms=2, exit_code=1, error="no")
        await agent.run_one()
        await admin.wait(stage.known)
        await ask_all(stage, listener)
        await admin.call(api.Act(verb="retry", ids=(stage.known,)))
        await agent.run_one()
        await admin.wait(stage.known)
        shown = (await operator.call(api.ShowJob(id=stage.known))).detail.spec.environment
        assert shown == (ENVIRONMENT if may_see else {"API_KEY": "…", "MODE": "…"}), "its names are no secret"
        async with asyncio.timeout(10):
            while not any(row.state == "succeeded" for update in operator.updates for row in update.jobs):
                await operator.call(api.AskHealth())
        assert listener.has_heard is may_see


@pytest.mark.parametrize("is_ended", [False, True])
async def test_who_asks_at_the_same_time_as_somebody_with_another_role_gets_their_own(
    site: Site, is_ended: bool
) -> None:
    """Answers are shared among those who ask at once: with those of one role only."""
    async with await site.operator() as admin, await site.operator_of("viewer") as viewer:
        job = (await admin.submit(held=True, environment=ENVIRONMENT)).id
        if is_ended:
            await admin.call(api.Act(verb="cancel", ids=(job,)))
        listener = Listener(viewer)
        for first, second in ((admin, viewer), (viewer, admin)):
            numbers = [(one, await one.ask(api.ShowJob(id=job))) for _ in range(10) for one in (first, second)]
            for one, number in numbers:
                seen = (await one.answer(number)).detail.spec.environment
                assert seen == (ENVIRONMENT if one is admin else dict.fromkeys(ENVIRONMENT, "…"))
        assert not listener.has_heard
