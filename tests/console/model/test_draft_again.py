"""A sweep run again with a change stays a sweep. Hard use 23: one character changed made 32 runs of the first point."""

from dataclasses import replace

from opsconsole.sweep import Sweep
from opsconsole_console.model import draft as drafts
from opsconsole_protocol.api.template import fill
from opsconsole_protocol.spec import JobSpec


def sweep(*command: str, **axes: list[str]) -> JobSpec:
    points = Sweep({name: tuple(values) for name, values in axes.items()}).points()
    commands = tuple(fill(command, point) for point in points)
    return JobSpec(
        command=commands[0], num_tasks=len(points), task_commands=commands,
        parameters=tuple(dict(point) for point in points),
    )  # fmt: skip


SWEEP = sweep("python", "train.py", "--lr={lr}", "--seed", "{seed}", lr=["0.1", "0.01", "1e-3", "1"],
              seed=[str(number) for number in range(8)])  # fmt: skip


def test_its_command_shows_the_places_and_as_it_is_it_is_the_same() -> None:
    draft = drafts.from_spec(SWEEP)
    assert draft.command == "python train.py '--lr={lr}' --seed '{seed}'"
    assert drafts.check(draft).spec == SWEEP
    assert drafts.check(draft).command == ("python", "train.py", "--lr=0.1", "--seed", "0"), "what its first task runs"


def test_one_character_changed_changes_every_point() -> None:
    draft = drafts.from_spec(SWEEP)
    checked = drafts.check(replace(draft, command=draft.command.replace("train.py", "train2.py")))
    assert checked.errors == {}
    assert checked.spec is not None
    assert checked.spec.num_tasks == 32
    assert checked.spec.parameters == SWEEP.parameters
    assert [words[1] for words in checked.spec.task_commands] == ["train2.py"] * 32
    assert len(set(checked.spec.task_commands)) == 32


def test_another_number_of_tasks_would_lose_points_and_is_refused() -> None:
    checked = drafts.check(replace(drafts.from_spec(SWEEP), tasks="31"))
    assert checked.spec is None
    assert "32 sets of values" in checked.errors["command"]


def test_a_command_without_places_is_another_job() -> None:
    checked = drafts.check(replace(drafts.from_spec(SWEEP), command="python eval.py", tasks="1"))
    assert checked.spec is not None
    assert (checked.spec.task_commands, checked.spec.parameters) == ((), ())


def test_tasks_whose_commands_follow_no_pattern_are_run_as_they_are_or_not() -> None:
    spec = JobSpec(command=("a", "1"), num_tasks=2, task_commands=(("a", "1"), ("b", "2")))
    draft = drafts.from_spec(spec)
    assert drafts.check(draft).spec == spec
    assert "a command each" in drafts.check(replace(draft, command="c 1")).errors["command"]


def test_values_that_stand_in_one_word_and_in_each_other_find_their_places() -> None:
    spec = sweep("sh", "-c", "run {a}/{b}", a=["1", "11"], b=["11", "2"])
    assert drafts.from_spec(spec).command in ("sh -c 'run {a}/{b}'", "a")
    assert drafts.check(drafts.from_spec(spec)).spec == spec
