"""Panes 3 and up: each follows one task's log."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.worker import Worker

from opsconsole_console.model.log_target import LogTarget
from opsconsole_console.screen.part.filter_bar import FilterBar
from opsconsole_console.screen.part.log_message import LogClosed, LogLeft, LogSplit
from opsconsole_console.screen.part.shell_access import run_exclusive, shell
from opsconsole_console.service.log_feeder import Grep, LogFeeder
from opsconsole_console.widget.log_painter import Timestamps
from opsconsole_console.widget.log_view import LogView
from opsconsole_console.widget.pane import Pane
from opsconsole_console.widget.sign import sign
from opsconsole_console.widget.words import say_below
from opsconsole_protocol.api import LogAnswer
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError
from opsconsole_protocol.log import LogLine
from opsconsole_protocol.pattern import compile_pattern, escaped
from opsconsole_protocol.state import AttemptState, is_attempt_finished

HOLD_LINES = 20_000
"""How many lines the reader may be behind before no further ones are fetched."""

_ENDED = frozenset(state for state in AttemptState if is_attempt_finished(state))
_BEFORE_LINES = 200
"""How many lines before the one that is wanted are fetched with it."""
Asking = Literal["find", "filter", "save"]


class LogPane(Pane):
    """A pager on one task's log, with what is known about the attempt in its frame."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "ask('find')", "Find", key_display="/", tooltip="n and N go on", id="log.find"),
        Binding("ampersand", "ask('filter')", "Filter", key_display="&", id="log.filter"),
        Binding("exclamation_mark", "invert", "Invert filter", show=False, key_display="!", id="log.invert"),
        Binding("a", "attempt(-1)", "Attempt before", id="log.attempt_before"),
        Binding("A", "attempt(1)", "Attempt after", show=False, id="log.attempt_after"),
        Binding("comma,less_than_sign", "task(-1)", "Task before", show=False, id="log.task_before"),
        Binding("full_stop,greater_than_sign", "task(1)", "Task after", show=False, id="log.task_after"),
        Binding("v", "split", "Split", tooltip="The same log in one more pane", id="log.split"),
        Binding("S", "ask('save')", "Save", show=False, tooltip="What is seen, into a file", id="log.save"),
        Binding("x", "close", "Close", id="log.close"),
        Binding("enter", "open_job", "Open job", show=False, id="log.open_job"),
        Binding("escape", "back", "Back", tooltip="Or undo what was found or filtered", id="log.back"),
    ]

    def __init__(self, target: LogTarget, *, number: int) -> None:
        super().__init__(number=number, title="Logs", subject=target.name)
        self.target = target
        self._view = LogView()
        self._view.set_timestamps(Timestamps.CLOCK)
        self._feeder: LogFeeder | None = None
        self._worker: Worker[None] | None = None
        self._asking: Asking = "find"
        self._filter = ""
        self._inverted = False
        self._hidden = 0
        self._finding = False
        self._searcher: Worker[None] | None = None
        self._hits: list[int] = []
        self._searched = False
        self._sought = ""
        self._grep: Grep | None = None
        self._attempt: int | None = target.attempt
        self._task_index = target.task_index or 0

    def compose(self) -> ComposeResult:
        yield self._view
        yield FilterBar()

    def on_mount(self) -> None:
        self.follow(self.target)

    @property
    def view(self) -> LogView:
        """The pager."""
        return self._view

    def follow(self, target: LogTarget) -> None:
        """Show this log from now on."""
        if self._worker is not None:
            self._worker.cancel()
            self._view.clear()
        self.target = target
        self._attempt, self._task_index = target.attempt, target.task_index or 0
        self.refresh_bindings()
        self._end_search()
        self._feeder = LogFeeder(shell(self).source, target, self)
        if self._grep is not None:
            self._feeder.start_at(None, self._grep)
        self._worker = run_exclusive(self, self._feeder.run, "log")

    def _read_from(self, line: int | None) -> None:
        """Fetch lines from somewhere else: some before a line and what follows, or the end."""
        if self._feeder is None:
            return
        if self._worker is not None:
            self._worker.cancel()
        if line is None:
            self._view.clear()
        else:
            self._view.clear_for(line)
        self._feeder.start_at(None if line is None else max(0, line - _BEFORE_LINES), self._grep)
        self._worker = run_exclusive(self, self._feeder.run, "log")

    @on(LogView.PlaceWanted)
    def _read_elsewhere(self, event: LogView.PlaceWanted) -> None:
        event.stop()
        self._read_from(event.line)

    # -- searching all of it ------------------------------------------------------------------------------------------

    @property
    def _is_all_here(self) -> bool:
        """Whether every line of the log is among those kept."""
        first, last = self._view.kept_range
        return self._feeder is None or (first == 0 and self._grep is None and last + 1 >= self._feeder.total_lines)

    def _search_whole_log(self, text: str) -> None:
        """Let the coordinator find what isn't here; n and N then go through all of it."""
        self._end_search()
        self._sought = text
        if text and not self._is_all_here:
            self._searcher = run_exclusive(
                self, partial(self._search, Grep(remote_pattern(text)), is_jumping=True), "search"
            )

    def _end_search(self) -> None:
        if self._searcher is not None:
            self._searcher.cancel()
        self._searcher, self._hits, self._searched = None, [], False
        self._view.set_hits(None)

    async def _search(self, grep: Grep, *, is_jumping: bool) -> None:
        if self._feeder is None:
            return
        try:
            async for numbers in self._feeder.search(grep):
                self._hits += numbers
                self._view.set_hits(self._hits)
                self._show_state()
        except OpsconsoleError as error:
            shell(self).say(error.message, "warning")
            return
        self._searched = True
        self._show_state()
        if is_jumping and self._view.current_line is None:
            if self._hits:
                self._view.go_to_line(self._hits[-1])
            else:
                shell(self).say(f"{self._sought!r} is not in the log", "warning")

    def _filter_whole_log(self, text: str, *, inverted: bool) -> None:
        """Let the coordinator filter where not all lines are here."""
        is_wanted = text and (self._grep is not None or not self._is_all_here)
        wanted = Grep(remote_pattern(text), inverted) if is_wanted else None
        if wanted == self._grep:
            return
        self._grep = wanted
        self._view.filter_note = None if wanted is None else ""
        self._end_search()
        self._read_from(None)
        if wanted is not None:
            self._searcher = run_exclusive(self, partial(self._search, wanted, is_jumping=False), "search")

    # -- the feeder's sink ------------------------------------------------------------------------------------------

    def show_lines(self, lines: Sequence[LogLine]) -> None:
        self._view.feed(lines)
        self._show_range()

    def _show_range(self) -> None:
        """Which lines are here, where that isn't all of them."""
        first, last = self._view.kept_range
        total = 0 if self._feeder is None else self._feeder.total_lines
        is_part = self._grep is None and last >= first and last - first + 1 < total
        say_below(self, f"lines {first + 1:,}–{last + 1:,} of {total:,}" if is_part else "")

    def show_place(self, answer: LogAnswer) -> None:
        if answer.attempt != self._attempt:
            self._attempt = answer.attempt
            self.refresh_bindings()
        task = answer.task_id.rpartition("-")[2]
        self._task_index = int(task) if task.isdecimal() else 0
        shown = shell(self).model.short_ids.show(self.target.job_id)
        parts = [f"{shown}/task-{task}", self.target.name]
        if answer.attempt:
            parts.append(f"attempt {answer.attempt}")
        if answer.worker:
            parts.append(answer.worker)
        self.subject = "  ".join(parts)
        ended = answer.attempt_state in _ENDED
        printed = "" if answer.page.total_lines or not answer.page.end else "it printed nothing"
        self._view.say_empty(printed if ended or not printed else f"{printed} so far")
        self._view.set_note(
            sign(answer.attempt_state).word if ended or answer.attempt_state == AttemptState.PAUSED else ""
        )

    def show_note(self, note: str) -> None:
        self._view.set_note(note)

    def start_over(self) -> None:
        self._view.clear()

    @on(LogView.HistoryWanted)
    def _fetch_history(self, event: LogView.HistoryWanted) -> None:
        event.stop()
        run_exclusive(self, partial(self._prepend, event.before_line), "history")

    async def _prepend(self, before_line: int) -> None:
        if self._feeder is None:
            return
        try:
            self._view.prepend(await self._feeder.history(before_line))
        except OpsconsoleError as error:
            shell(self).say(error.message, "warning")

    @on(LogView.StateChanged)
    def _update_reading(self, event: LogView.StateChanged) -> None:
        event.stop()
        self._show_state()
        if self._feeder is not None:
            if not self._view.following and self._view.behind > HOLD_LINES:
                self._feeder.pause()
            else:
                self._feeder.resume()

    def _show_state(self) -> None:
        more = f"{self._hidden} more hidden · " if self._hidden else ""
        if self._grep is not None and self._feeder is not None:
            sign_ = "" if self._searched else "+"
            self._view.filter_note = f"{len(self._hits):,}{sign_} of {self._feeder.total_lines:,}"
        elif self._finding and self._view.hits is not None:
            more += f"{len(self._hits):,}{'' if self._searched else '+'} hits · "
        inverted = "not " if self._inverted and self._filter else ""
        filtered = f"{inverted}{self._filter} · " if self._filter else ""
        self.state = more + filtered + self._view.state_text

    # -- the grid ------------------------------------------------------------------------------------

    def renumber(self, number: int) -> None:
        """Take another number after a pane before this one was closed."""
        self.number = number
        self._refresh_edge()

    def show_hidden(self, hidden: int) -> None:
        """Say how many panes have no room."""
        if hidden != self._hidden:
            self._hidden = hidden
            self._show_state()

    def focus_log(self) -> None:
        """Give the pager the keyboard."""
        self._view.focus()

    # -- actions --------------------------------------------------------------------------------------------------

    def offers(self, action: str) -> bool | None:
        """Offer the attempt before only where there is one."""
        return bool(self._attempt) if action == "attempt(-1)" else None

    def action_close(self) -> None:
        self.post_message(LogClosed(self.number))

    def action_split(self) -> None:
        self.post_message(LogSplit(self.target))

    def action_open_job(self) -> None:
        shell(self).navigation.open("job", self.target.job_id)

    def action_back(self) -> None:
        if self.zoomed:
            self.zoom(False)
        elif self._filter:
            self._set_filter("", inverted=False)
            self._filter_whole_log("", inverted=False)
        elif self._finding:
            self._view.find("")
            self._end_search()
            self._finding = False
            self._show_state()
        else:
            self.post_message(LogLeft())

    def action_attempt(self, step: int) -> None:
        if self._attempt is None:
            return
        wanted = self._attempt + step
        if wanted < 0:
            shell(self).say("this is the first attempt", "warning")
        else:
            self.follow(replace(self.target, attempt=wanted, task_index=self._task_index))

    def action_task(self, step: int) -> None:
        if self.target.num_tasks == 1:
            shell(self).say(f"{self.target.name} has one task", "warning")
            return
        index = (self._task_index + step) % self.target.num_tasks
        self.follow(replace(self.target, task_index=index, attempt=None))

    def action_invert(self) -> None:
        if not self._filter:
            shell(self).say("there is no filter to invert: type one with &", "warning")
            return
        self._set_filter(self._filter, inverted=not self._inverted)
        self._filter_whole_log(self._filter, inverted=self._inverted)

    def action_ask(self, what: Asking) -> None:
        self._asking = what
        before = {"find": "", "filter": self._filter, "save": str(self._save_path())}[what]
        self.query_one(FilterBar).ask(before, sign={"find": "/", "filter": "&", "save": "save to"}[what])

    @on(FilterBar.Typed)
    def _use_typed(self, event: FilterBar.Typed) -> None:
        event.stop()
        if self._asking == "save":
            if event.final and not event.taken_back:
                self._save(event.text)
        elif self._asking == "filter":
            self._set_filter(event.text, inverted=self._inverted)
            if event.final:
                self._filter_whole_log(event.text, inverted=self._inverted)
        else:
            self._finding = bool(event.text)
            found = self._view.find(event.text, regex=is_regex(event.text))
            if event.final and event.text and not found and self._is_all_here:
                shell(self).say(f"{event.text!r} is not in the log", "warning")
            if event.final:
                self._search_whole_log(event.text)
        if event.final:
            self.focus_log()

    def _set_filter(self, text: str, *, inverted: bool) -> None:
        self._filter, self._inverted = text, inverted
        self._view.set_filter(text, regex=is_regex(text), invert=inverted)
        self._show_state()

    def _save_path(self) -> Path:
        task = f"-task-{self._task_index}" if self.target.num_tasks > 1 else ""
        return Path.cwd() / f"{shell(self).model.short_ids.show(self.target.job_id)}{task}.log"

    def _save(self, text: str) -> None:
        path = Path(text).expanduser()
        try:
            lines = self._view.save(path)
        except OSError as error:
            shell(self).say(f"can't write {path}: {error.strerror}", "error")
        else:
            shell(self).say(f"saved {lines:,} lines to {path}")


def remote_pattern(text: str) -> str:
    """The pattern that the coordinator searches for: case matters only if the text has a capital letter."""
    pattern = text if is_regex(text) else escaped(text)
    return pattern if any(map(str.isupper, text)) else f"(?i){pattern}"


def is_regex(text: str) -> bool:
    """Whether what was typed can be read as a regular expression; else it is searched for as it stands."""
    try:
        compile_pattern(text)
    except InvalidRequest:
        return False
    return True
