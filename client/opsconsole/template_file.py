"""Templates as TOML files: one in each, all of a folder read before anything is done with them."""

from __future__ import annotations

import difflib
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from opsconsole_protocol.api.parameter import (
    CHOICE,
    DURATION_KIND,
    TEXT_KIND,
    check_parameter,
    kind_of,
    read_value,
    spell_value,
)
from opsconsole_protocol.api.template import check_template, check_template_name, places
from opsconsole_protocol.api.template_default import DEFAULTS, read_default
from opsconsole_protocol.api.template_request import TEMPLATES_MAX
from opsconsole_protocol.api.template_row import Parameter, TemplateRow
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.quantity import duration_ms

T = TypeVar("T")
TEMPLATE_FILE_BYTES_MAX = 1 << 20
_PARAMETERS, _DEFAULTS = "parameters", "defaults"
_KEYS = ("name", "description", "command", _PARAMETERS, _DEFAULTS)
_PARAMETER_KEYS = ("type", "default", "required", "choices", "min", "max", "pattern", "help")
_KEY = re.compile(r"\s*[=.]")
_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")


class _Wrong(Exception):
    """What is wrong, in which table and at which key."""

    def __init__(self, words: str, table: str = "", key: str = "") -> None:
        super().__init__(words)
        self.words, self.table, self.key = words, table, key


def read_templates(folder: Path) -> list[TemplateRow]:
    """The templates of a folder's `*.toml`, by name; names of hidden files are passed over.

    Raises InvalidRequest that names file, line and key of the first thing that is wrong.
    """
    if not folder.is_dir():
        raise InvalidRequest(f"{folder} is no folder: name one with a TOML file for each template")
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".toml" and not path.name.startswith("."))
    if len(paths) > TEMPLATES_MAX:
        raise InvalidRequest(f"{folder} has {len(paths)} TOML files, at most {TEMPLATES_MAX} are taken")
    found: dict[str, Path] = {}
    rows: list[TemplateRow] = []
    for path in paths:
        row = read_template(path)
        if row.name in found:
            raise InvalidRequest(f"{path}: template {row.name} is in {found[row.name].name} already")
        found[row.name] = path
        rows.append(row)
    return sorted(rows, key=lambda row: row.name)


def read_template(path: Path) -> TemplateRow:
    """The template of a file, named as the file unless it says otherwise. Raises InvalidRequest, as above."""
    if not path.is_file():  # a pipe would be waited for, a device never ends
        raise InvalidRequest(f"{path} is no file: give it another name, or take it away")
    try:
        with path.open("rb") as file:
            raw = file.read(TEMPLATE_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidRequest(f"{path} can't be read: {error.strerror}") from None
    if len(raw) > TEMPLATE_FILE_BYTES_MAX:
        raise InvalidRequest(f"{path} is larger than 1 MiB: it is no template")
    text = raw.decode("utf-8", "replace")
    try:
        raw.decode()
        return _template(tomllib.loads(text), path.stem)
    except _Wrong as wrong:
        line = _line_of(text, wrong.table, wrong.key)
        table = f"[{wrong.table}] " if wrong.table else ""
        raise InvalidRequest(
            f"{path}, line {line}: {table}{wrong.words}" if line else f"{path}: {table}{wrong.words}"
        ) from None
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path} isn't UTF-8 (byte {error.start}): save it as UTF-8") from None
    except ValueError as error:  # tomllib's says in which line
        raise InvalidRequest(f"{path}: {error}") from None


def _template(found: Mapping[str, Any], stem: str) -> TemplateRow:
    _check_keys(found, _KEYS, "")
    parameters = tuple(
        _parameter(name, _table(fields, f"{_PARAMETERS}.{name}"))
        for name, fields in _table(found.get(_PARAMETERS, {}), _PARAMETERS).items()
    )
    defaults = {
        name: _default(name, value) for name, value in _table(found.get(_DEFAULTS, {}), _DEFAULTS).items()
    }  # fmt: skip
    name = _text(found.get("name", stem), "name")
    _at("", "name", lambda: check_template_name(name))
    row = TemplateRow(
        name=name,
        command=_command(found.get("command")),
        parameters=parameters,
        description=_text(found.get("description", ""), "description"),
        defaults=defaults,
    )
    for place in sorted(places(row.command) - {one.name for one in parameters}):
        raise _Wrong(f"the command names {{{place}}}: declare it under [{_PARAMETERS}.{place}]", "", "command")
    try:
        check_template(row)
    except InvalidRequest as error:
        raise _Wrong(error.message, "", "command") from None
    return row


