"""Every decoder of the product: how to feed it bytes, the errors that it may answer with, and samples that it takes.

`tests/quality/test_fuzz.py` sees to it that a module which decodes anything is named here, or says why not.
"""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
from textual.color import ColorParseError

from opsconsole import endpoint, result, saved_coordinator, sweep, sweep_file, template_file
from opsconsole.transfer import history, line_file, results_here
from opsconsole.transfer.pending import PendingFetch
from opsconsole_agent.dataset import arrow, delimited, json_rows, recognition, text
from opsconsole_agent.dataset import folder as folder_of
from opsconsole_agent.dataset.source import Refused
from opsconsole_agent.engine import setup_cache, setup_key
from opsconsole_agent.failure import explanation
from opsconsole_agent.failure.last_lines import Printed, Tail
from opsconsole_agent.keeper import command, event_line, journal
from opsconsole_agent.keeper.attempt import Attempt
from opsconsole_agent.keeper.refusal import Refusal
from opsconsole_agent.keeper_client import keeper_connection, message
from opsconsole_agent.recognise import line as recognised_line
from opsconsole_agent.recognise import output as recognised_output
from opsconsole_agent.recognise.stream import Stream
from opsconsole_agent.report import verb as report_verb
from opsconsole_agent.state import credential, membership, state_folder
from opsconsole_console import theme
from opsconsole_console.boot import config
from opsconsole_console.cli import pipeline_file
from opsconsole_console.cli.template import read_parameter
from opsconsole_console.model import file_image, file_kind, file_table, file_tree
from opsconsole_console.service import console_state
from opsconsole_console.widget import ansi, palette
from opsconsole_coordinator.core import registration, terms
from opsconsole_coordinator.log.log_file import LogFile
from opsconsole_coordinator.log.record import read_file_head
from opsconsole_coordinator.report import block, series
from opsconsole_coordinator.store import job_sort, query, waiting
from opsconsole_coordinator.store.schema import StoreError
from opsconsole_coordinator.transfer import message as transfer_message
from opsconsole_coordinator.trust import token_file
from opsconsole_protocol import codec, ids, mount, quantity, requirement
from opsconsole_protocol.api import codec as api_codec
from opsconsole_protocol.api import job_filter, template
from opsconsole_protocol.api.codec import client_codec, read_calls, server_codec
from opsconsole_protocol.content import frame as content_frame
from opsconsole_protocol.content import glob as content_glob
from opsconsole_protocol.content import manifest
from opsconsole_protocol.content.digest import chunk_digest
from opsconsole_protocol.dataset import BrokenDataset
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError, ProtocolError, VersionMismatch
from opsconsole_protocol.host import private_file
from opsconsole_protocol.host.content import hash_cache, pin, record
from opsconsole_protocol.ids import ContentId, JobId
from opsconsole_protocol.link import decode_frame, log_chunk
from opsconsole_protocol.link.codec import agent_codec, coordinator_codec
from opsconsole_protocol.report import line
from opsconsole_protocol.session import frame as session_frame
from opsconsole_protocol.stream import channel_flow, session_description, signal, upgrade
from opsconsole_protocol.stream.message import Way
from opsconsole_protocol.trust import address, invitation
from tests.agent.dataset import dataset_lab

GOLDEN = Path(__file__).resolve().parent.parent / "protocol" / "golden"
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = Path(config.__file__).with_name("config.example.toml")


@dataclass(frozen=True)
class Decoder:
    """One decoder. `refusals`: what it may raise. `module`: the file it is in."""

    name: str
    module: str
    feed: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    samples: tuple[bytes, ...]


# --- words and lines ---------------------------------------------------------------------------------------------


def _read_points(text: str) -> None:
    sweep_file.read_points(text.encode(errors="surrogateescape"), is_json=text.startswith("{"))


def _text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: read(data.decode(errors="surrogateescape"))


