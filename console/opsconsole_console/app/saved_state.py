"""Brings the console back to how it was left, and keeps how it is now."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from textual.app import App

from opsconsole_console import theme as themes
from opsconsole_console.model.log_target import LogTarget
from opsconsole_console.screen.main.main_screen import MainScreen
from opsconsole_console.screen.part.table_pane import TablePane
from opsconsole_console.service.console_state import ConsoleState, LogState, StateFile, TableState
from opsconsole_console.service.shell import Shell
from opsconsole_console.widget.pane import Pane
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError

_FILTER_CHARACTERS_MAX = 2_000


class SavedState:
    """Call `theme` and `restore` once, `save_changes` every second, and `save_at_end` before leaving.

    Without a file there is only the theme. One asked for on the command line comes first, then the one chosen last, unless
    another has been configured since.
    """

    def __init__(
        self,
        app: App[int],
        shell: Shell,
        main: MainScreen,
        file: StateFile | None,
        *,
        theme_asked: str | None,
        theme_configured: str | None,
        on_restored: Callable[[], Awaitable[None]],
    ) -> None:
        """`on_restored` is called once everything is back, and has the focus where it was."""
        self._app = app
        self._on_restored = on_restored
        self._shell = shell
        self._main = main
        self._file = file
        self._theme_asked = theme_asked
        self._theme_configured = theme_configured
        self._is_restored = False
        self._is_writing = False

    def theme(self) -> str | None:
        """The theme to begin with, which may not exist, or None for the default."""
        state = ConsoleState() if self._file is None else self._file.state
        chosen = state.theme if state.theme_over == self._theme_configured else None
        if chosen is not None and chosen not in self._app.available_themes:
            chosen = None
        return self._theme_asked or chosen or self._theme_configured

    def restore(self) -> None:
        """Bring back everything but the theme, once there is a screen."""
        if self._file is None:
            self._app.call_later(self._on_restored)
            return
        if self._file.problem:
            self._shell.say(self._file.problem, "warning")
        state = self._file.state
        for pane, table in ((self._main.job_pane, state.jobs), (self._main.worker_pane, state.workers)):
            if table is not None:
                _restore_table(pane, table)
        for log in state.logs:
            target = LogTarget(log.job_id, log.name, log.num_tasks, log.task_index, log.attempt)
            self._main.log_grid.open(target, again=True, focus=False)
        self._app.call_after_refresh(self._restore_focus, state)

    def _restore_focus(self, state: ConsoleState) -> None:
        self._main.action_pane(state.pane)
        for pane in self._panes():
            if pane.number == state.pane and state.zoomed:
                pane.zoom(True)
        self._is_restored = True
        self._app.call_later(self._on_restored)  # behind the focus that is on its way

    def save_changes(self) -> None:
        """Write how the console is now, on a thread, if that has changed."""
        state = self._changed_state()
        if state is not None and self._file is not None and not self._is_writing:
            self._is_writing = True
            self._shell.do(partial(self._write, self._file, state))

    def save_at_end(self) -> None:
        """Write how the console is now, before leaving. Blocks."""
        state = self._changed_state()
        if state is not None and self._file is not None:
            try:
                self._file.write(state)
            except OpsconsoleError:
                return  # said while it was running, or nobody is left to be told

    async def _write(self, file: StateFile, state: ConsoleState) -> None:
        try:
            await asyncio.to_thread(file.write, state)
        finally:
            self._is_writing = False

    def _changed_state(self) -> ConsoleState | None:
        if self._file is None or not self._is_restored:
            return None
        state = self._state(self._file.state)
        return state if self._file.differs(state) else None

    def _state(self, before: ConsoleState) -> ConsoleState:
        main, theme = self._main, self._app.theme
        is_chosen = theme != (self._theme_asked or self._theme_configured or themes.DEFAULT_THEME)
        zoomed = main.maximized
        focused = main.focused
        used = next((pane for pane in self._panes() if focused is not None and pane in focused.ancestors), None)
        targets = (pane.target for pane in main.log_grid.panes)
        return ConsoleState(
            theme=theme if is_chosen else before.theme if self._theme_asked else None,
            theme_over=self._theme_configured,
            jobs=_table_state(main.job_pane),
            workers=_table_state(main.worker_pane),
            pane=used.number if used is not None else before.pane,
            zoomed=zoomed is not None and zoomed is used,
            logs=tuple(LogState(t.job_id, t.name, t.num_tasks, t.task_index, t.attempt) for t in targets),
            seen=self._shell.model.failures.seen,
        )

    def _panes(self) -> Iterator[Pane]:
        yield self._main.worker_pane
        yield self._main.job_pane
        yield from self._main.log_grid.panes


def _table_state(pane: TablePane[Any]) -> TableState:
    table, shown = pane.table, pane.filter
    if len(shown.text) > _FILTER_CHARACTERS_MAX:
        return TableState(sorted_by=table.sorted_by, reverse=table.reverse)
    return TableState(shown.text, shown.inverted, table.sorted_by, table.reverse)


def _restore_table(pane: TablePane[Any], state: TableState) -> None:
    if any(column.key == state.sorted_by and column.sort_key is not None for column in pane.table.columns):
        pane.table.sort_by(state.sorted_by, reverse=state.reverse)
    if state.filter:
        try:
            pane.set_filter(state.filter, inverted=state.inverted)
        except InvalidRequest:
            return  # written by a version that understood more
