"""Running a job again whose tasks differ: its command is shown with places for what differs. Pure.

Whoever changes that command changes it for all tasks; each keeps its own values.
"""

from collections.abc import Mapping
from typing import Any

from opsconsole_protocol.api.template import fill, places
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import JobSpec


def shown_command(spec: JobSpec) -> tuple[str, ...]:
    """The command to show for changing: `{lr}` where the tasks have their values of it, else the first task's."""
    with_places = _with_places(spec)
    return spec.command_of(0) if with_places is None else with_places


def again(command: tuple[str, ...], num_tasks: int, base: JobSpec) -> dict[str, Any] | None:
    """What of the spec follows from a command that was shown and perhaps changed, or None where nothing of it is kept.

    Raises InvalidRequest where the tasks differ in a way that a change would lose.
    """
    is_unchanged, is_same_number = command == shown_command(base), num_tasks == base.num_tasks
    if is_unchanged and is_same_number:
        return {"command": base.command}
    if not base.task_commands or (_with_places(base) is not None and not places(command)):
        return None
    if _with_places(base) is None:
        raise InvalidRequest("its tasks have a command each: run it again as it is, or a new job for what changes")
    if not is_same_number:
        raise InvalidRequest(f"it has {base.num_tasks} sets of values, one for each task: leave the number of tasks")
    commands = tuple(fill(command, values) for values in base.parameters)
    return {"command": command, "task_commands": commands, "template": None, "template_version": None}


def _with_places(spec: JobSpec) -> tuple[str, ...] | None:
    """The one command that becomes each task's once its values are filled in, or None where there is none."""
    commands, values = spec.task_commands, spec.parameters
    if not commands or len(commands) != len(values):
        return None
    if all(fill(spec.command, point) == command for point, command in zip(values, commands, strict=True)):
        return spec.command
    if len({len(command) for command in commands}) != 1:
        return None
    columns = list(zip(*commands, strict=True))
    words = tuple(column[0] if len(set(column)) == 1 else _place(column, values) for column in columns)
    is_whole = all(fill(words, point) == command for point, command in zip(values, commands, strict=True))
    return words if is_whole else None


def _place(column: tuple[str, ...], values: tuple[Mapping[str, Any], ...]) -> str:
    """A word with places for what differs from task to task."""
    word = column[0]
    for name in sorted(values[0], key=lambda name: -len(str(values[0][name]))):
        word = _placed(word, name, column, values)
    return word


def _placed(word: str, name: str, column: tuple[str, ...], values: tuple[Mapping[str, Any], ...]) -> str:
    """The word with a place for `name`, where its value stands there in every task."""
    spelled = [fill((f"{{{name}}}",), point) for point in values]
    if any(not one or not one[0] or one[0] not in text for one, text in zip(spelled, column, strict=True)):
        return word
    return word.replace(spelled[0][0], f"{{{name}}}", 1)