def _words() -> Iterator[Decoder]:
    secret = "0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk"
    line = f"wss://lab:7373#{'0' * 64}.0123abcd.{secret}".encode()
    refused = (InvalidRequest, OpsconsoleError)
    for name, module, read, samples in (
        ("join line", invitation, invitation.parse_join_line, (line, b"ws://127.0.0.1:7373#-.0123abcd.x")),
        ("url", invitation, invitation.parse_url, (line, b"lab:7373", b"wss://[::1]:7373#" + b"0" * 64)),
        ("token", invitation, invitation.split_token, (b"0123abcd." + secret.encode(),)),
        ("address", address, address.normal_url, (b"lab", b"ws://[2001:db8::1]:80", b"https://a.b:65536/x")),
        ("loopback", address, address.is_loopback, (b"127.0.0.1", b"::1", b"localhost", b"::ffff:127.0.0.1")),
        (
            "requirements",
            requirement,
            requirement.parse,
            (b"gpu_memory_mb>=20000 zone=a, !b", b"status in a,b or x~y"),
        ),
        (
            "job filter",
            job_filter,
            job_filter.parse,
            (b"created>1d user=ana !sweep lr", b"state in a,b finished<2026-01-31", b"name~(a+)+$"),
        ),
        ("duration", quantity, quantity.duration_ms, (b"1h30m", b"500ms", b"1.5d", b"9" * 400)),
        ("size", quantity, quantity.size_mb, (b"1.5T", b"8G", b"512M", b"9" * 400 + b"G")),
        ("job id", ids, ids.check_job_id, (b"7k3m9q2w4t",)),
        ("task id", ids, ids.split_task_id, (b"7k3m9q2w4t/task-3", b"7k/task-99999999999999999999")),
        ("sweep", sweep, sweep.read_line, (b"lr=0.1,0.01 x=loguniform(1e-5,1) --samples 3 --zip a=1,2 --repeat 2",)),
        ("sweep file", sweep_file, _read_points, (b"lr,seed\n0.1,2\n", b'{"lr": 1e-3}\n{"lr": 1}\n')),
        ("cursor", job_sort, _cursor, (b'[[1,0.0,"a"],5,"7k3m9q2w4t"]', b'[[0,-1e308,""],0,""]')),
        ("parameter", template, read_parameter, (b"lr:float=0.1", b"opt:adam|sgd=adam", b"n:int=" + b"9" * 5_000)),
    ):
        yield Decoder(name, module.__name__, _text(read), refused, samples)
    yield Decoder(
        "colour",
        palette.__name__,
        _text(palette.parse_color),
        (ColorParseError,),
        (b"#00ff00", b"auto 60%", b"rgb(1,2,3)"),
    )
    yield Decoder(
        "a terminal's bytes",
        ansi.__name__,
        _text(_paint),
        (),
        (b"\x1b[31mred\x1b[0m", b"\x1b]8;;http://a\x07x\x1b[", b"a\rb\tc"),
    )


def _paint(text: str) -> None:
    """One line, as a log pane shows it."""
    ansi.paint(text)
    ansi.plain(text)


def _datasets() -> Iterator[Decoder]:
    """What the agent's child reads of other people's datasets."""
    sound = {
        "csv": (dataset_lab.CSV, b'a;b\n"1\n2";2\n'),
        "jsonl": (dataset_lab.JSON_LINES, b'{"a":[1,{"b":null}]}\n{"a":[]}\n'),
        "json": (dataset_lab.JSON, b'[{"a":1.5},\n{"a":2}]'),
        "parquet": (dataset_lab.parquet_bytes(),),
        "arrow": (dataset_lab.arrow_bytes(stream=True), dataset_lab.arrow_bytes()),
        "": (dataset_lab.CSV, dataset_lab.JSON),
    }
    packed = tuple(pack(dataset_lab.CSV) for pack in dataset_lab.COMPRESS.values())
    readers = {
        "csv": delimited,
        "json": json_rows,
        "parquet": arrow,
        "arrow": arrow,
        "": recognition,
        "jsonl": json_rows,
    }
    for suffix, samples in {**sound, "packed": packed}.items():
        module = readers.get(suffix, text)
        read = _file(dataset_lab.described, f"a.{suffix}" if suffix != "packed" else "a.csv")
        yield Decoder(f"a dataset, {suffix or 'unnamed'}", module.__name__, read, (BrokenDataset, Refused), samples)
    states = (b'{"_data_files":[{"filename":"a"}]}', b"{}")
    yield Decoder("a saved dataset's state", folder_of.__name__, _saved, (BrokenDataset,), states)


