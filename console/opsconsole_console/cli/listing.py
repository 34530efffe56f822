"""`opsconsole workers | jobs | projects | templates`: lists."""

from __future__ import annotations

import argparse
import datetime as dt
import time
from typing import TYPE_CHECKING, Any

from opsconsole.outcome import is_finished_state, ran_ms
from opsconsole_console import format as fmt
from opsconsole_console.cli.option import add_json, add_limit, moment_ms, typed
from opsconsole_console.cli.output import cut_list, plain, put, put_json, put_table, say
from opsconsole_console.cli.parser import Group, Parser
from opsconsole_console.cli.session import with_client
from opsconsole_console.model.drain import drain_words
from opsconsole_console.model.job_progress import progress_words
from opsconsole_console.model.reservation import reserved_words
from opsconsole_console.visible import clean
from opsconsole_protocol.api.job_filter import SORTS
from opsconsole_protocol.api.parameter import shown, spell_value
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.mount import mounts_of
from opsconsole_protocol.quantity import memory_words
from opsconsole_protocol.state import WorkerConnection, WorkerStatus

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import JobRow, TemplateRow, WorkerRow


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("jobs", list_jobs)
    _add_filter(parser, "state=running project=pose")
    parser.add_argument("--project", metavar="P", default="", help="only this project's")
    parser.add_argument(
        "--since", metavar="T", type=typed(moment_ms), help="submitted since then: 2d (ago), or 2026-01-31T12:00"
    )
    parser.add_argument(
        "--saved", metavar="NAME", help="what a saved filter shows (`opsconsole filters`); FILTER narrows it"
    )
    parser.add_argument(
        "--sort",
        metavar="FIELD",
        help=f"from the greatest to the least, +FIELD the other way round: {', '.join(SORTS)}",
    )
    add_limit(parser, 100)
    parser = group.verb("workers", list_workers)
    _add_filter(parser, "'gpu_memory_mb>=40000'")
    parser.add_argument("--all", action="store_true", help="also workers that were revoked")
    add_json(group.verb("projects", list_projects))
    add_json(group.verb("templates", list_templates))


def _add_filter(parser: Parser, example: str) -> None:
    parser.add_argument("filter", nargs="*", metavar="FILTER", help=f"only what meets these, for example {example}")
    add_json(parser)


def list_jobs(args: argparse.Namespace) -> int:
    """`opsconsole jobs`."""
    text, inverted = " ".join([*args.filter, *_since(args.since)]), False
    if args.saved is not None:
        text, inverted = _with_saved(args.saved, text)

    async def work(client: Client) -> list[JobRow]:
        sort = (args.sort or "").lstrip("+-")
        ascending = (args.sort or "").startswith("+")
        return await client.jobs(text, args.project, args.limit + 1, inverted=inverted, sort=sort, ascending=ascending)

    rows = cut_list(with_client(args, work), args.limit, "the first" if args.sort else "the newest")
    if args.json:
        put_json(*rows)
        return 0
    now_ms = time.time_ns() // 1_000_000
    if rows:
        header = ("ID", "NAME", "PROJECT", "STATE", "PRIO", "TASKS", "WORKER", "AGE", "TIME", "PROGRESS")
        put_table(header, (_job_cells(row, now_ms) for row in rows))
    else:
        say("no jobs" if not (text or args.project) else "no job matches")
    return 0


def _with_saved(name: str, text: str) -> tuple[str, bool]:
    """A saved filter with more conditions, and whether it is inverted."""
    from opsconsole_console.service import saved_filter

    saved = saved_filter.load(name)
    if saved.inverted and text:
        raise InvalidRequest(f"{name} shows what doesn't match {saved.text}: it can't be narrowed")
    return f"{saved.text} {text}".strip(), saved.inverted


def _since(since_ms: int | None) -> list[str]:
    """The condition that --since stands for."""
    if since_ms is None:
        return []
    moment = dt.datetime.fromtimestamp(since_ms / 1000, dt.UTC)
    return [f'created>="{moment.isoformat(timespec="milliseconds")}"']


def _job_cells(row: JobRow, now_ms: int) -> tuple[str, ...]:
    ended = sum(number for state, number in row.task_counts.items() if is_finished_state(state))
    tasks = str(row.num_tasks) if row.num_tasks == 1 else f"{ended}/{row.num_tasks}"
    where = row.worker or ""
    return (
        row.id, row.name, row.project, row.state, str(row.priority), tasks, where,
        fmt.age(row.created_at_ms, now_ms), fmt.duration(ran_ms(row, now_ms)),
        "; ".join(filter(None, (progress_words(row, now_ms), row.reason))),
    )  # fmt: skip


def list_workers(args: argparse.Namespace) -> int:
    """`opsconsole workers`."""

    async def work(client: Client) -> list[WorkerRow]:
        return await client.workers(" ".join(args.filter), revoked=args.all)

    rows = with_client(args, work)
    if args.json:
        put_json(*(worker_object(row) for row in rows))
    elif not rows:
        say("no worker matches" if args.filter else "no workers: `opsconsole invite` prints the line that joins one")
    else:
        for row in rows:
            put(*worker_lines(row))
    return 0


