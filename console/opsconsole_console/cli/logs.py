"""`opsconsole logs ID`: a task's log, or all of a job's."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from opsconsole_console.cli.log_writer import LogWriter
from opsconsole_console.cli.option import add_json, add_raw, at_least, moment_ms, typed, whole
from opsconsole_console.cli.output import say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import RECONNECT_S, with_client
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import split_task_id
from opsconsole_protocol.log import SHOWN_SOURCES, LogQuery, Source
from opsconsole_protocol.pattern import compile_pattern

if TYPE_CHECKING:
    from opsconsole.client import Client

SOURCES = tuple(map(str, SHOWN_SOURCES))
TASKS_AT_ONCE = 16
"""Tasks of one job that are followed at the same time."""


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("logs", logs)
    parser.add_argument(
        "id", metavar="ID", help="a job, its first characters, or JOB/task-N; a job means all its tasks"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the task has ended, over retries")
    parser.add_argument("--task", metavar="I", type=at_least(0), help="this task only")
    parser.add_argument("--attempt", metavar="N", type=at_least(0), help="this attempt only; else the latest")
    parser.add_argument("--source", action="append", choices=SOURCES, metavar="S", default=[],
                        help="stdout, stderr, build or error; repeatable")  # fmt: skip
    parser.add_argument("--tail", metavar="N", type=at_least(0), help="the last N lines")
    parser.add_argument(
        "--start-line", metavar="N", type=whole, help="from this line on, counted from 0; negative: from the end"
    )
    parser.add_argument("--grep", metavar="RE", help="only lines in which this regular expression is found")
    parser.add_argument(
        "--since", metavar="T", type=typed(moment_ms), help="lines from then on: 10m (ago), or 2026-01-31T12:00"
    )
    parser.add_argument("--until", metavar="T", type=typed(moment_ms), help="lines up to then")
    parser.add_argument("-t", "--timestamps", action="store_true", help="put the time before each line (UTC)")
    add_raw(parser)
    parser.rule("json", "raw", "JSON says what was printed as it is")
    add_json(parser, "one JSON object a line, everything on stdout")


def logs(args: argparse.Namespace) -> int:
    """`opsconsole logs`."""
    from opsconsole_console.cli.contents import fetch_results

    query = make_query(args)

    async def work(client: Client) -> bool:
        await print_job(client, args, query)
        return not args.follow or await fetch_results(client, split_task_id(args.id)[0])

    return 0 if with_client(args, work, retry_for_s=RECONNECT_S if args.follow else 0.0) else 1


def make_query(args: argparse.Namespace) -> LogQuery:
    """What the flags ask for. Raises InvalidRequest."""
    if args.tail is not None and args.start_line is not None:
        raise InvalidRequest("--tail and --start-line exclude each other: a negative --start-line is a tail")
    if args.grep is not None:
        compile_pattern(args.grep)
    return LogQuery(
        sources=tuple(Source(name) for name in args.source),
        start_line=args.start_line,
        tail=args.tail,
        since_ms=args.since,
        until_ms=args.until,
        grep=args.grep,
        whole=not args.json and wants_bytes(raw=args.raw),
        latest=args.tail is not None and not args.raw,
    )


def wants_bytes(*, raw: bool) -> bool:
    """Whether a log is printed byte for byte: `--raw`, or to a file or a pipe; a terminal is spared endless lines."""
    return raw or not (sys.stdout.isatty() and sys.stderr.isatty())


async def print_job(client: Client, args: argparse.Namespace, query: LogQuery) -> None:
    """Print the log of the task that was named, or of all tasks of the job."""
    job, index = split_task_id(args.id)
    index = args.task if index is None else index
    tasks = [index]
    if index is None:
        row = (await client.show(job, tasks_limit=0, events_limit=0)).job
        job, tasks = row.id, list(range(row.num_tasks))
    writer = LogWriter(json=args.json, timestamps=args.timestamps, prefix=len(tasks) > 1, raw=args.raw)
    try:
        if args.follow:
            await follow_tasks(client, job, tasks, query, writer, args.attempt)
        else:
            for task in tasks:
                await _print_task(client, job, task, query, writer, args.attempt)
    finally:
        writer.close()


async def follow_tasks(
    client: Client, job: str, tasks: list[int], query: LogQuery, writer: LogWriter, attempt: int | None = None
) -> None:
    """Print tasks' logs as they grow, some at a time, until all have ended."""
    import asyncio

    from opsconsole.log_follower import LogFollower

    room = asyncio.Semaphore(TASKS_AT_ONCE)

    async def follow(index: int) -> None:
        async with room:
            follower = LogFollower(client, job, query, task_index=index, attempt=attempt)
            async for page in follower.pages():
                if page.has_begun:
                    answer = page.answer
                    writer.write(answer.page.lines, answer.task_id, answer.attempt, answer.page.raw)

    followers = [asyncio.create_task(follow(index)) for index in tasks]
    try:
        await asyncio.gather(*followers)
    finally:
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)


async def _print_task(
    client: Client, job: str, index: int, query: LogQuery, writer: LogWriter, attempt: int | None
) -> None:
    from msgspec.structs import replace

    while True:
        answer = await client.read_log(job, query, task_index=index, attempt=attempt)
        writer.write(answer.page.lines, answer.task_id, answer.attempt, answer.page.raw)
        if answer.page.note:
            say(f"opsconsole: {answer.page.note}")
        if answer.page.end:
            return
        attempt = answer.attempt if answer.attempt >= 0 else attempt
        query = replace(query, cursor=answer.page.next_cursor)
