"""template: versions, folders and jobs on the command line."""

import json
from pathlib import Path

import msgspec
import pytest

from opsconsole_protocol import api
from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.spec import JobSpec
from tests.client.fake_server import FakeServer
from tests.console.cli.conftest import Run

FIT = TemplateRow(
    name="fit", command=("fit", "{lr}"), parameters=(Parameter(name="lr", kind="float", maximum=1, help="rate"),),
    defaults={"gpus": "1"}, created_by="ana", created_at_ms=1_700_000_000_000,
)  # fmt: skip
FIT2 = msgspec.structs.replace(FIT, version=2, command=("fit", "--fast", "{lr}"), defaults={"gpus": "2"}, synced="pose")


@pytest.fixture
def templates(server: FakeServer) -> FakeServer:
    server.templates += [FIT, FIT2]
    return server


def test_a_version_is_shown(run: Run, templates: FakeServer) -> None:
    assert run("template", "show", "fit").out.splitlines() == [
        "fit@2", "  fit --fast '{lr}'", "  {lr}: float at most 1 (must be given)  rate", "  --gpus 2", "  synced for project pose",
    ]  # fmt: skip
    assert run("template", "show", "fit@1").out.splitlines()[1] == "  fit '{lr}'"
    assert json.loads(run("template", "show", "fit@1", "--json").out)["version"] == 1
    assert run("template", "show", "fit@9").err == "opsconsole: template fit has no version 9: its last one is 2\n"
    assert "did you mean fit?" in run("template", "show", "fitt@1").err


def test_the_history_says_what_each_version_changed(run: Run, templates: FakeServer) -> None:
    header, second, first = run("template", "history", "fit").out.splitlines()
    assert header.split() == ["VERSION", "SINCE", "BY", "CHANGED"]
    assert second.endswith("command: fit --fast '{lr}'; --gpus 2")
    assert first.split()[0] == "@1"
    assert first.endswith("made")


def test_a_job_of_a_version(run: Run, templates: FakeServer) -> None:
    assert run("submit", "--template", "fit@1", "--set", "lr=0.5").code == 0
    [submission] = templates.asked[-1].submissions  # type: ignore[union-attr]
    spec = submission.spec
    assert (spec.command, spec.template, spec.template_version, spec.resources.gpus) == (("fit", "0.5"), "fit", 1, 1)
    assert "lr is at most 1, not 3" in run("submit", "--template", "fit", "--set", "lr=3").err


def test_a_clone_keeps_the_version(run: Run, templates: FakeServer) -> None:
    spec = JobSpec(command=("fit", "0.5"), template="fit", template_version=1, parameters=({"lr": 0.5},))
    templates.add_job("aaaa000001", spec)
    run("clone", "aaaa", "--set", "lr=0.25")
    [submission] = templates.asked[-1].submissions  # type: ignore[union-attr]
    assert (submission.spec.command, submission.spec.template_version) == (("fit", "0.25"), 1)
    run("clone", "aaaa", "--priority", "3")
    [submission] = templates.asked[-1].submissions  # type: ignore[union-attr]
    assert submission.spec == msgspec.structs.replace(spec, priority=3)
    run("clone", "aaaa", "--", "other")
    [submission] = templates.asked[-1].submissions  # type: ignore[union-attr]
    assert (submission.spec.template, submission.spec.template_version) == (None, None)


def test_a_folder_is_synced(run: Run, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "fit.toml").write_text('command = "fit {lr}"\n[parameters.lr]\ntype = "float"\n')
    ran = run("template", "sync", str(tmp_path), "--project", "pose", "--remove")
    assert ran.out == "fit@1  created\n"
    row = TemplateRow(name="fit", command=("fit", "{lr}"), parameters=(Parameter(name="lr", kind="float"),))
    assert server.asked[-1] == api.SyncTemplates(templates=(row,), project="pose", remove=True)
    assert run("template", "sync", str(tmp_path), "--dry-run").out == "fit@1  would be created\n"
    asked = len(server.asked)
    (tmp_path / "bad.toml").write_text('command = "fit {lr}"\n')
    ran = run("template", "sync", str(tmp_path))
    assert (ran.code, len(server.asked)) == (2, asked)
    assert "bad.toml, line 1: the command names {lr}" in ran.err
    assert "is no folder" in run("template", "sync", str(tmp_path / "nowhere")).err


def test_a_template_is_made_of_a_job_that_succeeded(run: Run, server: FakeServer) -> None:
    server.add_job("aaaa000001", JobSpec(command=("fit", "--lr", "0.5"), project="pose"))
    ran = run("template", "from-job", "aaaa", "fit", "--parameter", "lr", "--description", "fits")
    assert "is pending: a template is made of a job that succeeded" in ran.err
    server.finish("aaaa000001")
    ran = run("template", "from-job", "aaaa", "fit", "--parameter", "lr", "--description", "fits")
    assert ran.out.splitlines() == [
        "fit@1  fits", "  fit --lr '{lr}'", "  {lr}: float = 0.5", "  --project pose", "  made from job aaaa000001",
    ]  # fmt: skip
    assert "say what the template is to be called" in run("template", "from-job", "aaaa").err
