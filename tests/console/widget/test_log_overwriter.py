"""What goes up and writes over what it wrote stands where it was written (hard use 6): nested progress bars.

However the bytes are cut into fragments and pages, the rows that are left are those of a terminal.
"""

import re

from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.widget.ansi import plain
from opsconsole_console.widget.log_overwriter import ROWS_MAX, LogOverwriter
from opsconsole_console.widget.log_ring import LogRing
from opsconsole_protocol.log import LogLine, Source
from tests.console.widget.fleet import log_line, log_lines

OUTER, INNER = 3, 40


def nested(outer: int = OUTER, inner: int = INNER) -> str:
    """What tqdm writes for a bar in a bar, with a line before and one after."""
    text = "start\n\router 0"
    for step in range(1, outer + 1):
        for done in range(inner + 1):
            text += f"\n\rinner {done}\x1b[A"
        text += f"\router {step}"
    return text + "\n\r         \n\rdone\n"


def fragments(text: str, cuts: list[int], first: int = 0, source: Source = Source.STDERR) -> list[LogLine]:
    """The same bytes as the coordinator sends them: cut at line ends and wherever else."""
    found: list[LogLine] = []
    for number, line in enumerate(text.split("\n")[:-1], first):
        edges = sorted({0, len(line), *(cut % (len(line) + 1) for cut in cuts)})
        for start, end in zip(edges, edges[1:] or [0], strict=False):
            is_last = end == len(line) or end == 0
            found.append(log_line(number, line[start:end], start=start, partial=not is_last, source=source))
    return found


def shown(ring: LogRing) -> list[str]:
    return [plain(line.data).rstrip() for line in ring.lines]


def terminal(text: str) -> list[str]:
    """What a terminal is left with, where each write goes over a whole row."""
    rows, y = [""], 0
    for piece in re.findall(r"\n|\r|\x1b\[A|[^\n\r\x1b]+", text):
        if piece == "\n":
            y += 1
            rows += [""] * (y == len(rows))
        elif piece == "\x1b[A":
            y = max(0, y - 1)
        elif piece != "\r":
            rows[y] = piece
    return [row.rstrip() for row in rows[:-1]]


def test_a_bar_in_a_bar_takes_two_rows() -> None:
    ring = LogRing(1000, 10**9)
    ring.feed(fragments(nested(), []))
    assert shown(ring) == terminal(nested()) == ["start", "outer 3", "", "done"]


def test_each_step_is_seen_where_it_stands() -> None:
    ring = LogRing(1000, 10**9)
    live = fragments("start\n\router 0\n\rinner 1\x1b[A\n\rinner 2\x1b[A\n", [])
    ring.feed(live[:3])
    assert shown(ring) == ["start", "outer 0", "inner 1"]
    change = ring.feed(live[3:])
    assert shown(ring) == ["start", "outer 0", "inner 2"]
    assert (change.appended, change.moved) == (0, False)
    ring.feed([log_line(3, "\router 1", start=11, partial=True, source=Source.STDERR)])
    assert shown(ring) == ["start", "outer 1", "inner 2"]


@given(st.lists(st.integers(0, 60), max_size=6), st.lists(st.integers(1, 30), min_size=1))
def test_however_it_is_cut(cuts: list[int], sizes: list[int]) -> None:
    lines, ring, place = fragments(nested(2, 5), cuts), LogRing(1000, 10**9), 0
    while place < len(lines):
        size = sizes[place % len(sizes)]
        ring.feed(lines[place : place + size])
        place += size
    assert shown(ring) == terminal(nested(2, 5))
    assert ring.last_number == lines[-1].line_number


def test_hours_of_it_take_no_room() -> None:
    ring = LogRing(50_000, 10**9)
    for line in fragments(nested(40, 500), []):
        ring.feed([line])
    assert len(ring.lines) == 4
    assert ring.run.size_bytes < 20_000


def test_every_line_is_found_where_it_went() -> None:
    ring = LogRing(1000, 10**9)
    ring.feed(fragments("start\n\router\n" + "\rinner\x1b[A\n" * 20, []))
    assert [ring.index_of(number) for number in (0, 1, 2, 10, 21, 22)] == [0, 1, 2, 2, 2, None]


def test_the_row_above_the_end_of_a_long_log_is_shown() -> None:
    # Only the last lines are fetched at first: where the outer bar began isn't among them.
    ring = LogRing(1000, 10**9)
    ring.feed(fragments("\rinner 1\x1b[A\n\rinner 2\x1b[A\n", [], first=5000))
    ring.feed(fragments("\rinner 3\x1b[A\router 8\n\rinner 0\x1b[A\n", [], first=5002))
    assert shown(ring)[-2:] == ["outer 8", "inner 0"]


def test_another_sources_lines_are_left_alone() -> None:
    ring = LogRing(1000, 10**9)
    ring.feed([log_line(0, "out"), *fragments("\rbar 1\x1b[A\x1b[A\rover\n", [], first=1)])
    assert shown(ring)[0] == "out"
    ring = LogRing(1000, 10**9)
    ring.feed([log_line(0, "outer", source=Source.STDERR), *log_lines(200, start=1)])
    ring.feed([log_line(201, "inner\x1b[A\router 2", source=Source.STDERR)])
    assert shown(ring)[:2] == ["outer 2", log_lines(200, start=1)[0].data]


def test_nothing_reaches_far_up() -> None:
    ring = LogRing(1000, 10**9)
    ring.feed([*log_lines(100), log_line(100, "\x1b[99A\x1b[99A\rhere")])
    assert "here" not in "".join(shown(ring)[: 100 - ROWS_MAX])


def test_what_goes_nowhere_is_handed_on_as_it_is() -> None:
    lines = log_lines(100)
    assert LogOverwriter().rewrite(lines) is lines


def test_a_log_with_lines_left_out_is_not_folded() -> None:
    ring = LogRing(1000, 10**9, overwrites=False)
    ring.feed(fragments("\router\n" + "\rinner\x1b[A\n" * 20, []))
    assert len(ring.lines) == 21
