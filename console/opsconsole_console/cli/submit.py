"""`opsconsole submit [options] -- CMD`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_console.cli.interruption import explained, goes_on
from opsconsole_console.cli.job_option import add_job_options, apply_defaults, make_spec
from opsconsole_console.cli.option import add_json, add_raw
from opsconsole_console.cli.output import put, put_json, put_text, say
from opsconsole_console.cli.parser import Group, Parser
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError, Unavailable
from opsconsole_protocol.state import TaskState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from opsconsole.client import Client
    from opsconsole_console.cli.log_writer import LogWriter
    from opsconsole_console.cli.narrator import Narrator
    from opsconsole_protocol.api import JobDetail, JobRow
    from opsconsole_protocol.ids import ContentId, JobId
    from opsconsole_protocol.spec import JobSpec

_USAGE = "opsconsole submit [options] -- CMD [ARG…]"
_STEP_S = 1.0
"""How often a watched job is looked at. The coordinator tells of its end at once."""
_CANDIDATES_S = 5.0


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb(
        "submit", submit, usage=f"{_USAGE}\n       opsconsole submit -f FILE",
        epilog="With -f nothing else says what the jobs are: the file does, by the names of these options.\n"
        "CMD is run without a shell, its stdin is empty. Exit code with --wait or --follow: the task's own,\n"
        "128+n for signal n; of several tasks the first failing one's.",
    )  # fmt: skip
    parser.set_defaults(takes_command=True)
    parser.add_argument(
        "-f", "--file", metavar="FILE", type=Path, help="submit the jobs of this pipeline file, all or none"
    )
    add_job_options(parser)
    add_how(parser)


def add_how(parser: Parser) -> None:
    """What is done once the job is submitted."""
    how = parser.add_argument_group("how to go on")
    how.add_argument("--wait", action="store_true", help="wait until it has ended, and exit with its code")
    how.add_argument("--follow", action="store_true", help="wait, with the job's log on stdout instead of its id")
    add_raw(how)
    how.add_argument("--dry-run", action="store_true", help="only ask every worker whether it would take the job")
    how.add_argument(
        "--as",
        metavar="FORM",
        help="with --dry-run: print the job as it goes to shell, slurm or runai=IMAGE",
    )
    how.add_argument("-q", "--quiet", action="store_true", help="nothing on stderr but errors")
    add_json(how, "the job as one JSON object; with --wait as it ended")
    parser.rule("dry_run", "wait", "a dry run submits nothing that could be waited for")
    parser.rule("dry_run", "follow", "a dry run submits nothing that could be followed")
    parser.rule("as", "dry_run", "without --dry-run the job is submitted", is_needed=True)
    parser.rule("as", "json", "a job in the form of another system is a text")
    parser.rule("raw", "follow", "--raw is about the log that --follow prints", is_needed=True)


def submit(args: argparse.Namespace) -> int:
    """`opsconsole submit`."""

    if args.file is not None:
        from opsconsole_console.cli.pipeline import submit_pipeline

        return submit_pipeline(args)

    async def spec(client: Client) -> JobSpec:
        template = await client.template(args.template) if args.template is not None else None
        return make_spec(args, args.command, template)

    return submit_spec(args, spec)


def submit_spec(args: argparse.Namespace, spec: Callable[[Client], Awaitable[JobSpec]]) -> int:
    """Submit what `spec` gives and go on as `add_how` says. Return the exit code.

    `spec` is asked once more when what the job brings along has been made ready (`args.packed`).
    """
    from opsconsole_console.cli.session import RECONNECT_S, with_client

    submission = _Submission(args, spec)
    watched = args.wait or args.follow
    if not watched and not args.upload and args.bundle is None and args.template is None:
        return with_client(args, submission.carry_out, retry_for_s=5.0)
    with explained(submission.farewell):
        return with_client(args, submission.carry_out, retry_for_s=RECONNECT_S)


class _Submission:
    """One job on its way: what it brings along, the submission, and what follows."""

    def __init__(self, args: argparse.Namespace, spec: Callable[[Client], Awaitable[JobSpec]]) -> None:
        from opsconsole.client import new_job_id
        from opsconsole_console.cli.contents import Contents
        from opsconsole_console.cli.narrator import Narrator

        self._args = args
        self._spec = spec
        self._job_id = new_job_id()
        self._contents = Contents(args, quiet=args.quiet)
        self._narrator = Narrator(say_nothing if args.quiet else say)
        self._is_submitted = False

    def farewell(self) -> str:
        """What is said to who leaves."""
        from opsconsole_console.cli.contents import offers_go_on

        if not self._is_submitted:
            return "nothing is submitted; what has been sent needn't be sent again"
        offers = [offer.name for offer in self._contents.offers]
        if offers and not (self._args.wait or self._args.follow):
            return offers_go_on(offers)
        return goes_on(self._job_id)

    async def carry_out(self, client: Client) -> int:
        """All of it; the exit code."""
        args, contents = self._args, self._contents
        if args.template is not None:
            apply_defaults(args, (await client.template(args.template)).defaults)
        args.packed = contents.check()
        if contents.wishes.bring_along:
            await self._spec(client)  # a mistake in it shouldn't cost a long hashing
        args.packed = await contents.pack(client, sends=not args.dry_run)
        if args.dry_run:
            spec = await self._spec(client)
            if (form := getattr(args, "as", None)) is not None:
                from opsconsole.formatter import read_formatter

                put_text(read_formatter(form).format(spec))
                return 0
            return await _dry_run(client, args, spec, await contents.supplied(client, args.packed, spec))
        async with contextlib.AsyncExitStack() as stack:
            row = await self._submit(client, stack)
            if args.wait or args.follow:
                code, detail = await self._watch(client, row)
            else:
                put_json(row) if args.json else put(row.id)
                contents.later()
                if contents.offers:
                    sys.stdout.flush()
                    await contents.serve_until_arrived(client, row)
                return 0
        return await self._end(client, code, detail)

    async def _submit(self, client: Client, stack: contextlib.AsyncExitStack) -> JobRow:
        """Submit it. What is sent from here is offered from before that until `stack` ends, so that the job doesn't wait for it."""
        args, spec = self._args, await self._spec(client)
        async with self._contents.noted(client, self._job_id, args.packed, spec):
            try:
                await stack.enter_async_context(self._contents.served(client, is_watched=args.wait or args.follow))
                if not args.quiet:
                    await tell_candidates(client, spec, self._narrator, self._job_id)
            except BaseException:  # also where somebody leaves
                self._contents.forget(self._job_id)
                raise
            row = (await client.submit(spec, self._job_id))[0]
        self._is_submitted = True
        self._narrator.submitted(row)
        return row

    async def _watch(self, client: Client, row: JobRow) -> tuple[int, JobDetail]:
        args = self._args
        if not args.follow and not args.json:
            put(row.id)
        return await watch(client, row.id, self._narrator, follow=args.follow, json=args.json, raw=args.raw)

    async def _end(self, client: Client, code: int, detail: JobDetail) -> int:
        from opsconsole.outcome import is_finished_state

        args = self._args
        if code and args.quiet:
            say(f"opsconsole: {failure(detail)}")
        if is_finished_state(detail.job.state):
            self._contents.ended(self._job_id)
        if not await self._contents.fetch(client, detail.job.id):
            code = code or 1
        if args.json:
            put_json(detail.job)
        return code


