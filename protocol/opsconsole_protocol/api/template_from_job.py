"""A template of a job that went well: its command with places for some of its values, its options as defaults. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from opsconsole_protocol.api.parameter import TEXT_KIND, kind_of, read_value, spell_value
from opsconsole_protocol.api.template import check_template, fill, places
from opsconsole_protocol.api.template_default import defaults_of
from opsconsole_protocol.api.template_row import Parameter, TemplateRow
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import REPEAT, JobSpec


def template_of_job(
    job_id: str, spec: JobSpec, name: str, wanted: Sequence[str] = (), *, description: str = "",
    base: TemplateRow | None = None,
) -> TemplateRow:  # fmt: skip
    """A template whose jobs are like this one. Raises InvalidRequest for what doesn't stand in its command.

    `wanted`: which values of its command become parameters: `lr` (what follows `--lr`, `lr=`), `lr=0.1` (this value, wherever it
    stands alone), each also with a type: `lr:float=0.1`. What a sweep has as parameters become some by themselves, those of `base`,
    the version of the template that it was made from, stay what they are.
    """
    command, parameters = _swept(spec, base)
    for text in wanted:
        command, parameter = _taken_out(command, text)
        if parameter.name in parameters:
            raise InvalidRequest(f"{parameter.name} is a parameter already: leave it out")
        parameters[parameter.name] = parameter
    row = TemplateRow(
        name=name, command=command, parameters=tuple(parameters.values()), description=description,
        defaults=defaults_of(spec), made_from=job_id,
    )  # fmt: skip
    check_template(row)
    return row


def _swept(spec: JobSpec, base: TemplateRow | None) -> tuple[tuple[str, ...], dict[str, Parameter]]:
    """The command with places for what the job's tasks have as parameters already, and these."""
    values: Mapping[str, Any] = spec.parameters[0] if spec.parameters else {}
    if base is not None:
        return base.command, {one.name: _with_default(one, values.get(one.name)) for one in base.parameters}
    named = places(spec.command) & values.keys() - {REPEAT}
    if not named or fill(spec.command, values) != spec.command_of(0):
        return spec.command_of(0), {}
    return spec.command, {one: _guessed(one, spell_value(values[one])) for one in values if one in named}


def _with_default(parameter: Parameter, value: Any) -> Parameter:
    from msgspec.structs import replace

    return replace(parameter, default=value, required=False) if value is not None else parameter


def _taken_out(command: tuple[str, ...], text: str) -> tuple[tuple[str, ...], Parameter]:
    """The command with a place for what is wanted, and the parameter that goes there."""
    declared, equals, value = text.partition("=")
    name, colon, kind = declared.partition(":")
    if not name.isidentifier():
        raise InvalidRequest(f"--parameter {text[:60]!r}: write NAME, NAME=VALUE or NAME:TYPE=VALUE")
    if not equals:
        value = _value_of(command, name)
    if not value:
        raise InvalidRequest(f"--parameter {name}: an empty value stands nowhere in the command")
    place = "{" + name + "}"
    made = tuple(_with_place(word, value, place) for word in command)
    if made == command:
        raise InvalidRequest(f"--parameter {name}: {value[:60]!r} stands nowhere in the command as a word of its own")
    return made, _guessed(name, value, kind_of(kind) if colon else None)


def _with_place(word: str, value: str, place: str) -> str:
    """A value is a whole word, or all that follows an equals sign."""
    if word == value:
        return place
    head, equals, tail = word.partition("=")
    return f"{head}={place}" if equals and tail == value else word


def _value_of(command: tuple[str, ...], name: str) -> str:
    """What the command gives an option of this name: `--lr 0.1`, `--lr=0.1`, `lr=0.1`."""
    spellings = {name, name.replace("_", "-")}
    options = {f"{dashes}{one}" for one in spellings for dashes in ("--", "-")}
    for place, word in enumerate(command):
        head, equals, tail = word.partition("=")
        if equals and head in options | spellings:
            return tail
        if word in options and place + 1 < len(command):
            return command[place + 1]
    raise InvalidRequest(f"the command has no option --{name}: say which value it is, --parameter {name}=VALUE")


def _guessed(name: str, value: str, kind: str | None = None) -> Parameter:
    """The parameter whose default is this value, of the type that it looks like unless one is given."""
    for one in (kind,) if kind is not None else ("int", "float"):
        bare = Parameter(name=name, kind=one)
        try:
            found = read_value(bare, value)
        except InvalidRequest:
            if kind is not None:
                raise
            continue
        if kind is not None or spell_value(found) == value or one == "float":
            return Parameter(name=name, kind=one, default=found, required=False)
    return Parameter(name=name, kind=TEXT_KIND, default=value, required=False)
