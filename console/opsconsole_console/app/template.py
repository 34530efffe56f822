"""A template's command with values filled in. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.error import InvalidRequest

_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


def read_value(parameter: Parameter, text: str) -> Any:
    """The typed value of what was typed; the default for nothing. Raises InvalidRequest that names the parameter."""
    text = text.strip()
    if not text:
        if parameter.default is not None:
            return parameter.default
        if parameter.required:
            raise InvalidRequest(f"{parameter.name} is needed: {_wanted(parameter)}")
        return None
    value = _typed(parameter, text)
    if parameter.choices and value not in parameter.choices:
        choices = ", ".join(str(choice) for choice in parameter.choices)
        raise InvalidRequest(f"{parameter.name} is one of {choices}, not {text!r}")
    return value


def fill(command: tuple[str, ...], values: Mapping[str, Any]) -> tuple[str, ...]:
    """The command's words with `{name}` replaced; each word stays one word, whatever a value holds.

    A word that is nothing but a parameter without a value is left out. Raises InvalidRequest for an unknown name.
    """
    words: list[str] = []
    for word in command:
        whole = _PLACE.fullmatch(word)
        if whole is not None and values.get(whole[1], "") is None:
            continue
        words.append(_PLACE.sub(lambda match: spell_value(_value(values, match[1])), word))
    return tuple(words)


def spell_value(value: Any) -> str:
    """A value as it stands in a command."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def check_template(template: TemplateRow) -> None:
    """Raise InvalidRequest where the command names a parameter that the template doesn't have."""
    known = {parameter.name for parameter in template.parameters}
    for word in template.command:
        for name in _PLACE.findall(word):
            if name not in known:
                raise InvalidRequest(f"template {template.name} names {{{name}}}, which is none of its parameters")


def _value(values: Mapping[str, Any], name: str) -> Any:
    if name not in values:
        raise InvalidRequest(f"the command names {{{name}}}, which is no parameter")
    return values[name]


def _typed(parameter: Parameter, text: str) -> Any:
    kind = parameter.kind
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except ValueError:
        raise InvalidRequest(f"{parameter.name} is {_article(kind)}, not {text!r}") from None
    if kind == "bool":
        folded = text.casefold()
        if folded not in _TRUE | _FALSE:
            raise InvalidRequest(f"{parameter.name} is true or false, not {text!r}")
        return folded in _TRUE
    return text


def _wanted(parameter: Parameter) -> str:
    if parameter.choices:
        return "one of " + ", ".join(str(choice) for choice in parameter.choices)
    return parameter.help or f"give {_article(parameter.kind)}"


def _article(kind: str) -> str:
    return {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(kind, "a text")
