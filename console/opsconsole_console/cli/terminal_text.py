r"""What of a task's output may reach a person's terminal: its text and its colours, and nothing else that acts.

A task can print `ESC[6n`, and the terminal's answer lands in the shell; titles, the clipboard and other screens work the
same way. Only SGR (colours and text attributes), carriage returns, backspaces and tabs pass. Pure.
"""

import re

from opsconsole_console.visible import BAD_SIGN, signs

RESET = "\x1b[0m"
_ESCAPE_MAX = 256
"""An escape that isn't done after so many characters is none."""

_SEQUENCE = re.compile(
    r"\x1b\[(?P<parameters>[0-?]*)(?P<between>[ -/]*)(?P<final>[@-~])"
    r"|(?P<string>\x1b[\]PX^_])"
    r"|\x1b[ -/]*[0-~]"
    r"|\x1b"
)
_STRING_END = re.compile("\x07|\x1b\\\\|\x9c")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[ -/]*)\Z")
_COLOUR = re.compile(r"[0-9;:]*\Z")
_PASSES = re.compile("[\t\r\b]+")
_NO_COLOUR = re.compile(r"(?:.*;)?0*\Z")


class TerminalText:
    """A stream of fragments of lines. What an escape is split over is put together again."""

    def __init__(self) -> None:
        self._rest = ""
        self._in_string = False
        self._coloured = False

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
        shown = "".join(found)
        return re.sub(r"\r(?=[^\r])", "\r" + head, shown) if head else shown

    def end(self) -> str:
        """What ends a line: its colours, if any are on. An escape that wasn't done is forgotten."""
        self._rest, self._in_string = "", False
        ended, self._coloured = RESET * self._coloured, False
        return ended


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
