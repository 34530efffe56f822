"""A pipeline file: jobs with names, each said by the names of `submit`'s options.

It is read by the parser of these options, so that a job in a file can be all that a job on the command line can, and no more.
"""

from __future__ import annotations

import argparse
import difflib
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from opsconsole_console.cli.job_option import add_job_options
from opsconsole_console.cli.parser import Parser
from opsconsole_protocol.error import InvalidRequest

FILE_BYTES_MAX = 1 << 20
JOBS_MAX = 1_000
_COMMAND = "command"
_DEFAULTS, _JOBS = "defaults", "jobs"


class _JobParser(Parser):
    """The parser of a job's options, which says of a wrong one what is wrong with its key."""

    def error(self, message: str) -> NoReturn:
        raise InvalidRequest(message.removeprefix("argument --"))


def read_pipeline(path: Path) -> dict[str, argparse.Namespace]:
    """The jobs of a file by their names, as `submit` would have them of the command line. Raises InvalidRequest or OSError."""
    with path.open("rb") as file:
        raw = file.read(FILE_BYTES_MAX + 1)
    if len(raw) > FILE_BYTES_MAX:
        raise InvalidRequest(f"{path} is larger than 1 MiB: it is no pipeline")
    try:
        return _read(tomllib.loads(raw.decode()), path.parent)
    except (InvalidRequest, ValueError) as error:  # tomllib's says in which line
        raise InvalidRequest(f"{path}: {error.message if isinstance(error, InvalidRequest) else error}") from None


def _read(found: Mapping[str, Any], folder: Path) -> dict[str, argparse.Namespace]:
    _check_keys(found, (_DEFAULTS, _JOBS), "at the top")
    jobs = _table(found.get(_JOBS, {}), _JOBS)
    if not jobs:
        raise InvalidRequest("it has no job: write [jobs.NAME] with a command for each")
    if len(jobs) > JOBS_MAX:
        raise InvalidRequest(f"it has {len(jobs)} jobs, the limit is {JOBS_MAX}: use a sweep where they are alike")
    parser = _JobParser(add_help=False)
    add_job_options(parser)
    actions = _actions(parser)
    defaults = _table(found.get(_DEFAULTS, {}), _DEFAULTS)
    _check_keys(defaults, actions, f"[{_DEFAULTS}]")
    read: dict[str, argparse.Namespace] = {}
    for name, job in jobs.items():
        where = f"[{_JOBS}.{name}]"
        fields = {**defaults, **_table(job, f"{_JOBS}.{name}")}
        _check_keys(fields, (*actions, _COMMAND), where)
        try:
            command = _words(fields.pop(_COMMAND, None))
            words = [word for key, value in fields.items() for word in _spell(actions[key], key, value)]
            args = parser.parse_args(words)
        except InvalidRequest as error:
            raise InvalidRequest(f"{where} {error.message}") from None
        if not command and args.template is None:
            raise InvalidRequest(f'{where} has neither a command nor a template: write command = "python train.py"')
        args.command, args.folder = command, folder.absolute()
        args.name = args.name or name
        read[name] = args
    return read


def given_beside(args: argparse.Namespace) -> list[str]:
    """The options that say what a job is and stand beside a file, which says that itself."""
    parser = _JobParser(add_help=False)
    add_job_options(parser)
    actions = _actions(parser).values()
    return [one.option_strings[-1] for one in actions if getattr(args, one.dest) != one.default]


def _actions(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The options of a job by their keys in a file."""
    return {one.option_strings[-1][2:].replace("-", "_"): one for one in parser._actions}  # noqa: SLF001 - there is no public list


def _check_keys(found: Iterable[str], known: Iterable[str], where: str) -> None:
    names = list(known)
    for key in found:
        if key not in names:
            near = difflib.get_close_matches(key.replace("-", "_"), names, 1)
            hint = f"did you mean {near[0]}?" if near else f"see opsconsole submit --help: {', '.join(names[:3])}, …"
            raise InvalidRequest(f"{where} has an unknown key {key[:60]!r}: {hint}")


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name} is not a table: write [{name}]")
    return value


def _words(command: Any) -> list[str] | None:
    """The words of a command: a list as it is, a text as a shell would read it."""
    if command is None:
        return None
    if isinstance(command, str):
        try:
            return shlex.split(command)
        except ValueError as error:
            raise InvalidRequest(f"command {command[:60]!r} can't be read: {error}") from None
    if isinstance(command, list) and all(isinstance(word, str) for word in command):
        return command
    raise InvalidRequest("command is neither a text nor a list of texts")


def _spell(action: argparse.Action, key: str, value: Any) -> list[str]:
    """The words of the command line that say the same."""
    option = action.option_strings[-1]
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise InvalidRequest(f"{key} is {value!r}, and true or false is expected")
        return [option] if value else []
    if isinstance(action.default, list):
        if isinstance(value, dict):
            values = [f"{name}={_joined(key, one)}" for name, one in value.items()]
        else:
            values = [_text(key, one) for one in (value if isinstance(value, list) else [value])]
        return [f"{option}={one}" for one in values]
    if isinstance(value, list | dict):
        raise InvalidRequest(f"{key} takes one value")
    return [f"{option}={_text(key, value)}"]


def _joined(key: str, value: Any) -> str:
    return ",".join(_text(key, one) for one in value) if isinstance(value, list) else _text(key, value)


def _text(key: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidRequest(f"{key} is {value!r}, and a text or a number is expected")
    return str(value)