def _saved(data: bytes) -> None:
    with folder() as here:
        files = dataset_lab.saved()
        dataset_lab.write(here, {**files, "a": files["data-00000-of-00001.arrow"], "state.json": data})
        dataset_lab.described(here)


def _views() -> Iterator[Decoder]:
    """What the console shows of other people's files."""
    samples = (b'name,x\n"a, b",1\n', b'{"a": [1, {"b": null}]}\n{"a": 2}\n', b"a\tb\n1\t2\n", b"\xff\xfea\0,\0b\0")
    for name, module, read in (
        ("a table of CSV", file_table, lambda data: file_table.read_delimited(file_kind.decode(data), complete=False)),
        ("a table of JSON lines", file_table, lambda data: file_table.read_json_lines(file_kind.decode(data))),
        ("a tree of JSON", file_tree, lambda data: file_tree.json_lines(file_kind.decode(data))),
        ("a kind of file", file_kind, lambda data: file_kind.kind_of("a.csv", data)),
    ):
        yield Decoder(name, module.__name__, read, (), samples)
    heads = (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\2\x80\0\0\1\xe0",
        b"\xff\xd8\xff\xc0\0\x11\x08\1\xe0\2\x80",
        b"GIF89a\x80\2\xe0\1",
    )
    yield Decoder("an image's head", file_image.__name__, file_image.image_facts, (), heads)


# --- the wire ----------------------------------------------------------------------------------------------------


def _wires() -> Iterator[Decoder]:
    sides: dict[str, codec.Codec[Any]] = {
        "agent": coordinator_codec(), "coordinator": agent_codec(), "client": server_codec(),
        "server": client_codec(),
    }  # fmt: skip
    for side, decoder in sides.items():
        samples = tuple(path.read_bytes() for path in sorted(GOLDEN.glob(f"{side}_*.msgpack")))
        yield Decoder(f"messages of the {side}", codec.__name__, decoder.decode, (ProtocolError,), samples)
    calls = tuple(path.read_bytes() for path in sorted(GOLDEN.glob("client_call_*.msgpack")))
    yield Decoder("calls out of their limits", api_codec.__name__, read_calls, (ProtocolError,), calls)
    yield Decoder(
        "a worker's properties",
        registration.__name__,
        _properties,
        (ProtocolError,),
        (b"\x81\xa5input\xa3/in", b"\x80"),
    )
    listed = msgspec.msgpack.encode([{"label": "lab", "path": "/mnt/lab", "aliases": ["/Volumes/lab"]}])
    yield Decoder("a worker's mounts", mount.__name__, _mounts, (), (listed, b"\x80"))
    frames = tuple(path.read_bytes() for path in sorted(GOLDEN.glob("log_*.bin")))
    orders = (transfer_message.Pin(holder="job.1", content_ids=()), transfer_message.Connection(number=1))
    yield Decoder(
        "orders to the transfer process", transfer_message.__name__, transfer_message.decode_from_coordinator,
        (ProtocolError,), tuple(map(transfer_message.encode, orders)),
    )  # fmt: skip
    told = (
        transfer_message.Kept(added=(ContentId("5f" * 32),)),
        transfer_message.Closed(number=1),
        transfer_message.Ready(),
    )
    yield Decoder(
        "what the transfer process tells", transfer_message.__name__, transfer_message.decode_from_process,
        (ProtocolError,), tuple(map(transfer_message.encode, told)),
    )  # fmt: skip
    yield Decoder("log frame", log_chunk.__name__, decode_frame, (ProtocolError,), frames)
    yield from _streams()


