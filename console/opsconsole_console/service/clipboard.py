"""Puts copied text where it can be pasted from, and tells what became of it.

Only tmux answers. Outside of tmux the text is sent as OSC 52, which travels through ssh; whether the terminal heeds it
can't be known. Inside tmux that sequence is dropped by default, so tmux itself is asked: `load-buffer -w` keeps the text
in its buffer and hands it on to a terminal that can take it. Where neither is possible, the text goes into a file.
"""

import asyncio
import shutil
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from opsconsole_protocol.host.private_file import write_private

OSC52_BYTES_MAX = 74_994
"""Terminals drop a longer text altogether."""
FILE_NAME = "clipboard.txt"
_TMUX_WAIT_S = 2.0
_TERMS_WITHOUT = ("linux", "dumb", "vt")
"""How the TERM of a terminal without a clipboard begins."""


@dataclass(frozen=True)
class Copied:
    """What became of a text: `copied` for certain, `sent` to a terminal that doesn't answer, or `saved` in a file."""

    kind: Literal["copied", "sent", "saved"]
    where: str = ""

    def describe(self, what: str) -> str:
        """What to say of it; `what` names the text."""
        match self.kind:
            case "copied":
                return f"copied{self.where} {what}"
            case "sent":
                return f"sent to the terminal: {what}"
        return f"this terminal has no clipboard, so it is in {self.where}: {what}"


class Clipboard:
    """`write` sends to the terminal; `folder` is where a file may go."""

    def __init__(self, write: Callable[[str], None], environ: Mapping[str, str], folder: Path | None) -> None:
        self._write = write
        self._environ = environ
        self._folder = folder

    async def copy(self, text: str) -> Copied:
        """Put the text where it can be pasted from. Raises PrivateFileError where not even a file can be written."""
        environ = self._environ
        if environ.get("TMUX") and (copied := await self._copy_to_tmux(text)) is not None:
            return copied
        is_able = not environ.get("TERM", "").startswith(_TERMS_WITHOUT) and len(text.encode()) <= OSC52_BYTES_MAX
        if is_able or self._folder is None:
            self._write(sequence(text, environ))
            return Copied("sent")
        path = self._folder / FILE_NAME
        await asyncio.to_thread(write_private, path, text)
        return Copied("saved", str(path))

    async def _copy_to_tmux(self, text: str) -> Copied | None:
        """None where tmux can't be asked: it is older than 3.2, or not on this machine."""
        if not shutil.which("tmux", path=self._environ.get("PATH")):
            return None
        code, _ = await self._run_tmux(text, "load-buffer", "-w", "-")
        if code:
            return None
        _, features = await self._run_tmux("", "display-message", "-p", "#{client_termfeatures}")
        if "clipboard" in features.strip().split(","):
            return Copied("copied")
        return Copied("copied", " (prefix ] in tmux pastes it)")

    async def _run_tmux(self, text: str, *words: str) -> tuple[int, str]:
        child = await asyncio.create_subprocess_exec(
            "tmux", *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, env=dict(self._environ),
        )  # fmt: skip
        try:
            async with asyncio.timeout(_TMUX_WAIT_S):
                output, _ = await child.communicate(text.encode())
        except TimeoutError:
            child.kill()
            await child.wait()
            return 1, ""
        return child.returncode or 0, output.decode(errors="replace")


def sequence(text: str, environ: Mapping[str, str]) -> str:
    """The OSC 52 sequence with the text, wrapped for a multiplexer that would keep it for itself otherwise."""
    osc = f"\x1b]52;c;{b64encode(text.encode()).decode()}\a"
    if environ.get("TMUX"):
        return "\x1bPtmux;" + osc.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    return f"\x1bP{osc}\x1b\\" if environ.get("STY") else osc
