"""One line of a report: a JSON object of at most REPORT_LINE_BYTES_MAX bytes with any of these keys, all others being left out.

    {"at_ms": 1764270000000, "step": 120, "metrics": {"loss": 0.31, "lr": 0.0003}}
    {"at_ms": 1764270000000, "progress": {"done": 120, "total": 4000}}
    {"at_ms": 1764270000000, "checkpoint": {"path": "/data/out/step-120", "step": 120}}
    {"at_ms": 1764270000000, "note": "learning rate halved"}
    {"at_ms": 1764270000000, "step": 120, "metrics": {"loss": 0.31}, "source": "stdout", "mark": {"to": 4711}}
    {"at_ms": 1764270000000, "gpu_sample": {"memory_mb": 61000, "memory_total_mb": 81920, "utilization_percent": 93}}

The agent writes lines of the last two kinds: what it has recognised in the output `source`, and where it was then; what it has
measured of the attempt's GPUs, all of them together. What a task reports itself counts more than what was recognised, whichever
comes first.

`at_ms` is Unix milliseconds of the worker's clock; `step` any number. A value that is no finite number is written "NaN",
"Infinity" or "-Infinity", with quotes or, as Python's `json` does, without them. A line may have several of the keys.
"""

import json
import math
import re

import msgspec

from opsconsole_protocol.bound import NAME_CHARACTERS_MAX, PATH_CHARACTERS_MAX, TEXT_CHARACTERS_MAX, TIME_MS_MAX, cut
from opsconsole_protocol.error import OpsconsoleError

REPORT_BYTES_MAX = 256 << 20
"""Of one attempt: several million lines. What comes after isn't read."""
REPORT_LINE_BYTES_MAX = 64 * 1024
METRICS_OF_LINE_MAX = 200
GPU_METRICS = ("memory_mb", "memory_total_mb", "utilization_percent")
"""What is measured of an attempt's GPUs: memory of all of them in MiB, and how busy they are on average."""
_NAME = re.compile(r"[^\x00-\x1f\x7f]+")
_WORDS = {"nan": math.nan, "infinity": math.inf, "-infinity": -math.inf, "inf": math.inf, "-inf": -math.inf}
_KEYS = frozenset({"metrics", "progress", "checkpoint", "note"})
_COUNT_MAX = 1e15
_RECOGNISED_IN = frozenset({"stdout", "stderr"})


class ReportError(OpsconsoleError):
    """A line that can't be taken, and why, in words for whoever wrote the task."""

    code = "report"


class Metrics(msgspec.Struct, frozen=True, gc=False):
    """Values at one step, by name. `step` is None where the task counts none."""

    values: dict[str, float]
    step: float | None = None


class Progress(msgspec.Struct, frozen=True, gc=False):
    """So much of a whole is done; `total` is above 0. `left_ms`: how long the task says that the rest takes."""

    done: float
    total: float
    left_ms: float | None = None


class Checkpoint(msgspec.Struct, frozen=True, gc=False):
    """The task can go on from what lies at `path`, a file or folder on its worker. `step` is how far it was then."""

    path: str
    step: float | None = None
    at_ms: int = 0


class Report(msgspec.Struct, frozen=True, gc=False):
    """What one line says."""

    at_ms: int
    metrics: Metrics | None = None
    progress: Progress | None = None
    checkpoint: Checkpoint | None = None
    note: str = ""
    is_recognised: bool = False
    """The agent read it in what the task printed."""
    gpu_sample: dict[str, float] | None = None
    """By names of GPU_METRICS."""


class _Fields(msgspec.Struct, frozen=True, gc=False):
    at_ms: float | None = None
    step: float | None = None
    metrics: dict[str, float | str | None] | None = None
    progress: dict[str, float | None] | None = None
    checkpoint: dict[str, str | float | None] | None = None
    note: str | None = None
    source: str | None = None
    gpu_sample: dict[str, float] | None = None


_decode = msgspec.json.Decoder(_Fields).decode


