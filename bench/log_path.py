"""The path of log bytes without its sockets: file, follower, shipper, frame, store, page.

    python bench/log_path.py [--lines 4000000] [--folder DIR]

Prints one JSON object. CPU is of this process, in milliseconds a megabyte (10^6 bytes); times of reading in
milliseconds. The folder decides which disk is measured.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from opsconsole_agent.log import LogShipper
from opsconsole_coordinator.log import LogKey, LogStore
from opsconsole_protocol.link import LogChunk, decode_frame, encode_frame
from opsconsole_protocol.log import LogQuery, Source

KEY = LogKey("bench", 0, 0, "bench.0.0.0000")
_LINE = b"%08d epoch=3 step=1200 loss=0.0123 lr=0.0003\n"


class Stage:
    """CPU and wall time of one part of the path."""

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.wall_s = 0.0

    def __enter__(self) -> None:
        self.cpu_s -= time.process_time()
        self.wall_s -= time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.cpu_s += time.process_time()
        self.wall_s += time.perf_counter()


def ship(path: Path, store: LogStore) -> dict[str, float]:
    """Move one file into the store, as agent and coordinator would."""
    agent, coordinator = Stage(), Stage()
    shipper = LogShipper()
    shipper.watch(KEY.attempt_id, Source.STDOUT, path)
    now_ms, size = 0, path.stat().st_size
    stored = 0
    while stored < size:
        with agent:
            frames = [encode_frame(chunk) for chunk in shipper.poll(now_ms)]
        with coordinator:
            chunks = [(KEY, decode_frame(frame)) for frame in frames]
            results = store.append_many(chunks)
        with agent:
            for result in results:
                shipper.acknowledge(KEY.attempt_id, result.source, result.durable_offset)
        stored = results[-1].durable_offset if results else stored
        now_ms += 50
    with coordinator:
        store.seal(KEY)
    megabytes = size / 1e6
    return {
        "agent_cpu_ms_per_mb": agent.cpu_s * 1000 / megabytes,
        "store_cpu_ms_per_mb": coordinator.cpu_s * 1000 / megabytes,
        "store_wall_ms_per_mb": coordinator.wall_s * 1000 / megabytes,
        "mb_per_s": megabytes / (agent.wall_s + coordinator.wall_s),
    }


def best_ms(action: Callable[[], object], repeats: int = 5) -> float:
    """Return the shortest time of some runs, in milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append((time.perf_counter() - start) * 1000)
    return min(times)


def read(store: LogStore, lines: int) -> dict[str, float]:
    """Read the store in the ways that a console and a command line do."""
    start = time.perf_counter()
    store.offsets(KEY)
    index_ms = (time.perf_counter() - start) * 1000
    start = time.perf_counter()
    count, query = 0, LogQuery(max_lines=10_000, max_bytes=4_000_000)
    while True:
        page = store.read(KEY, query)
        count += len(page.lines)
        query = LogQuery(max_lines=10_000, max_bytes=4_000_000, cursor=page.next_cursor)
        if page.end:
            break
    all_s = time.perf_counter() - start
    if count != lines:
        raise AssertionError(f"{count} of {lines} lines")
    middle = store.read(KEY, LogQuery(start_line=lines // 2, max_lines=100)).next_cursor
    return {
        "index_ms": index_ms,
        "read_all_lines_per_s": count / all_s,
        "tail_100_ms": best_ms(lambda: store.read(KEY, LogQuery(tail=100))),
        "start_line_100_ms": best_ms(lambda: store.read(KEY, LogQuery(start_line=lines * 2 // 3, max_lines=100))),
        "cursor_100_ms": best_ms(lambda: store.read(KEY, LogQuery(cursor=middle, max_lines=100))),
        "tail_of_absent_source_ms": best_ms(lambda: store.read(KEY, LogQuery(tail=100, sources=(Source.STDERR,)))),
        "grep_page_ms": best_ms(lambda: store.read(KEY, LogQuery(grep="not there")), 2),
        "grep_risky_page_ms": best_ms(lambda: store.read(KEY, LogQuery(grep="not.*there")), 2),
        "grep_tail_10_ms": best_ms(lambda: store.read(KEY, LogQuery(grep="7 epoch", tail=10)), 2),
    }


def append_small(store: LogStore, chunks: int) -> dict[str, float]:
    """Append what many tasks print that write a line now and then: a small chunk each, a hundred to a batch."""
    keys = [LogKey("small", number, 0, f"small.{number}.0.0000") for number in range(100)]
    stage = Stage()
    line = _LINE % 1
    for turn in range(chunks // len(keys)):
        offset = turn * len(line)
        batch = [(key, LogChunk(key.attempt_id, Source.STDOUT, offset, turn, line)) for key in keys]
        with stage:
            store.append_many(batch)
    return {"small_chunks_per_s": chunks / stage.wall_s}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=4_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="where to write (default: the temporary folder)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        path = folder / "stdout"
        with path.open("wb") as file:
            for start in range(0, options.lines, 10_000):
                file.write(b"".join(_LINE % number for number in range(start, min(start + 10_000, options.lines))))
        store = LogStore(folder / "logs")
        result: dict[str, object] = {"folder": str(folder), "lines": options.lines, "bytes": path.stat().st_size}
        result |= ship(path, store)
        store.close()
        store = LogStore(folder / "logs")
        result |= read(store, options.lines)
        result |= append_small(store, 100_000)
        store.close()
    finally:
        shutil.rmtree(folder)
    print(json.dumps({name: round(value, 3) if isinstance(value, float) else value for name, value in result.items()}))


if __name__ == "__main__":
    main()
