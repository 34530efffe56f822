"""The points of a sweep from a file: a CSV whose header names the parameters, or JSON Lines with an object for each point."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from opsconsole.sweep import Point
from opsconsole_protocol.api.parameter import PARAMETERS_MAX
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import NUM_TASKS_MAX

POINTS_FILE_BYTES_MAX = 64 << 20
_JSON = frozenset({".jsonl", ".ndjson", ".json"})


def read_points_file(path: str | Path) -> list[Point]:
    """The points of a file, JSON Lines by its name (.jsonl, .ndjson) and else CSV. Blocks. Raises InvalidRequest."""
    path = Path(path).expanduser()
    try:
        with path.open("rb") as file:
            content = file.read(POINTS_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidRequest(f"{path}: {error.strerror or error}") from None
    if len(content) > POINTS_FILE_BYTES_MAX:
        raise InvalidRequest(f"{path} is larger than {POINTS_FILE_BYTES_MAX >> 20} MiB: split it")
    try:
        return read_points(content, is_json=path.suffix.lower() in _JSON)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error.message}") from None


def read_points(content: bytes, *, is_json: bool) -> list[Point]:
    """The points in what a file holds. Raises InvalidRequest that names the line."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest("it is not UTF-8") from None
    points = _from_json(text) if is_json else _from_csv(text)
    if not points:
        raise InvalidRequest("there is no point in it")
    return points


def _from_csv(text: str) -> list[Point]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    points: list[Point] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_names(header)
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise InvalidRequest(f"line {reader.line_num} has {len(row)} values for {len(header)} parameters")
            values = [value.strip() for value in row]
            _add(points, zip(header, values, strict=True), reader.line_num)
    except csv.Error as error:
        raise InvalidRequest(f"line {reader.line_num} is no CSV: {error}") from None
    return points


def _from_json(text: str) -> list[Point]:
    points: list[Point] = []
    names: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found: Any = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
        except (ValueError, RecursionError):
            raise InvalidRequest(f"line {number} is no JSON: each line is one object") from None
        if not isinstance(found, Mapping):
            raise InvalidRequest(f'line {number} is no object: write for example {{"lr": 0.1}}')
        if not points:
            names = list(found)
            _check_names(names)
        if found.keys() != set(names):
            raise InvalidRequest(
                f"line {number} has other parameters than the first: {', '.join(map(str, names))}"[:200]
            )
        _add(points, ((name, _text(found[name], name, number)) for name in names), number)
    return points


def _text(value: Any, name: str, number: int) -> str:
    """Numbers as they were written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise InvalidRequest(f"line {number}: {name} is neither a text, a number nor true or false")
    return value


def _add(points: list[Point], values: Iterable[tuple[str, str]], number: int) -> None:
    point = dict(values)
    if empty := next((name for name, value in point.items() if not value), None):
        raise InvalidRequest(f"line {number}: {empty} has no value")
    if len(points) >= NUM_TASKS_MAX:
        raise InvalidRequest(f"it has more than {NUM_TASKS_MAX:,} points: split it")
    points.append(point)


def _check_names(names: list[str]) -> None:
    if not names:
        raise InvalidRequest("the first line names no parameters: write for example lr,seed")
    if len(names) > PARAMETERS_MAX:
        raise InvalidRequest(f"{len(names)} parameters are too many: at most {PARAMETERS_MAX} are taken")
    for name in names:
        if not name.isidentifier():
            raise InvalidRequest(f"{name[:60]!r} is no name of a parameter: the first line names them, as in lr,seed")
    if len(set(names)) != len(names):
        raise InvalidRequest("the first line names a parameter twice")
