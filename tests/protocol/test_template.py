"""Typed parameters, and commands with values filled in."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.api.parameter import read_value, spell_value
from opsconsole_protocol.api.template import check_template, fill, filled, read_values
from opsconsole_protocol.dataset import JobDataset
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import JobSpec

TEMPLATE = TemplateRow(
    name="train",
    command=("python", "train.py", "--lr={lr}", "{extra}", "--opt", "{opt}", "--json={}"),
    parameters=(
        Parameter(name="lr", kind="float"),
        Parameter(name="epochs", kind="int", default=10, required=False),
        Parameter(name="opt", default="adam", required=False, choices=("adam", "sgd")),
        Parameter(name="extra", required=False),
        Parameter(name="amp", kind="bool", default=False, required=False),
    ),
)


def test_values_are_typed_and_defaults_fill_the_rest() -> None:
    values = read_values(TEMPLATE, {"lr": "1e-3", "amp": "Yes"})
    assert values == {"lr": 0.001, "epochs": 10, "opt": "adam", "extra": None, "amp": True}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({}, "lr is missing"),
        ({"lr": "fast"}, "lr is a number, not 'fast'"),
        ({"lr": "1", "epochs": "1.5"}, "epochs is a whole number"),
        ({"lr": "1", "opt": "lion"}, "opt is one of adam, sgd"),
        ({"lr": "1", "amp": "maybe"}, "amp is true or false"),
        ({"lr": "1", "lrr": "1"}, "no parameter 'lrr'"),
    ],
)
def test_a_wrong_value_names_its_parameter(texts: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_values(TEMPLATE, texts)


def test_filling_replaces_known_names_only_and_leaves_out_empty_words() -> None:
    filled = fill(TEMPLATE.command, read_values(TEMPLATE, {"lr": "0.1"}))
    assert filled == ("python", "train.py", "--lr=0.1", "--opt", "adam", "--json={}")


@given(st.text(), st.text())
def test_a_value_stays_one_word_whatever_it_holds(value: str, other: str) -> None:
    assert fill(("run", "{a}", "x{b}y"), {"a": value, "b": other}) == ("run", value, f"x{other}y")


def test_a_templates_pattern_for_metrics_is_checked_when_it_is_set() -> None:
    check_template(msgspec.structs.replace(TEMPLATE, defaults={"metric_pattern": "L=(?P<loss>.+)"}))
    with pytest.raises(InvalidRequest, match="--metric-pattern names no metric"):
        check_template(msgspec.structs.replace(TEMPLATE, defaults={"metric_pattern": "loss=.+"}))
    with pytest.raises(InvalidRequest, match="--metric-pattern is empty"):
        check_template(msgspec.structs.replace(TEMPLATE, defaults={"metric_pattern": ""}))


def test_a_template_must_declare_what_it_names() -> None:
    check_template(TEMPLATE)
    with pytest.raises(InvalidRequest, match=r"names \{lr\}"):
        check_template(TemplateRow(name="t", command=("x", "{lr}")))
    with pytest.raises(InvalidRequest, match="'floot' is no type"):
        check_template(TemplateRow(name="t", command=("x",), parameters=(Parameter(name="lr", kind="floot"),)))


DATASET = TemplateRow(
    name="fit",
    command=("fit", "--data", "{data}", "{test}"),
    parameters=(
        Parameter(name="data", kind="dataset"),
        Parameter(name="test", kind="dataset", required=False),
        Parameter(name="lr", required=False),
    ),
)
OLD = (JobDataset("lab:old", "data"), JobDataset("s3://lab/x", "extra"))


def test_a_dataset_parameter_is_one_of_the_jobs_datasets() -> None:
    spec = JobSpec(command=DATASET.command, template="fit", parameters=({"data": "lab:digits/"},), datasets=OLD)
    made = filled(spec, DATASET)
    assert made.command == ("fit", "--data", "lab:digits")
    assert made.datasets == (JobDataset("lab:digits", "data"), JobDataset("s3://lab/x", "extra"))
    assert filled(made, DATASET) == made
    again = filled(msgspec.structs.replace(made, command=DATASET.command, parameters=({"data": "a.csv"},)), DATASET)
    assert again.datasets[0] == JobDataset("a.csv", "data")


def test_a_dataset_parameter_is_checked_as_what_is_typed() -> None:
    for text, said in (
        ("ftp://h/a", "data: a dataset at ftp://"),
        ("s3://k:s@b/a", "data: the dataset s3://b/a has a user"),
    ):
        with pytest.raises(InvalidRequest, match=said):
            read_values(DATASET, {"data": text})
    with pytest.raises(InvalidRequest, match="data is missing: give a path or a URL"):
        read_values(DATASET, {})
    spec = JobSpec(command=DATASET.command, template="fit", num_tasks=2, parameters=({"data": "a"}, {"data": "b"}))
    with pytest.raises(InvalidRequest, match="data is a dataset, the same for all tasks of a job"):
        filled(spec, DATASET)
    with pytest.raises(InvalidRequest, match="'x-y' is no name for a dataset"):
        check_template(TemplateRow(name="a", command=("a",), parameters=(Parameter(name="x-y", kind="dataset"),)))


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (Parameter(name="t", kind="duration"), "1h30m", 5400),
        (Parameter(name="t", kind="duration"), "1.5s", 1.5),
        (Parameter(name="t", kind="duration"), "90", 90),
        (Parameter(name="p", kind="path"), "/data/a b", "/data/a b"),
        (Parameter(name="p", kind="path", pattern="/data/.+"), "/data/x", "/data/x"),
        (Parameter(name="n", kind="int", minimum=1, maximum=3), "3", 3),
    ],
)
def test_paths_durations_and_bounds(parameter: Parameter, text: str, value: object) -> None:
    assert read_value(parameter, text) == value
    assert read_value(parameter, spell_value(value)) == value, "a value that was read is read again"


@pytest.mark.parametrize(
    ("parameter", "text", "message"),
    [
        (Parameter(name="n", kind="int", minimum=1), "0", "n is at least 1, not 0"),
        (
            Parameter(name="x", kind="float", minimum=0, maximum=1),
            "nan",
            "x is a finite number (float 0 to 1), not 'nan'",
        ),
        (Parameter(name="x", kind="float"), "-inf", "x is a finite number (float), not '-inf'"),
        (Parameter(name="x", kind="float"), "1e999", "x is a finite number (float), not '1e999'"),
        (Parameter(name="x", kind="int"), "9" * 20, f"x is a number of 64 bits at most, not '{'9' * 20}'"),
        (Parameter(name="t", kind="duration", maximum=7200), "3h", "t is at most 2h, not 3h"),
        (Parameter(name="t", kind="duration"), "soon", "t is a duration, such as 90s"),
        (Parameter(name="p", kind="path"), "~/data", "no shell expands ~"),
        (Parameter(name="p", kind="path"), "a\nb", "which holds no such sign"),
        (Parameter(name="s", pattern="[a-z]+"), "abc1", "s is like [a-z]+, which 'abc1' isn't"),
        (Parameter(name="s", pattern="a|ab"), "abc", "isn't"),
    ],
)
def test_what_is_out_of_bounds_names_its_parameter(parameter: Parameter, text: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_value(parameter, text)
    assert message in error.value.message


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (Parameter(name="s", minimum=1), "only a number or a duration"),
        (Parameter(name="n", kind="int", minimum=2, maximum=1), "its minimum 2 is above its maximum 1"),
        (Parameter(name="d", kind="duration", minimum=3600, maximum=60), "its minimum 1h is above its maximum 1m"),
        (Parameter(name="x", kind="float", minimum=float("-inf")), "hold -inf, which JSON has no word for"),
        (Parameter(name="x", kind="float", default=float("nan")), "hold nan, which JSON has no word for"),
        (Parameter(name="s", choices=("a", "a")), "a choice is there twice"),
        (Parameter(name="n", kind="int", pattern="a"), "only a text or a path"),
        (Parameter(name="n", kind="int", default=9, required=False, maximum=3), "n is at most 3"),
        (Parameter(name="n", kind="int", choices=(1, 9), maximum=3), "n is at most 3"),
        (Parameter(name="n", kind="number"), "is no type"),
    ],
)
def test_a_parameter_that_cant_be_meant_is_refused_when_it_is_set(parameter: Parameter, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        check_template(TemplateRow(name="a", command=("a",), parameters=(parameter,)))