def _streams() -> Iterator[Decoder]:
    where = signal.Listening(addresses=("10.0.0.1", "2001:db8::1"), port=4000, certificate_hash="ab" * 32)
    said: tuple[signal.AnySignal, ...] = (
        signal.Hello(place="ab" * 32, engines=("wrtc", "aiortc"), life="5c1e"), signal.Listen(), where, signal.DialBack(listening=where),
        signal.RelayNow(), signal.RtcOffer(sdp="v=0"), signal.RtcAnswer(sdp="v=0"),
        signal.Failed(way=Way.DIRECT, reason="no route"),
    )  # fmt: skip
    signals = tuple(map(signal.encode, said))
    yield Decoder("signal of a stream", signal.__name__, signal.decode, (ProtocolError,), signals)
    request = upgrade.format_request("s1", "ab" * 32, "lab")
    yield Decoder("request for a stream", upgrade.__name__, upgrade.parse_request, (ProtocolError,), (request,))
    answers = (upgrade.format_acceptance("ab" * 32) + b"first", upgrade.format_refusal(upgrade.TOO_MANY, "it is full"))
    yield Decoder("answer to that", upgrade.__name__, upgrade.parse_answer, (ProtocolError,), answers)
    described = (
        b"v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=fingerprint:sha-256 AB\r\n"
        b"a=candidate:1 1 udp 2130706431 192.0.2.1 40000 typ host\r\n"
    )
    check = _text(session_description.check_description)
    yield Decoder("description", session_description.__name__, check, (ProtocolError,), (described,))
    messages = (b"\x00abc", channel_flow.END_MESSAGE, channel_flow.DONE_MESSAGE, b"\x01" + bytes(8))
    yield Decoder(
        "message of a channel", channel_flow.__name__, lambda data: channel_flow.ChannelFlow().receive(data),
        (ProtocolError,), messages,
    )  # fmt: skip


def _properties(data: bytes) -> None:
    """The one of the free-form properties that is looked into."""
    try:
        value = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
        return  # the codec refuses it
    registration.checked_properties({"io_paths": value})


def _mounts(data: bytes) -> None:
    try:
        value = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
        return  # the codec refuses it
    for found in mount.mounts_of({"io_paths": value, "mounts": value}):
        mount.place_input([found], f"{found.label}:a")


# --- the keeper --------------------------------------------------------------------------------------------------


def _keeper_lines() -> tuple[bytes, ...]:
    one = Attempt("a.0.0.zzzz", 10, 20, 30, child=True)
    one.ended_at_ms = 40
    hello = {"kind": "hello", "version": "1.0", "pid": 1, "boot_id": "b", "started_ms": 1, "live": [], "exits": []}
    lines = [json.dumps(hello), event_line.started(one), event_line.frozen(one, 5), event_line.exited(one)]
    lines += ['{"kind":"reply","re":1,"pids":{"a":[1]}}', '{"kind":"error","re":null,"code":"x","text":"y"}']
    return tuple(line.encode() for line in lines)


def _keeper() -> Iterator[Decoder]:
    lines = _keeper_lines()
    start = {
        "kind": "start", "n": 1, "attempt_id": "a.0.0.b", "argv": ["true"], "env": {"A": "b"}, "cwd": "/", "stdout": "/o",
        "stderr": "/e",
    }  # fmt: skip
    commands = (
        json.dumps(start).encode(),
        b'{"kind":"signal","attempt_id":"a","action":"term"}',
        b'{"kind":"forget","attempt_ids":["a"]}',
    )
    printed = (
        b'Traceback (most recent call last):\n  File "t.py", line 3, in <module>\n    main()\nValueError: bad\n',
        b"terminate called after throwing an instance of 'std::runtime_error'\n  what():  no\n",
        b"[rank0]: Traceback (most recent call last):\n\x1b[31mbash: line 3: foo: command not found\n",
    )
    yield Decoder("what a failed task printed", explanation.__name__, _explain, (), printed)
    yield Decoder("keeper's line", message.__name__, message.decode, (msgspec.DecodeError,), lines)
    yield Decoder(
        "keeper's version", message.__name__, message.check_version, (msgspec.DecodeError, VersionMismatch), lines
    )
    yield Decoder("keeper's bytes", keeper_connection.__name__, _receive, (), (b"\n".join(lines) + b"\n",))
    yield Decoder("keeper's command", command.__name__, _command, (Refusal,), commands)
    log = b"".join(
        line + b"\n"
        for line in (
            b'{"kind":"keeper","boot_id":"b"}',
            *lines[1:],
            b'{"kind":"forgotten","attempt_ids":["a.0.0.zzzz"]}',
        )
    )
    yield Decoder("keeper's exit log", journal.__name__, _history, (), (log,))


