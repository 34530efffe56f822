"""Log lines as they are asked for and answered.

A *line* is what one source wrote up to and including a newline. Its `line_number` is its 0-based place among all
lines of the attempt, over all sources, in the order in which the first byte of each reached the coordinator. That
order never changes afterwards, so a number means the same line whatever is filtered, paged or still unfinished.

A page holds *fragments*: usually whole lines; but a line that isn't finished yet, or is too long, or whose rest lies
far behind other sources' output, comes in several fragments with the same `line_number` and rising `start`. Whoever
shows lines appends a fragment with `start` > 0 to the line of that number. Every byte comes once, and in `whole` pages every
byte comes.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from opsconsole_protocol.bound import Label, Signed, Whole
from opsconsole_protocol.pattern import PATTERN_CHARACTERS_MAX

LINE_BYTES_MAX = 64 * 1024
"""Of a longer line only this much is in pages, unless they are asked for `whole`; its `length` says how long it is.

One that keeps starting over (a progress bar with carriage returns) is then shown as it stands: its last state."""
STATE_BYTES_MAX = 8 * 1024
"""Of the last state of such a line only this much."""

LOG_SOURCES_MAX = 16
PAGE_LINES_MAX = 100_000
PAGE_BYTES_MAX = 8 * 1024 * 1024


class Source(StrEnum):
    """Where a line of an attempt's log comes from."""

    STDOUT = "stdout"
    STDERR = "stderr"
    BUILD = "build"
    ERROR = "error"


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """One line, or a fragment of one.

    `data` has no newline at its end, keeps carriage returns, and shows bytes that aren't UTF-8 as U+FFFD.
    `timestamp_ms` is when the agent read the chunk with the line's (the fragment's) first byte.
    `partial`: no newline has come yet; more may follow under the same number.
    `start`: the byte of the line at which this fragment begins. `length`: bytes of the line known so far.
    """

    line_number: int
    source: Source
    data: str
    timestamp_ms: int
    partial: bool = False
    start: int = 0
    length: int = 0


class LogQuery(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Which lines of one attempt to read.

    Without anything: from the first line on. `start_line` ≥ 0: from that number on; negative, or `tail`: the last
    lines that fit the other conditions. `since_ms` ≤ a line's time < `until_ms`; line numbers < `before_line` (with
    `tail`: scrolling back). `grep` is a regular expression (`pattern.py`, searched in each line), with `invert` of what the lines don't hold. `cursor` continues
    after an earlier page of the same query; where to start is then no longer looked at. The cursor of another attempt's
    log leads to the first line of this one, so that a task can be followed into its next attempt. `whole`: nothing is cut,
    a long line comes in as many fragments as it takes, and bytes that aren't UTF-8 are in the page's `raw`.
    `latest`: of a long line that keeps starting over only the last state, in `whole` pages too.
    """

    sources: Annotated[tuple[Source, ...], Meta(max_length=LOG_SOURCES_MAX)] = ()
    start_line: Signed | None = None
    tail: Whole | None = None
    before_line: Whole | None = None
    since_ms: Signed | None = None
    until_ms: Signed | None = None
    grep: Annotated[str, Meta(max_length=PATTERN_CHARACTERS_MAX)] | None = None
    max_lines: Annotated[int, Meta(ge=1, le=PAGE_LINES_MAX)] = 5_000
    max_bytes: Annotated[int, Meta(ge=1, le=PAGE_BYTES_MAX)] = 1024 * 1024
    cursor: Label | None = None
    whole: bool = False
    latest: bool = False
    invert: bool = False


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of lines in the order in which they began.

    `next_cursor` continues after this page, also at the end of a log that grows. `end`: nothing more to read now (a
    page may be short or empty and still not the end: a search stops after some work and goes on from its cursor).
    `first_line`: number of the first line here, or `total_lines` when there is none. `total_lines`: lines of the whole
    log, unfiltered, so far. `note`: something the reader should be told about this answer, or empty. `raw`: in a `whole`
    page, by place in `lines`, the bytes of those whose text can't tell them all.
    """

    lines: tuple[LogLine, ...]
    next_cursor: str
    end: bool
    first_line: int = 0
    total_lines: int = 0
    note: str = ""
    raw: dict[int, bytes] = {}
