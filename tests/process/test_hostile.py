"""Garbage, lies and floods on the coordinator's port, while a worker works: told in words, and nobody else notices."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Self

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from opsconsole_protocol import PROTOCOL_VERSION, api, codec, link
from opsconsole_protocol.api.codec import client_codec
from opsconsole_protocol.ids import ALPHABET, AttemptId, JobId, WorkerId
from opsconsole_protocol.link import LogChunk, encode_frame
from opsconsole_protocol.link.codec import agent_codec
from opsconsole_protocol.log import LogQuery, Source
from opsconsole_protocol.state import AttemptState
from tests.process.lab import Lab

WORK = 'i=0; while [ ! -e "$STOP" ]; do i=$((i+1)); echo "line $i"; sleep 0.02; done'
FOREIGN = WorkerId("worker-zzzzzzzz")
CREDENTIAL = (2 * ALPHABET)[:52]
AGENT_SIDE, CLIENT_SIDE = agent_codec(), client_codec()


@pytest.fixture
def job_id(house: Lab) -> Iterator[JobId]:
    """A job that prints a line now and then; in the end, all its lines are there and it has never been touched."""
    stop = house.folder / "stop"
    stop.unlink(missing_ok=True)
    job_id = house.give(WORK, environment={"STOP": str(stop)})
    house.wait(lambda: len(house.lines(job_id)) > 3, "the first lines")
    yield JobId(job_id)
    before = len(house.lines(job_id))
    house.wait(lambda: len(house.lines(job_id)) > before, "more lines")
    stop.touch()
    job = house.wait_state(job_id, "succeeded")
    assert len(job["tasks"][0]["attempts"]) == 1
    lines = house.lines(job_id)
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]
    assert house.worker("gpu-a")["connection"] == "connected"
    assert house.said("gpu-a").count("connected to") == 1, "the agent had to connect anew"
    assert "Traceback" not in house.said("serve"), house.said("serve")


class Intruder:
    """A raw websocket with a valid token."""

    def __init__(self, lab: Lab, path: str) -> None:
        token = (lab.data_dir / "operator.token").read_text().strip()
        sent = {"Authorization": f"Bearer {token}"}
        if path == "/agent":
            sent = {
                "Authorization": f"Bearer {CREDENTIAL}",
                "Opsconsole-Invitation": token,
                "Opsconsole-Worker": FOREIGN,
            }
        address = f"ws://127.0.0.1:{lab.port}{path}"
        self._open = ExitStack()
        self.socket: ClientConnection = self._open.enter_context(
            connect(address, additional_headers=sent, compression=None, max_size=None, close_timeout=2)
        )
        self._codec: codec.Codec[Any] = AGENT_SIDE if path == "/agent" else CLIENT_SIDE

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def say(self, *messages: msgspec.Struct) -> None:
        """A well-formed batch."""
        self.socket.send(self._codec.encode(messages))

    def say_too_much(self) -> None:
        """A frame over the limit, and wait for the answer."""
        self.socket.send(b"\x91" + b"\xc6\x01\x00\x00\x00" + b"x" * codec.BATCH_BYTES_MAX)
        self.hear()

    def hear(self) -> list[Any]:
        """The next batch."""
        return list(self._codec.decode(self.socket.recv(10, decode=False)))

    def last_words(self) -> str:
        """The error that the coordinator says before it closes."""
        heard: list[Any] = []
        try:
            while True:
                heard += self.hear()
        except ConnectionClosed:
            errors = [one for one in heard if isinstance(one, link.PeerError | api.Failure)]
            assert errors, f"closed without a word, after {heard}"
            return f"{errors[-1].code}: {errors[-1].message}"

    def until(self, text: str) -> str:
        """Wait for an error that holds a text, and doesn't close."""
        while True:
            for one in self.hear():
                if isinstance(one, link.PeerError | api.Failure) and text in one.message:
                    return one.message

    def register(self, protocol: int = PROTOCOL_VERSION, **fields: Any) -> None:
        """The first message of an agent."""
        self.say(
            link.Register(
                **{"agent_version": "1", "worker_id": FOREIGN, "name": "intruder", "run_id": "r", **fields},
                protocol=protocol,
            )
        )


def registered(lab: Lab, **fields: Any) -> Intruder:
    intruder = Intruder(lab, "/agent")
    intruder.register(**fields)
    assert isinstance(intruder.hear()[0], link.Registered)
    return intruder


