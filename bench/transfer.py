"""How fast bytes and files travel, each way, against plain TCP, scp and rsync on the same bytes in the same run."""

import contextlib
import hashlib
import itertools
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import busy_relay, ssh
from bench.deployment import WORKER, Deployment
from bench.row import Row
from opsconsole_protocol.host.stream.webrtc import engine_names

MEMORY_BYTES = {"tcp": 2_000_000_000, "direct": 2_000_000_000, "wrtc": 500_000_000, "aiortc": 150_000_000}
FILE_BYTES = 1_000_000_000
SMALL_FILES = 10_000
ROUNDS = 3
SLEAP_RTC_MB_S = 9.5
_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Took:
    """What a stream took: wall time of the initiator, processor time of both ends, the larger one's memory."""

    wall_s: float
    cpu_s: float
    memory_mb: float
    open_s: float


@dataclass(frozen=True)
class How:
    """A way, and which engine each end has."""

    name: str
    way: str
    initiator: str = ""
    responder: str = ""


class Place:
    """A worker's folder, and copies to it, each into a folder of its own and compared with its source.

    Copies stay as empty files: for minutes after many were removed, ext4 looks through all of those for each new file.
    """

    def __init__(self, deployment: Deployment, inbox: Path) -> None:
        self._deployment = deployment
        self._inbox = inbox
        self._numbers = itertools.count()

    def put(self, source: Path, way: str) -> ssh.Took:
        """Copy by `opsconsole put`, which hashes the source anew."""
        for path in source.rglob("*"):
            os.utime(path)
        deployment = self._deployment
        with self._compared(source) as into:
            before, began_s = deployment.cpu_s() + _children_cpu_s(), time.monotonic()
            deployment.run("put", str(source), f"{WORKER}:inbox:{into.parent.name}", "--via", way)
            wall_s = time.monotonic() - began_s
            return ssh.Took(wall_s, deployment.cpu_s() + _children_cpu_s() - before)

    def copy(self, source: Path, tool: str) -> ssh.Took:
        """Copy by scp or rsync."""
        with self._compared(source) as into:
            into.mkdir()
            return ssh.copy(self._deployment.folder / "ssh", source, into, tool)

    @contextlib.contextmanager
    def _compared(self, source: Path) -> Iterator[Path]:
        into = self._inbox / str(next(self._numbers)) / source.name
        into.parent.mkdir()
        os.sync()
        yield into
        if _sizes(source) != _sizes(into):
            raise AssertionError(f"not all files of {source} have arrived in {into}, or not whole")
        for path in into.rglob("*"):
            if path.is_file():
                os.truncate(path, 0)


def _sizes(folder: Path) -> list[tuple[str, int]]:
    return sorted((path.name, path.stat().st_size) for path in folder.rglob("*") if path.is_file())


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


WAYS = ("direct", "relay", "webrtc")
_METHODS = {
    "": f"median of {ROUNDS} in turns, `opsconsole put` from start to end: hashed, sent, verified, put in place",
    "rsync": f"median of {ROUNDS} in turns, `rsync -a` through ssh on loopback",
    "scp": f"median of {ROUNDS} in turns, `scp -r` on loopback",
}
TCP = How("plain TCP", "tcp")
DIRECT = How("direct", "direct")


def pairings() -> list[How]:
    """WebRTC with every pair of engines that there is, the fastest first."""
    names = engine_names()
    return [How(f"webrtc, {one} → {two}", "webrtc", one, two) for one in names for two in names]


def run(base: Path) -> Iterator[Row]:
    """Yield rows of bytes from memory to memory, then of one large file, then of many small ones."""
    yield from _memory_rows()
    with Deployment(base) as deployment:
        inbox = deployment.folder / "inbox"
        inbox.mkdir()
        deployment.add_agent(1, "--mount", f"inbox={inbox}:rw")
        place = Place(deployment, inbox)
        yield from _copy_rows(place, _large(deployment.folder), FILE_BYTES / 1e6, "MB/s", "a file of 1 GB")
        yield from _copy_rows(
            place, _small(deployment.folder), SMALL_FILES, "files/s", f"{SMALL_FILES:,} files of 2 kB"
        )
    yield from busy_relay.rows(base)


