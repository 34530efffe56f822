"""A pager over a growing log: it follows, and once somebody scrolls up it stays where they read."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import ClassVar

from textual.binding import Binding, BindingType

from opsconsole_console.widget.log_body import LogBody
from opsconsole_console.widget.log_failure import failure_start
from opsconsole_console.widget.log_painter import Layout, Timestamps, is_error
from opsconsole_console.widget.shown_lines import compile_pattern, shown_text
from opsconsole_protocol.log import Source
from opsconsole_protocol.pattern import Pattern

_SIDEWAYS_CELLS = 16
_SOURCES: tuple[frozenset[str] | None, ...] = (
    None,
    frozenset({Source.STDOUT}),
    frozenset({Source.STDERR, Source.ERROR}),
)


class LogView(LogBody):
    """Lines of one attempt, fed in batches of any size.

    `feed` takes lines and fragments as the coordinator sends them; `set_note` says what the log itself does ("paused",
    "ended: exit 0"). The newest `lines_max` lines or `bytes_max` bytes are kept; while somebody reads further up,
    twice as much. Older lines are asked for with `HistoryWanted` and given with `prepend`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "lines(1)", "Down", show=False, id="log.down"),
        Binding("up,k", "lines(-1)", "Up", show=False, id="log.up"),
        Binding("pagedown,space", "pages(1)", "Page down", show=False, id="log.page_down"),
        Binding("pageup", "pages(-1)", "Page up", show=False, id="log.page_up"),
        Binding("ctrl+d", "pages(0.5)", "Half a page down", show=False, id="log.half_page_down"),
        Binding("ctrl+u", "pages(-0.5)", "Half a page up", show=False, id="log.half_page_up"),
        Binding("home,g", "top", "Oldest", show=False, id="log.top"),
        Binding("end,G", "follow", "Follow", show=False, id="log.follow"),
        Binding("f", "toggle_follow", "Follow or stay", show=False, id="log.toggle_follow"),
        Binding("left", "sideways(-1)", "Left", show=False, id="log.left"),
        Binding("right", "sideways(1)", "Right", show=False, id="log.right"),
        Binding("n", "find_next", "Next match", show=False, id="log.find_next"),
        Binding("N", "find_previous", "Previous match", show=False, id="log.find_previous"),
        Binding("right_square_bracket", "error(1)", "Next error", show=False, id="log.next_error"),
        Binding("left_square_bracket", "error(-1)", "Previous error", show=False, id="log.previous_error"),
        Binding("t", "timestamps", "Timestamps", show=False, id="log.timestamps"),
        Binding("W", "wrap", "Wrap", show=False, id="log.wrap"),
        Binding("number_sign", "numbers", "Line numbers", show=False, id="log.numbers"),
        Binding("s", "sources", "Source", show=False, id="log.sources"),
        Binding("y", "copy", "Copy", show=False, id="log.copy"),
    ]

    hits: Sequence[int] | None = None
    """See `set_hits`."""

    # -- searching ------------------------------------------------------------------------------------------------

    def find(self, text: str, *, regex: bool = True) -> int:
        """Highlight what matches, go to the nearest match and return how many lines match. "" ends the search.

        Upward from the end while following, else downward from the top of the view. Raises PatternError.
        """
        self._pattern = compile_pattern(text, regex=regex) if text else None
        self._current = None
        self._repaint()
        pattern = self._pattern
        if pattern is None:
            return 0
        count = sum(1 for line in self._shown.seen_lines() if pattern.search(shown_text(line)) is not None)
        if count:
            self._search(pattern, -1 if self.following else 1, from_view=True)
        return count

    def find_next(self) -> bool:
        """Go to the next match, from the last one round to the first. Return False where nothing matches."""
        return self._pattern is not None and self._search(self._pattern, 1)

    def find_previous(self) -> bool:
        """Go to the match before, from the first one round to the last."""
        return self._pattern is not None and self._search(self._pattern, -1)

    def set_hits(self, numbers: Sequence[int] | None) -> None:
        """The numbers of all lines that match, kept or not, in rising order; None: those kept are all there are."""
        self.hits = numbers

    def go_to_line(self, line: int) -> None:
        """Show a line; one that isn't kept is asked for with `PlaceWanted`."""
        if not self.reach(line):
            self.post_message(self.PlaceWanted(self, line))

    def _step_hit(self, step: int) -> None:
        if not self.hits:
            if step > 0:
                self.find_next()
            else:
                self.find_previous()
            return
        here = self.current_line if self.current_line is not None else self.top_line
        if here is None:
            here = self.kept_range[0]
        place = bisect_right(self.hits, here) if step > 0 else bisect_left(self.hits, here) - 1
        self.go_to_line(self.hits[place % len(self.hits)])

    def jump_error(self, step: int = 1) -> bool:
        """Go to the next error line (`step` -1: the one before), round the ends. Return False where there is none."""
        lines, shown = self._ring.lines, self._shown

        def hit(place: int) -> bool:
            line = lines[shown.index_at(place) - self._ring.base]
            return is_error(line, shown_text(line))

        return self._go_to_hit(hit, step, self._start_place(step))

    def jump_failure(self) -> bool:
        """Go to where the failure begins that ended the log, its traceback at the top. Return False where there is none.

        Where all of it fits below, the view goes on following.
        """
        lines = list(self._shown.seen_lines())
        place = failure_start(lines)
        if place is None:
            return False
        row = self._shown.row_of(place)
        if row < self.max_scroll_y:
            self._select(place)
            self._scroll_to_row(max(0, row - 1))
        return True

    def _search(self, pattern: Pattern, step: int, *, from_view: bool = False) -> bool:
        lines, shown = self._ring.lines, self._shown

        def hit(place: int) -> bool:
            return pattern.search(shown_text(lines[shown.index_at(place) - self._ring.base])) is not None

        start = self._view_place(step) if from_view else self._start_place(step)
        return self._go_to_hit(hit, step, start)

    def _go_to_hit(self, hit: Callable[[int], bool], step: int, start: int) -> bool:
        count = self._shown.count
        for offset in range(count):
            place = (start + step * offset) % count
            if hit(place):
                self._select(place)
                return True
        return False

    def _view_place(self, step: int) -> int:
        """The first line in sight, or for going upward the last one."""
        rows = self._shown.rows
        if not rows:
            return 0
        row = self.scroll_offset.y + (0 if step > 0 else self.view_size.height - 1)
        return self._shown.at(min(row, rows - 1))[0]

    def _start_place(self, step: int) -> int:
        """Where looking further begins: beside the line found last, else in the view."""
        if self._current is None or not self._ring.base <= self._current < self._ring.end:
            return self._view_place(step)
        place = self._shown.count_before(self._current)
        return place + step if step < 0 or self._is_seen(place) else place

    def _is_seen(self, place: int) -> bool:
        return place < self._shown.count and self._shown.index_at(place) == self._current

    def _select(self, place: int) -> None:
        """Make a line the current one and bring it into sight, a third down where the view has to move."""
        self._painted.pop(self._current if self._current is not None else -1, None)
        self._current = self._shown.index_at(place)
        self._painted.pop(self._current, None)
        self.show_place(place)

    def show_place(self, place: int) -> None:
        if self._pattern is not None and self._current != self._shown.index_at(place):
            self._select(place)
        else:
            super().show_place(place)

    @property
    def current_line(self) -> int | None:
        """The number of the line that the search stands on."""
        if self._current is None or not self._ring.base <= self._current < self._ring.end:
            return None
        return self._ring.get(self._current).line_number

    @property
    def top_line(self) -> int | None:
        """The number of the first line in sight."""
        if not self._shown.rows:
            return None
        return self._ring.get(self._shown.index_at(self._view_place(1))).line_number

    # -- what is seen ---------------------------------------------------------------------------------------------

    def set_filter(self, text: str, *, regex: bool = True, invert: bool = False) -> None:
        """Show only lines that match (`invert`: that don't); "" shows all. Raises PatternError."""
        self._shown.pattern = compile_pattern(text, regex=regex) if text else None
        self._shown.invert = invert and bool(text)
        self._rearrange()

    def set_sources(self, sources: Collection[str] | None) -> None:
        """Show only lines of these sources; None shows all."""
        self._shown.sources = sources
        self._rearrange()

    def set_timestamps(self, timestamps: Timestamps) -> None:
        """Put nothing, the clock, or the time since the line before in front of each line."""
        self._rearrange(replace(self._layout, timestamps=timestamps))

    def set_wrap(self, wrap: bool) -> None:
        """Break long lines into rows, or let them run out of sight."""
        self._shift = 0
        self._rearrange(replace(self._layout, wrap=wrap))

    def set_numbers(self, numbers: bool) -> None:
        """Show line numbers."""
        self._rearrange(replace(self._layout, digits=self._digits() if numbers else 0))

    @property
    def layout_options(self) -> Layout:
        """How lines are laid out at the moment."""
        return self._layout

    # -- actions --------------------------------------------------------------------------------------------------

    def action_lines(self, lines: int) -> None:
        self.jump(self.scroll_offset.y + lines)

    def action_pages(self, pages: float) -> None:
        self.action_lines(int(pages * max(1, self.view_size.height - 1)))

    def action_top(self) -> None:
        """To the very first line, which may have to be fetched."""
        self.stay()
        if self.kept_range[0] > 0:
            self.post_message(self.PlaceWanted(self, 0))
        self.jump(0)

    def action_follow(self) -> None:
        self.follow()

    def action_toggle_follow(self) -> None:
        if self.following:
            self.stay()
        else:
            self.follow()

    def action_sideways(self, steps: int) -> None:
        if not self._layout.wrap:
            self._shift = max(0, self._shift + steps * _SIDEWAYS_CELLS)
            self.refresh_view()

    def action_find_next(self) -> None:
        self._step_hit(1)

    def action_find_previous(self) -> None:
        self._step_hit(-1)

    def action_error(self, step: int) -> None:
        self.jump_error(step)

    def action_timestamps(self) -> None:
        every = list(Timestamps)
        self.set_timestamps(every[(every.index(self._layout.timestamps) + 1) % len(every)])

    def action_wrap(self) -> None:
        self.set_wrap(not self._layout.wrap)

    def action_numbers(self) -> None:
        self.set_numbers(not self._layout.digits)

    def action_sources(self) -> None:
        now = self._shown.sources
        place = _SOURCES.index(frozenset(now)) if now is not None and frozenset(now) in _SOURCES else 0
        self.set_sources(_SOURCES[(place + 1) % len(_SOURCES)])

    def action_copy(self) -> None:
        """Copy the selection, or else what is in sight."""
        text = self.screen.get_selected_text() or self.text_in_view()
        self.app.copy_to_clipboard(text)
