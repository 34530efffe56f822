"""What operators ask about the coordinator itself, answered: events, projects, templates, its store, its health."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from opsconsole_coordinator.core.usage_day import DAY_MS
from opsconsole_coordinator.core.usage_view import usage_answer
from opsconsole_coordinator.server import preencoded
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.identity import Caller, Identities
from opsconsole_coordinator.server.job_lookup import resolve
from opsconsole_coordinator.server.known_name import check_person, check_project
from opsconsole_coordinator.store import backup, query
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.state import TaskState, WorkerConnection


def role_to_set_project(request: api.SetProject) -> Role:
    """The role that is needed: an operator may pause a project, only an admin says how much of the fleet it may have."""
    return Role.OPERATOR if request.share is None and request.preemptible is None else Role.ADMIN


class CoordinatorApi:
    """Handlers of the requests about the coordinator; each takes the request and who asks."""

    def __init__(self, commit_loop: CommitLoop, identities: Identities, trouble: Callable[[], str]) -> None:
        """`trouble`: what keeps it from working as it should, empty when all is well."""
        self._commit_loop = commit_loop
        self._identities = identities
        self._trouble = trouble

    async def events(self, request: api.ListEvents, caller: Caller) -> api.AnyAnswer:
        del caller
        job_id, subject = "", request.subject
        if subject and not any(worker.name == subject for worker in self._commit_loop.fleet.workers.values()):
            job, index = await resolve(self._commit_loop, subject)
            job_id, subject = (job, "") if index is None else ("", f"{job}/task-{index}")
        return await self._commit_loop.database.share(
            request,
            lambda connection: query.events(
                connection, job_id=job_id, subject=subject, before_seq=request.before_seq, limit=request.limit
            ),
            lambda events: preencoded.answer(api.EventList(events=tuple(events))),
        )

    async def projects(self, request: api.ListProjects, caller: Caller) -> api.ProjectList:
        del caller
        return await self._commit_loop.database.share(
            request, query.project_rows, lambda projects: api.ProjectList(projects=projects)
        )

    async def set_project(self, request: api.SetProject, caller: Caller) -> api.Done:
        if not request.create:
            await check_project(self._commit_loop, request.name)
        now_ms = self._commit_loop.clock.now_ms()
        words = self._commit_loop.reactor.on_set_project(
            request.name,
            request.description,
            request.status,
            caller.actor,
            now_ms,
            request.share,
            request.preemptible,
            request.place,
        )
        await self._commit_loop.committed()
        return api.Done(text=words)

    async def usage(self, request: api.AskUsage, caller: Caller) -> api.UsageAnswer:
        del caller
        commit_loop = self._commit_loop
        first = commit_loop.clock.now_ms() // DAY_MS - request.days + 1
        days = await commit_loop.database.read(lambda connection: query.usage(connection, first))
        return usage_answer(commit_loop.fleet, days, request.days, commit_loop.clock.now_ms())

    async def set_person(self, request: api.SetPerson, caller: Caller) -> api.Done:
        check_person(self._commit_loop, self._identities, request.name)
        now_ms = self._commit_loop.clock.now_ms()
        words = self._commit_loop.reactor.on_set_person(request.name, request.share, caller.actor, now_ms)
        await self._commit_loop.committed()
        return api.Done(text=words)

    async def templates(self, request: api.ListTemplates, caller: Caller) -> api.TemplateList:
        del caller
        if not request.name:
            return api.TemplateList(templates=tuple(await self._commit_loop.database.read(query.templates)))
        found = await self._commit_loop.database.read(
            lambda connection: query.template_versions(
                connection, request.name, version=request.version, before=request.before, limit=request.limit + 1
            )
        )
        return api.TemplateList(templates=tuple(found[: request.limit]), more=len(found) > request.limit)

    async def set_template(self, request: api.SetTemplate, caller: Caller) -> api.Done:
        words = self._commit_loop.reactor.on_set_template(
            request.template, caller.actor, self._commit_loop.clock.now_ms()
        )
        await self._commit_loop.committed()
        return api.Done(text=words)

    async def sync_templates(self, request: api.SyncTemplates, caller: Caller) -> api.TemplatesSet:
        changes = self._commit_loop.reactor.on_sync_templates(
            request.templates, request.project, caller.actor, self._commit_loop.clock.now_ms(),
            remove=request.remove, dry_run=request.dry_run,
        )  # fmt: skip
        await self._commit_loop.committed()
        return api.TemplatesSet(changes=changes)

    async def remove_template(self, request: api.RemoveTemplate, caller: Caller) -> api.Done:
        now_ms = self._commit_loop.clock.now_ms()
        words = self._commit_loop.reactor.on_remove_template(request.name, caller.actor, now_ms)
        await self._commit_loop.committed()
        return api.Done(text=words)

    async def confirm_restore(self, request: api.ConfirmRestore, caller: Caller) -> api.Done:
        del request
        commit_loop = self._commit_loop
        words = commit_loop.reactor.on_confirm_restore(caller.actor, commit_loop.clock.now_ms())
        await commit_loop.committed()
        return api.Done(text=words)

    async def backup(self, request: api.Backup, caller: Caller) -> api.Done:
        target = Path(request.path)
        if not target.is_absolute():
            raise InvalidRequest(f"{request.path!r} is not absolute: name the file from the root")
        commit_loop = self._commit_loop
        size_bytes = await asyncio.to_thread(backup.copy, commit_loop.database.path, target)
        words = f"store backed up to {target} ({size_bytes:,} bytes) by {caller.actor}"
        commit_loop.reactor.on_audit(
            caller.actor, EventKind.BACKUP, words, commit_loop.name, commit_loop.clock.now_ms()
        )
        await commit_loop.committed()
        return api.Done(text=words)

    async def health(self, request: api.AskHealth, caller: Caller) -> api.Health:
        del request, caller
        fleet = self._commit_loop.fleet
        running = sum(len(worker.live) for worker in fleet.workers.values())
        pending = sum(job.counts.get(TaskState.PENDING, 0) for job in fleet.jobs.values())
        return api.Health(
            healthy=not self._trouble(),
            trouble=self._trouble(),
            uptime_ms=self._commit_loop.clock.uptime_ms(),
            workers=sum(worker.connection == WorkerConnection.CONNECTED for worker in fleet.workers.values()),
            running_tasks=running,
            pending_tasks=pending,
            store_seq=fleet.seq,
            adopting=fleet.adopting,
            watchers=tuple(self._commit_loop.open_consoles),
        )
