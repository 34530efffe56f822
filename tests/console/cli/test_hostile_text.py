"""What others wrote is data on every line of output (hard use 1, 2, 5, 65), and no text makes a verb fail in ours."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsconsole_console.cli import main
from opsconsole_console.cli.verb import VERBS
from opsconsole_protocol import api
from opsconsole_protocol.error import Conflict
from opsconsole_protocol.spec import JobSpec
from tests.client.fake_server import FakeServer
from tests.client.row import event_row
from tests.console.cli.conftest import Ran, Run
from tests.hostile_text import TABLE, acting, flooded, poisoned

JOB = "aaaaaaaaaa"
SPEC = JobSpec(
    command=("python3", "train.py"), name="job", project="pose", inputs=("clips.h5",), after=("bbbbbbbbbb",),
    environment={"A": "b"}, workdir="/srv", num_tasks=2, requirements=("gpu_model~A100",),
)  # fmt: skip
LINES: tuple[tuple[str, ...], ...] = (
    ("jobs",), ("workers",), ("projects",), ("templates",), ("events",), ("show", JOB), ("why", JOB), ("graph", JOB),
    ("template", "show", "train"), ("pause", JOB), ("priority", JOB, "3"), ("worker", "drain", "gpu-a"),
    ("wait", JOB), ("submit", "--", "true"), ("submit", "--dry-run", "--", "true"), ("submit", "--wait", "--", "true"),
    ("project", "set", "pose"), ("health",), ("invite",),
)  # fmt: skip


class HostileServer(FakeServer):
    """Puts `text` before every string that somebody else chose; says it where it refuses, if told to."""

    text = ""
    refuses = False

    async def _decide(self, socket: Any, request: Any) -> api.AnyAnswer:
        if self.refuses:
            raise Conflict(self.text)
        answer = await super()._decide(socket, request)
        if isinstance(answer, api.Invited):
            return answer
        return poisoned(answer, self.text)


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileServer]:
    with HostileServer() as server:
        monkeypatch.setenv("OPSCONSOLE_DATA_DIR", str(server.write_data_dir(tmp_path / "coordinator")))
        server.add_worker("gpu-a", attention="look", gpu_message="none", status="available")
        server.projects.append(
            api.ProjectRow(
                name="pose", description="poses", status="active", created_at_ms=0, updated_at_ms=0, job_counts={}
            )
        )
        server.templates.append(
            api.TemplateRow(name="train", command=("python3", "{lr}"), parameters=(api.Parameter(name="lr", choices=("a",)),),
                            description="trains", defaults={"gpus": "1"})
        )  # fmt: skip
        server.events.append(event_row(1, subject=JOB, text="happened"))
        server.add_job(JOB, SPEC, reason="because", output_path="/out", worker="gpu-a")
        server.finish(JOB, 0, 1, error="exit code 1: boom")
        server.finish(JOB, 1, 0)
        server.on_submit = lambda job_id, _: server.finish(job_id, exit_code=3, error="it broke")
        yield server


def check(ran: Ran, what: tuple[str, ...]) -> None:
    assert "internal error" not in ran.err, (what, ran.err)
    for line in (*ran.out.splitlines(), *ran.err.splitlines()):
        assert not acting(line), (what, line)


@pytest.mark.parametrize("text", TABLE.values(), ids=TABLE)
def test_every_verb_shows_it_as_it_is(run: Run, hostile: HostileServer, text: str) -> None:
    hostile.text = text[:60]  # names have a length that no peer goes beyond
    for line in LINES:
        ran = run(*(hostile.text + "train" if word == "train" and "show" in line else word for word in line))
        check(ran, line)
        assert not flooded(ran.out + ran.err), line
        verb, rest = line[0], line[1:]
        if verb in ("jobs", "workers", "projects", "templates", "events", "show", "why", "pause", "wait", "health"):
            ran = run(verb, "--json", *rest)
            check(ran, ("--json", *line))
            found = [json.loads(row) for row in ran.out.splitlines()]
            assert verb == "health" or hostile.text in str_of(found), line
    hostile.refuses = True
    for line in LINES:
        check(run(*line), ("refused", *line))


def test_no_line_of_ours_is_forged(run: Run, hostile: HostileServer) -> None:
    """The kind: a line end within what others wrote began a line that looked like ours (hard use 63)."""
    for hostile.refuses in (False, True):
        for line in LINES:
            hostile.text = "\nForged: "
            ran = run(*(hostile.text + "train" if word == "train" and "show" in line else word for word in line))
            assert not [one for one in (ran.out + ran.err).splitlines() if one.startswith("Forged")], (line, ran)


def str_of(value: object) -> str:
    """Every string in a JSON value."""
    if isinstance(value, dict):
        return "\n".join(str_of(one) for pair in value.items() for one in pair)
    if isinstance(value, list):
        return "\n".join(str_of(one) for one in value)
    return str(value)


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "utf-8"])
def test_a_locale_that_can_not_say_it_gets_a_question_mark(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    hostile.text = "模型 – …"
    for line in LINES:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        main([word if word != "train" else hostile.text + "train" for word in line])
        out.flush()
        err.flush()
        said = err.buffer.getvalue().decode(encoding)
        assert "internal error" not in said, line
        if line[0] == "jobs":
            main(["jobs", "--json"])
            out.flush()
            row = out.buffer.getvalue().decode(encoding).splitlines()[-1]
            assert json.loads(row)["name"] == hostile.text + "job"


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("serve", "agent")])
def test_bytes_that_are_no_text_are_refused_in_words(run: Run, server: FakeServer, verb: str) -> None:
    server.add_job(JOB)
    for words in ([verb, "x\udcffy"], [verb, "--config", "\udcff"], [verb, JOB, "--json", "--", "\udcff"]):
        ran = run(*words)
        assert ran.code == 2, (words, ran)
        assert "internal error" not in ran.err
        assert ran.err.count("\n") == 1, ran.err


def test_an_environment_that_is_no_text_is_refused_in_words(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ODD", "x\udcff")
    ran = run("submit", "--env", "ODD", "--", "true")
    assert ran.code == 2
    assert "not UTF-8" in ran.err
    folder = tmp_path / "odd \udcff"
    folder.mkdir()
    monkeypatch.chdir(folder)
    ran = run("run", "--", "true")
    assert ran.code == 2
    assert "not UTF-8" in ran.err
