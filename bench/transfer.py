"""How fast bytes and files travel, each way, against plain TCP, scp and rsync on the same bytes in the same run."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import ssh
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


TCP = How("plain TCP", "tcp")
DIRECT = How("direct", "direct")


def pairings() -> list[How]:
    """WebRTC with every pair of engines that there is, the fastest first."""
    names = engine_names()
    return [How(f"webrtc, {one} → {two}", "webrtc", one, two) for one in names for two in names]


def run(base: Path) -> Iterator[Row]:
    """Yield rows of bytes from memory, of one large file, then of many small ones."""
    folder = Path(tempfile.mkdtemp(prefix="opsconsole-bench-", dir=base))
    try:
        yield from _memory_rows()
        yield from _file_rows(folder)
        yield from _small_rows(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def _file_rows(folder: Path) -> Iterator[Row]:
    """One large file, from disk to disk, verified."""
    source = folder / "large"
    source.mkdir()
    _make_large(source / "file.bin", FILE_BYTES)
    yield from _copy_rows(folder, source, FILE_BYTES / 1e6, "MB/s", "a file of 1 GB", [DIRECT, *pairings()[:1]], "")
    shutil.rmtree(source)


def _small_rows(folder: Path) -> Iterator[Row]:
    """Many small files, from disk to disk."""
    source = folder / "small"
    for number in range(SMALL_FILES):
        path = source / f"{number // 100:03d}" / f"{number:05d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(hashlib.shake_128(number.to_bytes(4)).digest(100 + number % 4000))
    what = f"{SMALL_FILES:,} files of 2 kB"
    yield from _copy_rows(folder, source, SMALL_FILES, "files/s", what, [DIRECT, *pairings()[:1]], "≥ 1 × rsync")
    shutil.rmtree(source)


def _copy_rows(
    folder: Path, source: Path, amount: float, unit: str, what: str, ways: Sequence[How], bar: str
) -> Iterator[Row]:
    tools: list[str] = []
    try:
        ssh.check()
        tools = ["rsync", "scp"]
    except ssh.NoSsh as missing:
        yield Row("transfer", f"{what}, scp and rsync", "not run", str(missing))
    taken: dict[str, list[tuple[float, float]]] = {}
    for _ in range(ROUNDS):
        for how in ways:
            with _destination(folder, source) as into:
                took = _stream(how, ("--send", str(source)), ("--into", str(into)))
            taken.setdefault(how.name, []).append((took.wall_s, took.cpu_s))
        for tool in tools:
            with _destination(folder, source) as into:
                copied = ssh.copy(folder / "ssh", source, into, tool)
            taken.setdefault(tool, []).append((copied.wall_s, copied.cpu_s))
    ours = {how.name for how in ways}
    for name, rounds in taken.items():
        value = f"{amount / statistics.median(wall for wall, _ in rounds):,.0f} {unit}, {statistics.median(cpu for _, cpu in rounds):.1f} CPU s"
        method = f"median of {ROUNDS} in turns, disk to disk" + (
            ", hashed before and verified" if name in ours else ", through ssh on loopback"
        )
        ratio = (
            statistics.median(other / wall for (wall, _), (other, _) in zip(rounds, taken[tools[0]], strict=True))
            if tools
            else None
        )
        met = ratio >= 1 if bar and name == DIRECT.name and ratio is not None else None
        yield Row(
            "transfer",
            f"{what}, {name}",
            value,
            method,
            ratio,
            "rsync" if tools else "",
            bar if met is not None else "",
            met,
        )


@contextlib.contextmanager
def _destination(folder: Path, source: Path) -> Iterator[Path]:
    """An empty folder for a copy, whose size is compared with the source's at the end."""
    into = Path(tempfile.mkdtemp(prefix="into-", dir=folder))
    os.sync()
    yield into
    sizes = [
        sorted((path.name, path.stat().st_size) for path in one.rglob("*") if path.is_file()) for one in (source, into)
    ]
    if sizes[0] != sizes[1]:
        raise AssertionError(f"{len(sizes[1])} of {len(sizes[0])} files have arrived, or not whole")
    shutil.rmtree(into)


def _make_large(path: Path, count: int) -> None:
    block = hashlib.shake_128(b"large").digest(1_000_000)
    with path.open("wb") as file:
        for number in range(count // len(block)):
            file.write(number.to_bytes(8) + block[8:])


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
