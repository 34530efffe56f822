"""The output of one attempt: what is recognised in it is added to its report, once.

Each line that is added says where the stream was then (`mark`), and the line is there or isn't: so after a restart of the agent, or its
death at any moment, reading goes on where the last line was written. What the task reports itself is left to it.
"""

from collections.abc import Callable, Sequence

import msgspec

from opsconsole_agent.log.follower import LogFollower
from opsconsole_agent.recognise.line import Count
from opsconsole_agent.recognise.pace import Pace, thinned
from opsconsole_agent.recognise.stream import Finding, Mark, Stream, worded
from opsconsole_agent.report.appending import append
from opsconsole_protocol.log import Source
from opsconsole_protocol.pattern import Pattern
from opsconsole_protocol.report import METRICS_OF_LINE_MAX, REPORT_LINE_BYTES_MAX

LOOK_BYTES_MAX = 32 * 1024
"""Of each stream that are read in one look, which takes some 40 ms for lines full of metrics."""
BEHIND_BYTES_MAX = 512 * 1024
"""What a stream grows by faster is left out from its beginning."""
_LOOKS_AT_END = BEHIND_BYTES_MAX // LOOK_BYTES_MAX + 1
_REPORT_BYTES = 1 << 20
_TOLD_MAX = 10_000
_SOURCES = (Source.STDERR, Source.STDOUT)

Files = Callable[[Source], tuple[str, str]]
"""The file of a source, and its second name (or an empty one)."""


class _Line(msgspec.Struct, omit_defaults=True):
    """A line of a report, as far as it is of interest here."""

    at_ms: float | None = None
    step: float | None = None
    metrics: dict[str, float | str | None] | None = None
    progress: dict[str, float | None] | None = None
    source: str | None = None
    mark: Mark | None = None


class Output:
    """See the module. Blocks; not for an event loop."""

    def __init__(self, files: Files, pattern: Pattern | None = None) -> None:
        self._files = files
        self._pattern = pattern
        self._report = LogFollower(Source.REPORT, files(Source.REPORT)[0])
        self._report_rest = b""
        self._marks: dict[str, Mark] = {}
        self._told: set[str] = set()
        self._tells_progress = False
        self._names: set[str] = set()
        self._pace = Pace()
        self._streams: dict[Source, tuple[Stream, LogFollower]] = {}
        self._progress: Count | None = None
        self._is_over = False

    def look(self, now_ms: int) -> bool:
        """Read on, and return whether there was anything new. Raises OSError where the report can't be written."""
        if self._is_over or not self._read_report():
            return not self._is_over
        self._open()
        looks = [self._look_at(source, now_ms) for source in _SOURCES]
        return any(looks)

    def finish(self, now_ms: int, is_late: Callable[[], bool] = lambda: False) -> None:
        """Read all that is left, the last lines without an end too; only the last ones once `is_late`. Raises OSError."""
        while not self._is_over and not self._read_report():
            pass
        self._open()
        for source in _SOURCES:
            for _ in range(_LOOKS_AT_END):  # what is left of the task may go on writing
                behind_max = LOOK_BYTES_MAX if is_late() else BEHIND_BYTES_MAX
                if self._is_over or not self._look_at(source, now_ms, behind_max, at_end=True):
                    break
            if source in self._streams:
                stream = self._streams[source][0]
                self._write(source, stream, stream.finish(), now_ms)

    # --- reading -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        if not self._streams:
            for source in _SOURCES:
                mark = self._marks.get(source, Mark())
                path, hard_link = self._files(source)
                self._streams[source] = Stream(self._pattern, mark), LogFollower(source, path, mark.to, hard_link)

    def _look_at(
        self, source: Source, now_ms: int, behind_max: int = BEHIND_BYTES_MAX, *, at_end: bool = False
    ) -> bool:
        """`behind_max`: how much at most is left to read. `at_end`: the last values are wanted, whatever the pace."""
        if source not in self._streams or (self._pace.allowed(now_ms) < 1 and not at_end):
            return False
        stream, follower = self._streams[source]
        follower.check()
        if follower.size - stream.offset > behind_max:
            stream.skip_to(follower.size - behind_max)
            follower.seek(stream.offset)
        data = follower.read(LOOK_BYTES_MAX)
        if data is not None:
            self._write(source, stream, stream.feed(data), now_ms)
        elif (standing := stream.unfinished()) is not None:
            self._write(source, stream, [Finding(standing, None, {})], now_ms)
        return data is not None

    def _read_report(self) -> bool:
        """What was said there since the last look: what the task says itself, and where an earlier agent was. Whether that is all."""
        data = self._report.read(_REPORT_BYTES)
        if data is None:
            return True
        *lines, self._report_rest = (self._report_rest + data).split(b"\n")
        if len(self._report_rest) > REPORT_LINE_BYTES_MAX:
            self._report_rest = b""
        for line in lines:
            try:
                said = _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # the coordinator tells its writer
            if said.source in _SOURCES:
                self._names.update(said.metrics or ())
                self._pace.written += 0 if self._streams else len(line)
                if said.mark is not None and not self._streams:
                    self._marks[said.source] = said.mark
            elif len(self._told) < _TOLD_MAX:
                self._told.update(said.metrics or ())
                self._tells_progress = self._tells_progress or said.progress is not None
        return self._report.at_end

    # --- writing -----------------------------------------------------------------------------------------------

    def _write(self, source: Source, stream: Stream, found: Sequence[Finding], now_ms: int) -> None:
        """Add what was found, with the place where the stream is, in one write."""
        told = thinned(
            [kept for one in found if (kept := self._untold(one)).values], max(1, self._pace.allowed(now_ms))
        )
        progress = next((one.progress for one in reversed(found) if one.progress is not None), None)
        if self._tells_progress or progress == self._progress:
            progress = None
        lines = [_Line(now_ms, one.step, worded(one.values), source=source) for one in told]
        if progress is not None:
            if not lines:
                lines.append(_Line(now_ms, source=source))
            left = {} if progress.left_ms is None else {"left_ms": progress.left_ms}
            lines[-1].progress = {"done": progress.done, "total": progress.total, **left}
        if not lines:
            return
        lines[-1].mark = stream.mark
        data = b"".join(_encode(one) + b"\n" for one in lines)
        try:
            self._is_over = not append(self._files(Source.REPORT)[0], data)
        except OSError:
            self._streams = {}  # what wasn't written is read again
            raise
        self._marks[source] = msgspec.json.decode(_encode(stream.mark), type=Mark)
        self._pace.spend(len(lines), len(data))
        self._progress = progress or self._progress

    def _untold(self, finding: Finding) -> Finding:
        """Without what the task reports itself, and with no more names than a report may have."""
        values = {}
        for name, value in finding.values.items():
            if name not in self._told and (name in self._names or len(self._names) < METRICS_OF_LINE_MAX):
                self._names.add(name)
                values[name] = value
        return finding._replace(values=values)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode
