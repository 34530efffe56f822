"""What is typed into the new-job form, read."""

from dataclasses import fields, replace

import pytest

from opsconsole_console.model import draft as drafts
from opsconsole_console.model.draft import Draft
from opsconsole_console.model.draft_fault import FORM_FIELDS
from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.spec import JobSpec, Resources
from tests.console.app import recorded

TRAIN = next(template for template in recorded.templates() if template.name == "train")


def test_everything_typed_reaches_the_spec() -> None:
    checked = drafts.check(
        Draft(
            command="python train.py --data 'clips of may.h5'",
            name="t",
            project="pose",
            tasks="3",
            gpus="2",
            cpus="8",
            memory="32G",
            gpu_memory="40G",
            requirement="gpu_memory_mb>=40000 zone=a",
            inputs="'clips of may.h5' b.h5",
            priority="-3",
            after="42f0, 51c7",
            workdir="/srv/code",
            env="A=1 B='x y'",
            retries="2",
            timeout="1h30m",
            grace="10s",
            job_timeout="2h",
            gang="yes",
            worker="gpu-a",
        )
    )
    assert checked.errors == {}
    assert checked.spec == JobSpec(
        command=("python", "train.py", "--data", "clips of may.h5"),
        name="t",
        project="pose",
        num_tasks=3,
        priority=-3,
        worker="gpu-a",
        requirements=("gpu_memory_mb>=40000", "zone=a"),
        resources=Resources(gpus=2, cpus=8, memory_mb=32_768, gpu_memory_mb=40_960),
        inputs=("clips of may.h5", "b.h5"),
        after=("42f0", "51c7"),
        max_retries_failure=2,
        timeout_ms=5_400_000,
        grace_ms=10_000,
        job_timeout_ms=7_200_000,
        gang=True,
        workdir="/srv/code",
        environment={"A": "1", "B": "x y"},
    )


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("command", "", "say what to run"),
        ("command", "python 'x", "quotation mark"),
        ("tasks", "0", "from 1"),
        ("tasks", "many", "whole number"),
        ("gpus", "-1", "from 0"),
        ("cpus", "x", "a number"),
        ("memory", "32X", "not a size"),
        ("requirement", "gpu >", "can't read"),
        ("workdir", "code", "absolute"),
        ("env", "A", "KEY=VALUE"),
        ("timeout", "soon", "not a duration"),
        ("job_timeout", "soon", "not a duration"),
        ("gang", "maybe", "yes or no"),
    ],
)
def test_each_field_complains_for_itself(field: str, text: str, said: str) -> None:
    checked = drafts.check(replace(Draft(command="true"), **{field: text}))  # type: ignore[arg-type]
    assert checked.spec is None
    assert set(checked.errors) == {field}
    assert said in checked.errors[field]


NONSENSE = (
    "%%%", "-1", "9" * 20, "a b", "\u202ex", "=", "x=", "1e309", "nan", "/", "~", "''", "'", "lr=1", "x" * 5_000, "0", "-5m", "a\nb",
)  # fmt: skip
TYPED = [one.name for one in fields(Draft) if one.name not in {"parameters", "base", "template", "worker"}]


@pytest.mark.parametrize("field", TYPED)
def test_whatever_is_typed_into_a_field_is_taken_or_refused_there_in_one_short_line(field: str) -> None:
    """What could be read and the whole job can't have stood at the command."""
    for text in NONSENSE:
        command = "true {lr}" if field == "sweep" else "true"
        checked = drafts.check(replace(Draft(command=command), **{field: text}))  # type: ignore[arg-type]
        assert set(checked.errors) <= {field}, (text, checked.errors)
        for said in checked.errors.values():
            assert len(said) < 200
            assert "\n" not in said


def test_two_fields_that_are_wrong_are_both_told() -> None:
    checked = drafts.check(Draft(command="true", setup="uv sync", after="/", timeout="0", gang="yes"))
    assert set(checked.errors) == {"setup", "after", "timeout"}
    unread = drafts.check(Draft(command="", setup="uv sync", inputs="/", tasks="many"))
    assert set(unread.errors) == {"command", "setup", "inputs", "tasks"}
    assert not drafts.check(Draft(command="true", setup="uv sync", bundle=".")).errors


def test_every_field_of_a_job_that_the_form_has_can_be_blamed() -> None:
    by_the_command = {"command", "num_tasks", "task_commands", "parameters", "template", "template_version"}
    made = set(drafts.check(Draft(command="true")).spec.__struct_fields__)  # type: ignore[union-attr]
    assert set(FORM_FIELDS) <= set(TYPED)
    assert set(FORM_FIELDS.values()) <= made - by_the_command


@pytest.mark.parametrize("asked", [{"gpu_memory": "6G"}, {"share": "yes"}, {"gpu_memory": "6G", "share": "yes"}])
def test_no_gpu_and_some_of_one_is_said_at_the_field(asked: dict[str, str]) -> None:
    checked = drafts.check(replace(Draft(command="true", gpus="0"), **asked))  # type: ignore[arg-type]
    assert checked.errors["gpus"] == "0 is no GPU: clear this, or GPU mem and share"
    untouched = drafts.check(replace(Draft(command="true", gpu_memory="6G"), share=asked.get("share", "")))
    assert untouched.spec is not None
    assert untouched.spec.resources.gpus_asked == 1


def test_all_errors_come_at_once_and_workers_can_still_be_asked() -> None:
    checked = drafts.check(Draft(command="", tasks="x", gpus="2"))
    assert set(checked.errors) == {"command", "tasks"}
    assert checked.likely.resources.gpus == 2
    assert checked.likely.command


