"""A template's command with values filled in. Pure.

A value never becomes more than one word and never meets a shell, whatever it holds.
"""

import re
from collections.abc import Mapping
from typing import Any

from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.error import InvalidRequest

KINDS = ("str", "int", "float", "bool")
_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
_ARTICLE = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def check_template(template: TemplateRow) -> None:
    """Raise InvalidRequest where command and parameters don't fit together."""
    known = {parameter.name for parameter in template.parameters}
    for name in places(template.command):
        if name not in known:
            raise InvalidRequest(f"the command of template {template.name} names {{{name}}}: declare it with --param")
    for parameter in template.parameters:
        if parameter.kind not in KINDS:
            raise InvalidRequest(f"{parameter.name}: {parameter.kind!r} is no type, use one of {', '.join(KINDS)}")


def read_values(template: TemplateRow, texts: Mapping[str, str]) -> dict[str, Any]:
    """Typed values of all parameters. Raises InvalidRequest that names the first unknown, missing or ill-typed one."""
    known = {parameter.name for parameter in template.parameters}
    for name in texts:
        if name not in known:
            there = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise InvalidRequest(f"template {template.name} has no parameter {name!r}: {there}")
    return {parameter.name: read_value(parameter, texts.get(parameter.name, "")) for parameter in template.parameters}


def read_value(parameter: Parameter, text: str) -> Any:
    """The typed value of a text; the default for an empty one. Raises InvalidRequest that names the parameter."""
    text = text.strip()
    if not text:
        if parameter.default is not None or not parameter.required:
            return parameter.default
        raise InvalidRequest(f"{parameter.name} is missing: {_wanted(parameter)}")
    value = _typed(parameter, text)
    if parameter.choices and value not in parameter.choices:
        choices = ", ".join(str(choice) for choice in parameter.choices)
        raise InvalidRequest(f"{parameter.name} is one of {choices}, not {text[:60]!r}")
    return value


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


def _typed(parameter: Parameter, text: str) -> Any:
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
    return text


def _wanted(parameter: Parameter) -> str:
    if parameter.choices:
        return "one of " + ", ".join(str(choice) for choice in parameter.choices)
    return parameter.help or f"give {_ARTICLE.get(parameter.kind, 'a text')}"
