"""What a request to report means, and in which words it is refused."""

import json
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_agent.report.token import attempt_of, job_token
from opsconsole_agent.report.verb import LOGS_OF_REQUEST_MAX, Refused, lines_of
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.report import parse_line

A, B = AttemptId("7k3m9q2w4t.0.0.ab12"), AttemptId("7k3m9q2w4t.0.1.ab12")


def said(method: str, path: str, body: Any) -> list[Any]:
    lines = lines_of(method, path, json.dumps(body).encode(), 5)
    return [{key: value for key, value in json.loads(line).items() if key != "at_ms"} for line in lines]


@pytest.mark.parametrize(
    ("method", "path", "body", "lines"),
    [
        ("PATCH", "/status", {"status": "running"}, [{"note": "running"}]),
        ("PATCH", "/status", {"status": "failed", "error": "no GPU"}, [{"note": "failed: no GPU"}]),
        ("PATCH", "status/", {"progress": 0.5}, [{"progress": {"done": 0.5, "total": 1}}]),
        ("PATCH", "/status", {"progress": {"done": 3, "total": 9}}, [{"progress": {"done": 3, "total": 9}}]),
        ("POST", "/logs", {"logs": ["one", " ", "two"]}, [{"note": "one"}, {"note": "two"}]),
        ("PUT", "/metrics", {"step": 3, "loss": 0.5, "epoch": 1}, [{"step": 3, "metrics": {"loss": 0.5, "epoch": 1}}]),
        ("PUT", "/metrics", {"metrics": {"loss": "NaN"}}, [{"metrics": {"loss": "NaN"}}]),
    ],
)
def test_what_is_said(method: str, path: str, body: Any, lines: list[Any]) -> None:
    assert said(method, path, body) == lines


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/", b"", 404, "PATCH /status, POST /logs, PUT /metrics"),
        ("POST", "/metrics", b"{}", 405, "takes PUT only"),
        ("PUT", "/metrics", b"loss=1", 400, "no JSON"),
        ("PUT", "/metrics", b"[" * 100_000, 400, "no JSON"),
        ("PUT", "/metrics", b"[1]", 400, "no JSON object"),
        ("PUT", "/metrics", b'{"step": 1}', 400, "no metrics"),
        ("PUT", "/metrics", b'{"loss": "low"}', 400, "the value of loss is no number"),
        ("PUT", "/metrics", b'{"loss": [1]}', 400, "the value of loss is no number"),
        ("PUT", "/metrics", b'{"metrics": 3}', 400, "no metrics"),
        ("PUT", "/metrics", json.dumps({f"{n:0>150}": n for n in range(199)} | {"x": 1}).encode(), 200, ""),
        ("PUT", "/metrics", json.dumps({str(n): n for n in range(300)}).encode(), 400, "too many"),
        ("PUT", "/metrics", b'{"step": "x", "loss": 1}', 400, "step is no number"),
        ("PUT", "/metrics", b'{"step": true, "loss": 1}', 400, "step is no number"),
        ("PUT", "/metrics", b'{"step": 1e400, "loss": 1}', 400, "step is no finite number"),
        ("PUT", "/metrics", b'{"step": 1' + b"0" * 400 + b', "loss": 1}', 400, "step is no number"),
        ("PUT", "/metrics", b'{"loss": true}', 400, "the value of loss is no number"),
        ("PUT", "/metrics", b'{"loss": 1' + b"0" * 400 + b"}", 400, "the value of loss is no number"),
        ("PATCH", "/status", b'{"progress": "NaN"}', 400, "done of progress is no number"),
        ("PATCH", "/status", b'{"progress": {"done": 1, "total": true}}', 400, "total of progress is no number"),
        ("PATCH", "/status", b"{}", 400, "says nothing"),
        ("PATCH", "/status", b'{"status": 3}', 400, "texts"),
        ("PATCH", "/status", b'{"progress": 3}', 400, "done and total"),
        ("POST", "/logs", b'{"logs": "x"}', 400, "list of texts"),
        ("POST", "/logs", json.dumps({"logs": ["x"] * (LOGS_OF_REQUEST_MAX + 1)}).encode(), 413, "too many"),
        ("POST", "/logs", json.dumps({"logs": ["x" * 70_000]}).encode(), 413, "too long"),
    ],
    ids=range(25),
)
def test_what_is_refused(method: str, path: str, body: bytes, status: int, words: str) -> None:
    if status == HTTPStatus.OK:
        assert lines_of(method, path, body, 5)
        return
    with pytest.raises(Refused) as refused:
        lines_of(method, path, body, 5)
    assert refused.value.status == status
    assert words in refused.value.reason
    assert "\n" not in refused.value.reason


_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
)


@given(
    st.sampled_from(["PATCH", "POST", "PUT"]),
    st.sampled_from(["status", "logs", "metrics"]),
    st.dictionaries(st.sampled_from(["status", "error", "progress", "logs", "metrics", "step", "loss"]), _VALUES),
)
def test_whatever_comes_is_refused_or_can_be_read(method: str, path: str, body: Any) -> None:
    try:
        lines = lines_of(method, path, json.dumps(body).encode(), 5)
    except Refused as refusal:
        reason, lines = refusal.reason, []
    else:
        reason = ""
    assert " - at " not in reason, "words of a library"
    assert "Expected" not in reason
    for line in lines:
        assert line.endswith(b"\n")
        parse_line(line[:-1], 5)


def test_a_token_is_good_for_its_attempt_and_its_agent_alone() -> None:
    token = job_token("secret", A)
    assert attempt_of("secret", token) == A
    assert attempt_of("another", token) is None
    for wrong in ("", ".", A, f"{A}.", token[:-1], token + "0", token.replace(A, B), f"{A}.é", "\ud800."):
        assert attempt_of("secret", wrong.encode("utf-8", "replace").decode()) is None
