"""Notices leave a real coordinator: to a real HTTP server that behaves, fails or lies, and to programs."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opsconsole_coordinator.notice import rule as core
from opsconsole_coordinator.notice.rule import Command, NoticeRule, Occasion, Webhook, signature, trial
from opsconsole_coordinator.server import notice_channel, notifier
from opsconsole_coordinator.server.notice_channel import NotDelivered, check_channel, deliver
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.state import AttemptState
from tests.coordinator.server import peer
from tests.coordinator.server.peer import Site
from tests.waiting import until

AGENT_SECRET = peer.some_secret()
SECRET = "s3cr3t-of-the-hook"
END = frozenset({Occasion.END})


class Receiver:
    """An HTTP server that gives these answers in turn, the last one for ever, and keeps what it was told."""

    def __init__(self) -> None:
        self.answers = [200]
        self.extra = ""
        self.told: list[tuple[dict[str, str], bytes, bytes]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/private?key=hidden"

    @property
    def notices(self) -> list[dict[str, object]]:
        return [json.loads(body) for _, body, _ in self.told]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        code = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        self.told.append((headers, body, head))
        if code:
            writer.write(f"HTTP/1.1 {code} X\r\n{self.extra}Content-Length: 0\r\n\r\n".encode())
            await writer.drain()
        else:
            await reader.read()  # until the other one has had enough
        writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    server = await asyncio.start_server(one.answer, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    yield one
    server.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "TRY_FIRST_MS", 20)
    monkeypatch.setattr(notifier, "GAP_S", 0.01)


def hook(receiver: Receiver, on: frozenset[Occasion] = END, tmp_path: Path | None = None) -> NoticeRule:
    secret_file = ""
    if tmp_path is not None:
        (tmp_path / "secret").write_text(SECRET + "\n")
        secret_file = str(tmp_path / "secret")
    return NoticeRule(Webhook(receiver.url, secret_file), on)


async def run_job(site: Site, **fields: object) -> api.JobRow:
    async with await site.operator() as operator, await site.agent(secret=AGENT_SECRET) as agent:
        await agent.register()
        row = await operator.submit(**fields)
        await agent.run_one()
        (ended,) = await operator.wait(row.id)
        return ended


async def events(site: Site, kind: str) -> list[str]:
    async with await site.operator() as operator:
        return [one.text for one in (await operator.call(api.ListEvents())).events if one.kind == kind]


async def test_the_end_of_a_job_is_posted_signed_and_tried_until_it_is_taken(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers = [500, 429, 200]
    async with peer.site(tmp_path / "data", notices=(hook(receiver, tmp_path=tmp_path),)) as site:
        row = await run_job(site)
        await until(lambda: len(receiver.told) == 3)
    assert len({one["id"] for one in receiver.notices}) == 1
    headers, body, _ = receiver.told[-1]
    notice = json.loads(body)
    assert (notice["job"], notice["kind"], notice["state"]) == (row.id, "end", "succeeded")
    assert notice["person"] == row.submitted_by
    assert headers["opsconsole-signature"] == signature(SECRET.encode(), headers["opsconsole-timestamp"], body)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    for secret in (SECRET, "hook/private", "key=hidden"):
        assert secret not in caplog.text
        assert secret.encode() not in stored


async def test_no_text_of_a_notice_gets_into_the_head_of_a_request(receiver: Receiver) -> None:
    evil = core.Notice(
        id="id-1", kind="end", at_ms=1, coordinator="a\r\nX-Evil: 1", name="\r\n\r\nGET /", reason="\0\x1b]"
    )
    await deliver(hook(receiver).channel, evil)
    ((_, body, head),) = receiver.told
    assert b"evil" not in head.lower()
    assert json.loads(body)["name"] == evil.name


async def test_what_a_stopped_coordinator_could_not_deliver_the_next_one_delivers_once(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answers = [503]
    async with peer.site(tmp_path / "data", notices=(hook(receiver),)) as site:
        await run_job(site)
        await until(lambda: receiver.told)
    before = len(receiver.told)
    receiver.answers = [200]
    async with peer.site(tmp_path / "data", notices=(hook(receiver),)) as site:
        await until(lambda: len(receiver.told) > before)
        row = await run_job(site)
        await until(lambda: receiver.notices[-1]["job"] == row.id)
    assert len(receiver.told) == before + 2
    assert receiver.notices[before]["id"] == receiver.notices[0]["id"]


async def test_what_was_committed_and_not_looked_at_before_the_end_is_told_after_it(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as deaf:
        deaf.setattr(notifier.Notifier, "publish", lambda *_: None)
        async with peer.site(tmp_path / "data", notices=(hook(receiver),)) as site:
            await until(lambda: site.coordinator._notifier is not None)
            row = await run_job(site)
    assert not receiver.told
    async with peer.site(tmp_path / "data", notices=(hook(receiver),)) as site:
        await until(lambda: receiver.told)
    assert [one["job"] for one in receiver.notices] == [row.id]


@pytest.mark.parametrize(("code", "extra"), [(400, ""), (404, ""), (302, "Location: /elsewhere\r\n")])
async def test_a_refusal_is_not_tried_again_and_is_an_event(
    tmp_path: Path, receiver: Receiver, code: int, extra: str
) -> None:
    receiver.answers, receiver.extra = [code, 200], extra
    async with peer.site(tmp_path / "data", notices=(hook(receiver),)) as site:
        await run_job(site)
        second = await run_job(site)
        await until(lambda: len(receiver.told) >= 2 and site.commit_loop.counts.events["notice"])
        (text,) = await events(site, "notice")
    assert [one["job"] for one in receiver.notices][1:] == [second.id]
    assert f"the webhook at 127.0.0.1: it answers {code}" in text


async def test_after_a_day_it_is_given_up_with_an_event(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answers = [500]
    async with peer.site(tmp_path / "data", notices=(hook(receiver),)) as site:
        await run_job(site)
        await until(lambda: len(receiver.told) >= 2)
        clock = site.commit_loop.clock
        now_ms = clock.now_ms
        monkeypatch.setattr(clock, "now_ms", lambda: now_ms() + core.GIVE_UP_AFTER_MS + 1)
        await until(lambda: site.commit_loop.counts.events["notice"])
        (text,) = await events(site, "notice")
    assert "for a day: it answers 500" in text


async def test_a_receiver_that_hangs_holds_up_neither_jobs_nor_other_rules_nor_the_end(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "STOP_S", 0.05)
    receiver.answers = [0]
    out = tmp_path / "out"
    command = NoticeRule(Command(("/bin/sh", "-c", f"cat > {out}.new && mv {out}.new {out}")), END)
    async with peer.site(tmp_path / "data", notices=(hook(receiver), command)) as site:
        row = await run_job(site)
        await until(out.exists)
        await until(lambda: receiver.told)
    assert json.loads(out.read_text())["job"] == row.id


async def test_a_failure_is_told_and_a_success_is_not(tmp_path: Path, receiver: Receiver) -> None:
    rule = hook(receiver, frozenset({Occasion.FAILURE}))
    async with peer.site(tmp_path / "data", notices=(rule,)) as site:
        await run_job(site)
        async with await site.operator() as operator, await site.agent(secret=AGENT_SECRET) as agent:
            await agent.register()
            row = await operator.submit()
            attempt = await agent.assigned()
            await agent.report(attempt, AttemptState.RUNNING, started_at_ms=1)
            await agent.report(attempt, AttemptState.FAILED, started_at_ms=1, finished_at_ms=2, exit_code=3)
            await operator.wait(row.id)
        await until(lambda: receiver.told)
    assert [(one["job"], one["kind"]) for one in receiver.notices] == [(row.id, "failure")]


async def test_a_long_wait_is_told(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "LOOK_EVERY_S", 0.02)
    rule = NoticeRule(Webhook(receiver.url), frozenset({Occasion.WAIT}), wait_ms=100)
    async with peer.site(tmp_path / "data", notices=(rule,)) as site, await site.operator() as operator:
        row = await operator.submit()
        other = await operator.submit()
        await until(lambda: len(receiver.told) >= 2)
    assert sorted(str(one["job"]) for one in receiver.notices) == sorted([row.id, other.id])


async def test_a_rule_about_nobody_is_told_at_the_start(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    hook = Webhook(receiver.url)
    rules = [
        NoticeRule(hook, frozenset({Occasion.END}), person="anna"),
        NoticeRule(hook, frozenset({Occasion.END}), project="defualt", wait_ms=None),
        NoticeRule(hook, frozenset({Occasion.END}), project="vision"),
    ]
    async with peer.site(tmp_path / "data") as site, await site.operator() as operator:
        await site.invite(role="operator", name="ana")
        await operator.submit(project="vision", held=True)
        await operator.submit(held=True)
    said = "tells of nothing yet: there is "
    async with peer.site(tmp_path / "data", notices=tuple(rules)) as site, await site.operator() as operator:
        await until(lambda: caplog.text.count(said) == 2)
        await site.commit_loop.committed()
        events = (await operator.call(api.ListEvents(limit=50))).events
    texts = [one.text.partition(said)[2] for one in events if one.kind == EventKind.NOTICE]
    assert sorted(text.partition("?")[0] for text in texts) == [
        "no project defualt: did you mean default", "nobody called anna: did you mean ana",
    ]  # fmt: skip


async def test_a_wait_counts_from_when_the_job_was_let_go(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held, released, held and released again: told once, for its last wait. One that stays held is never told of."""
    monkeypatch.setattr(notifier, "LOOK_EVERY_S", 0.02)
    rule = NoticeRule(Webhook(receiver.url), frozenset({Occasion.WAIT}), wait_ms=300)
    async with peer.site(tmp_path / "data", notices=(rule,)) as site, await site.operator() as operator:
        before = await operator.submit(held=True)
        await operator.submit(held=True)
        free = await operator.submit()
        await until(lambda: len(receiver.told) >= 1)  # the others have been there for as long
        for verb in ("release", "hold", "release"):
            await operator.call(api.Act(verb=verb, ids=(before.id,)))
        await until(lambda: len(receiver.told) >= 2)
        last = await operator.submit()
        await until(lambda: len(receiver.told) >= 3)
    assert [one["job"] for one in receiver.notices] == [free.id, before.id, last.id]


