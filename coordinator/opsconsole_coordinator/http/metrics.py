"""`/metrics`: what is counted and measured here, in Prometheus' text format 0.0.4.

It is written here and not by `prometheus_client`: the format takes the few lines below, and the library, which brings an
HTTP server of its own, would add 23 to 71 ms to every start.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple

from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.count import Histogram
from opsconsole_coordinator.server.log_service import LogService
from opsconsole_coordinator.server.stream_broker import STORE_LABEL
from opsconsole_coordinator.server.streams import Streams
from opsconsole_coordinator.server.trouble import trouble_of
from opsconsole_protocol.state import TaskState, WorkerConnection, is_task_finished
from opsconsole_protocol.stream.message import Way

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "opsconsole_"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_UNFINISHED = tuple(state for state in TaskState if not is_task_finished(state))


@dataclass(frozen=True, slots=True)
class Sources:
    """What metrics are read from."""

    commit_loop: CommitLoop
    log_service: LogService
    version: str
    sessions: Counter[str]
    """Open websockets, by kind of peer."""
    streams: Streams


class Kind(StrEnum):
    """How a monitoring system has to understand a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


Value = float | Mapping[str, float] | Mapping[tuple[str, str], float] | Histogram
"""One number; or one for each value of the one label, or of the two labels; or counted values."""


class Metric(NamedTuple):
    """One metric: `name` follows the prefix, `labels` tell its numbers apart."""

    name: str
    kind: Kind
    help: str
    read: Callable[[Sources], Value]
    labels: tuple[str, ...] = ()


def _workers(sources: Sources) -> Mapping[str, float]:
    workers = sources.commit_loop.fleet.workers.values()
    return _zeros(WorkerConnection) | Counter(str(worker.connection) for worker in workers if not worker.revoked)


def _jobs(sources: Sources) -> Mapping[str, float]:
    jobs = sources.commit_loop.fleet.jobs.values()
    return _zeros(_UNFINISHED) | Counter(str(job.state) for job in jobs if not job.is_finished)


def _tasks(sources: Sources) -> Mapping[str, float]:
    found = _zeros(_UNFINISHED)
    for job in sources.commit_loop.fleet.jobs.values():
        for state, count in job.counts.items():
            if state in found:
                found[str(state)] += count
    return found


def _zeros(labels: type[StrEnum] | tuple[str, ...]) -> dict[str, float]:
    return {str(label): 0 for label in labels}


_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
METRICS = (
    Metric("info", _GAUGE, "Always 1; the label is the version that runs.", lambda one: {one.version: 1}, ("version",)),
    Metric("uptime_seconds", _GAUGE, "Seconds since the start.", lambda one: one.commit_loop.clock.uptime_ms() / 1000),
    Metric(
        "healthy", _GAUGE, "1 while changes of state, logs and files can be stored, else 0.",
        lambda one: float(not trouble_of(one.commit_loop, one.log_service, one.streams.api)),
    ),
    Metric("workers", _GAUGE, "Workers that aren't revoked.", _workers, ("connection",)),
    Metric("jobs", _GAUGE, "Jobs that haven't ended.", _jobs, ("state",)),
    Metric("tasks", _GAUGE, "Tasks that haven't ended.", _tasks, ("state",)),
    Metric(
        "events_total", _COUNTER, "Events that were committed: what `opsconsole events` lists.",
        lambda one: one.commit_loop.counts.events, ("kind",),
    ),
    Metric(
        "commit_seconds", _HISTOGRAM, "How long it took to make changes durable; each commit has many.",
        lambda one: one.commit_loop.counts.commits,
    ),
    Metric(
        "failed_commits_total", _COUNTER, "Commits that failed: nothing of them was acknowledged.",
        lambda one: one.commit_loop.counts.failed_commits,
    ),
    Metric(
        "log_bytes_total", _COUNTER, "Bytes of tasks' logs that were stored.",
        lambda one: one.commit_loop.counts.log_bytes,
    ),
    Metric("sessions", _GAUGE, "Open connections.", lambda one: {"agent": 0, "operator": 0} | one.sessions, ("peer",)),
    Metric(
        "consoles", _GAUGE, "Operators' connections that are told of every change.",
        lambda one: len(one.commit_loop.open_consoles),
    ),
    Metric(
        "requests_total", _COUNTER, "Operators' requests; `result` is ok or the code of an error.",
        lambda one: one.commit_loop.counts.requests, ("request", "result"),
    ),
    Metric(
        "refused_connections_total", _COUNTER, "Connections and HTTP requests that were turned away.",
        lambda one: one.commit_loop.counts.refused, ("reason",),
    ),
    Metric(
        "outbox_overflows_total", _COUNTER, "Times that messages were dropped, since a peer read too slowly.",
        lambda one: {"agent": 0, "operator": 0} | one.commit_loop.counts.overflows, ("peer",),
    ),
    Metric("streams", _GAUGE, "Streams of files that are open.", lambda one: len(one.streams.broker)),
    Metric(
        "streams_ended_total", _COUNTER, "Streams that have ended; `way` is none where none was found, store where one end was the coordinator itself.",
        lambda one: {("none", "ok"): 0} | one.streams.broker.counts.ended, ("way", "result"),
    ),
    Metric(
        "moved_bytes_total", _COUNTER, "Bytes of files that streams moved, as their ends told.",
        lambda one: _zeros(Way) | {STORE_LABEL: 0} | one.streams.broker.counts.bytes, ("way",),
    ),
    Metric("relays", _GAUGE, "Streams that are passed on here.", lambda one: one.streams.process.counted.relays),
    Metric(
        "relayed_bytes_total", _COUNTER, "Bytes that were passed on here.",
        lambda one: one.streams.process.relayed_bytes,
    ),
    Metric("kept_bytes", _GAUGE, "Bytes of files that are kept here.", lambda one: one.streams.process.counted.kept_bytes),
    Metric(
        "refused_streams_total", _COUNTER, "Connections for streams that were turned away.",
        lambda one: {"ticket": 0} | one.streams.process.refused, ("reason",),
    ),
    Metric(
        "transfer_process_starts_total", _COUNTER, "Starts of the process that passes streams on and keeps files.",
        lambda one: one.streams.process.starts,
    ),
)  # fmt: skip


def render(sources: Sources) -> str:
    """All metrics as text."""
    return "".join(f"{line}\n" for metric in METRICS for line in _lines(metric, metric.read(sources)))


def _lines(metric: Metric, value: Value) -> Iterator[str]:
    name = PREFIX + metric.name
    yield f"# HELP {name} {metric.help}"
    yield f"# TYPE {name} {metric.kind}"
    if isinstance(value, Histogram):
        for bound, count in zip((*map(repr, value.bounds), "+Inf"), accumulate(value.counts), strict=True):
            yield f'{name}_bucket{{le="{bound}"}} {count}'
        yield f"{name}_sum {value.total!r}"
        yield f"{name}_count {sum(value.counts)}"
    elif isinstance(value, Mapping):
        for key, number in sorted(value.items()):
            labels = zip(metric.labels, (key,) if isinstance(key, str) else key, strict=True)
            told = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in labels)
            yield f"{name}{{{told}}} {number!r}"
    else:
        yield f"{name} {value!r}"
