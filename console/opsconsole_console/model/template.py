"""Templates for people: a parameter in one line, and what one version has that the one before it hadn't. Pure."""

import shlex

from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.api.parameter import kind_words, shown


def parameter_words(parameter: Parameter) -> str:
    """Its type, bounds, default and help: `float 0 to 1 = 0.1  the learning rate`."""
    given = (
        f" = {shown(parameter, parameter.default)}"
        if parameter.default is not None
        else " (must be given)"
        if parameter.required
        else ""
    )
    return f"{kind_words(parameter)}{given}{'  ' + parameter.help if parameter.help else ''}"


def change_words(row: TemplateRow, older: TemplateRow | None) -> list[str]:
    """What a version changed of the one before it, each in a few words; of the first one, that it is that."""
    if older is None:
        return ["made" + (f" from job {row.made_from}" if row.made_from else "")]
    words = []
    if row.command != older.command:
        words.append(f"command: {shlex.join(row.command)}")
    before, now = ({one.name: one for one in each.parameters} for each in (older, row))
    words += [f"{name}: {parameter_words(one)}" for name, one in now.items() if before.get(name) != one]
    words += [f"{name} is gone" for name in before if name not in now]
    words += [f"--{name} {value}" for name, value in row.defaults.items() if older.defaults.get(name) != value]
    words += [f"no --{name}" for name in older.defaults if name not in row.defaults]
    if row.description != older.description:
        words.append(f"description: {row.description}" if row.description else "no description")
    return words or ["nothing that is shown"]