def test_a_template_is_filled_in_with_typed_values() -> None:
    draft = drafts.with_template(Draft(), TRAIN)
    assert (draft.gpus, draft.project) == ("1", "pose")
    checked = drafts.check(replace(draft, parameters={"epochs": "40", "lr": "0.001"}), TRAIN)
    assert checked.spec is not None
    assert checked.spec.command == ("python", "train.py", "--lr", "0.001", "--epochs", "40", "--model=base")
    assert checked.spec.template == "train"
    assert checked.spec.parameters == ({"lr": 0.001, "epochs": 40, "model": "base"},)


def test_a_templates_parameters_complain_by_name() -> None:
    draft = drafts.with_template(Draft(), TRAIN)
    checked = drafts.check(replace(draft, parameters={"lr": "fast", "model": "huge"}), TRAIN)
    assert checked.spec is None
    assert "a number" in checked.errors["parameter.lr"]
    assert "whole passes" in checked.errors["parameter.epochs"]
    assert "base, centroid, topdown" in checked.errors["parameter.model"]
    assert "<epochs>" in checked.command


def test_a_spec_survives_the_form_unchanged() -> None:
    spec = JobSpec(
        command=("python", "a b.py"), name="n", project="p", num_tasks=2, priority=4, worker="gpu-a",
        requirements=("gpu_memory_mb>=1",), resources=Resources(gpus=1, cpus=2.5, memory_mb=1_500, gpu_memory_mb=1_024),
        inputs=("x y",), after=("42f0k9x2mq",), max_retries_failure=3, max_retries_preemption=7,
        timeout_ms=90_000, scheduling_timeout_ms=5_000, grace_ms=1_500, lost_after_ms=9_000, fence_after_ms=11_000,
        workdir="/w", environment={"K": "v w"}, ports=("http",), parameters=({"a": 1}, {"a": 2}),
        task_commands=(("a",), ("b",)), held=True, gang=True, job_timeout_ms=8_000,
    )  # fmt: skip
    draft = drafts.from_spec(spec)
    assert draft.command == "a"
    assert drafts.check(draft).spec == spec


def test_another_command_ends_a_sweep() -> None:
    spec = JobSpec(command=("a",), num_tasks=2, task_commands=(("a", "1"), ("a", "2")), parameters=({"x": 1}, {"x": 2}))
    checked = drafts.check(replace(drafts.from_spec(spec), command="b"))
    assert checked.spec is not None
    assert checked.spec.task_commands == ()
    assert checked.spec.command == ("b",)


def test_datasets_are_typed_and_those_to_come_are_asked_of_nobody() -> None:
    checked = drafts.check(
        Draft(command="a", datasets="t=lab:digits 'my file.csv' x=s3://lab/x", uploads="'~/my file.csv'")
    )
    assert checked.spec is not None
    assert checked.spec.datasets == checked.datasets
    assert [one.words for one in checked.datasets] == ["t=lab:digits", "my file.csv", "x=s3://lab/x"]
    assert [one.where for one in checked.likely.datasets] == ["lab:digits", "s3://lab/x"]
    wrong = drafts.check(Draft(command="a", datasets="s3://k:geheim@lab/x"))
    assert "s3://lab/x has a user or password" in wrong.errors["datasets"]


def test_a_templates_dataset_is_one_of_the_jobs_and_changed_there() -> None:
    template = TemplateRow(
        name="fit",
        command=("fit", "{data}"),
        parameters=(Parameter(name="data", kind="dataset"), Parameter(name="lr", default=1)),
    )
    draft = replace(drafts.with_template(Draft(datasets="extra=b.csv"), template), parameters={"data": "lab:digits"})
    checked = drafts.check(draft, template)
    assert checked.spec is not None
    assert [one.words for one in checked.spec.datasets] == ["data=lab:digits", "extra=b.csv"]
    again = drafts.from_spec(checked.spec)
    assert drafts.check(again).spec == checked.spec
    changed = drafts.check(replace(again, datasets="data=lab:other extra=b.csv"))
    assert changed.errors["datasets"] == "data=lab:digits is a parameter of template fit: start from the template"
    assert (
        "a dataset, the same for all tasks" in drafts.check(replace(draft, sweep="data=a,b"), template).errors["sweep"]
    )


def test_a_sweep_takes_in_one_line_what_the_command_line_takes() -> None:
    checked = drafts.check(Draft(command="fit {lr} {wd}", sweep="--zip lr=1,2 --zip wd=3,4 --repeat 2"))
    assert checked.spec is not None
    assert checked.spec.task_commands == (("fit", "1", "3"),) * 2 + (("fit", "2", "4"),) * 2
    assert (checked.spec.command, checked.command) == (("fit", "{lr}", "{wd}"), ("fit", "1", "3"))
    again = drafts.check(drafts.from_spec(checked.spec))
    assert again.spec == checked.spec
    assert (
        "say how often, with --samples N" in drafts.check(Draft(command="{a}", sweep="a=uniform(0,1)")).errors["sweep"]
    )
    template = TemplateRow(name="fit", command=("fit", "{lr}"), parameters=(Parameter(name="lr", kind="float"),))
    filled = drafts.check(replace(drafts.with_template(Draft(), template), sweep="lr=1 --repeat 2"), template).spec
    assert filled is not None
    assert filled.parameters == ({"lr": 1.0, "repeat": "0"}, {"lr": 1.0, "repeat": "1"})
