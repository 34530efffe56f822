"""What each verb means: its body becomes lines of the attempt's report. Pure.

PATCH status    {"status": "training", "error": "…", "progress": 0.5 or {"done": 3, "total": 10}}
POST  logs      {"logs": ["…", …]}                     each line is a note
PUT   metrics   {"step": 3, "loss": 0.5, …}            or with the values under "metrics"
"""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from opsconsole_protocol.report import REPORT_LINE_BYTES_MAX, ReportError, parse_line

LOGS_OF_REQUEST_MAX = 1_000
_NO_METRICS = frozenset({"step", "at_ms", "metrics"})


class Refused(Exception):
    """The request is answered with this status and reason."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def lines_of(method: str, path: str, body: bytes, now_ms: int) -> list[bytes]:
    """The lines that a request adds, each with its line end. Raises Refused."""
    verbs = _VERBS.get(path.strip("/"))
    if verbs is None:
        known = ", ".join(f"{verb} /{name}" for name, (verb, _) in _VERBS.items())
        raise Refused(HTTPStatus.NOT_FOUND, f"there is no {path[:100]} here: {known}")
    verb, read = verbs
    if method != verb:
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"/{path.strip('/')} takes {verb} only")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(HTTPStatus.BAD_REQUEST, "the body is no JSON") from None
    if not isinstance(given, dict):
        raise Refused(HTTPStatus.BAD_REQUEST, "the body is no JSON object")
    return [_line(fields, now_ms) for fields in read(given)]


def _line(fields: Mapping[str, Any], now_ms: int) -> bytes:
    line = json.dumps({"at_ms": now_ms, **fields}, separators=(",", ":")).encode()
    try:
        parse_line(line, now_ms)
    except ReportError as error:
        large = len(line) > REPORT_LINE_BYTES_MAX
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE if large else HTTPStatus.BAD_REQUEST, error.message) from None
    return line + b"\n"


def _status(given: dict[str, Any]) -> list[dict[str, Any]]:
    status, error, progress = given.get("status"), given.get("error"), given.get("progress")
    if not isinstance(status, str | None) or not isinstance(error, str | None):
        raise Refused(HTTPStatus.BAD_REQUEST, "status and error are texts")
    lines: list[dict[str, Any]] = []
    if status or error:
        lines.append({"note": ": ".join(filter(None, (status, error)))})
    if isinstance(progress, dict):
        lines.append({"progress": progress})
    elif progress is not None:
        lines.append({"progress": {"done": progress, "total": 1}})
    if not lines:
        raise Refused(HTTPStatus.BAD_REQUEST, "it says nothing: give a status, an error or a progress")
    return lines


def _logs(given: dict[str, Any]) -> list[dict[str, Any]]:
    logs = given.get("logs")
    if not isinstance(logs, list) or not all(isinstance(one, str) for one in logs):
        raise Refused(HTTPStatus.BAD_REQUEST, "logs is a list of texts")
    if len(logs) > LOGS_OF_REQUEST_MAX:
        raise Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{len(logs)} lines are too many: at most {LOGS_OF_REQUEST_MAX}"
        )
    return [{"note": one} for one in logs if one.strip()]


def _metrics(given: dict[str, Any]) -> list[dict[str, Any]]:
    nested = given.get("metrics")
    if nested is None:
        nested = {name: value for name, value in given.items() if name not in _NO_METRICS}
    if not isinstance(nested, dict) or not nested:
        raise Refused(HTTPStatus.BAD_REQUEST, "it has no metrics: give names and numbers")
    line = {"metrics": nested}
    if given.get("step") is not None:
        line["step"] = given["step"]
    return [line]


_VERBS: Mapping[str, tuple[str, Callable[[dict[str, Any]], list[dict[str, Any]]]]] = {
    "status": ("PATCH", _status),
    "logs": ("POST", _logs),
    "metrics": ("PUT", _metrics),
}