async def tell_candidates(client: Client, spec: JobSpec, narrator: Narrator, job_id: JobId | None = None) -> None:
    """Tell who would take the job, and reserve that for `job_id`. That nobody can say isn't a reason not to submit it."""
    import asyncio

    try:
        async with asyncio.timeout(_CANDIDATES_S):
            answer = await client.candidates(spec)
            workers = await client.workers()
            reserved = None
            if answer.chosen and job_id is not None:
                reserved = await client.reserve_offer(spec, job_id, answer.chosen)
    except TimeoutError:
        return
    except OpsconsoleError as error:
        if isinstance(error, InvalidRequest | Unavailable):
            raise
        return
    narrator.candidates(answer, workers, is_reserved=reserved is not None and reserved.accepted)


async def _dry_run(client: Client, args: argparse.Namespace, spec: JobSpec, supplied: Sequence[ContentId]) -> int:
    from opsconsole_console.cli.wait import put_verdicts

    answer = await client.candidates(spec, supplied)
    if args.json:
        put_json({"text": answer.text, "verdicts": answer.verdicts})
    else:
        put_verdicts(answer.verdicts)
        say(answer.text)
    return 0 if any(verdict.accepted for verdict in answer.verdicts) else 1


async def watch(
    client: Client, job_id: str, narrator: Narrator, *, follow: bool, json: bool = False, raw: bool = False
) -> tuple[int, JobDetail]:
    """Tell of a job until it has ended, and with `follow` print its log. Return its exit code and how it stands then."""
    import asyncio

    from opsconsole.outcome import exit_code, is_settled
    from opsconsole_console.cli.log_writer import LogWriter

    number = (await client.show(job_id, tasks_limit=0, events_limit=0)).job.num_tasks if follow else 0
    writer = LogWriter(json=json, prefix=number > 1, raw=raw)
    printing = asyncio.create_task(_print_log(client, job_id, number, writer, json=json, raw=raw)) if follow else None
    try:
        while True:
            row = (await client.wait(job_id, timeout_s=_STEP_S))[0]
            if is_settled(row):
                break
            if narrator.moved(row):
                writer.stay_below()
            if printing is not None and printing.done():
                printing.result()
        if printing is not None and row.state != TaskState.BLOCKED:
            await printing
    finally:
        if printing is not None:
            printing.cancel()
            await asyncio.gather(printing, return_exceptions=True)
    detail = await client.show(job_id, events_limit=0)
    narrator.ended(detail)
    return exit_code(detail.tasks), detail


def failure(detail: JobDetail) -> str:
    """Why a watched job failed, in one line."""
    from opsconsole.outcome import first_failing
    from opsconsole_console.cli.narrator import ending

    task = first_failing(detail.tasks)
    return detail.job.state if task is None else ending(task)


async def _print_log(client: Client, job_id: str, number: int, writer: LogWriter, *, json: bool, raw: bool) -> None:
    from opsconsole_console.cli.logs import follow_tasks, wants_bytes
    from opsconsole_protocol.log import LogQuery

    query = LogQuery(whole=not json and wants_bytes(raw=raw))
    try:
        await follow_tasks(client, job_id, list(range(number)), query, writer)
    finally:
        writer.close()


def say_nothing(_: str) -> None:
    """For --quiet."""
