"""`opsconsole run -- CMD`: one job here and now, without a terminal, a coordinator or a worker to begin with."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_console.cli.job_option import add_job_options, make_spec
from opsconsole_console.cli.option import add_raw, add_slots
from opsconsole_console.cli.parser import Group
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from opsconsole_protocol.spec import JobSpec

_USAGE = "opsconsole run [options] -- CMD [ARG…]"
_LOST_AFTER_MS = 24 * 3_600_000
"""A laptop that slept comes back to its job."""
_NOT_HERE = {
    "worker": "--worker", "after": "--after", "after_failure": "--after-failure", "after_any": "--after-any", "take": "--take", "hold": "--hold", "template": "--template", "collect": "--collect"
}  # fmt: skip


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb(
        "run", run, usage=_USAGE,
        epilog="The job has this folder, this environment and, unless it has several tasks, this stdin. Ctrl-C cancels it,\n"
        "a second one kills it; when this command dies, however it dies, so does the job.",
    )  # fmt: skip
    parser.set_defaults(takes_command=True)
    add_job_options(parser)
    add_slots(parser)
    add_raw(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="tell on stderr what happens")


def run(args: argparse.Namespace) -> int:
    """`opsconsole run`."""
    for dest, flag in _NOT_HERE.items():
        if getattr(args, dest):
            raise InvalidRequest(f"{flag} goes with `opsconsole submit`: a run has a coordinator of its own")
    spec = make_run_spec(args, Path.cwd())
    if spec.gang:
        args.max_concurrent_jobs = gang_slots(spec, args.max_concurrent_jobs)

    import asyncio

    from opsconsole.client import new_job_id
    from opsconsole_console.cli.foreground import Foreground

    return asyncio.run(Foreground(spec, new_job_id(), args).main())


def gang_slots(spec: JobSpec, given: int | None) -> int:
    """A gang needs a slot for each task, here. Raises InvalidRequest when it was given fewer."""
    if given is not None and given < spec.num_tasks:
        raise InvalidRequest(
            f"a gang of {spec.num_tasks} needs as many slots: leave out --max-concurrent-jobs, or --gang"
        )
    return given or spec.num_tasks


def make_run_spec(args: argparse.Namespace, cwd: Path) -> JobSpec:
    """The spec of a job that runs in `cwd`; its environment is the worker's, which is ours. Raises InvalidRequest."""
    if args.workdir or args.bundle is None:  # else it runs in a copy of the code
        args.workdir = str(cwd / args.workdir) if args.workdir else str(cwd)
    if args.lost_after is None:
        args.lost_after = _LOST_AFTER_MS
    return make_spec(args, args.command, None)
