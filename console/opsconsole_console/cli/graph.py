"""`opsconsole graph ID`."""

from __future__ import annotations

import argparse

from opsconsole_console.cli.option import add_job, add_json
from opsconsole_console.cli.output import put, put_json, put_table
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client


def add(group: Group) -> None:
    """The verb of this file."""
    parser = group.verb("graph", graph)
    add_job(parser)
    add_json(parser, "one JSON object a job, each after those that it waits for: job, needs")


def graph(args: argparse.Namespace) -> int:
    """`opsconsole graph`."""
    from opsconsole_console.model.graph import done_words, graph_lines, head_words

    answer = with_client(args, lambda client: client.graph(args.id))
    if args.json:
        put_json(*answer.jobs)
        return 0
    names = {row.job.id: row.job.name for row in answer.jobs}
    put(head_words(answer))
    put_table(
        ("JOB", "STATE", "ID", "TASKS", "WAITS", "REASON"),
        (
            (
                f"{line.branch}{line.job.name}{' ◂' * (line.job.id == answer.id)}",
                line.job.state, line.job.id, done_words(line.job), line.note, line.job.reason,
            )
            for line in graph_lines(answer.jobs, lambda job_id: names.get(job_id, job_id))
        ),
    )  # fmt: skip
    return 0
