"""Starting the console on a coordinator."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from opsconsole.target import Target, TargetSource
from opsconsole_protocol.error import OpsconsoleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from opsconsole_console.model.announcement import Telling

__all__ = ["Target", "run_app"]


def run_app(
    target: TargetSource,
    *,
    start: Callable[[], None] | None = None,
    read_only: bool = False,
    quit_note: Callable[[], str] | None = None,
    own_worker: Callable[[], str | None] | None = None,
    state_dir: Path | None = None,
    theme: str | None = None,
    theme_configured: str | None = None,
    keymap: Mapping[str, str] | None = None,
    telling: Telling | None = None,
    state_file: Path | None = None,
) -> int:
    """Show the console until the operator leaves, and return its exit code.

    Raises the OpsconsoleError that `start` raised. `target` is a coordinator, or what finds it anew at every
    connection. `start`, where there is one, starts it: on another thread, once the console is painted. `quit_note` says
    what goes on running after leaving; it is printed then. `own_worker` is there where the coordinator stops with the
    console: it tells the id of the worker that stops too, and leaving asks first when others need them. In `state_dir`
    the console's own mistakes are noted, and what is copied where there is no clipboard. `theme` was asked for this
    time, `theme_configured` is the usual one. `telling` says how jobs are announced, and which, `state_file` keeps how the
    console was left. `keymap` maps binding ids to keys, several separated by commas.
    """
    from opsconsole_console.app.app import ConsoleApp
    from opsconsole_console.service.console_state import StateFile
    from opsconsole_console.service.live_source import LiveSource

    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)  # what a shell once exported would be believed over the terminal, for ever
    app = ConsoleApp(
        LiveSource(target, start),
        read_only=read_only,
        quit_note=quit_note,
        own_worker=own_worker,
        state_dir=state_dir,
        theme=theme,
        theme_configured=theme_configured,
        keymap=keymap,
        telling=telling,
        state_file=None if state_file is None else StateFile(state_file),
    )
    result = app.run()
    if app.failure is not None:
        raise app.failure
    if app.fault_log is not None and result is None and app.fault_log.count:
        raise OpsconsoleError(f"the console ended over its own mistake: {app.fault_log.path} says more")
    return app.return_code or result or 0
