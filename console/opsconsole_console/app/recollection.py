"""Brings the console back to how it was left, and remembers how it is now."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

from opsconsole_console import theme as themes
from opsconsole_console.app.memory import ConsoleState, LogState, Memory, TableState
from opsconsole_console.app.navigation import Navigation
from opsconsole_console.screen.part.table_pane import TablePane
from opsconsole_console.service.log_feeder import LogTarget
from opsconsole_console.widget.pane import Pane
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError

_FILTER_CHARACTERS_MAX = 2_000


class Recollection:
    """`restore` once, `keep` every second, `close` at the end. Without a memory only the theme asked for is set.

    A theme on the command line is used; else the one chosen last, unless another has been configured since.
    """

    def __init__(self, app: Navigation, memory: Memory | None, theme: str | None, configured: str | None) -> None:
        self._app = app
        self._memory = memory
        self._asked = theme
        self._configured = configured
        self._is_restored = False
        self._is_writing = False

    def restore_theme(self) -> None:
        """Before anything is painted."""
        state = ConsoleState() if self._memory is None else self._memory.state
        chosen = state.theme if state.theme_over == self._configured else None
        if chosen is not None and chosen not in self._app.available_themes:
            chosen = None
        wanted = self._asked or chosen or self._configured
        if wanted is not None:
            self._app.set_theme(wanted)

    def restore(self) -> None:
        """Everything else, once there is a screen."""
        if self._memory is None:
            return
        if self._memory.problem:
            self._app.say(self._memory.problem, "warning")
        state, main = self._memory.state, self._app.main
        for pane, table in ((main.job_pane, state.jobs), (main.worker_pane, state.workers)):
            if table is not None:
                _restore_table(pane, table)
        for log in state.logs:
            target = LogTarget(log.job_id, log.name, log.num_tasks, log.task_index, log.attempt)
            main.log_deck.open(target, again=True, focus=False)
        self._app.call_after_refresh(self._restore_focus, state)

    def _restore_focus(self, state: ConsoleState) -> None:
        main = self._app.main
        main.action_pane(state.pane)
        for pane in self._panes():
            if pane.number == state.pane and state.zoomed:
                pane.zoom(True)
        self._is_restored = True

    def keep(self) -> None:
        """Remember how it is now, on a thread, where that is something new."""
        state = self._changed_state()
        if state is not None and self._memory is not None and not self._is_writing:
            self._is_writing = True
            self._app.do(partial(self._write, self._memory, state))

    def close(self) -> None:
        """Remember how it is now, before leaving."""
        state = self._changed_state()
        if state is not None and self._memory is not None:
            try:
                self._memory.write(state)
            except OpsconsoleError:
                return  # said while it was running, or nobody is left to be told

    async def _write(self, memory: Memory, state: ConsoleState) -> None:
        try:
            await asyncio.to_thread(memory.write, state)
        finally:
            self._is_writing = False

    def _changed_state(self) -> ConsoleState | None:
        if self._memory is None or not self._is_restored:
            return None
        state = self._state(self._memory.state)
        return state if self._memory.is_stale(state) else None

    def _state(self, before: ConsoleState) -> ConsoleState:
        app, main = self._app, self._app.main
        is_chosen = app.theme != (self._asked or self._configured or themes.DEFAULT_THEME)
        zoomed = main.maximized
        focused = main.focused
        used = next((pane for pane in self._panes() if focused is not None and pane in focused.ancestors), None)
        targets = (pane.target for pane in main.log_deck.panes)
        return ConsoleState(
            theme=app.theme if is_chosen else before.theme if self._asked else None,
            theme_over=self._configured,
            jobs=_table_state(main.job_pane),
            workers=_table_state(main.worker_pane),
            pane=used.number if used is not None else before.pane,
            zoomed=zoomed is not None and zoomed is used,
            logs=tuple(LogState(t.job_id, t.name, t.num_tasks, t.task_index, t.attempt) for t in targets),
            seen=app.model.failures.seen,
        )

    def _panes(self) -> Iterator[Pane]:
        main = self._app.main
        yield main.worker_pane
        yield main.job_pane
        yield from main.log_deck.panes


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
