"""Templates: checking them, and filling values of their parameters into the command. Pure.

Command line, console and coordinator all use this. A value never becomes more than one word of the command and never
reaches a shell, whatever it holds.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from opsconsole_protocol.api.parameter import DATASET_KIND, PARAMETERS_MAX, check_parameter, read_value, spell_value
from opsconsole_protocol.api.template_default import check_defaults
from opsconsole_protocol.api.template_row import TemplateRow
from opsconsole_protocol.bound import (
    COMMAND_BYTES_MAX,
    COMMAND_WORDS_MAX,
    TEXT_CHARACTERS_MAX,
    check_count,
    check_length,
    check_tree,
)
from opsconsole_protocol.dataset import JobDataset
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.name import check_name
from opsconsole_protocol.spec import REPEAT, JobSpec

_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")


def check_template_name(name: str) -> None:
    """Raise InvalidRequest for what can't be a template's name."""
    check_name(name, "a template's name")
    if "@" in name:
        raise InvalidRequest(f"a template can't be called {name[:60]}: what stands after @ is a version")


def check_template(template: TemplateRow) -> None:
    """Raise InvalidRequest where the command names a parameter that isn't declared, or a part is missing, unknown or too long."""
    if not template.name or not template.command:
        raise InvalidRequest("a template needs a name and a command")
    check_template_name(template.name)
    _check_bounds(template)
    known = {parameter.name for parameter in template.parameters}
    for name in sorted(places(template.command)):
        if name not in known:
            raise InvalidRequest(f"the command of template {template.name} names {{{name}}}: declare it with --param")
    for parameter in template.parameters:
        check_parameter(parameter)
    check_defaults(template.defaults)


def _check_bounds(template: TemplateRow) -> None:
    check_length("the template's description", template.description, TEXT_CHARACTERS_MAX)
    check_count("words of a command", template.command, COMMAND_WORDS_MAX)
    for word in template.command:
        check_length("the word", word, COMMAND_BYTES_MAX)
    check_count("parameters", template.parameters, PARAMETERS_MAX)
    check_tree("a template's defaults", template.defaults)


def read_values(template: TemplateRow, texts: Mapping[str, str]) -> dict[str, Any]:
    """Typed values of all parameters. Raises InvalidRequest that names the first unknown, missing or ill-typed one."""
    known = {parameter.name for parameter in template.parameters}
    for name in texts:
        if name not in known:
            there = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise InvalidRequest(f"template {template.name} has no parameter {name!r}: {there}")
    return {parameter.name: read_value(parameter, texts.get(parameter.name, "")) for parameter in template.parameters}


def filled(spec: JobSpec, template: TemplateRow) -> JobSpec:
    """The spec of a template's job, with each task's values read and filled into the template's command.

    The spec's own command is the template's, or already the one that comes of it. Raises InvalidRequest for any other, and
    for a value that doesn't fit its parameter, by its name.
    """
    sets = spec.parameters or ({},) * spec.num_tasks
    if len(sets) != spec.num_tasks:
        raise InvalidRequest(f"{len(sets)} sets of parameters for {spec.num_tasks} tasks")
    check_template(template)
    if all(one == sets[0] for one in sets[1:]) and not spec.task_commands:
        values = (_read_anew(template, sets[0]),) * len(sets)
        commands: tuple[tuple[str, ...], ...] = (fill(template.command, values[0]),)
        made = msgspec.structs.replace(spec, command=commands[0], parameters=values)
    else:
        values = tuple(_read_anew(template, one) for one in sets)
        commands = tuple(fill(template.command, one) for one in values)
        made = msgspec.structs.replace(spec, command=commands[0], task_commands=commands, parameters=values)
    made = msgspec.structs.replace(
        made, datasets=with_datasets(spec.datasets, template, values), template_version=template.version
    )
    given = spec.task_commands or (spec.command,)
    if spec.command != template.command and given != commands:
        raise InvalidRequest(
            f"the command isn't that of template {template.name} with these parameters: give the template's own, "
            f"or leave the template out"
        )
    return made


def with_datasets(
    datasets: tuple[JobDataset, ...], template: TemplateRow, values: Sequence[Mapping[str, Any]]
) -> tuple[JobDataset, ...]:
    """A job's datasets, with those that its template's parameters name in place of others of these names.

    `values`: of each task. Raises InvalidRequest where they differ: all tasks of a job have the same datasets.
    """
    names = [parameter.name for parameter in template.parameters if parameter.kind == DATASET_KIND]
    for name in names:
        if any(one.get(name) != values[0].get(name) for one in values[1:]):
            raise InvalidRequest(f"{name} is a dataset, the same for all tasks of a job: submit a job for each")
    given = tuple(JobDataset(values[0][name], name) for name in names if values[0].get(name) is not None)
    return (*given, *(one for one in datasets if one.name not in names))


def _read_anew(template: TemplateRow, values: Mapping[str, Any]) -> dict[str, Any]:
    """Read values that may have been read before."""
    texts = {name: spell_value(value) for name, value in values.items() if value is not None}
    if all(parameter.name != REPEAT for parameter in template.parameters):
        texts.pop(REPEAT, None)
    return with_repeat(read_values(template, texts), values)


def with_repeat(values: dict[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a template's parameters with the number of the repeat, which any job can have."""
    return {**values, REPEAT: point[REPEAT]} if REPEAT in point and REPEAT not in values else values


def fill(command: tuple[str, ...], values: Mapping[str, Any]) -> tuple[str, ...]:
    """The command's words with each `{name}` in `values` replaced; braces around anything else stay as they are.

    A word that is nothing but a parameter without a value is left out.
    """
    words: list[str] = []
    for word in command:
        whole = _PLACE.fullmatch(word)
        if whole is not None and whole[1] in values and values[whole[1]] is None:
            continue
        words.append(_PLACE.sub(lambda found: spell_value(values[found[1]]) if found[1] in values else found[0], word))
    return tuple(words)


def template_label(spec: JobSpec) -> str:
    """The template that a job is made from, with its version as far as it is known; empty where there is none."""
    if spec.template is None or spec.template_version is None:
        return spec.template or ""
    return f"{spec.template}@{spec.template_version}"


def places(command: tuple[str, ...]) -> frozenset[str]:
    """The names that stand in braces in a command."""
    return frozenset(name for word in command for name in _PLACE.findall(word))