def _explain(data: bytes) -> None:
    for status in (1, 127, 134):
        explanation.explain(Printed(stderr=Tail(data), secrets={"TOKEN": "abc"}), status)


def _receive(data: bytes) -> None:
    async def receive() -> None:
        connection = keeper_connection.KeeperConnection(lambda _: None)
        connection.data_received(data)
        connection.data_received(data + b"\n")

    asyncio.run(receive())


def _command(line: bytes) -> None:
    """All that the keeper does with a line before it acts."""
    fields = command.parse(line)
    command.request_number(fields)
    for look in (command.launch_of, command.action_of, command.attempt_ids_of, command.attempt_id_of):
        with contextlib.suppress(Refusal):
            look(fields)


def _history(data: bytes) -> None:
    with folder() as here:
        (here / "exit.log").write_bytes(data)
        log = journal.Journal(str(here))
        log.open()
        log.close()


# --- files -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder in memory, where there is such a place."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def _cursor(text: str) -> object:
    return job_sort.JobSort("name", ascending=True, limit=1, cursor=text, now_ms=5)


def _file(read: Callable[[Path], object], name: str = "file") -> Callable[[bytes], object]:
    def feed(data: bytes) -> None:
        with folder() as here:
            path = here / name
            path.write_bytes(data)
            path.chmod(0o600)
            read(path)

    return feed


def _intents(path: Path) -> None:
    kept = state_folder.StateFolder(path.parent)
    kept.folder(ids.AttemptId("a"))
    kept.make(ids.AttemptId("a"))
    path.rename(Path(kept.folder(ids.AttemptId("a"))) / "spec.json")
    kept.load()


def _mark(path: Path) -> None:
    kept = state_folder.StateFolder(path.parent)
    kept.load_store_mark()
    kept.same_boot("b")


def _log_file(path: Path) -> None:
    log = LogFile(path, "a")
    log.snapshot()
    log.append([(0, 1, b"more\n")])
    log.snapshot()
    log.close()


def _log_head(path: Path) -> None:
    with path.open("rb") as file:
        read_file_head(file.fileno())


def _log_sample() -> bytes:
    with folder() as here:
        log = LogFile(here / "log", "a")
        log.append([(0, 1, b"first\nsec"), (1, 2, b"oops\n"), (0, 3, b"ond\n")])
        log.close()
        return (here / "log").read_bytes()