def _memory_rows() -> Iterator[Row]:
    """From memory to memory, without hashing or a disk."""
    method = f"median of {ROUNDS} in turns, two processes, from memory to memory, on this machine"
    ways = [TCP, DIRECT, *pairings()]
    counts = {
        how: min(MEMORY_BYTES[name] for name in (how.initiator, how.responder, how.way) if name in MEMORY_BYTES)
        for how in ways
    }
    rounds = [
        {how: _stream(how, ("--bytes", str(counts[how])), ("--bytes", str(counts[how]))) for how in ways}
        for _ in range(ROUNDS)
    ]
    for how in ways:
        rates = [counts[how] / 1e6 / one[how].wall_s for one in rounds]
        against = [counts[TCP] / 1e6 / one[TCP].wall_s for one in rounds]
        ratio = statistics.median(rate / tcp for rate, tcp in zip(rates, against, strict=True))
        rate = statistics.median(rates)
        cpu = statistics.median(one[how].cpu_s / counts[how] * 1e9 for one in rounds)
        opened = statistics.median(one[how].open_s for one in rounds)
        memory = max(one[how].memory_mb for one in rounds)
        value = f"{rate:,.0f} MB/s, {cpu:.1f} CPU s/GB"
        detail = f"{method}; opened in {opened * 1e3:.0f} ms, at most {memory:.0f} MB resident"
        bar, met = _memory_bar(how, rate, ratio)
        yield Row("transfer", f"a stream, {how.name}", value, detail, ratio, TCP.name, bar, met)


def _memory_bar(how: How, rate: float, ratio: float) -> tuple[str, bool | None]:
    if how is DIRECT:
        return "≥ 0.5 × plain TCP", ratio >= 0.5
    if how.initiator == how.responder == "wrtc":
        return f"≥ 10 × sleap-rtc's {SLEAP_RTC_MB_S} MB/s", rate >= 10 * SLEAP_RTC_MB_S
    return "", None


def _large(folder: Path) -> Path:
    """A folder with one file of FILE_BYTES, no two megabytes of which are the same."""
    source = folder / "large"
    source.mkdir()
    block = hashlib.shake_128(b"large").digest(1_000_000)
    with (source / "file.bin").open("wb") as file:
        for number in range(FILE_BYTES // len(block)):
            file.write(number.to_bytes(8) + block[8:])
    return source


def _small(folder: Path) -> Path:
    """A folder with many files, 100 to a folder."""
    source = folder / "small"
    for number in range(SMALL_FILES):
        path = source / f"{number // 100:03d}" / f"{number:05d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(hashlib.shake_128(number.to_bytes(4)).digest(100 + number % 4000))
    return source


def _copy_rows(place: Place, source: Path, amount: float, unit: str, what: str) -> Iterator[Row]:
    """Disk to disk: `opsconsole put` each way, and what else there is for it."""
    tools = ["rsync", "scp"]
    try:
        ssh.check()
    except ssh.NoSsh as missing:
        yield Row("transfer", f"{what}, scp and rsync", "not run", str(missing))
        tools = []
    taken: dict[str, list[ssh.Took]] = {}
    for _ in range(ROUNDS):
        for way in (*WAYS, *tools):
            taken.setdefault(way, []).append(place.put(source, way) if way in WAYS else place.copy(source, way))
    for way, rounds in taken.items():
        rate = amount / statistics.median(one.wall_s for one in rounds)
        cpu = statistics.median(one.cpu_s for one in rounds)
        value = f"{rate:,.0f} {unit}, {cpu:.1f} CPU s"
        others = taken[tools[0]] if tools else rounds
        ratio = statistics.median(other.wall_s / one.wall_s for one, other in zip(rounds, others, strict=True))
        bar, met = _copy_bar(way, unit, rate, ratio if tools else None)
        yield Row(
            "transfer", f"{what}, {way}", value, _METHODS.get(way, _METHODS[""]), ratio if tools else None,
            tools[0] if tools else "", bar, met,
        )  # fmt: skip


def _copy_bar(way: str, unit: str, rate: float, ratio: float | None) -> tuple[str, bool | None]:
    if way == "relay" and unit == "MB/s":
        return "≥ 200 MB/s", rate >= 200
    if way == "direct" and unit == "files/s" and ratio is not None:
        return "no slower than rsync", ratio >= 1
    return "", None


def _stream(how: How, there: Sequence[str], here: Sequence[str]) -> Took:
    """Run both ends of a stream and return what they took. Raises RuntimeError if one failed."""
    one, two = _connected() if how.way == "tcp" else socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, two:
        ends = [
            _end(how.way, how.initiator, one, ("--initiator", *there)),
            _end(how.way, how.responder, two, here),
        ]
        try:
            said = [end.communicate(timeout=_TIMEOUT_S)[0] for end in ends]
        finally:
            for end in ends:
                end.kill()
                end.wait()
    if any(end.returncode for end in ends):
        raise RuntimeError(f"a stream by {how.name} has failed")
    first, second = (json.loads(line) for line in said)
    return Took(
        wall_s=max(first["wall_s"], second["wall_s"]),
        cpu_s=first["cpu_s"] + second["cpu_s"],
        memory_mb=max(first["memory_mb"], second["memory_mb"]),
        open_s=first["open_s"],
    )


def _end(way: str, engine: str, sock: socket.socket, options: Sequence[str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bench.stream_end", "--way", way, "--descriptor", str(sock.fileno())]
    if engine:
        command += ["--engine", engine]
    return subprocess.Popen([*command, *options], pass_fds=(sock.fileno(),), stdout=subprocess.PIPE, text=True)


def _connected() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        two, _ = server.accept()
    return one, two
