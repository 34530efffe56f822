"""Templates: checking them, reading values for their parameters, and filling the values into the command. Pure.

Command line, console and coordinator all use this. A value never becomes more than one word of the command and never
reaches a shell, whatever it holds.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from opsconsole_protocol.api.row import Parameter, TemplateRow
from opsconsole_protocol.bound import (
    COMMAND_BYTES_MAX,
    COMMAND_WORDS_MAX,
    NAME_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    check_count,
    check_length,
    check_tree,
)
from opsconsole_protocol.dataset import JobDataset, check_dataset, read_dataset
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import REPEAT, JobSpec, check_metric_pattern

DATASET_KIND = "dataset"
"""Its value is a path or a URL, as for --dataset; the parameter's name is by which tasks ask for it."""
KINDS = ("str", "int", "float", "bool", DATASET_KIND)
PARAMETERS_MAX = 100
DEFAULTS = (
    "name", "project", "tasks", "gpus", "cpus", "memory", "gpu_memory", "requirement", "inputs", "priority", "workdir",
    "retries", "timeout", "grace", "uploads", "bundle", "setup", "fetch", "collect",
    "metric_pattern", "datasets", "share", "place",
)  # fmt: skip
"""The options of a job that a template can have defaults for. Each default is the text that a person would type."""
_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
_ARTICLE = {"int": "a whole number", "float": "a number", "bool": "true or false", DATASET_KIND: "a path or a URL"}


def check_template(template: TemplateRow) -> None:
    """Raise InvalidRequest where the command names a parameter that isn't declared, or a part is missing, unknown or too long."""
    if not template.name or not template.command:
        raise InvalidRequest("a template needs a name and a command")
    _check_bounds(template)
    known = {parameter.name for parameter in template.parameters}
    for name in sorted(places(template.command)):
        if name not in known:
            raise InvalidRequest(f"the command of template {template.name} names {{{name}}}: declare it with --param")
    for parameter in template.parameters:
        if parameter.kind not in KINDS:
            raise InvalidRequest(f"{parameter.name}: {parameter.kind!r} is no type, use one of {', '.join(KINDS)}")
        if parameter.kind == DATASET_KIND:
            check_dataset(JobDataset("a", parameter.name))
    if "metric_pattern" in template.defaults:
        check_metric_pattern(str(template.defaults["metric_pattern"]))


def _check_bounds(template: TemplateRow) -> None:
    check_length("the template's name", template.name, NAME_CHARACTERS_MAX)
    check_length("the template's description", template.description, TEXT_CHARACTERS_MAX)
    check_count("words of a command", template.command, COMMAND_WORDS_MAX)
    for word in template.command:
        check_length("the word", word, COMMAND_BYTES_MAX)
    check_count("parameters", template.parameters, PARAMETERS_MAX)
    for one in template.parameters:
        check_length("the parameter's name", one.name, NAME_CHARACTERS_MAX)
        check_length("the parameter's kind", one.kind, NAME_CHARACTERS_MAX)
        check_length("the parameter's help", one.help, TEXT_CHARACTERS_MAX)
        check_tree("a parameter's default and choices", [one.default, *one.choices])
    check_tree("a template's defaults", template.defaults)


def read_values(template: TemplateRow, texts: Mapping[str, str]) -> dict[str, Any]:
    """Typed values of all parameters. Raises InvalidRequest that names the first unknown, missing or ill-typed one."""
    known = {parameter.name for parameter in template.parameters}
    for name in texts:
        if name not in known:
            there = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise InvalidRequest(f"template {template.name} has no parameter {name!r}: {there}")
    return {parameter.name: read_value(parameter, texts.get(parameter.name, "")) for parameter in template.parameters}


def read_value(parameter: Parameter, text: str) -> Any:
    """The typed value of a text, and for an empty one the default. Raises InvalidRequest that names the parameter."""
    text = text.strip()
    if not text:
        if parameter.default is not None or not parameter.required:
            return parameter.default
        raise InvalidRequest(f"{parameter.name} is missing: {_wanted_text(parameter)}")
    value = _typed_value(parameter, text)
    if parameter.choices and value not in parameter.choices:
        choices = ", ".join(str(choice) for choice in parameter.choices)
        raise InvalidRequest(f"{parameter.name} is one of {choices}, not {text[:60]!r}")
    return value


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
    made = msgspec.structs.replace(made, datasets=with_datasets(spec.datasets, template, values))
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


def places(command: tuple[str, ...]) -> frozenset[str]:
    """The names that stand in braces in a command."""
    return frozenset(name for word in command for name in _PLACE.findall(word))


def spell_value(value: Any) -> str:
    """A value as it stands in a command."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _typed_value(parameter: Parameter, text: str) -> Any:
    try:
        if parameter.kind == "int":
            return int(text)
        if parameter.kind == "float":
            return float(text)
    except ValueError:
        raise InvalidRequest(f"{parameter.name} is {_ARTICLE[parameter.kind]}, not {text[:60]!r}") from None
    if parameter.kind == "bool":
        folded = text.casefold()
        if folded not in _TRUE | _FALSE:
            raise InvalidRequest(f"{parameter.name} is true or false, not {text[:60]!r}")
        return folded in _TRUE
    if parameter.kind == DATASET_KIND:
        try:
            return read_dataset(f"{parameter.name}={text}").where
        except InvalidRequest as error:
            raise InvalidRequest(f"{parameter.name}: {error.message}") from None
    return text


def _wanted_text(parameter: Parameter) -> str:
    if parameter.choices:
        return "one of " + ", ".join(str(choice) for choice in parameter.choices)
    return parameter.help or f"give {_ARTICLE.get(parameter.kind, 'a text')}"
