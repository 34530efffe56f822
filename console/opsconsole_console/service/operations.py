"""Doing what an operator asked for: confirm what destroys, ask the coordinator, say what was done."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

from opsconsole.ask import act, ask
from opsconsole.queue_moves import moves_of
from opsconsole_console.model import plan as verbs
from opsconsole_console.model.model import Model
from opsconsole_console.model.plan import Plan
from opsconsole_console.service.source import FleetSource
from opsconsole_protocol.api import (
    Act,
    Done,
    JobRow,
    SetParallel,
    SetPriority,
    SetWorker,
    Where,
    WorkerList,
    WorkerRow,
)
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.spec import PauseBy
from opsconsole_protocol.task_selection import spans_of

Severity = Literal["information", "warning", "error"]


class OperatorDialog(Protocol):
    """What operations need of the app: to ask a question and to say something."""

    async def confirm(self, question: str, detail: str, yes: str) -> bool:
        """Whether the operator says yes."""

    def say(self, text: str, severity: Severity = "information") -> None:
        """Show a toast."""


_AT_ONCE = 50
_ACTED_AT_ONCE = 5_000
"""For how many jobs a verb is asked for in one request: so the coordinator has time for others between them."""
_PAUSES = {"freeze": PauseBy.FREEZE, "checkpoint": PauseBy.CHECKPOINT}


class Operations:
    """Every method asks the coordinator, says in a toast what came of it, and returns whether anything was done.

    None raises an OpsconsoleError.
    """

    def __init__(self, source: FleetSource, model: Model, dialog: OperatorDialog) -> None:
        self._source = source
        self._model = model
        self._dialog = dialog

    async def pause(self, jobs: Sequence[JobRow]) -> bool:
        """Pause, or resume what is paused."""
        return await self.carry_out(verbs.plan_pause(jobs))

    async def hold(self, jobs: Sequence[JobRow]) -> bool:
        """Hold, or release what is held."""
        return await self.carry_out(verbs.plan_hold(jobs))

    async def retry(self, jobs: Sequence[JobRow]) -> bool:
        """Retry what failed."""
        return await self.carry_out(verbs.plan_retry(jobs))

    async def cancel(self, jobs: Sequence[JobRow]) -> bool:
        """Cancel after a question that names what would end."""
        plan = verbs.plan_cancel(jobs)
        if plan.ids:
            meant = set(plan.ids)
            doomed = [job for job in jobs if job.id in meant]
            detail = verbs.cancel_detail(doomed, plan.left_out)
            if not await self._dialog.confirm(verbs.cancel_question(doomed), detail, "Cancel it"):
                return False
        return await self.carry_out(plan)

    async def act(self, verb: str, jobs: Sequence[JobRow]) -> bool:
        """Carry out a verb by its name."""
        if verb == "cancel":
            return await self.cancel(jobs)
        if verb in _PAUSES:
            return await self.carry_out(verbs.plan_pause_by(jobs, _PAUSES[verb]))
        return await self.carry_out(verbs.plan_verb(verb, jobs))

    async def act_on_tasks(self, verb: str, task_ids: Sequence[str], job_name: str) -> bool:
        """Carry out a verb on single tasks of a job."""
        if verb == "cancel":
            what = task_ids[0] if len(task_ids) == 1 else f"{len(task_ids)} tasks"
            if not await self._dialog.confirm(f"Cancel {what} of {job_name}?", ", ".join(task_ids[:4]), "Cancel it"):
                return False
        by = _PAUSES.get(verb)
        return await self.carry_out(Plan(verb if by is None else "pause", tuple(task_ids), by=by))

    async def act_on_late(self, verb: str, job: JobRow) -> bool:
        """Carry out a verb on what of a job hasn't saved a checkpoint in time; `checkpoint` gives it as much time again."""
        if job.num_tasks == 1:
            return await self.act(verb, [job])
        return await self.act_on_tasks(verb, [f"{job.id}/task-{index}" for index in job.save_late], job.name)

    async def change_priority(self, jobs: Sequence[JobRow], by: int) -> bool:
        """Raise or lower the priority of each that hasn't ended."""
        plan = verbs.plan_priority(jobs)
        if not plan.ids:
            self._dialog.say(plan.refusal, "warning")
            return False

        async def change() -> str:
            notices = await self._change_priorities(plan.ids, by)
            notice = notices[0] if len(notices) == 1 else f"priority {by:+d} for {len(notices)} jobs"
            return notice + (f"; {plan.left_out}" if plan.left_out else "")

        return await self._do_and_say(change)

    async def change_task_priority(self, job_id: str, indices: Sequence[int], by: int) -> bool:
        """Raise or lower the priority of some tasks of a job."""
        if not indices:
            self._dialog.say("these tasks have ended: a priority does nothing any more", "warning")
            return False

        async def change() -> str:
            notices = await self._change_priorities([f"{job_id}/{span}" for span in spans_of(indices)], by)
            return notices[0] if len(notices) == 1 else f"priority {by:+d} for {len(indices)} tasks"

        return await self._do_and_say(change)

    async def _change_priorities(self, ids: Sequence[str], by: int) -> list[str]:
        """What came of each, several at a time, which the coordinator stores at once. Raises what the first that failed raised."""
        notices: list[str] = []
        for place in range(0, len(ids), _AT_ONCE):
            requests = (SetPriority(id=one, priority=by, relative=True) for one in ids[place : place + _AT_ONCE])
            answers = await asyncio.gather(*(ask(self._source, one, Done) for one in requests))
            notices += [answer.text for answer in answers]
        return notices

    async def move(self, jobs: Sequence[JobRow], where: Where) -> bool:
        """Move waiting jobs one place earlier or later: those of one person, project and priority together, in their order."""

        async def change() -> str:
            lines: dict[tuple[str, str, int], list[JobRow]] = {}
            for job in sorted(jobs, key=lambda one: (one.place, one.created_at_ms, one.id)):
                lines.setdefault((job.project, job.submitted_by, job.priority), []).append(job)
            said = ""
            for line in lines.values():
                texts = [(await ask(self._source, one, Done)).text for one in moves_of([job.id for job in line], where)]
                said = said or texts[0]
            return said if len(jobs) == 1 else f"{len(jobs)} jobs moved one place {where}"

        return await self._do_and_say(change)

    async def set_parallel(self, job_id: str, most: int | None) -> bool:
        """Change how many tasks of a job run at a time."""

        async def change() -> str:
            return (await ask(self._source, SetParallel(id=job_id, max_parallel=most), Done)).text

        return await self._do_and_say(change)

    async def drain(self, worker: WorkerRow, action: str | None = None) -> bool:
        """Drain a worker, or let it take tasks again."""
        action = verbs.drain_action(worker) if action is None else action

        async def change() -> str:
            await ask(self._source, SetWorker(name=worker.name, action=action), WorkerList)
            if action == "undrain":
                return f"{worker.name} takes tasks again"
            left = f" its {worker.running_tasks} running go on" if worker.running_tasks else ""
            return f"{worker.name} gets no more tasks{';' + left if left else ''}"

        return await self._do_and_say(change)

    async def carry_out(self, plan: Plan) -> bool:
        """Ask the coordinator for what was planned, or say why nothing was."""
        if not plan.ids:
            self._dialog.say(plan.refusal, "warning")
            return False

        async def change() -> str:
            answer = await act(self._source, Act(verb=plan.verb, ids=plan.ids, by=plan.by), _ACTED_AT_ONCE)
            return verbs.outcome(plan.verb, answer, self._names(plan.ids), plan.left_out)

        return await self._do_and_say(change)

    async def _do_and_say(self, change: Callable[[], Awaitable[str]]) -> bool:
        try:
            text = await change()
        except OpsconsoleError as error:
            self._dialog.say(error.message, "error")
            return False
        self._dialog.say(text)
        return True

    def _names(self, ids: Sequence[str]) -> dict[str, str]:
        rows = (self._model.job(job_id.partition("/")[0]) for job_id in ids)
        return {row.id: row.name for row in rows if row is not None}