@pytest.mark.parametrize("path", ["/agent", "/operator"])
def test_first_words_that_make_no_sense(house: Lab, job_id: JobId, path: str) -> None:
    texts: Sequence[bytes | str] = (
        b"", b"\x00" * 100, b"\xff\xfe garbage", "hello", b"\x91\x81\xa4type\xa4nope", b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5_000, b"\x90", bytes(range(256)) * 20,
    )  # fmt: skip
    for text in texts:
        with Intruder(house, path) as intruder:
            intruder.socket.send(text)
            assert intruder.last_words().startswith("protocol: "), text
    with Intruder(house, path) as intruder:
        with pytest.raises(ConnectionClosed) as closed:
            intruder.say_too_much()
        # What was on its way when the coordinator closed may take the reason with it.
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009, "message too big"


def test_another_protocol_version_is_named_on_both_paths(house: Lab, job_id: JobId) -> None:
    with Intruder(house, "/agent") as intruder:
        intruder.register(protocol=PROTOCOL_VERSION + 98)
        said = intruder.last_words()
        assert said.startswith("version: ")
        assert "install the same version" in said
    with Intruder(house, "/operator") as intruder:
        intruder.say(api.Hello(protocol=PROTOCOL_VERSION + 98, client="test"))
        assert intruder.last_words().startswith("version: ")


def test_messages_that_come_before_their_time(house: Lab, job_id: JobId) -> None:
    for message in (
        link.Heartbeat(at_ms=1),
        link.Report(seen=0, attempts=()),
        link.FileNotFound(check_id=1, reason=""),
    ):
        with Intruder(house, "/agent") as intruder:
            intruder.say(message)
            assert "register" in intruder.last_words()
    with Intruder(house, "/agent") as intruder:
        intruder.register(worker_id=WorkerId(house.worker("gpu-a")["id"]))
        assert "isn't the authenticated one" in intruder.last_words()
    with Intruder(house, "/operator") as intruder:
        intruder.say(api.Call(1, api.ListWorkers()))
        assert "hello" in intruder.last_words()


def test_an_agent_that_lies_about_others_work(house: Lab, job_id: JobId) -> None:
    attempt_id = AttemptId(house.job(job_id)["tasks"][0]["attempt_id"])
    lies = tuple(
        link.Observed(attempt_id=one, state=AttemptState.FAILED, exit_code=9, log_sizes={"stdout": 0})
        for one in (attempt_id, AttemptId("nonsense"), AttemptId("a.b.c.d"), AttemptId(""))
    )
    endless = link.Observed(attempt_id=AttemptId("zz.0.0.x" * 99), state=AttemptState.FAILED)
    with Intruder(house, "/agent") as intruder:
        intruder.register(observed=(*lies, endless))
        assert "attempt_id" in intruder.last_words()
    with registered(house, observed=lies) as intruder:
        intruder.say(link.Report(seen=0, attempts=lies))
        intruder.say(link.Observation(exchange=7, seen=1 << 60, attempts=lies))
        intruder.socket.send(encode_frame(LogChunk(attempt_id, Source.STDOUT, 0, 0, b"forged\n" * 1000)))
        intruder.socket.send(encode_frame(LogChunk("nonsense", Source.STDOUT, 0, 0, b"forged\n")))
        intruder.say(link.FileExists(check_id=999, path="/etc/passwd", size_bytes=-5))
        intruder.say(link.JobOutputPath(attempt_id=attempt_id, path="/etc"))
        intruder.say(link.UpdateMetadata(properties={"gpus": "many", "memory_mb": "all"}))
        intruder.register()
        intruder.until("already registered")
        intruder.say(link.UpdateMetadata(properties={"io_paths": 5}))
        assert "io_paths" in intruder.last_words()
    assert house.state(job_id) == "running"


def test_nonsense_in_the_middle_is_answered_and_the_rest_is_taken(house: Lab, job_id: JobId) -> None:
    with registered(house) as intruder:
        intruder.socket.send(b"\x91\x81\xa4type\xa4nope")
        intruder.until("wrong shape")
        intruder.say(link.Heartbeat(at_ms=1 << 62))
        intruder.until("at_ms")
        intruder.say(link.Heartbeat(at_ms=1 << 53), link.Heartbeat(at_ms=-5, usage={"no such": link.TaskUsage()}))
        acks = [one for one in intruder.hear() if isinstance(one, link.HeartbeatAck)]
        assert acks
        intruder.socket.send(b"\x01\x01\x00\x05" + b"\xff" * 40)
        assert intruder.last_words().startswith("protocol: ")


