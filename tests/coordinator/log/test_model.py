"""The store against an oracle: random chunking, repeats, gaps, crashes with a torn tail, and every way to ask."""

import re
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from opsconsole_coordinator.log import LogStore, Outcome
from opsconsole_coordinator.log import index as index_module
from opsconsole_coordinator.log import scan as scan_module
from opsconsole_protocol.log import SHOWN_SOURCES, LogQuery, Source
from tests.coordinator.log.oracle import KEY, Line, Oracle, Row, chunk, expected, put_together, read_all, starts_over

SOURCES = st.sampled_from(SHOWN_SOURCES)
# Few letters, many line ends, halves of characters, carriage returns; now and then a line that is long.
DATA = st.one_of(
    st.lists(st.sampled_from([b"a", b"b", b"\n", b"\n", b"\r", b"\xc3", b"\xa9", b"\xe2\x82", b"\xff"])).map(b"".join),
    st.integers(1, 300).map(lambda size: b"x" * size),
    st.integers(1, 60).map(lambda size: b"line\n" * size),
).filter(bool)


class StoreMachine(RuleBasedStateMachine):
    """Chunks come, the process dies, readers read. What was acknowledged and not torn off is there, once, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = LogStore(Path(self.folder.name), open_files_max=1)
        self.oracle = Oracle()
        self.at_ms = 1000
        self.follower: str | None = None
        self.followed: list[msgspec.Struct] = []

    def shown(self, text: str) -> str:
        """What of a text is to be compared."""
        return text

    def comparable(self, rows: list[Row]) -> list[Row]:
        return [(*row[:2], self.shown(row[2]), *row[3:]) for row in rows]

    @property
    def path(self) -> Path:
        return Path(self.folder.name) / KEY.job_id / "0.0.log"

    @rule(source=SOURCES, data=DATA, step_ms=st.integers(-5, 50))
    def next_chunk(self, source: Source, data: bytes, step_ms: int) -> None:
        self.at_ms += step_ms
        offset, lines = self.oracle.offset(source), len(self.oracle.lines)
        first = self.oracle.open[source].number if source in self.oracle.open else lines
        self.oracle.add(source, data, self.at_ms)
        result = self.store.append(KEY, chunk(source, offset, data, self.at_ms))
        assert result.outcome is Outcome.STORED
        assert result.durable_offset == offset + len(data)
        assert (result.first_line, result.lines) == (first, len(self.oracle.lines) - lines)

    @rule(items=st.lists(st.tuples(SOURCES, DATA), min_size=1, max_size=5))
    def batch(self, items: list[tuple[Source, bytes]]) -> None:
        chunks = []
        for source, data in items:
            chunks.append((KEY, chunk(source, self.oracle.offset(source), data, self.at_ms)))
            self.oracle.add(source, data, self.at_ms)
        results = self.store.append_many(chunks)
        assert [result.durable_offset for result in results] == [one.end for _, one in chunks]

    @rule(source=SOURCES, back=st.integers(0, 400), new=st.binary(max_size=20))
    def overlapping_chunk(self, source: Source, back: int, new: bytes) -> None:
        known = self.oracle.raw.get(source, b"")
        start = max(0, len(known) - back)
        if not known[start:] + new:
            return
        result = self.store.append(KEY, chunk(source, start, known[start:] + new, self.at_ms))
        assert result.outcome is (Outcome.STORED if new else Outcome.DUPLICATE)
        assert result.durable_offset == len(known) + len(new)
        if new:
            self.oracle.add(source, new, self.at_ms)

    @rule(source=SOURCES, ahead=st.integers(1, 100), data=DATA)
    def chunk_after_a_gap(self, source: Source, ahead: int, data: bytes) -> None:
        known = self.oracle.offset(source)
        result = self.store.append(KEY, chunk(source, known + ahead, data, self.at_ms))
        assert (result.outcome, result.durable_offset) == (Outcome.GAP, known)

    @rule(sync=st.booleans())
    def restart(self, sync: bool) -> None:
        if sync:
            self.store.sync()
        self.store.close()
        self.store = LogStore(Path(self.folder.name))

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """The host dies: the end of the file is cut, damaged or followed by rubbish."""
        self.store.close()
        if self.path.exists():
            size = self.path.stat().st_size
            keep = size - data.draw(st.integers(0, min(size, 500)))
            rubbish = data.draw(st.one_of(st.binary(max_size=100), st.just(bytes(200))))
            before = self.path.read_bytes()
            after = before[:keep] + rubbish
            self.path.write_bytes(after)
            # The rubbish may happen to be what was cut off.
            differs = (place for place, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1])
            self.forget_after(next(differs, min(len(before), len(after))))
        self.store = LogStore(Path(self.folder.name))
        self.follower, self.followed = None, []

    def forget_after(self, keep: int) -> None:
        position = 8 + 2 + len(KEY.attempt_id)
        pieces, self.oracle = self.oracle.pieces, Oracle()
        for source, data, at_ms in pieces:
            position += 52 + len(data)
            if position > keep:
                break
            self.oracle.add(source, data, at_ms)

    @rule(max_lines=st.integers(1, 20), max_bytes=st.integers(1, 500))
    def follow(self, max_lines: int, max_bytes: int) -> None:
        """A follower sees each byte once, whenever it looks."""
        query = LogQuery(max_lines=max_lines, max_bytes=max_bytes, cursor=self.follower)
        page = self.store.read(KEY, query)
        assert len(page.lines) <= max_lines
        self.followed += page.lines
        self.follower = page.next_cursor
        known = put_together(self.followed)  # type: ignore[arg-type]
        for number, source, text, at_ms, _, length in known:
            line = self.oracle.lines[number]
            assert (source, at_ms) == (line.source, line.at_ms)
            if starts_over(line) and length < len(line.data):
                continue  # what it shows in between is none of its last state
            assert self.shown(expected(line)[2]).startswith(self.shown(text).rstrip("\ufffd"))
        if page.end and not page.lines:
            assert self.store.read(KEY, msgspec.structs.replace(query, cursor=page.next_cursor)) == page

    @rule(
        sources=st.lists(SOURCES, max_size=2, unique=True).map(tuple),
        max_lines=st.integers(1, 30),
        max_bytes=st.integers(1, 2000),
        how=st.sampled_from(["all", "start", "tail", "negative", "since", "until", "before", "scroll", "window"]),
        number=st.integers(0, 400),
        other=st.integers(0, 60),
        grep=st.sampled_from([None, None, "a", "b$", "ba", "a+b", "^(l|x)", "é", "line"]),
        invert=st.booleans(),
    )
    def ask(
        self,
        sources: tuple[Source, ...],
        max_lines: int,
        max_bytes: int,
        how: str,
        number: int,
        other: int,
        grep: str | None,
        invert: bool,
    ) -> None:
        fields: dict[str, int] = {
            "all": {},
            "start": {"start_line": number},
            "tail": {"tail": number},
            "negative": {"start_line": -number - 1},
            "since": {"since_ms": 900 + number},
            "until": {"until_ms": 900 + number},
            "before": {"before_line": number},
            "scroll": {"before_line": number, "tail": other},
            "window": {"since_ms": 900 + number, "until_ms": 900 + number + other, "tail": other},
        }[how]
        query = LogQuery(sources=sources, max_lines=max_lines, max_bytes=max_bytes, grep=grep, invert=invert, **fields)  # type: ignore[arg-type]
        query = self.refine(query)
        found = put_together(read_all(self.store, query, ended=True))
        assert self.comparable(found) == self.comparable([expected(line) for line in self.asked_for(query)])

    def refine(self, query: LogQuery) -> LogQuery:
        return query

    def asked_for(self, query: LogQuery) -> list[Line]:
        fit = [
            line
            for line in self.oracle.lines
            if (not query.sources or line.source in query.sources)
            and (query.since_ms is None or line.at_ms >= query.since_ms)
            and (query.until_ms is None or line.at_ms < query.until_ms)
            and (query.before_line is None or line.number < query.before_line)
            and (
                query.grep is None
                or (re.search(query.grep, line.data.decode(errors="replace")) is None) is query.invert
            )
        ]
        tail = query.tail
        if query.start_line is not None and query.start_line >= 0:
            fit = [line for line in fit if line.number >= query.start_line]
        elif query.start_line is not None:
            tail = -query.start_line
        return fit if tail is None else fit[len(fit) - min(tail, len(fit)) :]

    @rule(source=SOURCES, offset=st.integers(0, 2000), limit=st.integers(0, 500))
    def raw_bytes(self, source: Source, offset: int, limit: int) -> None:
        raw = self.oracle.raw.get(source, b"")
        assert self.store.read_bytes(KEY, source, offset, limit) == raw[offset : offset + limit]

    @invariant()
    def offsets_hold(self) -> None:
        assert self.store.offsets(KEY) == {source: len(raw) for source, raw in self.oracle.raw.items()}

    def teardown(self) -> None:
        self.store.close()
        store = LogStore(Path(self.folder.name))
        try:
            found = put_together(read_all(store, LogQuery(), ended=True))
            assert self.comparable(found) == self.comparable(list(map(expected, self.oracle.lines)))
        finally:
            store.close()
            self.folder.cleanup()


class ImpatientMachine(StoreMachine):
    """Characters may fall apart where the rest of a line is not waited for; and what is far apart is not found by a
    search, nor behind the end of a range.
    """

    def shown(self, text: str) -> str:
        return text.encode("ascii", "ignore").decode()

    def refine(self, query: LogQuery) -> LogQuery:
        return msgspec.structs.replace(query, grep=None, before_line=None, until_ms=None)


@pytest.mark.parametrize("spacing", [1, 700, 256 * 1024])
def test_store_against_oracle(spacing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With index entries as dense as can be, some records apart, and as in earnest."""
    from hypothesis.stateful import run_state_machine_as_test

    monkeypatch.setattr(index_module, "_SPACING_BYTES", spacing)
    run_state_machine_as_test(StoreMachine, settings=settings(max_examples=80, stateful_step_count=30, deadline=None))


@pytest.mark.parametrize("spacing", [1, 700])
def test_store_against_oracle_within_small_limits(spacing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends of lines are hardly looked for and pages end after little work: only more pages come of it."""
    from hypothesis.stateful import run_state_machine_as_test

    monkeypatch.setattr(index_module, "_SPACING_BYTES", spacing)
    monkeypatch.setattr(scan_module, "_LOOKAHEAD_BYTES", 150)
    monkeypatch.setattr(scan_module, "LOG_LINE_BYTES_MAX", 40)
    monkeypatch.setattr("tests.coordinator.log.oracle.LOG_LINE_BYTES_MAX", 40)
    run_state_machine_as_test(
        ImpatientMachine, settings=settings(max_examples=80, stateful_step_count=30, deadline=None)
    )
