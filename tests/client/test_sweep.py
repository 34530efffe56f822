"""A sweep: its axes as they are typed, all points, and a command for each. Command line, form and client use it."""

import csv
import io
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole.sweep import Draw, Sweep, read_line, read_sweep, unfold
from opsconsole.sweep_file import read_points, read_points_file
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import NUM_TASKS_MAX

NAMES = st.sampled_from(["lr", "seed", "Depth", "x_1"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=5)
LISTS = st.lists(TEXTS, min_size=1, max_size=4, unique=True).map(tuple)
FINITE = st.floats(-1e12, 1e12, allow_nan=False)


def points(text: str) -> list[dict[str, str]]:
    return read_line(text).points()


def test_the_last_axis_changes_fastest_then_the_draws_then_the_repeats() -> None:
    assert points("lr=1,2 seed=7,8") == [
        {"lr": "1", "seed": "7"}, {"lr": "1", "seed": "8"}, {"lr": "2", "seed": "7"}, {"lr": "2", "seed": "8"},
    ]  # fmt: skip
    assert points("n=range(0,6,2) --repeat 2") == [
        {"n": n, "repeat": again} for n in ("0", "2", "4") for again in ("0", "1")
    ]
    found = points("opt=a,b x=uniform(0,1) --samples 2 --repeat 2")
    assert [(one["opt"], one["repeat"]) for one in found] == [(o, r) for o in "ab" for _ in "12" for r in "01"]
    assert found[0]["x"] == found[1]["x"] != found[2]["x"], "a repeat is of the same point"
    assert {one["x"] for one in found[:4]} == {one["x"] for one in found[4:]}, (
        "each value of the grid has the same draws"
    )


def test_values_of_zip_are_taken_side_by_side() -> None:
    assert points("--zip lr=1,2,2 --zip wd=0,0,5 opt=a,b") == [
        {"lr": lr, "wd": wd, "opt": opt} for lr, wd in (("1", "0"), ("2", "0"), ("2", "5")) for opt in "ab"
    ]


def test_nothing_swept_is_no_point() -> None:
    assert points("") == []


def test_the_same_seed_gives_the_same_draws_and_another_others() -> None:
    text = "lr=loguniform(1e-5,1e-1) n=randint(1,1000) o=choice(a,b,c) --samples 8"
    assert points(text) == points(text) == points(f"{text} --sample-seed 0") != points(f"{text} --sample-seed=1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "'lr' is not a sweep"),
        ("=1", "'=1' is not a sweep"),
        ("'l r=1'", "'l r=1' is not a sweep"),
        ("lr=", "lr has an empty value"),
        ("lr=1,,2", "lr has an empty value"),
        ("lr=1,1", "lr has a value twice"),
        ("lr=1 lr=2", "lr is given twice: write all its values in one"),
        ("--zip lr", "'lr' is not a sweep"),
        ("--zip lr=1 --zip lr=2", "lr is given twice"),
        ("--zip a=1,2 --zip b=1,2,3", "a has 2, b has 3"),
        ("--zip a=uniform(0,1)", r"a: --zip takes lists of values, uniform\(…\) goes with --sweep"),
        ("a=1 --zip a=2", "a is swept twice"),
        ("repeat=1,2 --repeat 3", "repeat is what --repeat gives each task: call yours otherwise"),
        ("a=uniform(0,1)", "a is drawn at random: say how often, with --samples N"),
        ("a=1,2 --samples 3", "--samples draws from distributions"),
        ("a=1,2 --sample-seed 3", "--sample-seed is about draws: it goes with --samples N"),
        ("a=1 --repeat 0", "--repeat is 1 or more, not 0"),
        ("a=1 --repeat", "--repeat needs a value"),
        ("a=1 --repeat x", "--repeat takes a whole number, not 'x'"),
        ("a=1 --repeat 2 --repeat 3", "--repeat is given twice"),
        ("a=1 --often 3", "--often is none of --zip, --samples, --sample-seed, --repeat"),
        ("a=uniform(1)", r"a: write uniform\(LEAST,GREATEST\)"),
        ("a=uniform(x,1)", "a: uniform is between two numbers, not x,1"),
        ("a=uniform(1,0)", "a: the first number of uniform is the smaller one"),
        ("a=uniform(nan,1)", "a: uniform is between two finite numbers"),
        ("a=uniform(-1e308,1e308)", "a: uniform is between two finite numbers"),
        ("a=loguniform(0,1)", "a: loguniform needs numbers above 0, not 0"),
        ("a=randint(0.5,1)", "a: randint is between two whole numbers, not 0.5,1"),
        ("a=choice()", "a has an empty value"),
        ("a=range(3,3)", r"a: there is nothing in range\(3,3\)"),
        ("a=range(0,9,0)", "a: the step of a range isn't 0"),
        ("a=range(0.5)", r"a: write range\(FIRST,END\)"),
        ("a=range(0,200000)", "a has 200,000 values, the limit is 100,000"),
        ("a=range(0,1000) b=range(0,1000) c=range(0,1000)", "1,000,000,000 tasks, the limit is 100,000"),
        ("a='1", "a quotation mark isn't closed"),
    ],
)
def test_a_sweep_that_cant_be_meant_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        points(text)
    assert "\n" not in refused.value.message


