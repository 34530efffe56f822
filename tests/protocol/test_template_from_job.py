"""A template of a job: which values become parameters, and what of the job becomes a default."""

import pytest

from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.api.template import fill, filled, read_values
from opsconsole_protocol.api.template_default import default_fields
from opsconsole_protocol.api.template_from_job import template_of_job
from opsconsole_protocol.dataset import JobDataset
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import JobSpec, PauseBy, Resources

SPEC = JobSpec(
    command=("python", "train.py", "--lr", "0.1", "--epochs=40", "model.size=7", "--opt", "adam", "0.1"),
    project="pose", priority=5, resources=Resources(gpus=1, cpus=2.5, memory_mb=32_768, gpu_memory_mb=40_960), inputs=("a b.csv",),
    requirements=("zone=a",), collect=("models/*",), datasets=(JobDataset("lab:digits", "train"),), timeout_ms=7_200_000,
    max_retries_failure=2, pause_by=PauseBy.CHECKPOINT, max_parallel=3, environment={"TOKEN": "secret"}, after=("42f0k9x2mq",),
    worker="gpu-a", workdir="/srv/code",
)  # fmt: skip


def test_values_of_the_command_become_parameters_with_a_type() -> None:
    row = template_of_job("42f0k9x2mq", SPEC, "train", ["epochs", "rate:float=0.1", "opt", "size:int=7"])
    assert row.command == (
        "python", "train.py", "--lr", "{rate}", "--epochs={epochs}", "model.size={size}", "--opt", "{opt}", "{rate}"
    )  # fmt: skip
    assert {one.name: (one.kind, one.default) for one in row.parameters} == {
        "epochs": ("int", 40), "rate": ("float", 0.1), "opt": ("str", "adam"), "size": ("int", 7),
    }  # fmt: skip
    assert fill(row.command, read_values(row, {})) == SPEC.command
    assert row.made_from == "42f0k9x2mq"


def test_its_options_become_defaults_that_say_the_same() -> None:
    row = template_of_job("42f0k9x2mq", SPEC, "train")
    read = default_fields(row.defaults)
    kept = ("project", "priority", "resources", "inputs", "requirements", "collect", "datasets", "timeout_ms",
            "max_retries_failure", "pause_by", "max_parallel", "workdir")  # fmt: skip
    assert read.fields == {name: getattr(SPEC, name) for name in kept}
    assert "secret" not in str(row), "a viewer sees templates"


@pytest.mark.parametrize(
    ("wanted", "match"),
    [
        (["batch"], "the command has no option --batch: say which value"),
        (["lr=0.2"], "'0.2' stands nowhere in the command"),
        (["lr=0.1", "rate=0.1"], "stands nowhere"),
        (["opt:int=adam"], "opt is a whole number, not 'adam'"),
        (["a-b=1"], "write NAME"),
        (["lr:number=0.1"], "is no type"),
        (["lr="], "an empty value"),
        (["lr", "lr=40"], "is a parameter already"),
    ],
)
def test_what_doesnt_stand_there_is_refused(wanted: list[str], match: str) -> None:
    with pytest.raises(InvalidRequest, match=match):
        template_of_job("42f0k9x2mq", SPEC, "train", wanted)


def test_a_sweeps_parameters_and_a_templates_stay_some() -> None:
    sweep = JobSpec(
        command=("fit", "{lr}", "--n", "3"), num_tasks=2, task_commands=(("fit", "1", "--n", "3"), ("fit", "2", "--n", "3")),
        parameters=({"lr": "1"}, {"lr": "2"}),
    )  # fmt: skip
    row = template_of_job("a", sweep, "fit", ["n"])
    assert row.command == ("fit", "{lr}", "--n", "{n}")
    assert [(one.name, one.kind) for one in row.parameters] == [("lr", "int"), ("n", "int")]
    base = TemplateRow(name="old", command=("fit", "{lr}"), parameters=(Parameter(name="lr", kind="float", maximum=1),))
    made = filled(JobSpec(command=base.command, template="old", parameters=({"lr": "0.5"},)), base)
    again = template_of_job("a", made, "new", base=base)
    assert again.parameters == (Parameter(name="lr", kind="float", maximum=1, default=0.5, required=False),)
