"""A log is byte for byte what the task wrote, by whichever route it is read (hard use 6, 7, 8, 9).

The kind: a reader that cuts, reorders or rewrites. Writes of any shape (chunks, carriage returns, no newline, lines far
beyond every buffer, bytes that are no UTF-8, both streams, outputs opened anew) are read back by every verb, by pages of
the client, after a new start of the coordinator and of the agent.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsconsole_protocol.log import LogQuery, Source
from tests.process.lab import OPSCONSOLE, Lab, words

WRITER = """
import json, os, sys
for descriptor, text, count, anew in json.load(open(sys.argv[1])):
    data = text.encode("latin-1") * count
    if anew:
        with open(f"/dev/{'stdout' if descriptor == 1 else 'stderr'}", "wb") as file:
            file.write(data)
        continue
    while data:
        data = data[os.write(descriptor, data):]
"""
PIECES = st.one_of(
    st.binary(max_size=30).map(lambda data: (data.decode("latin-1"), 1)),
    st.sampled_from([
        ("a line\n", 3), ("\n", 2), ("no end", 1), ("\rtrain: 41%|####", 400), ("\rstep\x1b[A", 3), ("x", 70_000),
        ("wide \xc3\xa9 ", 30_000), ("\xff\xfe\x00", 5), ("\xc3", 1), ("\r", 1), ("\rlong state ", 20_000), ("{}\n", 5_000),
    ]),
)  # fmt: skip
WRITES = st.lists(st.tuples(st.sampled_from([1, 1, 1, 2]), PIECES, st.sampled_from([False, False, True])), max_size=12)


def read(lab: Lab, *arguments: str) -> tuple[bytes, bytes]:
    """What a command prints on stdout and stderr."""
    done = subprocess.run(
        (*OPSCONSOLE, *arguments), capture_output=True, env=lab.environ, cwd=lab.folder, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout, done.stderr


def paged(lab: Lab, job_id: str, lines: int, size: int) -> tuple[bytes, bytes]:
    """All pages of the client, as bytes."""

    async def walk() -> tuple[bytes, bytes]:
        assert lab._client is not None
        found = {Source.STDOUT: b"", Source.STDERR: b""}
        query = LogQuery(whole=True, max_lines=lines, max_bytes=size)
        while True:
            page = (await lab._client.client.read_log(job_id, query)).page
            for place, line in enumerate(page.lines):
                found[line.source] += page.raw.get(place, line.data.encode()) + b"\n" * (not line.partial)
            if page.end:
                return found[Source.STDOUT], found[Source.STDERR]
            query = msgspec.structs.replace(query, cursor=page.next_cursor)

    return lab.ask(lambda client: client.run(walk()))


@pytest.fixture(name="writer", scope="module")
def _writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("writer") / "writer.py"
    path.write_text(WRITER)
    return path


def program(writer: Path, writes: list[tuple[int, tuple[str, int], bool]]) -> tuple[list[str], tuple[bytes, bytes]]:
    """A command that writes this, and what its outputs are then."""
    plan = writer.with_name(f"plan-{time.monotonic_ns()}.json")
    plan.write_text(json.dumps([(descriptor, text, count, anew) for descriptor, (text, count), anew in writes]))
    streams = {1: b"", 2: b""}
    for descriptor, (text, count), _ in writes:
        streams[descriptor] += text.encode("latin-1") * count
    return [sys.executable, "-S", str(writer), str(plan)], (streams[1], streams[2])


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(writes=WRITES, page_lines=st.integers(1, 50), page_bytes=st.sampled_from([1_000, 50_000, 1_000_000]))
def test_every_route_gives_what_was_written(
    house: Lab, writer: Path, writes: list[tuple[int, tuple[str, int], bool]], page_lines: int, page_bytes: int
) -> None:
    command, written = program(writer, writes)
    job_id = house.give(command)
    house.wait_state(job_id, "succeeded")
    assert read(house, "logs", job_id) == written
    assert read(house, "logs", "-f", job_id) == written
    assert read(house, "logs", "--raw", "--tail", "1000000", job_id) == written
    assert read(house, "logs", "--start-line", "0", job_id) == written
    assert read(house, "logs", "--grep", "^", job_id) == written
    assert paged(house, job_id, page_lines, page_bytes) == written


FIXED = [
    (1, ("first\n", 1), False), (1, ("\rtrain: 41%", 20_000), False), (2, ("warning\n", 3), True), (1, ("\nx", 1), True),
    (1, ("y", 300_000), False), (1, ("\xff\n", 2), True), (2, ("no end", 1), False),
]  # fmt: skip


def test_submit_and_run_give_what_was_written(house: Lab, writer: Path) -> None:
    command, written = program(writer, FIXED)
    assert read(house, "submit", "-q", "--follow", "--", *command) == written
    assert read(house, "run", "--", *command) == written


def test_both_streams_into_one_place_stand_in_the_order_in_which_they_came(house: Lab) -> None:
    script = "for i in 1 2 3; do echo out $i; sleep 0.15; echo err $i >&2; sleep 0.15; done"
    job_id = house.give(script)
    house.wait_state(job_id, "succeeded")
    expected = b"".join(b"out %d\nerr %d\n" % (number, number) for number in (1, 2, 3))
    for verb in (("logs", job_id), ("logs", "-f", job_id), ("submit", "-q", "--follow", *words(script))):
        done = subprocess.run(
            (*OPSCONSOLE, *verb), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=house.environ,
            cwd=house.folder, check=True,
        )  # fmt: skip
        assert done.stdout == expected, verb


def test_the_last_state_of_a_line_that_starts_over(house: Lab, tmp_path: Path) -> None:
    """Live, and in the end; and how far the task is by it, on its very first run."""
    script = (
        'import sys, os, time\nfor i in range(6000): sys.stderr.write("\\rtrain: %4d/6000 step %d/6000" % (i, i))\n'
        'sys.stderr.flush()\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.02)\nsys.stderr.write("\\rover 6000/6000")\n'
    )
    go = tmp_path / "go"
    job_id = house.give([sys.executable, "-c", script, str(go)])
    house.wait(lambda: house.lines(job_id, tail=1)[-1:] == ["\rtrain: 5999/6000 step 5999/6000"], "the last state")

    def advance() -> dict[str, Any]:
        return house.job(job_id)["advance"] or {}

    house.wait(lambda: (advance().get("done"), advance().get("total")) == (5999, 6000), "progress")
    progress = house.rows("show", job_id)[0]["progress"]
    assert (progress["done"], progress["total"], "eta_ms" in progress) == (5999, 6000, True)
    go.touch()
    house.wait_state(job_id, "succeeded")
    assert read(house, "logs", "--tail", "1", job_id) == (b"", b"\rover 6000/6000")
    assert len(read(house, "logs", job_id)[1]) > 150_000


def test_what_was_written_is_there_after_new_starts(lab: Lab, writer: Path) -> None:
    lab.serve()
    agent = lab.agent("gpu-a")
    command, written = program(writer, FIXED)
    ended = lab.give(command)
    lab.wait_state(ended, "succeeded")
    going = lab.give([*command[:-1], command[-1]], name="going")
    lab.kill(agent)
    lab.kill(lab.processes["serve"])
    lab.serve()
    lab.agent("gpu-a")
    lab.wait_state(going, "succeeded")
    for job_id in (ended, going):
        assert read(lab, "logs", job_id) == written
        assert paged(lab, job_id, 7, 10_000) == written
    lab.close()
