"""What it costs to recognise progress and metrics in what tasks print, and how long the worst lines take."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from bench.row import Row
from opsconsole_agent.recognise.line import PRINTED_LINE_BYTES_MAX, recognise
from opsconsole_agent.recognise.stream import Stream

LINES = 20_000
PIECE_BYTES = 32 * 1024
KINDS = {
    "lines of a server's log": "2026-11-27 10:00:00,123 INFO server: request {n} from 10.0.0.1 took a while, all is well\n",
    "pairs": "step={n} loss=0.31234 lr=0.0003 acc=0.91\n",
    "tqdm with a loss": "\r 40%|████      | {n}/1000000 [00:01<00:02, 30.0it/s, loss=0.31]",
    "Trainer's dicts": "{{'loss': 0.31, 'grad_norm': 1.25, 'learning_rate': 4.8e-05, 'epoch': 1.{n}}}\n",
    "JSON lines": '{{"step": {n}, "loss": 0.31, "lr": 0.0003}}\n',
}
_PARTS = ("[", "=", "-", " ", "1", "9/", "%|", "1%|x|1/2[", "loss ", "epoch ", "step ", "'a':", "━", "_", "a=", "val ")
WORST_NS = 2_000
"""For a byte, at most: then a worker that looks at 64 KiB a second spends an eighth of a processor."""


def run(_base: Path) -> Iterator[Row]:
    """Yield a row for each kind of line, and one for lines that were made to take long."""
    for what, line in KINDS.items():
        data = "".join(line.format(n=number) for number in range(LINES)).encode()
        stream = Stream()
        began_s = time.thread_time()
        for start in range(0, len(data), PIECE_BYTES):
            stream.feed(data[start : start + PIECE_BYTES])
        took_s = time.thread_time() - began_s
        yield Row(
            "recognise", what, f"{len(data) / took_s / 1e6:.1f} MB/s, {took_s / len(data) * 1e9:.0f} ns/B",
            f"{LINES:,} lines in pieces of 32 KiB; processor time of one thread",
        )  # fmt: skip
    worst_s = max(map(_line_s, itertools.product(_PARTS, repeat=2)))
    worst_ns = worst_s / PRINTED_LINE_BYTES_MAX * 1e9
    yield Row(
        "recognise", "the worst line of 4 KiB", f"{1000 * worst_s:.1f} ms, {worst_ns:.0f} ns/B",
        "every pair of 16 parts, repeated to a line that almost fits", bar=f"≤ {WORST_NS} ns/B", met=worst_ns <= WORST_NS,
    )  # fmt: skip


def _line_s(parts: tuple[str, ...]) -> float:
    line = ("loss1" + "".join(parts) * PRINTED_LINE_BYTES_MAX).encode()[: PRINTED_LINE_BYTES_MAX - 1] + b"!"
    return min(_once_s(line) for _ in range(2))


def _once_s(line: bytes) -> float:
    began_s = time.thread_time()
    recognise(line)
    return time.thread_time() - began_s
