"""`opsconsole wait ID…` and `opsconsole why ID`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from opsconsole_console import format as fmt
from opsconsole_console.cli.interruption import explained, go_on
from opsconsole_console.cli.option import add_job, add_json, milliseconds
from opsconsole_console.cli.output import put, put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import RECONNECT_S, with_client
from opsconsole_console.visible import clean
from opsconsole_protocol.log import LogQuery
from opsconsole_protocol.state import TaskState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opsconsole.client import Client
    from opsconsole_protocol.api import JobDetail, JobRow, Verdict, WhyAnswer
    from opsconsole_protocol.log import LogLine

    Ending = tuple[JobDetail, Sequence[LogLine]]

_LINES_LOOKED_AT = 200
_LINES_SHOWN = 20


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("wait", wait)
    add_job(parser, many=True)
    parser.add_argument("--timeout", metavar="T", type=milliseconds, help="give up after so long, for example 2h")
    add_json(parser, "one JSON object a line: the jobs as they stand then")
    parser = group.verb("why", why)
    add_job(parser)
    add_json(parser, "one JSON object: job, text, verdicts, ahead, ahead_jobs")


def wait(args: argparse.Namespace) -> int:
    """`opsconsole wait`."""
    from opsconsole.outcome import is_settled
    from opsconsole_console.cli.contents import fetch_results

    timeout_s = None if args.timeout is None else args.timeout / 1000

    async def work(client: Client) -> tuple[list[JobRow], bool]:
        rows = await client.wait(*args.ids, timeout_s=timeout_s)
        came = [await fetch_results(client, row.id) for row in rows]
        return rows, all(came)

    with explained(go_on(args.ids), of_interrupt=False):
        rows, all_came = with_client(args, work, retry_for_s=RECONNECT_S)
    for row in rows:
        if args.json:
            put_json(row)
        else:
            put(f"{row.id}  {row.state}{'  ' * bool(row.reason)}{row.reason}")
    late = [row.id for row in rows if not is_settled(row)]
    if late:
        say(f"opsconsole: not ended in time: {' '.join(late)}")
    return 0 if all_came and all(row.state == TaskState.SUCCEEDED for row in rows) else 1


def why(args: argparse.Namespace) -> int:
    """`opsconsole why`."""
    from opsconsole_console.model.expected import unsaid, wait_words

    async def work(client: Client) -> tuple[WhyAnswer, Ending | None]:
        answer = await client.why(args.id)
        is_bad = answer.job.finished_at_ms is not None and answer.job.state != TaskState.SUCCEEDED
        return answer, await _ending(client, answer.job.id) if is_bad and not args.json else None

    answer, ending = with_client(args, work)
    if args.json:
        put_json(
            {
                "job": answer.job, "text": answer.text, "verdicts": answer.verdicts,
                "ahead": answer.ahead, "ahead_jobs": answer.ahead_jobs,
            }
        )  # fmt: skip
        return 0
    put(f"{answer.job.id}  {answer.job.state}: {answer.text}", *(f"  {one}" for one in wait_words(answer)))
    _put_choices(answer.job)
    put_verdicts(answer.verdicts, unsaid(answer))
    if ending is not None:
        _put_ending(*ending)
    return 0


def _put_choices(job: JobRow) -> None:
    """What can be done with what hasn't saved a checkpoint in time."""
    if not job.save_late:
        return
    late = " ".join(f"{job.id}/task-{index}" for index in job.save_late) if job.num_tasks > 1 else job.id
    put(
        f"  stop it where it is, and keep its place: opsconsole pause {late} --by freeze",
        f"  end it: opsconsole cancel {late}",
        f"  wait on, for as long again: opsconsole pause {late} --by checkpoint",
    )


async def _ending(client: Client, job_id: str) -> Ending:
    """A job that didn't succeed, and the last lines of the log of the task that failed first."""
    from opsconsole_console.model.ending import first_to_fail

    detail = await client.show(job_id)
    task = first_to_fail(detail.tasks)
    if task is None or not task.attempts:
        return detail, ()
    answer = await client.read_log(job_id, LogQuery(tail=_LINES_LOOKED_AT, latest=True), task_index=task.index)
    return detail, answer.page.lines


def _put_ending(detail: JobDetail, lines: Sequence[LogLine]) -> None:
    from opsconsole_console.model.ending import ending_words, first_to_fail
    from opsconsole_console.model.plan import fitting_verbs
    from opsconsole_console.widget.log_failure import failure_start
    from opsconsole_console.widget.shown_lines import shown_text

    for words in ending_words(detail)[1:]:
        put(f"  {clean(words)}")
    start = failure_start(lines)
    shown = lines[-_LINES_SHOWN:] if start is None else lines[start:][-_LINES_SHOWN:]
    if shown:
        put("")
    for line in shown:
        put(f"  | {clean(shown_text(line))}")
    put("")
    fitting = fitting_verbs((detail.job,))
    task = first_to_fail(detail.tasks)
    put(f"opsconsole logs {task.id if task is not None and detail.job.num_tasks > 1 else detail.job.id}")
    if "retry" in fitting:
        put(f"opsconsole retry {detail.job.id}")
    put(f"opsconsole clone {detail.job.id}")


def put_verdicts(verdicts: tuple[Verdict, ...], shown: Sequence[Verdict] | None = None) -> None:
    """How long the job is expected to take, where that is the same everywhere; and what workers say, in a table: all, or those `shown`."""
    from opsconsole_console.model.expected import shared_takes, takes_words

    takes = shared_takes(verdicts)
    if takes is not None:
        put(f"  takes {takes_words(takes)}")
    rows = verdicts if shown is None else shown
    if rows:
        put_table(("WORKER", "", "REASON"), (_cells(verdict, with_takes=takes is None) for verdict in rows))


def _cells(verdict: Verdict, *, with_takes: bool) -> tuple[str, str, str]:
    failed = [f"{words} ({has})" if has else words for words, met, has in verdict.checks if not met]
    reason = verdict.reason or "; ".join(failed)
    is_said = verdict.lacks_file and len(verdict.inputs) <= 1  # what it is refused for is said once
    files = "" if is_said else verdict.input
    parts = [part for part in (reason, files, verdict.supply, estimate(verdict, with_takes=with_takes)) if part]
    return verdict.worker, "yes" if verdict.accepted else "no", "; ".join(parts)


def estimate(verdict: Verdict, *, with_takes: bool = True) -> str:
    """When a worker could start, and for how long it would take."""
    from opsconsole_console.model.expected import takes_words, verdict_start

    parts: list[str] = []
    if (start := verdict_start(verdict)) not in {"", "now"}:
        parts.append(f"could start {start}")
    if with_takes and verdict.takes is not None:
        parts.append(f"takes {takes_words(verdict.takes)}")
    elif with_takes and verdict.estimated_duration_ms is not None:
        parts.append(f"takes {fmt.duration(verdict.estimated_duration_ms, figures=2)}")
    return ", ".join(parts)
