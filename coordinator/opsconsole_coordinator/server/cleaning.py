"""What ended jobs left on workers and with the coordinator: it is shown, and removed when an operator says so, or after the
days that a worker keeps outputs. Nothing is named of a job that hasn't ended, or that such a job waits or waited for."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterable
from functools import partial
from itertools import chain

import msgspec

from opsconsole_coordinator.core.model import SYSTEM, Worker
from opsconsole_coordinator.server import output_plan
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.log_service import LogService
from opsconsole_coordinator.server.retention import DAY_MS, EVERY_S, Retention
from opsconsole_coordinator.server.worker_query import WorkerLeavings, WorkerQuery
from opsconsole_coordinator.store import ended
from opsconsole_coordinator.store.ended import EndedJob, OutputFolder
from opsconsole_protocol import api
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.link import LEAVINGS_MAX, Leaving
from opsconsole_protocol.quantity import size_words

log = logging.getLogger("opsconsole.coordinator.cleaning")


class Cleaning:
    """Lists and removes it. The jobs in `removing` can't be run again while their outputs or history are removed."""

    def __init__(self, commit_loop: CommitLoop, log_service: LogService, retention: Retention) -> None:
        self._commit_loop = commit_loop
        self._log_service = log_service
        self._retention = retention
        self._worker_query = WorkerQuery(commit_loop)
        self.removing: set[JobId] = set()

    async def clean(self, meant: list[Worker], request: api.Clean, actor: str) -> api.Cleaned:
        """What can be removed on each of these workers and with the coordinator, or was removed."""
        remarks: list[str] = []
        found, unreached = await self._find_on_workers(meant, request, remarks)
        rows = await self._find_own(request, remarks)
        if request.remove:
            asked = {leaving.job_id for one in found for leaving in one.leavings}
            found = await self._remove(found, actor, remarks, request.jobs)
            unreached |= asked - {leaving.job_id for one in found for leaving in one.leavings}
            if request.jobs and unreached:
                remarks.append(
                    f"what is known of {_jobs(unreached)} stays: remove it again when all its outputs can go"
                )
                rows = [row for row in rows if row.job not in unreached]
            rows = await self._delete_own(rows, actor, request.jobs)
        rows = list(chain(*(map(partial(_row, one.worker), one.leavings) for one in found), rows))
        policy = await self._policy(meant) if request.policy else ()
        return api.Cleaned(
            leavings=tuple(rows), removed=request.remove, remarks=tuple(dict.fromkeys(remarks)), policy=policy
        )

    # --- by itself -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Remove old outputs every hour, for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.sweep()
            except (OpsconsoleError, OSError) as error:
                log.warning("old outputs stay for now: %s", error)

    async def sweep(self) -> int:
        """Have outputs removed that their workers keep no longer. Returns how many were."""
        fleet, now_ms = self._commit_loop.fleet, self._commit_loop.clock.now_ms()
        said = await self._worker_query.retention_policies(fleet.workers.values())
        days = {worker_id: one.keep_output_days for worker_id, one in said.items() if one.keep_output_days}
        if not days:
            return 0
        folders = await self._outputs(now_ms - round(min(days.values()) * DAY_MS))
        due = [one for one in folders if output_plan.is_due(one, days, fleet.workers, now_ms)]
        remarks: list[str] = []
        found, _ = await self._ask_for_outputs(due, list(fleet.workers.values()), remarks)
        gone = await self._remove(found, SYSTEM, remarks)
        for remark in remarks:
            log.warning("%s", remark)
        self._commit_loop.changed()
        return sum(len(one.leavings) for one in gone)

    async def _policy(self, meant: list[Worker]) -> tuple[api.PolicyRow, ...]:
        policy = self._retention.policy
        rows = [
            _setting("keep_finished_days", policy.finished_days, "days after its end a job goes, with its log"),
            _setting(
                "keep_log_gb", _gib(policy.log_bytes), "GiB of logs in all; those of the jobs that ended first go"
            ),
            _setting("keep_store_gb", _gib(policy.store_bytes), "GiB of history in all; the jobs that ended first go"),
        ]
        said = await self._worker_query.retention_policies(meant)
        for worker in meant:
            one = said.get(worker.id)
            if one is not None:
                words = "days after its last change goes what a task left in its working folder, and a log that was cut"
                rows.append(_setting("keep_attempt_days", one.keep_attempt_days, words, worker.name))
                words = "days after the end of its job an output folder goes"
                rows.append(_setting("keep_output_days", one.keep_output_days or None, words, worker.name))
        return tuple(rows)

    # --- on workers ------------------------------------------------------------------------------------------------

    async def _find_on_workers(
        self, meant: list[Worker], request: api.Clean, remarks: list[str]
    ) -> tuple[list[WorkerLeavings], set[str]]:
        """What can be removed there, and the jobs of whose outputs not all could be asked for."""
        found: list[WorkerLeavings] = []
        unreached: set[str] = set()
        if request.attempts:
            asked = [worker for worker in meant if not worker.revoked]
            answers = await asyncio.gather(
                *(self._worker_query.find_leavings(one, request.older_than_ms) for one in asked)
            )
            for worker, one in zip(asked, answers, strict=True):
                if one is None:
                    remarks.append(f"{worker.name} doesn't answer: nothing is known of it")
                else:
                    found.append(_with_remarks(one, remarks))
        if request.outputs:
            folders = await self._outputs(self._commit_loop.clock.now_ms() - request.older_than_ms, request.jobs)
            outputs, unreached = await self._ask_for_outputs(folders, meant, remarks)
            found += outputs
        return found, unreached

    async def _ask_for_outputs(
        self, folders: list[OutputFolder], meant: list[Worker], remarks: list[str]
    ) -> tuple[list[WorkerLeavings], set[str]]:
        workers = self._commit_loop.fleet.workers
        up = [worker.id for worker in meant if worker.id in self._commit_loop.sessions]
        plan = output_plan.plan(folders, workers, [worker.id for worker in meant], up)
        for worker_id, count in plan.unknown.items():
            name = workers[worker_id].name
            outputs = f"outputs of {count:,} ended job{'s' if count > 1 else ''}"
            remarks.append(f"{name} isn't connected: what it holds of the {outputs} isn't known")
        asked = [(workers[worker_id], job_ids) for worker_id, job_ids in plan.asked.items()]
        answers = await asyncio.gather(*(self._worker_query.find_outputs(*one) for one in asked))
        found: list[WorkerLeavings] = []
        unreached: set[str] = {*plan.unknown_jobs}
        seen: set[tuple[str, str, str]] = set()
        for (worker, job_ids), one in zip(asked, answers, strict=True):
            if one is None:
                remarks.append(f"{worker.name} doesn't say which outputs it holds")
                unreached.update(job_ids)
                continue
            # Two agents of one host may write to one folder.
            keys = {leaving.job_id: (worker.boot_id, leaving.path, leaving.file) for leaving in one.leavings}
            mine = [leaving for leaving in one.leavings if not leaving.file or keys[leaving.job_id] not in seen]
            seen.update(keys.values())
            found.append(_with_remarks(msgspec.structs.replace(one, leavings=mine), remarks))
        return found, unreached

    async def _remove(
        self, found: list[WorkerLeavings], actor: str, remarks: list[str], named: Collection[str] = ()
    ) -> list[WorkerLeavings]:
        spared = self._needed(named)
        wanted = [
            msgspec.structs.replace(one, leavings=[each for each in one.leavings if each.job_id not in spared])
            for one in found
        ]
        ids = {JobId(leaving.job_id) for one in wanted for leaving in one.leavings if leaving.job_id}
        self.removing |= ids
        try:
            answers = await asyncio.gather(*(self._worker_query.remove(one) for one in wanted if one.leavings))
        finally:
            self.removing -= ids
        gone: list[WorkerLeavings] = []
        for one, answer in zip([one for one in wanted if one.leavings], answers, strict=True):
            if answer is None:
                remarks.append(f"{one.worker.name} hasn't answered yet: look again later whether it has removed all")
                continue
            gone.append(_with_remarks(answer, remarks))
            outputs = [leaving for leaving in answer.leavings if leaving.job_id]
            self._audit_removal(actor, one.worker.name, len(outputs), "outputs of ended jobs were removed", outputs)
            rest = [leaving for leaving in answer.leavings if not leaving.job_id]
            self._audit_removal(
                actor, one.worker.name, len(rest), "things that ended tasks had left were removed", rest
            )
        return gone

    async def _outputs(self, before_ms: int, named: Collection[str] = ()) -> list[OutputFolder]:
        needed = self._needed(named)
        found: list[OutputFolder] = []
        async for jobs in self._ended(before_ms, named):
            these = [job for job in jobs if job.job_id not in needed]
            found += await self._commit_loop.database.read(partial(ended.outputs, ended=these))
        return found

    # --- here ------------------------------------------------------------------------------------------------------

    async def _find_own(self, request: api.Clean, remarks: list[str]) -> list[api.LeavingRow]:
        if not (request.logs or request.history):
            return []
        rows: list[api.LeavingRow] = []
        sizes = await self._log_service.usage() if request.logs else {}
        needed = self._needed(request.jobs)
        async for jobs in self._ended(self._commit_loop.clock.now_ms() - request.older_than_ms, request.jobs):
            for job in jobs:
                if job.job_id in needed:
                    continue
                if sizes.get(job.job_id):
                    path = str(self._log_service.folder / job.job_id)
                    rows.append(_own_row("logs", job, sizes[job.job_id], "the log of a job that has ended", path))
                if request.history:
                    kept = await self._commit_loop.database.read(partial(ended.kept_bytes, job_id=job.job_id))
                    if kept:
                        rows.append(_own_row("collected", job, kept, "results that were collected"))
                    size = await self._commit_loop.database.read(partial(ended.size, job_id=job.job_id))
                    rows.append(_own_row("history", job, size, f"all that is known of {job.name}"))
                if len(rows) >= LEAVINGS_MAX:
                    remarks.append("the coordinator has more than is named here: clean again afterwards")
                    return rows
        return rows

    async def _delete_own(
        self, rows: list[api.LeavingRow], actor: str, named: Collection[str]
    ) -> list[api.LeavingRow]:  # fmt: skip
        needed = self._needed(named)
        rows = [row for row in rows if row.job not in needed]
        jobs = {row.job for row in rows if row.what == "history"}
        self.removing |= {JobId(row.job) for row in rows}
        try:
            for row in rows:
                if row.what == "logs":
                    await self._log_service.delete(row.job)
            if jobs:
                await self._retention.remove(sorted(jobs))
        finally:
            self.removing -= {JobId(row.job) for row in rows}
        for what in ("logs", "history"):
            gone = [row for row in rows if row.what == what]
            self._audit_removal(actor, self._commit_loop.name, len(gone), f"ended jobs' {what} removed", gone)
        return rows

    async def _ended(self, before_ms: int, named: Collection[str] = ()) -> AsyncIterator[list[EndedJob]]:
        """The jobs that ended before a time, or those that are named, a page after the other."""
        if named:
            yield await self._commit_loop.database.read(partial(ended.named, job_ids=[JobId(one) for one in named]))
            return
        after = (0, "")
        while jobs := await self._commit_loop.database.read(partial(ended.jobs, before_ms=before_ms, after=after)):
            yield jobs
            after = (jobs[-1].ended_at_ms, jobs[-1].job_id)

    def _needed(self, named: Collection[str] = ()) -> Collection[str]:
        """Jobs that are live, that a live job waits or waited for, since it may read their outputs, or whose outputs are yet to be
        collected. Of jobs that are named outputs aren't collected any more.
        """
        fleet = self._commit_loop.fleet
        live = fleet.jobs
        collected = fleet.output_copies.jobs().difference(named)
        return {*live, *(before for job in live.values() for before in job.after), *collected}

    def _audit_removal(
        self, actor: str, subject: str, count: int, what: str, gone: Iterable[api.LeavingRow] | Iterable[Leaving]
    ) -> None:
        if count:
            words = f"{count:,} {what} ({size_words(sum(one.bytes for one in gone))})"
            log.info("%s: %s", subject, words)
            self._commit_loop.reactor.on_audit(
                actor, EventKind.CLEANED, words, subject, self._commit_loop.clock.now_ms()
            )


