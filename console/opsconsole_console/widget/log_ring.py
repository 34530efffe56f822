"""The lines a log pane keeps: bounded in number and in bytes, whatever comes. Pure.

Lines are addressed by an index that never changes while they are kept: trimming moves `base` up, history put in front
moves it down. While somebody reads (`hold`), nothing is trimmed under their eyes: up to twice the bound is kept, what
comes after that waits in a run of its own, of which only the newest part stays. Letting go joins the two, or, where
something between them is missing, goes on with the newer one; the older lines can be asked for again.
"""

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter

from opsconsole_console.widget.log_overwriter import LogOverwriter
from opsconsole_console.widget.log_run import Change, LogRun
from opsconsole_protocol.log import LogLine


class LogRing:
    """A kept run, and while it is held a waiting one."""

    def __init__(self, lines_max: int, bytes_max: int, *, overwrites: bool = True) -> None:
        """`overwrites`: what goes up and writes over earlier lines does so here; not where lines between are missing."""
        self.lines_max = lines_max
        self.bytes_max = bytes_max
        self.run = LogRun()
        self.holding = False
        self._newest = -1
        self._waiting: LogRun | None = None
        self._overwriter = LogOverwriter() if overwrites else None

    @property
    def lines(self) -> list[LogLine]:
        """The kept lines. Not to be changed."""
        return self.run.lines

    @property
    def base(self) -> int:
        """The index of the first kept line."""
        return self.run.base

    @property
    def end(self) -> int:
        """The index after the last kept line."""
        return self.run.base + len(self.run.lines)

    @property
    def last_number(self) -> int:
        """The number of the newest line kept, which may stand under an earlier one's; -1 where there is none."""
        if not self.lines or self._waiting is not None:
            return self.lines[-1].line_number if self.lines else -1
        return max(self.lines[-1].line_number, self._newest)

    @property
    def waiting(self) -> int:
        """How many lines came that aren't among the kept ones because these are held."""
        return 0 if self._waiting is None else self._waiting.base + len(self._waiting.lines)

    @property
    def full(self) -> bool:
        """Whether no more history is taken: twice the bound is kept."""
        return len(self.lines) >= 2 * self.lines_max or self.run.size_bytes >= 2 * self.bytes_max

    def get(self, index: int) -> LogLine:
        """A kept line by its index; IndexError for any other."""
        place = index - self.base
        if place < 0:
            raise IndexError(index)
        return self.lines[place]

    def feed(self, lines: Sequence[LogLine]) -> Change:
        """Take in a batch of lines and fragments; call `trim` afterwards, when it suits."""
        if lines:
            self._newest = max(self._newest, lines[-1].line_number)
        if self._overwriter is None:
            return self._add(lines)
        rewritten = self._overwriter.rewrite(lines)
        change = self._add(rewritten)
        if rewritten is lines or not self.lines or rewritten[0].line_number >= self.lines[0].line_number:
            return change
        self.run.prepend(rewritten)  # a row above the first one kept is written over
        return Change(change.appended, change.changed, moved=True)

    def _add(self, lines: Sequence[LogLine]) -> Change:
        if not self.holding or (self._waiting is None and not self.full):
            return self.run.feed(lines)
        if self._waiting is None:
            self._waiting = LogRun()
        last = self.lines[-1].line_number
        here = [line for line in lines if line.line_number <= last]
        self._waiting.feed([line for line in lines if line.line_number > last] if here else lines)
        return self.run.feed(here)

    def prepend(self, lines: Sequence[LogLine]) -> int:
        """Put history in front and return how many lines came."""
        return self.run.prepend(lines if self._overwriter is None else LogOverwriter().rewrite(lines))

    def index_of(self, line: int) -> int | None:
        """The index under which a line stands, or None where it isn't kept."""
        if not self.lines or not self.lines[0].line_number <= line <= self.last_number:
            return None
        return self.base + bisect_right(self.lines, line, key=attrgetter("line_number")) - 1

    def trim(self) -> int:
        """Keep to the bounds and return how many lines were dropped from the top of the kept ones."""
        if self._waiting is not None:
            self._waiting.trim(self.lines_max, self.bytes_max)
        return 0 if self.holding else self.run.trim(self.lines_max, self.bytes_max)

    def hold(self) -> None:
        """Somebody reads: drop nothing."""
        self.holding = True

    def release(self) -> bool:
        """Nobody reads any more. Returns whether other lines are kept now than before, beyond some at the end."""
        self.holding = False
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return False
        if waiting.base == 0:
            self.run.feed(waiting.lines)
            return True
        waiting.base += self.end
        self.run = waiting
        return True
