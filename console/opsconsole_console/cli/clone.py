"""`opsconsole clone ID [options] [-- CMD]`: a job once more, with changes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from opsconsole_console.cli.job_option import add_job_options, changed_spec
from opsconsole_console.cli.option import add_job
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.submit import add_how, submit_spec
from opsconsole_protocol.api.template import template_label
from opsconsole_protocol.ids import split_task_id

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.spec import JobSpec


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb(
        "clone", clone, usage="opsconsole clone ID [options] [-- CMD [ARG…]]",
        epilog="Everything is as it was for ID but what is given here; --env adds to its environment, --set to its\n"
        "template's parameters. Results that you had brought of ID (--fetch) are brought of the new job, to the same folder.\n"
        "Of JOB/task-N only that task is submitted. The new job's id is printed.",
    )  # fmt: skip
    parser.set_defaults(takes_command=True)
    add_job(parser, or_task=True)
    add_job_options(parser)
    add_how(parser)


def clone(args: argparse.Namespace) -> int:
    """`opsconsole clone`."""
    job, index = split_task_id(args.id)

    async def spec(client: Client) -> JobSpec:
        detail = await client.show(job, tasks_limit=0, events_limit=0)
        base = detail.spec
        if not args.fetch:
            args.fetch = await fetched_before(client, detail.job.id)
        named = args.template or (template_label(base) or None if args.set and not args.command else None)
        template = await client.template(named) if named is not None else None
        return changed_spec(base, index, args, args.command, template)

    return submit_spec(args, spec)


async def fetched_before(client: Client, job_id: str) -> list[str]:
    """What this person wanted to have brought of that job, as `--fetch` takes it."""
    import asyncio

    from opsconsole.transfer.fetch_memory import wanted_of

    return list(await asyncio.to_thread(wanted_of, await client.store_id(), job_id))