def _files() -> Iterator[Decoder]:
    secret = "0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk"
    intent = b'{"version":1,"intent":{"attempt_id":"a","launch":null,"released":true}}'
    identity = json.dumps({"worker_id": "worker-0abc1234", "secret": secret}).encode()
    where = b'{"url":"ws://127.0.0.1:1","certificate_hash":null,"pid":1,"store_id":"s","name":"n"}'
    themes = tuple(path.read_bytes() for path in sorted(theme.shipped_folder().glob("*.toml")))
    log = _log_sample()
    refused = (OpsconsoleError,)
    moved = b'{"id":"0a","kind":"put","phase":"done","title":"a to b","way":"relay","bytes_done":3}'
    yield Decoder(
        "result of a function",
        result.__name__,
        lambda data: result.parse("abc/task-0", data),
        (ProtocolError,),
        (b'{"value": [1, null], "attempt": "1"}', b'{"error": {"type": "E", "message": "m", "traceback": "t"}}'),
    )
    yield Decoder(
        "history of transfers",
        history.__name__,
        lambda data: history.parse(data, 9),
        (),
        (moved, moved + b"\n{\n" + moved),
    )
    brought = b'["L2hvbWUvYS9tb2RlbHMvYQ==",3,1]'
    fetch = msgspec.json.encode(PendingFetch(store_id="s", job_id=JobId("j"), pattern="m", folder=b"/o"))
    yield Decoder(
        "records in lines",
        line_file.__name__,
        lambda data: list(line_file.records(data.splitlines(), PendingFetch)),
        (),
        (fetch, fetch + b"\n[\n" + fetch),
    )
    yield Decoder(
        "results here", results_here.__name__, results_here.parse, (), (brought, brought + b"\n[\n" + brought)
    )
    yield Decoder("private file", private_file.__name__, _file(private_file.read_private), refused, (b"a\n",))
    yield Decoder("intent", state_folder.__name__, _file(_intents), (), (intent,))
    yield Decoder(
        "store mark", state_folder.__name__, _file(_mark, "store.json"), (), (b'{"store_id":"s","store_seq":9}',)
    )
    made = msgspec.json.encode(setup_cache.SetupRecord(key="k", line="uv sync", content_id="ab" * 32, has_bundle=True))
    yield Decoder("record of a setup", setup_cache.__name__, setup_cache.read_record, (ValueError,), (made,))
    origin = b'{"url": "file:///work/a%20b", "dir_info": {"editable": true}}'
    yield Decoder("origin of a package", setup_key.__name__, _origin, (), (origin, b'{"url": "file://[/x"}'))
    yield Decoder("boot", state_folder.__name__, _file(_mark, "boot"), (), (b"b",))
    yield Decoder(
        "identity", credential.__name__, _file(lambda path: credential._parse(path, private_file.read_private(path) or "")), refused, (identity,)
    )  # fmt: skip
    yield Decoder("endpoint", endpoint.__name__, _file(endpoint.read_endpoint), refused, (where,))
    yield Decoder(
        "saved coordinator",
        saved_coordinator.__name__,
        _file(saved_coordinator._read),
        refused,
        (b'{"url":"ws://a:1","certificate_hash":null,"invitation_id":"a","secret":"b"}',),
    )
    yield Decoder(
        "default coordinator",
        saved_coordinator.__name__,
        _file(saved_coordinator._read_default),
        refused,
        (b'{"name":"lab","chosen":true}',),
    )
    yield Decoder(
        "membership",
        membership.__name__,
        _file(lambda path: membership.load_membership(path.parent), membership.MEMBERSHIP_FILE),
        refused,
        (b'{"url":"wss://lab:7373","certificate_hash":null,"invitation":null}',),
    )
    yield Decoder(
        "operator's token",
        token_file.__name__,
        _file(lambda path: token_file.read_token(path.parent), "operator.token"),
        refused,
        (secret.encode(),),
    )
    yield Decoder(
        "what the console remembers",
        console_state.__name__,
        _file(console_state.StateFile),
        (),
        (b'{"pane":2,"logs":[{"job_id":"a","name":"b"}],"seen":{"to_ms":5,"jobs":{"a":7}},"jobs":{"filter":"x=1"}}',),
    )
    yield Decoder("log file", LogFile.__module__, _file(_log_file), (OSError,), (log,))
    yield Decoder("log file's head", read_file_head.__module__, _file(_log_head), (), (log,))
    yield Decoder(
        "config file",
        config.__name__,
        _text(config.parse_config),
        refused,
        (EXAMPLE.read_bytes(), b'[worker.io]\ninput_path = "/a"'),
    )
    pipeline = (ROOT / "examples" / "pipeline" / "pipeline.toml").read_bytes()
    yield Decoder(
        "pipeline file", pipeline_file.__name__, _file(pipeline_file.read_pipeline, "pipeline.toml"), refused, (pipeline,)
    )  # fmt: skip
    page = (ROOT / "docs" / "templates.md").read_text()
    described = page.partition("```toml\n")[2].partition("```")[0].encode()
    yield Decoder(
        "template file", template_file.__name__, _file(template_file.read_template, "train.toml"), refused, (described,)
    )  # fmt: skip
    yield Decoder("theme", theme.__name__, _file(theme.load_theme, "a.toml"), refused, themes)


