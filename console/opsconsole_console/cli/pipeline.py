"""`opsconsole submit -f FILE`: the jobs of a pipeline, all of them or none."""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opsconsole_console.cli.contents import Contents
from opsconsole_console.cli.interruption import explained
from opsconsole_console.cli.job_option import apply_defaults, make_spec
from opsconsole_console.cli.output import put, put_json, say
from opsconsole_console.cli.pipeline_file import given_beside, read_pipeline
from opsconsole_protocol.dependency import End
from opsconsole_protocol.error import InvalidRequest, NotFound
from opsconsole_protocol.state import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opsconsole.client import Client
    from opsconsole_protocol.api import JobRow
    from opsconsole_protocol.ids import JobId
    from opsconsole_protocol.spec import JobSpec


def submit_pipeline(args: argparse.Namespace) -> int:
    """Submit the jobs of `args.file` and go on as `submit.add_how` says. Return the exit code."""
    from opsconsole_console.cli.session import RECONNECT_S, with_client

    if args.command:
        raise InvalidRequest("-f names a file that has the jobs' commands: leave out what stands behind --")
    if beside := given_beside(args):
        raise InvalidRequest(
            f"-f names a file that says what the jobs are: write {beside[0]} there, under [defaults] for all of them"
        )
    if args.follow or getattr(args, "as", None) is not None:
        raise InvalidRequest(f"{'--follow' if args.follow else '--as'} is for one job, and a pipeline has several")
    pipeline = _Pipeline(args)
    with explained(pipeline.farewell):
        return with_client(args, pipeline.carry_out, retry_for_s=RECONNECT_S)


@dataclass(slots=True)
class _Part:
    """One job of it."""

    args: argparse.Namespace
    contents: Contents


class _Pipeline:
    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._parts = {
            name: _Part(one, Contents(one, quiet=args.quiet)) for name, one in read_pipeline(args.file).items()
        }
        self._ids: list[JobId] = []

    def farewell(self) -> str:
        """What is said to who leaves."""
        if not self._ids:
            return "nothing is submitted; what has been sent needn't be sent again"
        return f"the jobs go on: opsconsole wait {' '.join(self._ids)}"

    async def carry_out(self, client: Client) -> int:
        """All of it; the exit code."""
        from opsconsole.client import new_job_id
        from opsconsole.pipeline import check_pipeline, named_specs

        for name, part in self._parts.items():
            with self._within(name):
                if part.args.template is not None:
                    apply_defaults(part.args, (await client.template(part.args.template)).defaults)
                part.args.packed = part.contents.check()
        check_pipeline(await self._specs(client))  # a mistake in it shouldn't cost a long hashing
        for part in self._parts.values():
            part.args.packed = await part.contents.pack(client, sends=not self._args.dry_run)
        jobs = named_specs(await self._specs(client), new_job_id)
        if self._args.dry_run:
            return await self._dry_run(client, {name: spec for name, (_, spec) in jobs.items()})
        rows = await self._submit(client, jobs)
        return await self._wait(client, rows, jobs) if self._args.wait else 0

    async def _specs(self, client: Client) -> dict[str, JobSpec]:
        found = {}
        for name, part in self._parts.items():
            with self._within(name):
                wanted = part.args.template
                template = await client.template(wanted) if wanted is not None else None
                found[name] = make_spec(part.args, part.args.command, template)
        return found

    @contextlib.contextmanager
    def _within(self, name: str) -> Iterator[None]:
        """What is wrong with a job is said with its place in the file."""
        try:
            yield
        except (InvalidRequest, NotFound) as error:
            raise InvalidRequest(f"{self._args.file}: [jobs.{name}] {error.message}") from None

    async def _submit(self, client: Client, jobs: Mapping[str, tuple[JobId, JobSpec]]) -> dict[str, JobRow]:
        """Submit them, and stay until what goes to the workers from here has arrived."""
        parts = {name: self._parts[name] for name in jobs}
        async with contextlib.AsyncExitStack() as served:
            async with contextlib.AsyncExitStack() as noted:
                for name, (job_id, spec) in jobs.items():
                    part = parts[name]
                    await noted.enter_async_context(part.contents.noted(client, job_id, part.args.packed, spec))
                try:
                    for part in parts.values():
                        await served.enter_async_context(part.contents.served(client, is_watched=self._args.wait))
                    answer = await client.submit([spec for _, spec in jobs.values()], [one for one, _ in jobs.values()])
                except BaseException:  # also where somebody leaves
                    for name, (job_id, _) in jobs.items():
                        parts[name].contents.forget(job_id)
                    raise
            self._ids = [one for one, _ in jobs.values()]
            rows = dict(zip(jobs, answer, strict=True))
            if not self._args.wait:
                self._put(rows)
                for name, part in parts.items():
                    part.contents.later()
                    if part.contents.offers:
                        await part.contents.serve_until_arrived(client, rows[name])
        return rows

    def _put(self, rows: Mapping[str, JobRow]) -> None:
        width = max(map(len, rows))
        for name, row in rows.items():
            put_json({"name": name, "job": row}) if self._args.json else put(f"{row.id}  {name:{width}}  {row.state}")

    async def _wait(self, client: Client, rows: Mapping[str, JobRow], jobs: Mapping[str, tuple[JobId, JobSpec]]) -> int:
        """Wait for all. Jobs after a failure that never came don't count."""
        ended = dict(zip(rows, await client.wait(*(row.id for row in rows.values())), strict=True))
        self._put(ended)
        spared = _spared(dict(jobs.values()), {row.id: row for row in ended.values()})
        bad = [row for row in ended.values() if row.state != TaskState.SUCCEEDED and row.id not in spared]
        for row in () if self._args.quiet else bad:
            say(f"opsconsole: {row.name} ({row.id}) {row.state}{': ' * bool(row.reason)}{row.reason}")
        came = [await self._parts[name].contents.fetch(client, row.id) for name, row in ended.items()]
        return 1 if bad or not all(came) else 0

    async def _dry_run(self, client: Client, specs: Mapping[str, JobSpec]) -> int:
        """Say of each job what it waits for, and who would take it."""
        from opsconsole.pipeline import in_order

        named = await self._specs(client)
        is_taken = True
        for name in in_order(named):
            part, spec = self._parts[name], specs[name]
            answer = await client.candidates(spec, await part.contents.supplied(client, part.args.packed, spec))
            is_taken = is_taken and any(verdict.accepted for verdict in answer.verdicts)
            waits = [f"{one.end.words} {one.text}" for one in named[name].dependencies]
            if self._args.json:
                put_json({"name": name, "waits": waits, "text": answer.text, "verdicts": answer.verdicts})
                continue
            tasks = f", {spec.num_tasks} tasks" if spec.num_tasks > 1 else ""
            put(f"{name}{tasks}{': ' * bool(waits)}{', '.join(waits)}", f"  {answer.text}")
        return 0 if is_taken else 1


def _spared(specs: Mapping[str, JobSpec], rows: Mapping[str, JobRow]) -> set[str]:
    """The jobs that never started because one succeeded after whose failure they come, and those that come after these."""
    spared: set[str] = set()
    while found := [
        job_id
        for job_id, row in rows.items()
        if row.state == TaskState.BLOCKED
        and job_id not in spared
        and any(
            one.job in spared
            or (one.end is End.FAILURE and one.job in rows and rows[one.job].state == TaskState.SUCCEEDED)
            for one in specs[job_id].dependencies
        )
    ]:
        spared.update(found)
    return spared