def test_wild_descriptions_of_a_worker_are_refused_or_shown(house: Lab, job_id: JobId) -> None:
    """Whatever an agent says of itself, placing jobs and showing workers goes on."""
    wild: Sequence[dict[str, Any]] = (
        {"max_concurrent_jobs": 0},
        {"max_concurrent_jobs": 10**9},
        {"name": ""},
        {"name": "x" * 5_000},
        {"tags": ("t" * 10_000,)},
        {"tags": ("",)},
        {"store_seq": -1},
        {"properties": {"io_paths": "x"}},
        {"properties": {"io_paths": {"input": 5}}},
        {"gpus": (link.Gpu(index=-1, uuid="", name=""),)},
        {"gpus": (link.Gpu(index=0, uuid="", name="", processes=(link.GpuUser(pid=-1, name=""),)),)},
    )
    for fields in wild:
        with Intruder(house, "/agent") as intruder:
            intruder.register(**fields)
            assert intruder.last_words().startswith(("protocol: ", "invalid: ")), fields
    odd: dict[str, Any] = {
        "io_paths": None,
        "cpus": "many",
        "memory_mb": None,
        "gpus": {"a": [1]},
        "": 1,
        "deep": [[[[[[{}]]]]]],
    }
    gpu = link.Gpu(index=0, uuid="", name="", memory_total_mb=-1, processes=(link.GpuUser(pid=0, name=""),))
    with registered(house, properties=odd, gpus=(gpu, gpu), tags=("=", "a=b=c")):
        needing = [
            house.give("true", resources={"gpus": 1}, worker="intruder"),
            house.give("true", resources={"cpus": 2, "memory_mb": 5}, worker="intruder"),
            house.give("true", inputs=("x.csv",), worker="intruder"),
            house.give("true", requirements=("cpus>=1",), worker="intruder"),
        ]
        house.wait(lambda: all(house.job(one)["reason"] for one in needing), "a reason for each")
        house.run("workers")
        house.act("cancel", *needing)
    house.wait(lambda: house.worker("intruder")["connection"] != "connected", "the intruder to be gone", 40)


def test_an_operator_who_asks_for_the_impossible(house: Lab, job_id: JobId) -> None:
    requests: Sequence[Any] = (
        api.ShowJob(id=""), api.ShowJob(id="%"), api.ShowJob(id="x" * 100_000), api.ShowJob(id="a/b/c"),
        api.ReadLog(id=job_id, task_index=99, query=LogQuery()), api.ReadLog(id=job_id, attempt=5, query=LogQuery()), api.ListJobs(filter="((("),
        api.ListJobs(filter="gpu_memory_mb>=lots"), api.Act(verb="explode", ids=(job_id,)),
        api.SetWorker(name="nobody", action="drain"), api.SetWorker(name="gpu-a", action="explode"),
        api.WaitJobs(ids=("zzzz",), timeout_ms=10), api.Why(id="?"), api.Invite(role="emperor", ttl_ms=1000, uses=1),
        api.SetProject(name="\0"), api.ListEvents(subject="\0", limit=1),
    )  # fmt: skip
    with Intruder(house, "/operator") as intruder:
        intruder.say(api.Hello(protocol=PROTOCOL_VERSION, client="test"))
        assert isinstance(intruder.hear()[0], api.Welcome)
        for number, request in enumerate(requests):
            intruder.say(api.Call(number, request))
        answers: dict[int, Any] = {}
        while len(answers) < len(requests):
            answers |= {one.number: one for one in intruder.hear()}
        for number, request in enumerate(requests):
            answer = answers[number]
            assert not (isinstance(answer, api.Failure) and answer.code == "internal"), request
            assert not isinstance(answer, api.Failure) or "\n" not in answer.message
    # A call of the wrong shape ends the connection with a word.
    with Intruder(house, "/operator") as intruder:
        intruder.say(api.Hello(protocol=PROTOCOL_VERSION, client="test"))
        intruder.hear()
        intruder.say(api.Hello(protocol=PROTOCOL_VERSION, client="test"))
        assert intruder.last_words().startswith("protocol: ")


def test_what_is_no_websocket_at_all(house: Lab, job_id: JobId) -> None:
    for text in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + b"\0" * 500,  # TLS to a port without it
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /agent HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"POST /operator HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nabc",
        b"A" * 100_000,
        b"\r\n" * 1000,
        b"",
    ):
        with socket.create_connection(("127.0.0.1", house.port), 10) as raw:
            raw.sendall(text)
            raw.shutdown(socket.SHUT_WR)
            raw.settimeout(10)
            try:
                while raw.recv(65536):
                    pass
            except ConnectionError:
                pass
    token = (house.data_dir / "operator.token").read_text().strip()
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer nonsense"}, 401),
        ({"Authorization": f"Basic {token}"}, 401),
        ({"Authorization": f"Bearer {token}", "Origin": "https://evil.example"}, 403),
    ):
        for path in ("/operator", "/agent"):
            with pytest.raises(InvalidStatus) as refused:
                connect(f"ws://127.0.0.1:{house.port}{path}", additional_headers=headers).__enter__()
            expected = status if path == "/operator" or "Origin" in headers else refused.value.response.status_code
            assert refused.value.response.status_code == expected
            assert 400 <= refused.value.response.status_code < 500
            assert refused.value.response.body.count(b"\n") <= 1