def _parameter(name: str, fields: Mapping[str, Any]) -> Parameter:
    table = f"{_PARAMETERS}.{name}"
    if not name.isidentifier():
        raise _Wrong("a parameter's name is letters, digits and _, so that {name} can stand for it", table)
    _check_keys(fields, _PARAMETER_KEYS, table)
    choices = fields.get("choices", ())
    if not isinstance(choices, list | tuple):
        raise _Wrong("choices is not a list", table, "choices")
    word = _text(fields.get("type", CHOICE if choices else TEXT_KIND), "type", table)
    if word == CHOICE and not choices:
        raise _Wrong('a choice needs its choices: choices = ["adam", "sgd"]', table, "type")
    kind = _at(table, "type", lambda: kind_of(word))
    bare = Parameter(
        name=name, kind=kind, help=_text(fields.get("help", ""), "help", table),
        minimum=_bound(fields.get("min"), kind, "min", table), maximum=_bound(fields.get("max"), kind, "max", table),
        pattern=_text(fields.get("pattern", ""), "pattern", table),
        required="default" not in fields,
    )  # fmt: skip
    unchosen = bare
    bare = _with(bare, choices=_at(table, "choices", lambda: tuple(_typed(unchosen, one) for one in choices)))
    required = fields.get("required", "default" not in fields)
    if not isinstance(required, bool):
        raise _Wrong("required is true or false", table, "required")
    if required and "default" in fields:
        raise _Wrong("it is required and has a default: leave one out", table, "required")
    default = _at(table, "default", lambda: _typed(bare, fields["default"])) if "default" in fields else None
    made = _with(bare, required=required, default=default)
    _at(table, "min" if "min" in fields else "max" if "max" in fields else "type", lambda: check_parameter(made))
    return made


def _with(parameter: Parameter, **fields: Any) -> Parameter:
    from msgspec.structs import replace

    return replace(parameter, **fields)


def _typed(parameter: Parameter, value: Any) -> Any:
    if isinstance(value, list | dict):
        raise InvalidRequest(f"{parameter.name} takes one value")
    return read_value(parameter, spell_value(value))


def _bound(value: Any, kind: str, key: str, table: str) -> float | None:
    if value is None:
        return None
    if kind == DURATION_KIND and isinstance(value, str):
        return _at(table, key, lambda: duration_ms(value) / 1000)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong(f"{key} is {value!r}, and a number is expected", table, key)
    return value


def _default(name: str, value: Any) -> str:
    if name not in DEFAULTS:
        near = difflib.get_close_matches(name.replace("-", "_"), DEFAULTS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(DEFAULTS)}"
        raise _Wrong(f"{name[:60]!r} can have no default: {hint}", _DEFAULTS, name)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        text = shlex.join(value) if name != "requirement" else " ".join(value)
    elif isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Wrong(f"{name} is {value!r}, and a text or a number is expected", _DEFAULTS, name)
    else:
        text = str(value)
    _at(_DEFAULTS, name, lambda: read_default(name, text))
    return text


def _command(value: Any) -> tuple[str, ...]:
    if value is None:
        raise _Wrong('there is no command: write command = ["python", "train.py", "--lr", "{lr}"]')
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise _Wrong(f"command can't be read: {error}", "", "command") from None
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise _Wrong("command is neither a text nor a list of texts", "", "command")


def _text(value: Any, key: str, table: str = "") -> str:
    if not isinstance(value, str):
        raise _Wrong(f"{key} is {value!r}, and a text is expected", table, key)
    return value


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"{name} is not a table: write [{name}]", "", name.partition(".")[0])
    return value


def _check_keys(found: Iterable[str], known: tuple[str, ...], table: str) -> None:
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise _Wrong(f"unknown key {key[:60]!r}: {hint}", table, key)


def _at(table: str, key: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except InvalidRequest as error:
        raise _Wrong(error.message, table, key) from None


def _line_of(text: str, table: str, key: str) -> int | None:
    """In which line a key is set, or else its table begins, as far as that is easily told."""
    here, found = "", None
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header is not None:
            here = re.sub(r"[\"'\s]", "", header[1])
            found = number if here == table else found
        elif key and here == table and _KEY.split(line.strip(), maxsplit=1)[0].strip("\"'") == key:
            return number
    return found