# --- trees of files ----------------------------------------------------------------------------------------------


def _tree() -> manifest.Manifest:
    kinds = manifest.EntryKind
    return manifest.Manifest.make(
        [
            manifest.Entry(b"a/b", kinds.FILE, 0o644, 3, chunk_digest(b"abc")),
            manifest.Entry(b"a/c", kinds.SYMLINK, 0o777, target=b"../a/b"),
            manifest.Entry(b"empty", kinds.FILE, 0o600, 0, manifest.EMPTY_DIGEST),
        ]
    )


def _frames(data: bytes) -> None:
    """A reader takes whatever pieces come, and each body is read as what it says it is."""
    reader = content_frame.FrameReader()
    while data:
        room = reader.room()
        piece = data[: len(room)]
        room[: len(piece)] = piece
        data = data[len(piece) :]
        arrived = reader.filled(len(piece))
        if arrived is None:
            continue
        match arrived.kind:
            case content_frame.FrameKind.OFFER:
                content_frame.read_offer(arrived.body)
            case content_frame.FrameKind.CHUNK | content_frame.FrameKind.BATCH:
                content_frame.read_place(arrived.body)
            case content_frame.FrameKind.FAIL:
                content_frame.read_failure(arrived.body)
            case content_frame.FrameKind.LEAVES:
                content_frame.check_leaves(arrived.body)
            case _:
                content_frame.read_bits(arrived.body, 8 * len(arrived.body))


def _record_sample() -> bytes:
    with folder() as here:
        looks = [record.Look(1, 2, 3, 4)] * len(_tree().entries)
        record.write_record(here / "record", record.make_record(_tree(), looks))
        return (here / "record").read_bytes()


def _record(path: Path) -> None:
    record.read_head(path)
    record.read_record(path)


def _cache(path: Path) -> None:
    cache = hash_cache.HashCache(path)
    cache.leaves(hash_cache.Signature(1, 2, 3, 4, 5))
    cache.close()


def _trees() -> Iterator[Decoder]:
    encoded = _tree().encode()
    kinds = content_frame.FrameKind
    frames = (
        content_frame.frame(kinds.OFFER, b"\x93\x01\xa2ab\x05"),
        content_frame.failure(ProtocolError("no")),
        content_frame.head(kinds.CHUNK, 1, 2, 3) + b"abc",
        content_frame.frame(kinds.WANT, b"\x05") + content_frame.frame(kinds.LEAVES, bytes(32)),
    )
    yield Decoder("manifest", manifest.__name__, manifest.Manifest.decode, (ProtocolError,), (encoded,))
    yield Decoder("frames of a transfer", content_frame.__name__, _frames, (OpsconsoleError,), frames)
    yield Decoder(
        "pattern of paths",
        content_glob.__name__,
        _text(lambda text: content_glob.matches(text, b"a/b\xff")),
        (InvalidRequest,),
        (b"models/**/*.pt", b"[!a-c]?[]]x", b"**/" * 90, b"[z-a]"),
    )
    yield Decoder("record of a tree", record.__name__, _file(_record, _tree().content_id), (), (_record_sample(),))
    yield Decoder(
        "pins", pin.__name__, _file(lambda path: pin.PinFolder(path.parent)), (), (b'{"holder":"a","ids":[]}',)
    )
    yield Decoder("cache of hashes", hash_cache.__name__, _file(_cache), (), (b"SQLite format 3\0" + bytes(84),))