def _jobs(job_ids: Collection[str]) -> str:
    names = sorted(job_ids)
    return f"job {names[0]}" if len(names) == 1 else f"{len(names)} of the jobs"


def _with_remarks(found: WorkerLeavings, remarks: list[str]) -> WorkerLeavings:
    """Add what the worker remarks to `remarks`, and return its leavings as they were found."""
    remarks += [f"{found.worker.name}: {text}" for text in found.troubles]
    if found.more:
        remarks.append(f"{found.worker.name} has more than is named here: clean again afterwards")
    return found


def _row(worker: Worker, one: Leaving) -> api.LeavingRow:
    what = "outputs" if one.job_id else "attempts"
    return api.LeavingRow(
        worker=worker.name, path=one.path, why=one.why, bytes=one.bytes, at_ms=one.at_ms, what=what, job=one.job_id
    )


def _own_row(what: str, job: EndedJob, size: int, why: str, path: str = "") -> api.LeavingRow:
    return api.LeavingRow(
        worker="", path=path, why=why, bytes=size, at_ms=job.ended_at_ms, what=what, job=job.job_id
    )  # fmt: skip


def _setting(name: str, value: float | None, text: str, worker: str = "") -> api.PolicyRow:
    return api.PolicyRow(worker=worker, setting=name, value=value, text=text)


def _gib(size: int | None) -> float | None:
    return None if size is None else size / (1 << 30)