async def test_a_wait_counts_from_when_what_it_waited_for_had_ended(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits for another job isn't told of, however long; once that has ended, it is told of in its own time."""
    monkeypatch.setattr(notifier, "LOOK_EVERY_S", 0.02)
    rule = NoticeRule(Webhook(receiver.url), frozenset({Occasion.WAIT}), wait_ms=300)
    async with peer.site(tmp_path / "data", notices=(rule,)) as site, await site.operator() as operator:
        first = await operator.submit(held=True)
        after = await operator.submit(after_any=(first.id,))
        free = await operator.submit()
        await until(lambda: len(receiver.told) >= 1)  # `after` has been there for as long
        await operator.call(api.Act(verb="cancel", ids=(first.id,)))
        await until(lambda: len(receiver.told) >= 2)
        row = (await operator.call(api.ShowJob(id=after.id))).detail.job
    assert [one["job"] for one in receiver.notices] == [free.id, after.id]
    assert row.waiting_since_ms is not None
    assert row.waiting_since_ms >= row.created_at_ms + 300


async def test_a_command_gets_variables_and_no_secret_and_says_why_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    script = "import os; print({k: v for k, v in os.environ.items() if 'SECRET' in k or 'NOTICE_K' in k}, 'x' * 10**6); raise SystemExit(3)"
    channel = Command((sys.executable, "-c", script), frozenset({"HOOK_SECRET"}))
    with pytest.raises(NotDelivered, match="exit code 3"):
        await deliver(channel, trial("lab", "1", 1))
    assert "{'OPSCONSOLE_NOTICE_KIND': 'test'}" in caplog.text
    assert SECRET not in caplog.text
    assert len(caplog.text) < 2 * notice_channel.OUTPUT_BYTES


async def test_a_command_that_hangs_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notice_channel, "COMMAND_S", 0.5)
    pid = tmp_path / "pid"
    with pytest.raises(NotDelivered, match="was killed"):
        await deliver(Command(("/bin/sh", "-c", f"sleep 1000 & echo $! > {pid}")), trial("lab", "1", 1))
    child = Path("/proc") / pid.read_text().strip() / "stat"
    await until(lambda: not child.exists() or child.read_text().split()[2] == "Z")


