"""Text that others wrote, as a person may see it: nothing in it acts on a terminal, hides or reorders its neighbours.

Names, tags, reasons, parameters, paths: whatever comes from a peer goes through `clean` before it reaches a terminal,
in the console and on the command line. Pure, and loads nothing but `re`.
"""

import re

BAD_SIGN = "\ufffd"
MARKS_MAX = 8
"""How many combining marks in a row are shown; a flood of them would cost a terminal more than the text is worth."""

# C0, C1, soft hyphens and fillers that nobody sees, line and paragraph separators, lone surrogates, the marks that
# reorder or hide what follows them, and the tag characters, in which whole messages can be hidden.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff"
    "\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
_MARK = "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u1ab0-\u1aff\u1dc0-\u1dff\u200c\u200d\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f]"
_FLOOD = re.compile(f"({_MARK}{{{MARKS_MAX}}}){_MARK}+")


def clean(text: str) -> str:
    """One line that is safe to show: a sign for each bad character.

    Tabs become spaces to the next multiple of eight, line ends one space.
    """
    if text.isascii() and text.isprintable():
        return text
    if "\t" in text:
        text = text.expandtabs(8)
    text = text.replace("\r\n", " ").replace("\n", " ")
    return _FLOOD.sub("\\1" + BAD_SIGN, _UNSAFE.sub(BAD_SIGN, text))


def signs(text: str) -> str:
    """Text that is safe to show, one character for each of its own: for a box to type into, whose cursor counts them."""
    if text.isascii() and text.isprintable():
        return text
    return _FLOOD.sub(lambda found: found[1] + BAD_SIGN * (len(found[0]) - MARKS_MAX), _UNSAFE.sub(BAD_SIGN, text))


def is_clean(text: str) -> bool:
    """Whether there is nothing to take out."""
    return clean(text) == text


def escape_json(text: str, encoding: str) -> str:
    r"""JSON whose strings can't act on the terminal it is printed on: such signs as `\u009b`, which reads back as it was.

    What `encoding` can't say is escaped too. C0 signs are escaped by JSON itself; lines keep their ends.
    """
    if text.isascii() and "\x7f" not in text:
        return text
    bad = _UNSAFE_IN_JSON if encoding.lower().replace("-", "") == "utf8" else _NOT_ASCII
    return bad.sub(_escaped, text)


_UNSAFE_IN_JSON = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", ""))
_NOT_ASCII = re.compile("[^\x00-\x7e]")


def _escaped(found: re.Match[str]) -> str:
    sign = ord(found[0])
    if sign < 0x10000:
        return f"\\u{sign:04x}"
    sign -= 0x10000
    return f"\\u{0xD800 + (sign >> 10):04x}\\u{0xDC00 + (sign & 0x3FF):04x}"
