r"""What of a task's output may reach a person's terminal: its text and its colours, and nothing else that acts.

A task can print `ESC[6n`, and the terminal's answer lands in the shell; titles, the clipboard and other screens work the
same way. Only SGR (colours and text attributes), carriage returns, backspaces and tabs pass, and what nested progress
bars need: the end of a line is cleared, and the cursor goes up, never above what the same task has just written. Pure.
"""

import re

from opsconsole_console.visible import BAD_SIGN, signs

RESET = "\x1b[0m"
_ESCAPE_MAX = 256
"""How many characters an escape has at most; what is longer isn't one."""

_SEQUENCE = re.compile(
    r"\x1b\[(?P<parameters>[0-?]*)(?P<between>[ -/]*)(?P<final>[@-~])"
    r"|(?P<string>\x1b[\]PX^_])"
    r"|\x1b[ -/]*[0-~]"
    r"|\x1b"
)
_STRING_END = re.compile("\x07|\x1b\\\\|\x9c")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[ -/]*)\Z")
_COLOUR = re.compile(r"[0-9;:]*\Z")
_UP_MAX = 32
_STEPS = re.compile(r"[0-9]{0,4}\Z")
_CLEARED = re.compile(r"[0-2]?\Z")
_PASSES = re.compile("[\t\r\b]+")
_NO_COLOUR = re.compile(r"(?:.*;)?0*\Z")


class TerminalText:
    """A stream of fragments of lines. What an escape is split over is put together again."""

    def __init__(self) -> None:
        self._rest = ""
        self._in_string = False
        self._coloured = False
        self._above = 0
        """Lines above this one that may be written over."""
        self._below = 0

    def feed(self, text: str, *, head: str = "") -> str:
        """What may be shown of a fragment; `head` stands anew after each carriage return that something follows."""
        text, self._rest = self._rest + text, ""
        found: list[str] = []
        place = 0
        while place < len(text):
            if self._in_string:
                end = _STRING_END.search(text, place)
                if end is None:
                    self._rest = "\x1b" if text.endswith("\x1b") else ""
                    break
                self._in_string, place = False, end.end()
                continue
            sequence = _SEQUENCE.search(text, place)
            if sequence is None:
                found.append(_shown(text[place:]))
                break
            found.append(_shown(text[place : sequence.start()]))
            unfinished = _UNFINISHED.match(text, sequence.start())
            if unfinished is not None and len(text) - sequence.start() < _ESCAPE_MAX:
                self._rest = text[sequence.start() :]
                break
            place = sequence.end()
            if sequence["string"]:
                self._in_string = True
            elif sequence["final"] == "m" and not sequence["between"] and _COLOUR.match(sequence["parameters"]):
                found.append(sequence[0])
                self._coloured = not _NO_COLOUR.match(sequence["parameters"])
            elif sequence["final"] == "A" and not sequence["between"] and _STEPS.match(sequence["parameters"]):
                steps = min(max(1, int(sequence["parameters"] or 1)), self._above)
                self._above, self._below = self._above - steps, self._below + steps
                found.append(f"\x1b[{steps}A" * bool(steps))
            elif sequence["final"] == "K" and not sequence["between"] and _CLEARED.match(sequence["parameters"]):
                found.append(sequence[0])
        shown = "".join(found)
        return re.sub(r"\r(?=[^\r])", "\r" + head, shown) if head else shown

    def end(self) -> str:
        """What ends a line: its colours, if any are on. An escape that wasn't done is forgotten."""
        self._rest, self._in_string = "", False
        self._above, self._below = min(self._above + 1, _UP_MAX), max(0, self._below - 1)
        ended, self._coloured = RESET * self._coloured, False
        return ended

    def leave(self) -> str:
        """What leads below all that was written, where something else follows. None of it is written over any more."""
        down, self._above, self._below = "\n" * self._below, 0, 0
        return down


def _shown(text: str) -> str:
    """Text without escapes: what acts is shown as a bad sign."""
    if text.isprintable() and text.isascii():
        return text
    pieces: list[str] = []
    place = 0
    for harmless in _PASSES.finditer(text):
        pieces += [signs(text[place : harmless.start()]), harmless[0]]
        place = harmless.end()
    pieces.append(signs(text[place:]))
    return "".join(pieces).replace("\x1b", BAD_SIGN)
