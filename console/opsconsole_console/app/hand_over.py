"""The terminal, handed over to a command of ours and taken back: a shell in a task."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from textual.app import App, SuspendNotSupported

from opsconsole.target import Target
from opsconsole_protocol.error import Unavailable


def shell_command(target: Target, task: str, environ: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The command for a shell in a task, and its environment. The token is in that, where others can't see it."""
    url = f"{target.url}#{target.certificate_hash}" if target.certificate_hash else target.url
    argv = [sys.executable, "-m", "opsconsole_console", "shell", "--connect", url, task]
    return argv, {**environ, "OPSCONSOLE_TOKEN": target.token}


def hand_over(app: App[Any], argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """Let a command have the terminal until it ends, and return the last line that it said on stderr; often none.

    Nothing else happens in the console meanwhile: what it painted would come between. Raises Unavailable where the terminal can't
    be handed over.
    """
    try:
        with app.suspend():
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's
            try:
                done = subprocess.run(argv, env=environ, stderr=subprocess.PIPE, check=False)
            finally:
                signal.signal(signal.SIGINT, before)
    except SuspendNotSupported:
        raise Unavailable("this terminal can't be handed over: use opsconsole shell") from None
    lines = os.fsdecode(done.stderr).strip().splitlines()
    return lines[-1].removeprefix("opsconsole: ") if lines else ""
