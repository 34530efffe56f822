"""Reading logs as tasks really write them: long ones, long lines, progress bars, binary, two sources at once."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_coordinator.log import LogKey, LogQueryError, LogStore
from opsconsole_protocol.link import PAYLOAD_BYTES_MAX
from opsconsole_protocol.log import LOG_LINE_BYTES_MAX, LogLine, LogQuery, Source
from tests.coordinator.log.oracle import ERR, ERROR, KEY, OUT, chunk, pages, put_together, read_all

MARK = f"{zlib.crc32(KEY.attempt_id.encode()):x}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    one = LogStore(tmp_path)
    yield one
    one.close()


def fill(store: LogStore, source: Source, data: bytes, at_ms: int = 0) -> None:
    """Append in chunks as an agent would."""
    start = store.offsets(KEY).get(source, 0)
    for place in range(0, len(data), PAYLOAD_BYTES_MAX):
        store.append(KEY, chunk(source, start + place, data[place : place + PAYLOAD_BYTES_MAX], at_ms))


def shown(lines: tuple[LogLine, ...]) -> list[tuple[int, str]]:
    return [(line.line_number, line.data) for line in lines]


class TestMillionLines:
    COUNT = 1_000_000

    @pytest.fixture(scope="class")
    def big(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogStore]:
        folder = tmp_path_factory.mktemp("big")
        one = LogStore(folder)
        fill(one, OUT, b"".join(b"line %d\n" % number for number in range(self.COUNT)))
        one.close()
        one = LogStore(folder)
        yield one
        one.close()

    def test_all_are_there_in_order(self, big: LogStore) -> None:
        number = 0
        for page in pages(big, LogQuery(max_lines=50_000, max_bytes=8_000_000)):
            assert page.total_lines == self.COUNT
            for line in page.lines:
                assert line.line_number == number
                assert line.data == f"line {number}"
                number += 1
        assert number == self.COUNT

    @pytest.mark.parametrize("start", [0, 1, 27_000, 500_000, 999_990])
    def test_any_line_is_found(self, big: LogStore, start: int) -> None:
        page = big.read(KEY, LogQuery(start_line=start, max_lines=10))
        assert shown(page.lines) == [(number, f"line {number}") for number in range(start, start + 10)]
        assert page.first_line == start
        page = big.read(KEY, LogQuery(before_line=start, tail=10))
        assert shown(page.lines) == [(number, f"line {number}") for number in range(max(0, start - 10), start)]
        assert page.end

    def test_the_last_lines(self, big: LogStore) -> None:
        expected = [(number, f"line {number}") for number in range(999_995, self.COUNT)]
        assert shown(big.read(KEY, LogQuery(tail=5)).lines) == expected
        assert shown(big.read(KEY, LogQuery(start_line=-5)).lines) == expected
        assert big.read(KEY, LogQuery(tail=0)).lines == ()

    def test_search_forward_in_bounded_pages(self, big: LogStore) -> None:
        found = pages(big, LogQuery(grep="77777"))
        expected = [number for number in range(self.COUNT) if "77777" in str(number)]
        assert [line.line_number for page in found for line in page.lines] == expected
        assert len(found) > 1

    def test_search_backward(self, big: LogStore) -> None:
        page = big.read(KEY, LogQuery(grep="(00|77)$", tail=3))
        assert [line.line_number for line in page.lines] == [999_877, 999_900, 999_977]
        page = big.read(KEY, LogQuery(grep="line 12345$", tail=3), ended=True)
        assert page.note == ""
        assert [line.line_number for line in read_all(big, LogQuery(grep="line 12345$", tail=3))] == [12_345]


def test_a_megabyte_line_is_cut_and_says_so(store: LogStore) -> None:
    fill(store, OUT, b"before\n" + b"x" * 1_000_000 + b"\nafter\n")
    before, long, after = store.read(KEY, LogQuery()).lines
    assert (before.data, after.data) == ("before", "after")
    assert long.data == "x" * LOG_LINE_BYTES_MAX + " … [cut: 1,000,000 bytes]"
    assert long.length == 1_000_000
    assert not long.partial
    assert store.read_bytes(KEY, OUT, 7, 2_000_000) == b"x" * 1_000_000 + b"\nafter\n"


def test_a_line_without_end_grows_without_hurting(store: LogStore) -> None:
    lines: list[LogLine] = []
    cursor = None
    for _ in range(30):
        fill(store, OUT, b"y" * PAYLOAD_BYTES_MAX)
        page = store.read(KEY, LogQuery(cursor=cursor))
        lines += page.lines
        cursor = page.next_cursor
        assert page.total_lines == 1
    fill(store, OUT, b"\nnext\n")
    lines += store.read(KEY, LogQuery(cursor=cursor)).lines
    assert lines[0].data == "y" * LOG_LINE_BYTES_MAX + " … [cut: 262,144 bytes so far]"
    assert sum(len(line.data) for line in lines[1:-1]) == 0
    assert put_together(lines) == [
        (0, OUT, "y" * LOG_LINE_BYTES_MAX, 0, False, 30 * PAYLOAD_BYTES_MAX),
        (1, OUT, "next", 0, False, 4),
    ]


def test_hundreds_of_megabytes_without_a_newline_come_in_bounded_pages(store: LogStore) -> None:
    for number in range(400):
        store.append(KEY, chunk(OUT, number * PAYLOAD_BYTES_MAX, bytes(PAYLOAD_BYTES_MAX)))
    fill(store, ERR, b"oh\n")
    found = pages(store, LogQuery(), ended=True)
    assert len(found) > 2
    assert put_together([line for page in found for line in page.lines]) == [
        (0, OUT, "\0" * LOG_LINE_BYTES_MAX, 0, True, 400 * PAYLOAD_BYTES_MAX),
        (1, ERR, "oh", 0, False, 2),
    ]


def test_binary_is_shown_and_kept(store: LogStore) -> None:
    data = bytes(range(256)) * 3
    fill(store, OUT, data)
    lines = read_all(store, LogQuery(), ended=True)
    assert "\n".join(line.data for line in lines) == data.decode(errors="replace")
    assert store.read_bytes(KEY, OUT, 0, 10_000) == data


def test_carriage_returns_come_as_they_are(store: LogStore) -> None:
    cursor, seen = None, ""
    for step in range(5):
        fill(store, ERR, b"\r%3d%%" % (step * 25))
        fill(store, OUT, b"step %d\n" % step)
        page = store.read(KEY, LogQuery(cursor=cursor))
        cursor = page.next_cursor
        bar = [line for line in page.lines if line.source is ERR]
        assert [line.line_number for line in bar] == [0]
        assert bar[0].start == len(seen)
        assert bar[0].partial
        seen += bar[0].data
    assert seen == "\r  0%\r 25%\r 50%\r 75%\r100%"


def test_characters_are_not_torn_where_chunks_meet(store: LogStore) -> None:
    cursor, seen = None, ""
    data = "größer → 🚀 done".encode()
    for place in range(len(data)):
        fill(store, OUT, data[place : place + 1])
        page = store.read(KEY, LogQuery(cursor=cursor))
        cursor = page.next_cursor
        seen += "".join(line.data for line in page.lines)
    assert seen == data.decode()


def test_half_a_character_at_the_very_end_is_shown_once_the_attempt_has_ended(store: LogStore) -> None:
    fill(store, OUT, b"ab\xe2\x82")
    page = store.read(KEY, LogQuery())
    assert [line.data for line in page.lines] == ["ab"]
    assert page.end
    (rest,) = store.read(KEY, LogQuery(cursor=page.next_cursor), ended=True).lines
    assert (rest.data, rest.start, rest.length) == ("\ufffd", 2, 4)


def test_interleaved_sources_keep_their_numbers(store: LogStore) -> None:
    store.append(KEY, chunk(OUT, 0, b"out begins", 10))
    store.append(KEY, chunk(ERR, 0, b"err one\nerr two\nerr beg", 20))
    store.append(KEY, chunk(OUT, 10, b" and ends\nout next\n", 30))
    store.append(KEY, chunk(ERR, 23, b"ins\n", 40))
    everything = [
        (0, OUT, "out begins and ends", 10),
        (1, ERR, "err one", 20),
        (2, ERR, "err two", 20),
        (3, ERR, "err begins", 20),
        (4, OUT, "out next", 30),
    ]

    def ask(**fields: object) -> list[tuple[int, Source, str, int]]:
        lines = read_all(store, LogQuery(**fields))  # type: ignore[arg-type]
        return [row[:4] for row in put_together(lines)]

    for max_lines in (1, 2, 3, 100):
        assert ask(max_lines=max_lines) == everything
        assert ask(max_lines=max_lines, sources=(OUT,)) == [everything[0], everything[4]]
        assert ask(max_lines=max_lines, sources=(ERR, ERROR)) == everything[1:4]
        assert ask(max_lines=max_lines, tail=2, sources=(ERR,)) == everything[2:4]
        assert ask(max_lines=max_lines, since_ms=20) == everything[1:]
        assert ask(max_lines=max_lines, since_ms=11, until_ms=30) == everything[1:4]
        assert ask(max_lines=max_lines, start_line=3) == everything[3:]
        assert ask(max_lines=max_lines, before_line=4, tail=1) == everything[3:4]
        assert ask(max_lines=max_lines, grep="begins") == [everything[0], everything[3]]
        assert ask(max_lines=max_lines, grep="begins", tail=1) == [everything[3]]


def test_following_a_search_waits_for_whole_lines(store: LogStore) -> None:
    fill(store, OUT, b"an err")
    page = store.read(KEY, LogQuery(grep="error"))
    assert (page.lines, page.end) == ((), True)
    fill(store, ERR, b"no match\nerror too\n")
    page = store.read(KEY, LogQuery(grep="error", cursor=page.next_cursor))
    assert shown(page.lines) == [(2, "error too")]
    fill(store, OUT, b"or at last\n")
    page = store.read(KEY, LogQuery(grep="error", cursor=page.next_cursor))
    assert shown(page.lines) == [(0, "an error at last")]
    page = store.read(KEY, LogQuery(grep="error", cursor=page.next_cursor))
    assert (page.lines, page.end) == ((), True)


def test_a_search_does_not_wait_for_ever(store: LogStore) -> None:
    """A bar that never ends, and much output beside it: the bar is searched as it stands."""
    fill(store, ERR, b"error bar")
    cursor = store.read(KEY, LogQuery(grep="error")).next_cursor
    fill(store, OUT, b"more\n" * 500_000)
    lines: list[LogLine] = []
    page = store.read(KEY, LogQuery(grep="error", cursor=cursor))
    lines += page.lines
    while not page.end:
        page = store.read(KEY, LogQuery(grep="error", cursor=page.next_cursor))
        lines += page.lines
    assert [(line.data, line.partial) for line in lines] == [("error bar", True)]


def test_following_at_the_end_keeps_the_cursor(store: LogStore) -> None:
    fill(store, OUT, b"one\ntw")
    first = store.read(KEY, LogQuery(tail=0))
    assert (first.lines, first.end, first.first_line, first.total_lines) == ((), True, 2, 2)
    again = store.read(KEY, LogQuery(cursor=first.next_cursor))
    assert again == first
    fill(store, OUT, b"o\nthree\n")
    # The line that had begun before is not among "from now on".
    assert shown(store.read(KEY, LogQuery(cursor=first.next_cursor)).lines) == [(2, "three")]


def test_times_never_go_back(store: LogStore) -> None:
    for place, at_ms in enumerate([100, 50, 120]):
        store.append(KEY, chunk(OUT, place * 2, b"x\n", at_ms))
    assert [line.timestamp_ms for line in store.read(KEY, LogQuery()).lines] == [100, 100, 120]


def test_pages_are_bounded_in_bytes(store: LogStore) -> None:
    fill(store, OUT, (b"x" * 999 + b"\n") * 100)
    for page in pages(store, LogQuery(max_bytes=5000)):
        assert sum(len(line.data) for line in page.lines) <= 5000 + 999


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "1.2.3",
        "2.MARK.0.0.0.0.0.0",
        "1.MARK.-1.0.0.0.0.0",
        "1.MARK.0x1.0.0.0.0.0",
        "1.MARK.40.0.0.0.0.0",
        "1.MARK." + "f" * 17 + ".0" * 5,
    ],
)
def test_a_made_up_cursor_is_refused_in_one_line(store: LogStore, cursor: str) -> None:
    fill(store, OUT, b"line\n" * 100)
    fill(store, OUT, b"line\n" * 100)
    with pytest.raises(LogQueryError, match="cursor") as caught:
        store.read(KEY, LogQuery(cursor=cursor.replace("MARK", MARK)))
    assert "\n" not in caught.value.message


def test_a_cursor_beyond_the_end_waits_there(store: LogStore) -> None:
    fill(store, OUT, b"line\n")
    page = store.read(KEY, LogQuery(cursor=f"1.{MARK}.ffffffffffffffff.0.ffff.0.0.0"))
    assert (page.lines, page.end) == ((), True)
    fill(store, OUT, b"more\n")
    assert shown(store.read(KEY, LogQuery(cursor=page.next_cursor)).lines) == [(1, "more")]


def test_the_cursor_of_another_attempt_leads_to_the_first_line(store: LogStore) -> None:
    fill(store, OUT, b"failed\n" * 10)
    cursor = store.read(KEY, LogQuery()).next_cursor
    again = LogKey(KEY.job_id, KEY.task_index, 1, "again")
    page = store.read(again, LogQuery(cursor=cursor))
    assert (page.lines, page.end) == ((), True)
    store.append(again, chunk(OUT, 0, b"works\nnow\n", key=again))
    assert shown(store.read(again, LogQuery(cursor=cursor)).lines) == [(0, "works"), (1, "now")]
    assert shown(store.read(again, LogQuery(cursor=page.next_cursor)).lines) == [(0, "works"), (1, "now")]


def test_contradictions_are_refused(store: LogStore) -> None:
    with pytest.raises(LogQueryError, match="not both"):
        store.read(KEY, LogQuery(start_line=1, tail=1))
    with pytest.raises(LogQueryError, match="from 0"):
        store.read(KEY, LogQuery(tail=-1))


def test_raw_bytes_of_each_source(store: LogStore) -> None:
    for number in range(200):
        fill(store, OUT, b"o%03d" % number)
        fill(store, ERR, b"e%03d" % number)
    raw = b"".join(b"o%03d" % number for number in range(200))
    assert store.read_bytes(KEY, OUT, 0, 10_000) == raw
    assert store.read_bytes(KEY, OUT, 397, 10) == raw[397:407]
    assert store.read_bytes(KEY, OUT, 800, 10) == b""
    assert store.read_bytes(KEY, OUT, 10**18, 10) == b""
    assert store.read_bytes(KEY, Source.BUILD, 0, 10) == b""