def worker_object(row: WorkerRow) -> dict[str, Any]:
    """A worker as `--json` prints it: its I/O paths are always there, null where it has none."""
    found: dict[str, Any] = plain(row)
    paths = {"input": None, "output": None, "filesystem": ""} | (found["properties"].get("io_paths") or {})
    found["properties"] = found["properties"] | {"io_paths": paths}
    return found


def worker_lines(row: WorkerRow) -> list[str]:
    """A worker for people: one line, then its GPUs and its folders."""
    tags = f"  [{', '.join(row.tags)}]" if row.tags else ""
    lines = [f"{row.name}  {_standing(row)}  {row.running_tasks}/{row.max_concurrent_jobs} tasks{tags}"]
    shared = {one.uuid: f", shared by {one.tasks}, {memory_words(one.left_mb)} left" for one in row.gpus_shared}
    lines += [f"  GPU {gpu.index}:  {gpu_text(gpu)}{shared.get(gpu.uuid, '')}" for gpu in row.gpus]
    if not row.gpus:
        lines.append(f"  GPU:    none{f' ({row.gpu_message})' if row.gpu_message else ''}")
    lines += io_lines(row)
    if words := reserved_words(row):
        lines.append(f"  Note:   reserved {words}")
    if words := drain_words(row, time.time_ns() // 1_000_000):
        lines.append(f"  Note:   {words}")
    if row.attention and (row.gpus or row.attention != row.gpu_message):
        lines.append(f"  Note:   {row.attention}")
    return [clean(line) for line in lines]


def _standing(row: WorkerRow) -> str:
    """Status and connection. Of a lost worker nobody knows what it is free for, only whether it was drained."""
    if row.connection == WorkerConnection.CONNECTED:
        return row.status
    if row.connection != WorkerConnection.LOST:
        return f"{row.status}, {row.connection}"
    heard = (
        ""
        if row.last_seen_ms is None
        else f", last heard of {fmt.age(row.last_seen_ms, time.time_ns() // 1_000_000)} ago"
    )
    return ("maintenance, " if row.status == WorkerStatus.MAINTENANCE else "") + f"lost{heard}"


def gpu_text(gpu: Any) -> str:
    """A GPU in one line."""
    parts = [gpu.name]
    if gpu.memory_total_mb is not None:
        parts.append(fmt.memory(gpu.memory_used_mb, gpu.memory_total_mb))
    if gpu.utilization_percent is not None:
        parts.append(f"{gpu.utilization_percent} %")
    if gpu.temperature_c is not None:
        parts.append(f"{gpu.temperature_c} °C")
    if gpu.state != "ok":
        parts.append(f"{gpu.state}: {gpu.message}" if gpu.message else gpu.state)
    return "  ".join(parts)


def io_lines(row: WorkerRow) -> list[str]:
    """Where to place files for this worker, and where it puts its results."""
    paths = row.properties.get("io_paths") or {}
    lines: list[str] = []
    if paths.get("filesystem"):
        lines.append(f"  Filesystem: {paths['filesystem']}")
    if paths.get("input"):
        lines.append(f"  Input:  {paths['input']}  <- Place your files here")
    if paths.get("output"):
        lines.append(f"  Output: {paths['output']}")
    for mount in mounts_of({"mounts": row.properties.get("mounts")}):
        also = f"  (elsewhere {', '.join(mount.aliases)})" if mount.aliases else ""
        lines.append(f"  Mount {mount.label}: {mount.path}{'  (writable)' if mount.writable else ''}{also}")
    return lines


def list_projects(args: argparse.Namespace) -> int:
    """`opsconsole projects`."""

    async def work(client: Client) -> list[Any]:
        return await client.projects()

    rows = with_client(args, work)
    if args.json:
        put_json(*rows)
    elif rows:
        cells = ((row.name, row.status, _counts(row.job_counts), row.description) for row in rows)
        put_table(("NAME", "STATUS", "JOBS", "DESCRIPTION"), cells)
    else:
        say("no projects: the first job makes one")
    return 0


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in counts.items() if number) or "none"


def list_templates(args: argparse.Namespace) -> int:
    """`opsconsole templates`."""

    async def work(client: Client) -> list[TemplateRow]:
        return await client.templates()

    rows = with_client(args, work)
    if args.json:
        put_json(*rows)
    elif rows:
        import shlex

        cells = (
            (row.name, str(row.version), _parameters(row), shlex.join(row.command), row.description) for row in rows
        )
        put_table(("NAME", "VERSION", "PARAMETERS", "COMMAND", "DESCRIPTION"), cells)
    else:
        say("no templates: make one with `opsconsole template set NAME --param lr:float=0.1 -- CMD… {lr}`")
    return 0


def _parameters(row: TemplateRow) -> str:
    return " ".join(
        f"{one.name}:{'|'.join(map(spell_value, one.choices)) or one.kind}"
        + (f"={shown(one, one.default)}" if one.default is not None else "")
        for one in row.parameters
    )