def parse_line(line: bytes, read_at_ms: int) -> Report:
    """What the line says; `read_at_ms` stands in for a time that it doesn't have. Raises ReportError."""
    if len(line) > REPORT_LINE_BYTES_MAX:
        raise ReportError(f"a line of {len(line)} bytes is too long: at most {REPORT_LINE_BYTES_MAX} are taken")
    fields = _fields(line)
    at_ms = read_at_ms if fields.at_ms is None or not 0 <= fields.at_ms <= TIME_MS_MAX else int(fields.at_ms)
    step = fields.step
    if step is not None and not math.isfinite(step):
        raise ReportError("step is no finite number")
    report = Report(
        at_ms,
        None if not fields.metrics else Metrics(_values(fields.metrics), step),
        None if fields.progress is None else _progress(fields.progress),
        None if fields.checkpoint is None else _checkpoint(fields.checkpoint, step, at_ms),
        cut(fields.note, TEXT_CHARACTERS_MAX) if fields.note else "",
        fields.source in _RECOGNISED_IN,
        None if fields.gpu_sample is None else _gpu_sample(fields.gpu_sample),
    )
    if not (report.metrics or report.progress or report.checkpoint or report.note or report.gpu_sample):
        raise ReportError(f"it has none of {', '.join(sorted(_KEYS))}")
    return report


def _fields(line: bytes) -> _Fields:
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        found = json.loads(line)  # which knows NaN without quotes
        msgspec.json.encode(found)  # and halves of characters, which nobody could write down
    except (ValueError, RecursionError):
        raise ReportError("it is no JSON") from None
    if not isinstance(found, dict):
        raise ReportError("it is no JSON object")
    try:
        return msgspec.convert(found, _Fields)
    except msgspec.ValidationError:
        raise ReportError(_what_is_wrong(found)) from None


_EXAMPLES = {
    "metrics": '{"loss": 0.31}',
    "progress": '{"done": 120, "total": 4000}',
    "checkpoint": '{"path": "checkpoint-120", "step": 120}',
    "gpu_sample": '{"memory_mb": 4000}',
}


def _what_is_wrong(found: dict[str, object]) -> str:
    """Of an object that can't be taken: what is of another type than it has to be."""
    for name in ("at_ms", "step"):
        if not _is_number(found.get(name)):
            return f"{name} is no number"
    for name in ("note", "source"):
        if not isinstance(found.get(name), str | None):
            return f"{name} is no text"
    for name in ("metrics", "progress", "checkpoint", "gpu_sample"):
        within = found.get(name)
        if within is None:
            continue
        if not isinstance(within, dict):
            return f"{name} is no object, such as {_EXAMPLES[name]}"
        for key, value in within.items():
            may_be_text = name in ("metrics", "checkpoint") and isinstance(value, str)
            if not may_be_text and (not _is_number(value) or (value is None and name == "gpu_sample")):
                of = f"the value of {key[:40]}" if name == "metrics" else f"{key[:40]} of {name}"
                return f"{of} is no number"
    return "a number in it has too many digits"


def _is_number(value: object) -> bool:
    """Whether it is one that a float can hold, or null. True and False are none, though Python counts with them."""
    try:
        float(value if isinstance(value, (int, float)) else 0)
    except OverflowError:
        return False
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _values(given: dict[str, float | str | None]) -> dict[str, float]:
    if len(given) > METRICS_OF_LINE_MAX:
        raise ReportError(f"{len(given)} metrics in one line are too many: at most {METRICS_OF_LINE_MAX} are taken")
    values: dict[str, float] = {}
    for name, value in given.items():
        if not name or len(name) > NAME_CHARACTERS_MAX or _NAME.fullmatch(name) is None:
            raise ReportError(
                f"{name[:40]!r} can't name a metric: use up to {NAME_CHARACTERS_MAX} printable characters"
            )
        number = _WORDS.get(value.lower()) if isinstance(value, str) else math.nan if value is None else value
        if number is None:
            raise ReportError(f"the value of {name} is no number")
        values[name] = number
    return values


def _gpu_sample(given: dict[str, float]) -> dict[str, float]:
    """What is known of it; a newer agent may measure more."""
    return {name: value for name in GPU_METRICS if (value := given.get(name)) is not None and math.isfinite(value)}


def _progress(given: dict[str, float | None]) -> Progress:
    done, total = given.get("done"), given.get("total")
    if done is None or total is None or not 0 < total <= _COUNT_MAX or not 0 <= done <= total:
        raise ReportError("progress has done and total, with 0 ≤ done ≤ total and total above 0")
    left_ms = given.get("left_ms")
    return Progress(done, total, left_ms if left_ms is not None and 0 <= left_ms <= TIME_MS_MAX else None)


def _checkpoint(given: dict[str, str | float | None], line_step: float | None, at_ms: int) -> Checkpoint:
    path, step = given.get("path"), given.get("step", line_step)
    if not isinstance(path, str) or not path or "\0" in path or len(path) > PATH_CHARACTERS_MAX:
        raise ReportError(f"a checkpoint has a path of 1 to {PATH_CHARACTERS_MAX} characters")
    if not isinstance(step, (int, float)) or not math.isfinite(step):
        step = None
    return Checkpoint(path, step, at_ms)
