"""A job once more, with changes (hard use 36)."""

import datetime as dt
import time

import pytest
from msgspec import structs

from opsconsole_protocol import api
from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.spec import JobSpec, Resources
from tests.client.fake_server import FakeServer
from tests.console.cli.conftest import Run

JOB = "aaaaaaaaaa"
BASE = JobSpec(
    command=("python3", "train.py"), name="lr3", project="pose", priority=5, worker="gpu-a", workdir="/srv",
    resources=Resources(gpus=2, cpus=4), environment={"A": "1", "B": "2"}, inputs=("clips.h5",),
    max_retries_failure=2, timeout_ms=60_000,
)  # fmt: skip


def cloned(run: Run, server: FakeServer, *words: str, base: JobSpec = BASE, id: str = JOB) -> JobSpec:  # noqa: A002
    server.add_job(JOB, base)
    server.finish(JOB)
    ran = run("clone", id, *words)
    assert ran.code == 0, ran.err
    (submission,) = next(one for one in server.asked if isinstance(one, api.SubmitJobs)).submissions
    assert ran.out == f"{submission.job_id}\n"
    return submission.spec


def test_without_changes_it_is_the_same(run: Run, server: FakeServer) -> None:
    assert cloned(run, server) == BASE


def test_every_option_takes_the_place_of_what_was(run: Run, server: FakeServer) -> None:
    spec = cloned(run, server, "--name", "lr4", "--gpus", "1", "--env", "B=3", "--env", "C=4", "--input", "x.h5",
                  "--priority", "0", "--timeout", "2h", "--worker", "gpu-b")  # fmt: skip
    assert (spec.name, spec.priority, spec.worker, spec.timeout_ms) == ("lr4", 0, "gpu-b", 7_200_000)
    assert spec.resources == Resources(gpus=1, cpus=4)
    assert spec.environment == {"A": "1", "B": "3", "C": "4"}
    assert (spec.inputs, spec.workdir, spec.max_retries_failure) == (("x.h5",), "/srv", 2)


def test_another_command(run: Run, server: FakeServer) -> None:
    spec = cloned(run, server, "--", "python3", "eval.py", "--x")
    assert (spec.command, spec.name, spec.resources.gpus) == (("python3", "eval.py", "--x"), "lr3", 2)


SWEEP = JobSpec(
    command=("t", "1"), num_tasks=3, task_commands=(("t", "1"), ("t", "2"), ("t", "3")),
    parameters=({"lr": "1"}, {"lr": "2"}, {"lr": "3"}),
)  # fmt: skip


def test_a_sweep_and_one_of_its_tasks(run: Run, server: FakeServer) -> None:
    assert cloned(run, server, base=SWEEP) == SWEEP
    server.asked.clear()
    spec = cloned(run, server, base=SWEEP, id=f"{JOB}/task-1")
    assert (spec.command, spec.num_tasks, spec.task_commands, spec.parameters) == (("t", "2"), 1, (), ({"lr": "2"},))
    server.asked.clear()
    spec = cloned(run, server, "--sweep", "lr=7,8", "--", "t", "{lr}", base=SWEEP)
    assert spec.task_commands == (("t", "7"), ("t", "8"))


def test_a_sweep_is_cloned_with_other_values_for_all_that_it_sweeps(run: Run, server: FakeServer) -> None:
    base = structs.replace(SWEEP, command=("t", "{lr}"))
    assert cloned(run, server, "--sweep", "lr=7,8", base=base).task_commands == (("t", "7"), ("t", "8"))
    server.asked.clear()
    assert run("clone", JOB, "--repeat", "2").err.startswith("opsconsole: the job sweeps lr: give values for it too")


def test_a_templates_parameters_are_set_anew(run: Run, server: FakeServer) -> None:
    server.templates.append(
        TemplateRow(name="train", command=("t", "{lr}", "{n}"), parameters=(
            Parameter(name="lr", kind="float"), Parameter(name="n", kind="int", default=1)))
    )  # fmt: skip
    base = JobSpec(command=("t", "0.5", "9"), template="train", parameters=({"lr": 0.5, "n": 9},))
    spec = cloned(run, server, "--set", "lr=0.25", base=base)
    assert (spec.command, spec.template, spec.parameters) == (("t", "0.25", "9"), "train", ({"lr": 0.25, "n": 9},))


@pytest.mark.parametrize(
    ("base", "words", "message"),
    [
        (SWEEP, ["--tasks", "5"], "a sweep has a task for each point"),
        (BASE, ["--set", "lr=1"], "this job has none, name one with --template"),
        (BASE, ["--sweep", "lr=1,2"], "write {lr} in the command where its values go"),
        (SWEEP, ["--dry-run", "--wait"], "--dry-run and --wait exclude each other"),
    ],
)
def test_what_can_not_be_is_refused(
    run: Run, server: FakeServer, base: JobSpec, words: list[str], message: str
) -> None:
    server.add_job(JOB, base)
    ran = run("clone", JOB, *words)
    assert ran.code == 2
    assert message in ran.err
    assert not [one for one in server.asked if isinstance(one, api.SubmitJobs)]


def test_jobs_since_is_a_condition_on_their_creation(run: Run, server: FakeServer) -> None:
    run("jobs", "--since", "2d", "command~train")
    (asked,) = (one for one in server.asked if isinstance(one, api.ListJobs))
    before, _, moment = asked.filter.partition(" ")
    assert before == "command~train"
    assert moment.startswith('created>="')
    at = dt.datetime.fromisoformat(moment.removeprefix('created>="').removesuffix('"'))
    assert abs(time.time() - 2 * 86_400 - at.timestamp()) < 3_600