# --- the store ---------------------------------------------------------------------------------------------------


def _reports() -> Iterator[Decoder]:
    import io

    one = series.Series()
    one.add(1, 2, 3)
    samples = (b'{"step": 1, "metrics": {"loss": 0.5}}', b'{"progress": {"done": 1, "total": 2}}', b'{"note": "x"}')
    yield Decoder(
        "line of a report", line.__name__, lambda data: line.parse_line(data, 1), (line.ReportError,), samples
    )

    for verb, path, sample in (
        ("PATCH", "status", b'{"status": "x", "progress": {"done": 1, "total": 2}}'),
        ("POST", "logs", b'{"logs": ["x"]}'),
        ("PUT", "metrics", b'{"step": 1, "loss": 0.5}'),
    ):
        said = partial(report_verb.lines_of, verb, path, now_ms=1)
        yield Decoder(f"report by HTTP: {path}", report_verb.__name__, said, (report_verb.Refused,), (sample,))

    printed = (
        b"step=1 loss=0.5\n",
        b"\r 1%|#  | 1/4 [0:01<0:01, acc=1]",
        b"{'loss': 1, 'epoch': 1.0}\n",
        b'{"step": 1, "a": {"loss": 2}}\n',
    )
    yield Decoder("what a task prints", recognised_line.__name__, _recognise, (), printed)
    marked = b'{"metrics": {"loss": 1}, "source": "stdout", "mark": {"to": 4, "bars": [["a", 4, 1]], "last": [1, {"loss": 1}]}}\n'
    yield Decoder("a report that is gone on with", recognised_output.__name__, _go_on, (), (marked, *samples))

    def read(data: bytes) -> None:
        for head, payloads, _ in block.read_blocks(io.BytesIO(data)):
            block.add_points({}, head, payloads)

    yield Decoder("points", block.__name__, read, (ValueError,), (block.encode_block(9, {"loss": one}),))


def _recognise(data: bytes) -> None:
    stream = Stream()
    stream.feed(data)
    stream.unfinished()
    stream.finish()


def _go_on(data: bytes) -> None:
    """An agent was started again, and finds this in the report of an attempt that goes on printing."""
    with folder() as here:
        (here / "report").write_bytes(data)
        (here / "stdout").write_bytes(b"step=1 loss=2\n 1%|#  | 1/4 [0:01<0:01, acc=1]\n")
        recognised_output.Output(lambda source: (str(here / source), "")).finish(1)


def _store_blobs() -> Iterator[Decoder]:
    """Each reader of a blob by itself; whole stores are in test_store.py."""
    from tests.fuzz.store import blobs

    for table, readers in blobs().items():
        for name, (read, samples) in readers.items():
            yield Decoder(f"store: {table}.{name}", query.__name__, read, (StoreError,), samples)
    specs = blobs()["jobs"]["spec"][1]
    yield Decoder("a job's terms and its own part", terms.__name__, _terms, (StoreError,), specs)
    yield Decoder("store: what a job waits for", waiting.__name__, _waits, (StoreError,), specs)


def _terms(data: bytes) -> None:
    found, own = query.read_spec(data)
    if own:
        terms.whole(found, own)


def _waits(data: bytes) -> None:
    waiting._waits(data).read()


def _origin(data: bytes) -> None:
    setup_key.binding_of_origin(data, "/work/a b")


def _sessions() -> Iterator[Decoder]:
    samples = (GOLDEN / "session_v1.bin").read_bytes()
    yield Decoder(
        "session",
        session_frame.__name__,
        lambda data: list(session_frame.FrameReader().feed(data)),
        (ProtocolError,),
        (samples, *map(session_frame.encode, session_frame.FrameReader().feed(samples))),
    )


@cache
def decoders() -> tuple[Decoder, ...]:
    """All of them."""
    return (
        *_words(),
        *_views(),
        *_datasets(),
        *_wires(),
        *_keeper(),
        *_files(),
        *_trees(),
        *_sessions(),
        *_reports(),
        *_store_blobs(),
    )