@given(st.dictionaries(NAMES, LISTS, max_size=3), st.integers(1, 3))
def test_a_grid_has_each_combination_once(grid: dict[str, tuple[str, ...]], repeat: int) -> None:
    sweep = Sweep(grid, repeat=repeat)
    found = sweep.points()
    assert len(found) == len(sweep) == math.prod(map(len, grid.values())) * repeat
    assert len({tuple(one.items()) for one in found}) == len(found)
    assert all(tuple(one) == sweep.names for one in found)


@given(st.sampled_from(["uniform", "loguniform"]), FINITE, FINITE, st.floats(0, 1, exclude_max=True))
def test_a_drawn_number_lies_between_its_bounds(kind: str, one: float, other: float, share: float) -> None:
    low, high = sorted((one, other))
    if kind == "loguniform":
        low, high = abs(low) + 1e-9, abs(low) + abs(high) + 1e-9
    assert low <= float(Draw(kind, low, high).draw(share)) <= high


@given(st.integers(-1000, 1000), st.integers(0, 1000), st.floats(0, 1, exclude_max=True))
def test_a_drawn_whole_number_may_be_either_bound(low: int, more: int, share: float) -> None:
    draw = Draw("randint", low, low + more)
    assert low <= int(draw.draw(share)) <= low + more
    assert draw.draw(0.0) == str(low)
    assert draw.draw(math.nextafter(1, 0)) == str(low + more)


@given(st.lists(st.fixed_dictionaries({"lr": TEXTS, "seed": TEXTS}), min_size=1, max_size=6))
def test_a_file_gives_the_points_that_were_written_into_it(rows: list[dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["lr", "seed"])
    writer.writeheader()
    writer.writerows(rows)
    assert read_points(text.getvalue().encode(), is_json=False) == rows
    lines = "\n".join(json.dumps(one) for one in rows)
    assert read_points(lines.encode(), is_json=True) == rows


def test_numbers_in_json_stay_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "points.jsonl"
    file.write_text('{"lr": 1e-3, "n": 10, "deep": true}\n\n{"deep": false, "lr": "x", "n": 0.10}\n')
    assert read_points_file(file) == [
        {"lr": "1e-3", "n": "10", "deep": "true"},
        {"lr": "x", "n": "0.10", "deep": "false"},
    ]


@pytest.mark.parametrize(
    ("content", "is_json", "message"),
    [
        (b"", False, "the first line names no parameters"),
        (b"lr,seed\n", False, "there is no point in it"),
        (b"lr,lr\n1,2\n", False, "names a parameter twice"),
        (b"0.1,0.2\n1,2\n", False, "'0.1' is no name of a parameter: the first line names them"),
        (b"lr,seed\n1\n", False, "line 2 has 1 values for 2 parameters"),
        (b"lr,seed\n1,\n", False, "line 2: seed has no value"),
        (b'lr\n"1\n', False, "is no CSV"),
        (b"\xff", False, "it is not UTF-8"),
        (b"lr\n" + b"1\n" * (NUM_TASKS_MAX + 1), False, "more than 100,000 points"),
        (b"{", True, "line 1 is no JSON"),
        (b"[" * 100_000, True, "line 1 is no JSON"),
        (b"[1]", True, "line 1 is no object"),
        (b'{"lr": 1}\n{"wd": 1}', True, "line 2 has other parameters than the first: lr"),
        (b'{"lr": null}', True, "line 1: lr is neither a text, a number nor true or false"),
        (b"{}", True, "the first line names no parameters"),
    ],
)
def test_a_file_that_cant_be_meant_is_refused(content: bytes, is_json: bool, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_points(content, is_json=is_json)


def test_a_file_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"none.csv: No such file"):
        read_points_file(tmp_path / "none.csv")


def test_rows_of_a_file_are_multiplied_too() -> None:
    sweep = read_sweep(["opt=a,b"], rows=[{"lr": "1"}, {"lr": "2"}])
    assert sweep.points() == [{"lr": lr, "opt": opt} for lr in "12" for opt in "ab"]
    with pytest.raises(InvalidRequest, match="lr is swept twice"):
        read_sweep(["lr=1,2"], rows=[{"lr": "1"}])


def test_each_point_has_a_command_and_other_braces_stay() -> None:
    assert unfold(["train", "{lr}", '{"json": 1}'], [{"lr": "1"}, {"lr": "2"}]) == (
        ("train", "1", '{"json": 1}'), ("train", "2", '{"json": 1}'),
    )  # fmt: skip
    with pytest.raises(InvalidRequest, match=r"write \{seed\} in the command"):
        unfold(["train", "{lr}"], [{"lr": "1", "seed": "7"}])
    assert unfold(["train"], [{"repeat": "0"}, {"repeat": "1"}]) == (), "a task finds its number in its environment"


def test_draws_are_spread_over_the_whole_distribution_and_never_change() -> None:
    found = [float(one["x"]) for one in points("x=uniform(0,1) --samples 2000")]
    tenths = [sum(tenth <= 10 * value < tenth + 1 for value in found) for tenth in range(10)]
    assert all(140 < count < 260 for count in tenths)
    assert points("x=uniform(0,1) --samples 3 --sample-seed 7") == [
        {"x": "0.38983"},
        {"x": "0.0167883"},
        {"x": "0.900761"},
    ]
