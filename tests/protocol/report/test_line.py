"""One line of a report: what is taken, and the words with which anything else is refused."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.report import (
    METRICS_OF_LINE_MAX,
    REPORT_LINE_BYTES_MAX,
    Checkpoint,
    Metrics,
    Progress,
    Report,
    ReportError,
    parse_line,
)


@pytest.mark.parametrize(
    ("line", "report"),
    [
        ('{"at_ms": 5, "step": 3, "metrics": {"loss": 0.5, "lr": 1}}', Report(5, Metrics({"loss": 0.5, "lr": 1}, 3))),
        ('{"metrics": {"loss": 1}}', Report(9, Metrics({"loss": 1}))),
        ('{"at_ms": -4, "metrics": {"loss": 1}}', Report(9, Metrics({"loss": 1}))),
        ('{"at_ms": 1e300, "metrics": {"loss": 1}}', Report(9, Metrics({"loss": 1}))),
        ('{"step": "x", "note": "n"}', None),
        ('{"progress": {"done": 2, "total": 8}}', Report(9, progress=Progress(2, 8))),
        ('{"step": 7, "checkpoint": {"path": "/a"}}', Report(9, checkpoint=Checkpoint("/a", 7, 9))),
        (
            '{"checkpoint": {"path": "/a", "step": 2}, "note": "hi"}',
            Report(9, None, None, Checkpoint("/a", 2, 9), "hi"),
        ),
        ('{"note": "hi", "other": [1, 2]}', Report(9, note="hi")),
    ],
)
def test_a_line(line: str, report: Report | None) -> None:
    if report is None:
        with pytest.raises(ReportError):
            parse_line(line.encode(), 9)
    else:
        assert parse_line(line.encode(), 9) == report


@pytest.mark.parametrize("text", ["NaN", '"NaN"', '"nan"', "null"])
def test_what_is_no_number_stays_in_the_curve_as_a_gap(text: str) -> None:
    report = parse_line(f'{{"metrics": {{"loss": {text}}}}}'.encode(), 0)
    assert report.metrics is not None
    assert math.isnan(report.metrics.values["loss"])


@pytest.mark.parametrize(
    ("text", "value"), [("Infinity", math.inf), ('"-Infinity"', -math.inf), ("-Infinity", -math.inf)]
)
def test_infinities(text: str, value: float) -> None:
    report = parse_line(f'{{"metrics": {{"loss": {text}}}}}'.encode(), 0)
    assert report.metrics == Metrics({"loss": value})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"epoch 1", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 50_000, "no JSON"),
        (b"[]", "object"),
        (b"{}", "none of checkpoint, metrics, note, progress"),
        (b'{"metrics": {}}', "none of"),
        (b'{"checkpoint": "ck/4"}', "checkpoint is no object, such as .*path.*step"),
        (b'{"metrics": {"loss": "low"}}', "the value of loss is no number"),
        (b'{"metrics": {"loss": [1]}}', "the value of loss is no number"),
        (b'{"metrics": {"": 1}}', "can't name a metric"),
        (b'{"metrics": {"a\\u0000b": 1}}', "can't name a metric"),
        (json.dumps({"metrics": {"x" * 300: 1}}).encode(), "can't name a metric"),
        (json.dumps({"metrics": {str(n): n for n in range(METRICS_OF_LINE_MAX + 1)}}).encode(), "too many"),
        (b'{"progress": {"done": 9, "total": 8}}', "done and total"),
        (b'{"progress": {"done": 0, "total": 0}}', "done and total"),
        (b'{"progress": {"done": NaN, "total": 1}}', "done and total"),
        (b'{"checkpoint": {"path": ""}}', "has a path"),
        (b'{"checkpoint": {"path": 3}}', "has a path"),
        (b'{"checkpoint": {"path": "a\\u0000"}}', "has a path"),
        (b" " * (REPORT_LINE_BYTES_MAX + 1), "too long"),
    ],
    ids=range(20),
)
def test_a_line_that_is_refused_in_words(line: bytes, words: str) -> None:
    with pytest.raises(ReportError, match=words):
        parse_line(line, 0)


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.floats() | st.text(),
        lambda one: (
            st.lists(one)
            | st.dictionaries(
                st.sampled_from(
                    ["metrics", "step", "progress", "checkpoint", "note", "done", "total", "path", "at_ms"]
                ),
                one,
            )
        ),
    ).map(lambda one: json.dumps(one).encode())
)
def test_whatever_comes_is_a_report_or_refused(line: bytes) -> None:
    try:
        report = parse_line(line, 1)
    except ReportError:
        return
    assert report.metrics or report.progress or report.checkpoint or report.note


def test_what_was_measured_of_gpus_is_taken_as_far_as_it_is_known() -> None:
    line = b'{"at_ms":5,"gpu_sample":{"memory_mb":1024,"memory_total_mb":4096,"utilization_percent":50.5,"fan":3}}'
    report = parse_line(line, 9)
    assert report.gpu_sample == {"memory_mb": 1024, "memory_total_mb": 4096, "utilization_percent": 50.5}
    assert (report.at_ms, report.metrics) == (5, None)
    for wrong in (b'{"gpu_sample":{"fan":3}}', b'{"gpu_sample":3}', b'{"gpu_sample":{"memory_mb":"NaN"}}'):
        with pytest.raises(ReportError):
            parse_line(wrong, 9)
    assert parse_line(b'{"gpu_sample":{"memory_mb":NaN},"note":"x"}', 9).gpu_sample == {}