@pytest.mark.parametrize(
    "url",
    ["ftp://h/x", "http://", "https://ana:pw@h/", "http://h/a b", "http://h:x/", "http://h/\r\nX: 1", "http://[h/"],
)
def test_a_url_that_cannot_be_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_channel(Webhook(url))
    assert url not in caught.value.message
    assert "pw" not in caught.value.message


async def test_a_secret_that_is_not_there_is_said_and_nothing_is_sent(receiver: Receiver, tmp_path: Path) -> None:
    with pytest.raises(NotDelivered, match="secret_file can't be read: No such file"):
        await deliver(Webhook(receiver.url, str(tmp_path / "none")), trial("lab", "1", 1))
    assert not receiver.told


async def test_what_rules_that_are_gone_left_is_not_delivered(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers = [503]
    async with peer.site(tmp_path / "data", notices=(hook(receiver),)) as site:
        await run_job(site)
        await until(lambda: receiver.told)
    before = len(receiver.told)
    receiver.answers = [200]
    other = hook(receiver, frozenset({Occasion.END, Occasion.FAILURE}))
    async with peer.site(tmp_path / "data", notices=(other,)) as site:
        row = await run_job(site)
        await until(lambda: len(receiver.told) > before)
    assert [one["job"] for one in receiver.notices[before:]] == [row.id]


async def test_a_host_that_cannot_be_is_one_line() -> None:
    with pytest.raises(NotDelivered, match="can't be reached"):
        await deliver(Webhook("http://a..b/"), trial("lab", "1", 1))


async def test_names_that_a_resolver_never_answers_for_hold_up_no_other_rule(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than threads that all share."""
    real, go_on, asked = socket.getaddrinfo, threading.Event(), list[str]()

    def resolve(host: str, *rest: object, **named: object) -> object:
        if host.endswith(".lab"):
            asked.append(host)
            go_on.wait()
            raise OSError(0, "no answer")
        return real(host, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    many = 2 * min(32, (os.cpu_count() or 1) + 4)
    channels = [Webhook(f"http://hooks-{index}.lab/") for index in range(many)]
    hanging = [asyncio.create_task(deliver(channel, trial("lab", "1", 1))) for channel in channels]
    try:
        await until(lambda: len(asked) >= min(32, (os.cpu_count() or 1) + 4))
        await deliver(hook(receiver, tmp_path=tmp_path).channel, trial("lab", "1", 1))
        assert len(receiver.told) == 1
        await until(lambda: len(asked) == many)
    finally:
        go_on.set()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_receiver_that_only_ever_says_go_on_is_hung_up_on() -> None:
    closed = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
                await writer.drain()
        closed.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(NotDelivered, match="no status within 65536 bytes"):
        await deliver(Webhook(f"http://127.0.0.1:{port}/"), trial("lab", "1", 1))
    await closed.wait()
    server.close()
