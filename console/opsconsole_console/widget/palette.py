"""Tones into terminal styles, by way of the theme's variables."""

import re
from collections.abc import Mapping

from rich.style import Style
from textual.color import Color, ColorParseError

from opsconsole_console.widget.cell import Tone

_ATTRIBUTES = frozenset({"bold", "dim", "italic", "underline", "reverse", "strike"})
_PERCENT = re.compile(r"^(?P<color>.+?)\s+(?P<percent>\d+(?:\.\d+)?)%$")


class Palette:
    """The styles of one widget under one theme. Make a new one when styles change.

    `variables` are the app's theme variables without their `$`; `base` is the widget's own style.
    """

    def __init__(self, variables: Mapping[str, str], base: Style) -> None:
        self.base = base
        self._variables = variables
        self._styles: dict[tuple[str, Style], Style] = {}

    def style(self, tone: Tone, base: Style | None = None) -> Style:
        """A tone on `base` (None: the widget's): words are attributes (`bold`) or one theme variable (`state-failed`).

        A variable the theme doesn't have changes nothing: a missing colour must never cost the text.
        """
        if base is None:
            base = self.base
        if not tone:
            return base
        if isinstance(tone, Style):
            return base + tone
        key = (tone, base)
        found = self._styles.get(key)
        if found is None:
            found = self._styles[key] = base + self._made(tone, base)
        return found

    def _made(self, tone: str, base: Style) -> Style:
        words = tone.split()
        attributes = {word: True for word in words if word in _ATTRIBUTES}
        color = next((self._color(word, base) for word in words if word not in _ATTRIBUTES), None)
        return Style.parse(" ".join(attributes)) + Style(color=color.rich_color if color is not None else None)

    def _color(self, variable: str, base: Style) -> Color | None:
        value = self._variables.get(variable)
        if value is None:
            return None
        background = Color.from_rich_color(base.bgcolor) if base.bgcolor is not None else Color(0, 0, 0)
        try:
            color = parse_color(value)
        except ColorParseError:
            return None
        if color.auto:
            color = background.get_contrast_text(color.a)
        return background + color


def parse_color(value: str) -> Color:
    """A colour as stylesheets write it, also with a share behind it (`#88c0d0 35%`, `auto 60%`).

    Raises textual.color.ColorParseError for anything else.
    """
    value = value.strip()
    if (match := _PERCENT.match(value)) is None:
        return Color.automatic() if value == "auto" else Color.parse(value)
    percent = float(match["percent"])
    if match["color"] == "auto":
        return Color.automatic(percent)
    return Color.parse(match["color"]).multiply_alpha(percent / 100)
