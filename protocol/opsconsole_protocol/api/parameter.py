"""A template's parameters: what their types are, reading values for them, and how a value stands in a command. Pure."""

from typing import Any

from opsconsole_protocol.api.template_row import Parameter
from opsconsole_protocol.bound import (
    NAME_CHARACTERS_MAX,
    PATH_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    check_length,
    check_tree,
    is_plain_number,
)
from opsconsole_protocol.dataset import JobDataset, check_dataset, read_dataset
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.pattern import compile_pattern
from opsconsole_protocol.quantity import duration_ms, spell_duration

TEXT_KIND = "str"
PATH_KIND = "path"
"""A path as the command is given it: no shell expands a `~`."""
DURATION_KIND = "duration"
"""Typed as 90s or 1h30m, given to the command in seconds."""
DATASET_KIND = "dataset"
"""Its value is a path or a URL, as for --dataset; the parameter's name is by which tasks ask for it."""
KINDS = (TEXT_KIND, "int", "float", "bool", PATH_KIND, DURATION_KIND, DATASET_KIND)
CHOICE = "choice"
"""How people call the type of a text that is one of several."""
_SPELLINGS = {"string": TEXT_KIND, CHOICE: TEXT_KIND}
_NUMBERS = frozenset({"int", "float", DURATION_KIND})
_TEXTS = frozenset({TEXT_KIND, PATH_KIND})
PARAMETERS_MAX = 100
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
_ARTICLE = {
    "int": "a whole number", "float": "a number", "bool": "true or false", DATASET_KIND: "a path or a URL",
    PATH_KIND: "a path", DURATION_KIND: "a duration, such as 90s or 1h30m",
}  # fmt: skip


def kind_of(word: str) -> str:
    """The kind that a word for a type means. Raises InvalidRequest."""
    kind = _SPELLINGS.get(word, word)
    if kind not in KINDS:
        raise InvalidRequest(f"{word[:60]!r} is no type, use one of {', '.join((*KINDS, *_SPELLINGS))}")
    return kind


def kind_words(parameter: Parameter) -> str:
    """Its type and bounds for people: `float 0 to 1`, `adam | sgd`, `duration at most 2h`."""
    if parameter.choices:
        return " | ".join(spell_value(choice) for choice in parameter.choices)
    kind = "string" if parameter.kind == TEXT_KIND else parameter.kind
    return " ".join(filter(None, (kind, bound_words(parameter))))


def bound_words(parameter: Parameter) -> str:
    """Its bounds for people, empty where it has none."""
    least, most = (None if one is None else shown(parameter, one) for one in (parameter.minimum, parameter.maximum))
    words = f"{least} to {most}" if least is not None and most is not None else ""
    words = words or (f"at least {least}" if least is not None else f"at most {most}" if most is not None else "")
    return words or (f"matching {parameter.pattern}" if parameter.pattern else "")


def shown(parameter: Parameter, value: Any) -> str:
    """A value as a person would type it."""
    if parameter.kind == DURATION_KIND and isinstance(value, int | float):
        return spell_duration(round(value * 1000))
    return f"{value:g}" if isinstance(value, float) and value.is_integer() and abs(value) < 1e6 else spell_value(value)


