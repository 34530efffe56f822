"""submit: what reaches the coordinator, what is said where, and which code it ends with."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from opsconsole_console.model.draft import Draft, check, with_template
from opsconsole_protocol import api
from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.api.template import filled
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import check_job_id
from opsconsole_protocol.log import Source
from opsconsole_protocol.spec import JobSpec, Resources
from tests.client.fake_server import FakeServer
from tests.console.cli.conftest import Run

TRAIN = TemplateRow(
    name="train",
    command=("python", "train.py", "--lr", "{lr}"),
    parameters=(Parameter(name="lr", kind="float"), Parameter(name="seed", kind="int", default=1, required=False)),
    defaults={"gpus": "2", "project": "pose", "timeout": "2h", "inputs": "a.slp b.slp"},
)


def submitted(server: FakeServer) -> JobSpec:
    found = [one for one in server.asked if isinstance(one, api.SubmitJobs)]
    return found[-1].submissions[0].spec


def finish_with(server: FakeServer, **fields: Any) -> None:
    def finish(job_id: str, spec: JobSpec) -> None:
        for index in range(spec.num_tasks):
            server.log(job_id, f"hello from {index}", index=index)
            server.finish(job_id, index, **fields)

    server.on_submit = finish


def test_the_id_alone_is_on_stdout_and_the_story_on_stderr(run: Run, server: FakeServer) -> None:
    server.add_worker("gpu-a")
    server.add_worker("gpu-b", status="busy")
    ran = run("submit", "--", "python", "train.py")
    assert ran.code == 0
    job_id = ran.out.strip()
    assert check_job_id(job_id) in server.jobs
    assert ran.err.splitlines() == [
        "Found 1 available worker:",
        "  - gpu-a (80GB, A100-80GB, takes 42m 00s)",
        "  - gpu-b declined: busy",
        "Selected gpu-a (faster estimate), reserved for it",
        "  Filesystem: vast",
        "  Input:  /mnt/vast/inputs  <- Place your files here",
        "  Output: /mnt/vast/outputs",
        f"Submitted {job_id} (train.py)",
    ]


def test_without_a_willing_worker_every_reason_is_said(run: Run, server: FakeServer) -> None:
    assert "Found no workers: the job waits" in run("submit", "--", "x").err
    server.add_worker("gpu-b", status="busy")
    assert "  - gpu-b: busy" in run("submit", "--", "x").err


def test_quiet_and_json(run: Run, server: FakeServer) -> None:
    ran = run("submit", "-q", "--json", "--", "x")
    assert ran.err == ""
    assert json.loads(ran.out)["state"] == "pending"


def test_every_option_reaches_the_spec(run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HERE", "yes")
    options = (
        "--name n --project p --priority -3 --tasks 4 --worker w --require gpu_memory_mb>=20000 --require zone=a --gpus 2 "
        "--cpus 1.5 --memory 8G --gpu-memory 20G --input a.slp --input b.slp --after zz --max-retries-failure 1 "
        "--max-retries-preemption 2 --max-task-failures 3 --timeout 2h --scheduling-timeout 1h --grace 7s --lost-after 90s "
        "--fence-after 5m --workdir /w --env A=1=2 --env FROM_HERE --port HTTP --hold "
        "--job-timeout 3h"
    )
    assert run("submit", *options.split(), "--", "python", "-c", "x", "--").code == 0
    assert submitted(server) == JobSpec(
        command=("python", "-c", "x", "--"), name="n", project="p", priority=-3, num_tasks=4, worker="w",
        requirements=("gpu_memory_mb>=20000", "zone=a"),
        resources=Resources(gpus=2, cpus=1.5, memory_mb=8192, gpu_memory_mb=20480), inputs=("a.slp", "b.slp"),
        after=("zz",), max_retries_failure=1, max_retries_preemption=2, max_task_failures=3, timeout_ms=7_200_000,
        scheduling_timeout_ms=3_600_000, grace_ms=7_000, lost_after_ms=90_000, fence_after_ms=300_000, workdir="/w",
        environment={"A": "1=2", "FROM_HERE": "yes"}, ports=("HTTP",), held=True, job_timeout_ms=10_800_000,
    )  # fmt: skip


def test_a_gang_is_asked_for(run: Run, server: FakeServer) -> None:
    assert run("submit", "--gang", "--tasks", "4", "--", "x").code == 0
    assert submitted(server) == JobSpec(command=("x",), num_tasks=4, gang=True)


def test_a_run_has_a_slot_for_each_of_a_gang(run: Run) -> None:
    from opsconsole_console.cli.run import gang_slots

    spec = JobSpec(command=("x",), num_tasks=4, gang=True)
    assert (gang_slots(spec, None), gang_slots(spec, 6)) == (4, 6)
    ran = run("run", "--gang", "--tasks", "4", "--max-concurrent-jobs", "2", "--", "x")
    assert ran.code == 2
    assert "a gang of 4 needs as many slots" in ran.err


def test_what_isnt_given_is_the_protocols_default(run: Run, server: FakeServer) -> None:
    run("submit", "--", "x")
    assert submitted(server) == JobSpec(command=("x",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--env", "NOT_SET_HERE"], "--env NOT_SET_HERE: it is not set here"),
        (["--workdir", "here"], "not absolute"),
        (["--priority", "5000000"], "priority: must be at most 1000000"),
        (
            ["--gpus", "0", "--gpu-memory", "6G"],
            "--gpus 0 is no GPU, and --gpu-memory is of one: leave one of them out",
        ),
        (["--gpus", "0", "--share"], "--gpus 0 is no GPU, and --share is of one"),
        (["--gpus", "0", "--share", "--gpu-memory", "6G"], "--gpus 0 is no GPU"),
        (["--name", "n" * 300], "name: must have at most 200 characters"),
        (["--require", ">=5"], "can't read '>=5'"),
        (["--port", "a-b"], "ports"),
        (["--sweep", "lr=1,2", "--tasks", "3"], "--tasks and a sweep exclude each other"),
        (["--gang", "--tasks", "2", "--max-task-failures", "1"], "a gang ends with its first failed task"),
        (["--sweep", "lr=1,2"], "write {lr} in the command"),
        (["--set", "lr=1"], "name it with --template"),
    ],
)
def test_what_can_be_checked_is_refused_before_submission(
    run: Run, server: FakeServer, options: list[str], message: str
) -> None:
    ran = run("submit", *options, "--", "x")
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert server.jobs == {}


def test_a_sweep_is_one_job_with_a_task_for_each_combination(run: Run, server: FakeServer) -> None:
    run("submit", "--sweep", "lr=0.1,0.2", "--sweep", "seed=1,2", "--", "train", "--lr={lr}", "{seed}", '{"json": {}}')
    spec = submitted(server)
    assert spec.num_tasks == 4
    assert spec.task_commands[1] == ("train", "--lr=0.1", "2", '{"json": {}}')
    assert spec.parameters[2] == {"lr": "0.2", "seed": "1"}
    assert spec.command == ("train", "--lr={lr}", "{seed}", '{"json": {}}')


def test_points_of_a_file_each_twice(run: Run, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("lr,wd\n0.1,0\n0.2,1e-4\n")
    run("submit", "--sweep-file", str(tmp_path / "points.csv"), "--repeat", "2", "--", "train", "{lr}", "{wd}")
    spec = submitted(server)
    assert spec.task_commands[2:] == (("train", "0.2", "1e-4"),) * 2
    assert spec.parameters[3] == {"lr": "0.2", "wd": "1e-4", "repeat": "1"}
    refused = run(
        "submit", "--sweep-file", str(tmp_path / "points.csv"), "--sweep", "wd=1,2", "--", "train", "{lr}", "{wd}"
    )
    assert (refused.code, refused.err) == (2, "opsconsole: wd is swept twice\n")


def test_a_template_with_parameters_and_defaults(run: Run, server: FakeServer) -> None:
    server.templates.append(TRAIN)
    assert run("submit", "--template", "train", "--set", "lr=0.5", "--tasks", "2", "--project", "mine").code == 0
    spec = submitted(server)
    assert spec.command == ("python", "train.py", "--lr", "0.5")
    assert (spec.template, spec.project, spec.resources.gpus, spec.timeout_ms) == ("train", "mine", 2, 7_200_000)
    assert spec.inputs == ("a.slp", "b.slp")
    assert spec.parameters == ({"lr": 0.5, "seed": 1},) * 2


def test_an_empty_pattern_takes_away_the_template_s_and_a_cloned_job_s(run: Run, server: FakeServer) -> None:
    pattern = r"L=(?P<loss>\S+)"
    server.templates.append(msgspec.structs.replace(TRAIN, defaults={"metric_pattern": pattern}))
    assert run("submit", "--template", "train", "--set", "lr=0.5").code == 0
    assert submitted(server).metric_pattern == pattern
    assert run("clone", next(iter(server.jobs)), "--metric-pattern", "").code == 0
    assert submitted(server).metric_pattern == ""
    assert run("submit", "--template", "train", "--set", "lr=0.5", "--metric-pattern", "").code == 0
    assert submitted(server).metric_pattern == ""
    server.templates[:] = [TRAIN]
    refused = run("submit", "--template", "train", "--set", "lr=0.5", "--metric-pattern", "")
    assert "--metric-pattern is empty: leave it out" in refused.err


def test_a_place_without_a_parameter_is_refused_by_all_in_one_sentence(run: Run, server: FakeServer) -> None:
    """A template of an older version: command line, form and coordinator say of it what `template set` says."""
    spoilt = msgspec.structs.replace(TRAIN, command=(*TRAIN.command, "{y}"))
    server.templates.append(spoilt)
    sentence = "the command of template train names {y}: declare it with --param"
    assert run("submit", "--template", "train", "--set", "lr=1").err == f"opsconsole: {sentence}\n"
    assert run("submit", "--template", "train", "--sweep", "lr=1,2").err == f"opsconsole: {sentence}\n"
    assert server.jobs == {}
    form = check(replace(with_template(Draft(), spoilt), parameters={"lr": "1"}), spoilt)
    assert (form.spec, form.errors) == (None, {"template": sentence})
    with pytest.raises(InvalidRequest, match=re.escape(sentence)):
        filled(JobSpec(command=spoilt.command, template="train", parameters=({"lr": 1},)), spoilt)


def test_a_template_can_be_swept_and_its_values_are_typed(run: Run, server: FakeServer) -> None:
    server.templates.append(TRAIN)
    run("submit", "--template", "train", "--sweep", "lr=1e-3,0.1", "--set", "seed=7")
    spec = submitted(server)
    assert [command[-1] for command in spec.task_commands] == ["0.001", "0.1"]
    assert spec.parameters == ({"lr": 0.001, "seed": 7}, {"lr": 0.1, "seed": 7})


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--template", "trian"], 1, "there is no template 'trian': did you mean train?"),
        (["--template", "train"], 2, "lr is missing"),
        (["--template", "train", "--set", "lr=x"], 2, "lr is a number, not 'x'"),
        (["--template", "train", "--sweep", "lr=1,x"], 2, "lr is a number, not 'x'"),
        (["--template", "train", "--set", "lrr=1"], 2, "no parameter 'lrr'"),
        (["--template", "train", "--set", "lr=1", "--sweep", "lr=1,2"], 2, "lr is both set and swept"),
        (["--template", "train", "--set", "lr=1", "--", "x"], 2, "leave out what stands behind --"),
    ],
)
def test_a_wrong_parameter_is_named(run: Run, server: FakeServer, words: list[str], code: int, message: str) -> None:
    server.templates.append(TRAIN)
    ran = run("submit", *words)
    assert ran.code == code
    assert message in ran.err
    assert server.jobs == {}


def test_wait_ends_with_the_tasks_code(run: Run, server: FakeServer) -> None:
    finish_with(server, exit_code=3)
    ran = run("submit", "--wait", "--", "x")
    assert ran.code == 3
    assert check_job_id(ran.out.strip())
    assert "Job failed" in ran.err
    assert "exit code 3" in ran.err


def test_a_signal_is_128_and_its_number(run: Run, server: FakeServer) -> None:
    finish_with(server, exit_code=None, signal=9, state="failed")
    assert run("submit", "--wait", "--", "x").code == 137


def test_follow_prints_the_log_alone_on_stdout(run: Run, server: FakeServer) -> None:
    def finish(job_id: str, _spec: JobSpec) -> None:
        server.log(job_id, "to stdout")
        server.log(job_id, "to stderr", source=Source.STDERR)
        server.finish(job_id)

    server.on_submit = finish
    ran = run("submit", "--follow", "--", "x")
    assert (ran.code, ran.out) == (0, "to stdout\n")
    assert "to stderr\n" in ran.err
    assert "Job completed successfully!" in ran.err
    assert "Duration: 1s" in ran.err


@pytest.mark.parametrize("how", ["--follow", "--wait"])
def test_a_quiet_one_still_says_why_it_failed(run: Run, server: FakeServer, how: str) -> None:
    finish_with(server, exit_code=127, error="nosuchcmd: not found")
    ran = run("submit", "-q", how, "--", "nosuchcmd")
    assert ran.code == 127
    assert ran.err == "opsconsole: failed on gpu-a: nosuchcmd: not found\n"


def test_tasks_of_a_followed_job_are_told_apart(run: Run, server: FakeServer) -> None:
    finish_with(server, exit_code=0)
    ran = run("submit", "--follow", "--tasks", "20", "--", "x")
    assert sorted(ran.out.splitlines()) == sorted(f"[{index}] hello from {index}" for index in range(20))


def test_wait_as_json_prints_the_job_as_it_ended(run: Run, server: FakeServer) -> None:
    finish_with(server, exit_code=0)
    assert json.loads(run("submit", "--wait", "--json", "--", "x").out)["state"] == "succeeded"


def test_a_blocked_job_isnt_waited_for(run: Run, server: FakeServer) -> None:
    server.on_submit = lambda job_id, _spec: server.move(job_id, state="blocked")
    assert run("submit", "--follow", "--", "x").code == 1


def test_a_dry_run_submits_nothing(run: Run, server: FakeServer) -> None:
    assert run("submit", "--dry-run", "--", "x").code == 1
    server.add_worker("gpu-a")
    ran = run("submit", "--dry-run", "--", "x")
    assert ran.code == 0
    assert "gpu-a" in ran.out
    assert server.jobs == {}


def test_templates_are_set_from_the_command_line(run: Run, server: FakeServer) -> None:
    ran = run(
        "template", "set", "train", "--param", "lr:float=0.1", "--param", "opt:adam|sgd=adam", "--param", "n:int",
        "--default", "gpu-memory=20G", "--description", "d", "--", "t", "{lr}", "{opt}", "{n}",
    )  # fmt: skip
    assert (ran.code, ran.out) == (0, "template train set\n")
    (row,) = server.templates
    assert row.command == ("t", "{lr}", "{opt}", "{n}")
    assert row.parameters[0] == Parameter(name="lr", kind="float", default=0.1, required=False)
    assert row.parameters[1].choices == ("adam", "sgd")
    assert row.parameters[2].required
    assert row.defaults == {"gpu_memory": "20G"}
    shown = run("template", "show", "train").out
    assert "{n}: int (must be given)" in shown
    assert "--gpu-memory 20G" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["set", "t", "--", "x", "{lr}"], "names {lr}: declare it with --param"),
        (["set", "t", "--param", "lr:floot", "--", "x"], "'floot' is no type"),
        (["set", "t", "--param", "lr:int=x", "--", "x"], "lr is a whole number"),
        (["set", "t", "--param", "lr", "--param", "lr", "--", "x"], "given twice"),
        (["set", "t", "--default", "frob=1", "--", "x"], "--default 'frob=1'"),
        (["set", "t"], "there is no command"),
        (["show", "t", "--", "x"], "takes no command"),
    ],
)
def test_a_bad_template_is_refused(run: Run, server: FakeServer, words: list[str], message: str) -> None:
    ran = run("template", *words)
    assert ran.code == 2
    assert message in ran.err
    assert server.templates == []


def test_a_dry_run_prints_the_job_as_another_system_takes_it(run: Run, server: FakeServer) -> None:
    hostile = "a'b\n\x1b[2J$(id)"
    ran = run("submit", "--dry-run", "--as", "slurm", "--gpus", "2", "--sweep", "x=1,2", "--", "echo", "{x}", hostile)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("#!/bin/sh\n#SBATCH --job-name=")
    assert "#SBATCH --gpus-per-node=2\n" in ran.out
    assert f"1) exec {shlex.join(['echo', '2', hostile])} ;;\n" in ran.out
    assert run("submit", "--dry-run", "--as", "shell", "--", "echo", "a b").out == "echo 'a b'\n"
    assert "runai=IMAGE" in run("submit", "--dry-run", "--as", "runai", "--", "true").err
    assert "without --dry-run the job is submitted" in run("submit", "--as", "slurm", "--", "true").err
    assert not any(isinstance(one, api.SubmitJobs) for one in server.asked)
