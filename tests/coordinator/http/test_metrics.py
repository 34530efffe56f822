"""`/metrics` by a real server: whoever may look is told numbers that are true, in a format that others read."""

import re
import sqlite3
import urllib.error
import urllib.request
from asyncio import to_thread
from collections.abc import Mapping
from typing import Any

import pytest

from opsconsole_coordinator.http import metrics
from opsconsole_coordinator.http.metrics import METRICS, PREFIX
from opsconsole_coordinator.server.count import Histogram
from opsconsole_coordinator.store import journal
from opsconsole_protocol import api
from opsconsole_protocol.error import NotFound, OpsconsoleError
from opsconsole_protocol.host.dial import Refused
from opsconsole_protocol.state import AttemptState
from tests.coordinator.server.peer import Site, some_secret
from tests.waiting import until

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (-?\d+(?:\.\d+)?(?:e[+-]\d+)?)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"')


def get(site: Site, token: str | None) -> tuple[int, str, str]:
    """Status, content type and text."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    url = site.endpoint.url.replace("ws://", "http://") + "/metrics"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:  # noqa: S310 - our own address
            return answer.status, answer.headers["content-type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["content-type"], error.read().decode()


def read(text: str) -> dict[tuple[str, ...], float]:
    """Every number by the metric's name and the values of its labels, after a look at the format."""
    found: dict[tuple[str, ...], float] = {}
    kinds: dict[str, str] = {}
    helped = []
    assert text.endswith("\n")
    for line in text.splitlines():
        match line.split(" ", 3):
            case ["#", "HELP", name, _]:
                helped.append(name)
            case ["#", "TYPE", name, kind]:
                assert name not in kinds
                kinds[name] = kind
            case _:
                sample = SAMPLE.fullmatch(line)
                assert sample is not None, line
                labels = LABEL.findall(sample[2] or "")
                key = (sample[1].removeprefix(PREFIX), *(value for _, value in labels))
                assert key not in found
                found[key] = float(sample[3])
                family = re.sub("_(bucket|sum|count)$", "", sample[1])
                assert (sample[1] in kinds) is not (kinds.get(family) == "histogram"), "a type comes before its numbers"
    assert helped == list(kinds)
    assert [name for name, kind in kinds.items() if (kind == "counter") is not name.endswith("_total")] == []
    return found


async def numbers(site: Site) -> Mapping[tuple[str, ...], float]:
    status, content_type, text = await to_thread(get, site, site.token)
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return read(text)


async def test_what_happens_is_counted(site: Site) -> None:
    before = await numbers(site)
    assert before["tasks", "running"] == before["workers", "connected"] == before["sessions", "operator"] == 0
    async with await site.agent() as agent, await site.operator() as operator:
        await agent.register()
        await operator.call(api.Subscribe())
        held = await operator.submit(held=True, num_tasks=3)
        running = await operator.submit()
        attempt_id = await agent.assigned()
        await agent.report(attempt_id, AttemptState.RUNNING, started_at_ms=1)
        await agent.log(attempt_id, b"twelve bytes")
        await agent.log(attempt_id, b"twelve bytes")  # again, which stores nothing
        with pytest.raises(NotFound):
            await operator.call(api.Why(id="0000000000"))
        await until(lambda: site.commit_loop.fleet.attempts[attempt_id].state is AttemptState.RUNNING)
        await until(lambda: site.commit_loop.counts.log_bytes > 0)
        during = await numbers(site)
        await agent.report(attempt_id, AttemptState.SUCCEEDED, started_at_ms=1, finished_at_ms=2, exit_code=0)
        await operator.wait(running.id)
        await operator.call(api.Act(verb="cancel", ids=(held.id,)))
    await until(lambda: not site.coordinator._web or not site.coordinator._web._sessions.total())
    after = await numbers(site)
    assert {key: during[key] for key in during if key[0] in {"tasks", "jobs"} and during[key]} == {
        ("tasks", "held"): 3, ("tasks", "running"): 1, ("jobs", "held"): 1, ("jobs", "running"): 1,
    }  # fmt: skip
    assert (during["workers", "connected"], during["sessions", "agent"], during["sessions", "operator"]) == (1, 1, 1)
    assert (during["consoles",], during["healthy",], during["log_bytes_total",]) == (1, 1, 12)
    assert during["requests_total", "submit", "ok"] == 2
    assert during["requests_total", "why", "not_found"] == 1
    assert (after["requests_total", "act", "ok"], after["requests_total", "subscribe", "ok"]) == (1, 1)
    assert (after["events_total", "submitted"], after["events_total", "succeeded"]) == (2, 1)
    assert not any(after[key] for key in after if key[0] in {"tasks", "jobs", "sessions", "consoles"})
    assert after["workers", "connected"] + after["workers", "silent"] == 1
    assert after["commit_seconds_count",] > during["commit_seconds_count",] > before["commit_seconds_count",]
    assert after["commit_seconds_count",] == after["commit_seconds_bucket", "+Inf"]
    assert after["commit_seconds_sum",] > 0
    assert after["uptime_seconds",] > before["uptime_seconds",] > 0
    assert [key[1] for key in after if key[0] == "info"] == [site.coordinator._web and site.coordinator._web._version]