def spell_value(value: Any) -> str:
    """A value as it stands in a command."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def check_parameter(parameter: Parameter) -> None:
    """Raise InvalidRequest where its type, its bounds or its default can't be meant."""
    check_length("the parameter's name", parameter.name, NAME_CHARACTERS_MAX)
    check_length("the parameter's kind", parameter.kind, NAME_CHARACTERS_MAX)
    check_length("the parameter's help", parameter.help, TEXT_CHARACTERS_MAX)
    check_tree("a parameter's default and choices", [parameter.default, *parameter.choices])
    if parameter.kind not in KINDS:
        raise InvalidRequest(f"{parameter.name}: {parameter.kind!r} is no type, use one of {', '.join(KINDS)}")
    if parameter.kind == DATASET_KIND:
        check_dataset(JobDataset("a", parameter.name))
    least, most = parameter.minimum, parameter.maximum
    if (least is not None or most is not None) and parameter.kind not in _NUMBERS:
        raise InvalidRequest(f"{parameter.name}: only a number or a duration has a minimum and a maximum")
    check_tree("its minimum and its maximum", [least, most])
    if least is not None and most is not None and least > most:
        words = f"its minimum {shown(parameter, least)} is above its maximum {shown(parameter, most)}"
        raise InvalidRequest(f"{parameter.name}: {words}")
    if parameter.pattern:
        if parameter.kind not in _TEXTS:
            raise InvalidRequest(f"{parameter.name}: only a text or a path has a pattern")
        try:
            compile_pattern(parameter.pattern)
        except InvalidRequest as error:
            raise InvalidRequest(f"{parameter.name}: {error.message}") from None
    if len(set(parameter.choices)) < len(parameter.choices):
        raise InvalidRequest(f"{parameter.name}: a choice is there twice")
    for value in (*parameter.choices, *(() if parameter.default is None else (parameter.default,))):
        read_value(parameter, spell_value(value))


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
    _check_bounds(parameter, value, text)
    return value


def _check_bounds(parameter: Parameter, value: Any, text: str) -> None:
    if parameter.minimum is not None and value < parameter.minimum:
        raise InvalidRequest(f"{parameter.name} is at least {shown(parameter, parameter.minimum)}, not {text[:60]}")
    if parameter.maximum is not None and value > parameter.maximum:
        raise InvalidRequest(f"{parameter.name} is at most {shown(parameter, parameter.maximum)}, not {text[:60]}")
    if parameter.pattern and compile_pattern(f"^(?:{parameter.pattern})$").search(value) != (0, len(value)):
        raise InvalidRequest(f"{parameter.name} is like {parameter.pattern}, which {text[:60]!r} isn't")


def _typed_value(parameter: Parameter, text: str) -> Any:
    try:
        if parameter.kind == "int":
            return _plain(parameter, int(text), text)
        if parameter.kind == "float":
            return _plain(parameter, float(text), text)
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
    if parameter.kind == DURATION_KIND:
        return _seconds(parameter, text)
    if parameter.kind == PATH_KIND:
        _check_path(parameter, text)
    return text


def _plain(parameter: Parameter, value: int | float, text: str) -> int | float:  # noqa: PYI041 - they are told apart
    """A number that can be stored; `nan`, which is neither above nor below any bound, isn't one."""
    if is_plain_number(value):
        return value
    wanted = f"a finite number ({kind_words(parameter)})" if isinstance(value, float) else "a number of 64 bits at most"
    raise InvalidRequest(f"{parameter.name} is {wanted}, not {text[:60]!r}")


def _seconds(parameter: Parameter, text: str) -> int | float:
    try:
        milliseconds = duration_ms(text)
    except InvalidRequest:
        raise InvalidRequest(f"{parameter.name} is {_ARTICLE[DURATION_KIND]}, not {text[:60]!r}") from None
    return milliseconds // 1000 if milliseconds % 1000 == 0 else milliseconds / 1000


def _check_path(parameter: Parameter, text: str) -> None:
    check_length(parameter.name, text, PATH_CHARACTERS_MAX)
    if "\0" in text or "\n" in text:
        raise InvalidRequest(f"{parameter.name} is a path, which holds no such sign")
    if text.startswith("~"):
        raise InvalidRequest(f"{parameter.name} is a path, and no shell expands ~: write it from / on")


def _wanted_text(parameter: Parameter) -> str:
    if parameter.choices:
        return "one of " + ", ".join(str(choice) for choice in parameter.choices)
    return parameter.help or f"give {_ARTICLE.get(parameter.kind, 'a text')}"