async def test_what_goes_wrong_is_counted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Origin": "http://example.org"}):
        with pytest.raises(Refused):
            await site.connect("/operator", **headers)
    commit = journal.commit

    async def fail(*_: Any) -> None:
        monkeypatch.setattr(journal, "commit", commit)
        raise sqlite3.OperationalError("disk I/O error")

    async with await site.operator() as operator:
        monkeypatch.setattr(journal, "commit", fail)
        with pytest.raises(OpsconsoleError):
            await operator.submit()
        await until(lambda: not site.commit_loop.trouble)
        found = await numbers(site)
    assert (found["refused_connections_total", "unauthenticated"], found["refused_connections_total", "origin"]) == (
        2,
        1,
    )
    assert (found["failed_commits_total",], found["requests_total", "submit", "unavailable"]) == (1, 1)
    assert (found["outbox_overflows_total", "agent"], found["outbox_overflows_total", "operator"]) == (0, 0)


async def test_every_metric_is_told(site: Site) -> None:
    async with await site.operator() as operator:
        await operator.submit(held=True)
        with pytest.raises(Refused):
            await site.connect("/operator", Authorization="Bearer wrong")
        names = {re.sub("_(bucket|sum|count)$", "", key[0]) for key in await numbers(site)}
    assert names == {metric.name for metric in METRICS}


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
async def test_every_role_may_look(site: Site, role: str) -> None:
    secret, token = some_secret(), await site.invite(role=role, name="monitor")
    await (await site.operator(secret, Opsconsole_Invitation=token)).close()
    assert (await to_thread(get, site, secret))[0] == 200
    async with await site.operator() as admin:
        await admin.call(api.RevokePeople(names=("monitor",)))
    status, _, text = await to_thread(get, site, secret)
    assert (status, "revoked" in text) == (401, True)


async def test_nobody_else_may_look(site: Site) -> None:
    agents = some_secret()
    await (await site.agent(secret=agents)).close()
    for token in (None, "wrong", some_secret(), agents, await site.invite(role="viewer")):
        status, _, text = await to_thread(get, site, token)
        assert (status, PREFIX in text) == (401, False), text


async def test_a_strange_label_breaks_nothing(site: Site) -> None:
    site.commit_loop.counts.events['a"b\\c\nd'] = 2
    assert (await numbers(site))["events_total", r"a\"b\\c\nd"] == 2


def test_values_are_counted_by_the_bound_that_they_stay_below() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 1.5, 2.0):
        histogram.add(value)
    assert histogram.counts == [2, 1, 2]
    assert histogram.total == pytest.approx(4.15)
    lines = list(metrics._lines(METRICS[0]._replace(name="x", kind=metrics.Kind.HISTOGRAM), histogram))
    assert lines[2:5] == [
        'opsconsole_x_bucket{le="0.1"} 2',
        'opsconsole_x_bucket{le="1.0"} 3',
        'opsconsole_x_bucket{le="+Inf"} 5',
    ]
