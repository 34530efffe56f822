"""Themes: TOML files that ship with the console, and the user's own.

A theme file has a `name`, `dark = true|false`, a table `[colors]` (Textual's base colours; only `primary` is needed)
and a table `[variables]` with any of Textual's theme variables or ours, such as `state-failed`. What a theme leaves out
follows from its base colours, so Textual's own themes work here too.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs
from rich.terminal_theme import TerminalTheme
from textual.color import Color, ColorParseError
from textual.theme import Theme

from opsconsole_console.widget.palette import parse_color
from opsconsole_protocol.error import OpsconsoleError

DEFAULT_THEME = "opsconsole-dark"
STYLESHEET = "console.tcss"

_COLORS = (
    "primary",
    "secondary",
    "accent",
    "foreground",
    "background",
    "surface",
    "panel",
    "boost",
    "success",
    "warning",
    "error",
)
_TABLES = ("name", "dark", "colors", "variables")
_NAME = re.compile(r"[a-z][a-z0-9-]*")

# What each of our variables is where a theme doesn't say: a colour of the theme, and a share of it where that is paler.
_DOMAIN: Mapping[str, tuple[str, int]] = {
    "cursor-background": ("primary", 28),
    "cursor-blurred-background": ("primary", 12),
    "mark": ("accent", 100),
    "state-available": ("success", 100),
    "state-running": ("success", 100),
    "state-building": ("primary", 100),
    "state-paused": ("warning", 100),
    "state-pending": ("foreground", 60),
    "state-held": ("accent", 100),
    "state-blocked": ("warning", 100),
    "state-succeeded": ("success", 75),
    "state-failed": ("error", 100),
    "state-killed": ("error", 75),
    "state-lost": ("error", 100),
    "state-silent": ("warning", 100),
    "state-draining": ("accent", 100),
    "log-stderr": ("error", 80),
    "log-build": ("primary", 80),
    "log-error": ("error", 100),
    "log-warning": ("warning", 100),
    "match-background": ("warning", 30),
    "match-current-background": ("warning", 100),
    "match-current-foreground": ("background", 100),
    "bar": ("primary", 100),
    "bar-track": ("foreground", 20),
    "gpu-idle": ("foreground", 40),
    "gpu-warm": ("primary", 100),
    "gpu-busy": ("success", 100),
    "gpu-hot": ("warning", 100),
    "curve-1": ("primary", 100),
    "curve-2": ("warning", 100),
    "curve-3": ("success", 100),
    "curve-4": ("accent", 100),
    "curve-5": ("error", 100),
    "curve-6": ("secondary", 100),
    "curve-7": ("foreground", 100),
    "curve-8": ("foreground", 60),
    "curve-grid": ("foreground", 15),
    "curve-axis": ("foreground", 30),
    "curve-cursor": ("foreground", 60),
}


ANSI_DARK = TerminalTheme(
    (16, 20, 27),
    (213, 219, 229),
    [
        *((86, 98, 116), (244, 122, 115), (111, 208, 140), (232, 184, 96)),
        *((108, 182, 255), (210, 168, 255), (94, 200, 216), (213, 219, 229)),
    ],
    [
        *((131, 144, 163), (255, 158, 152), (150, 230, 173), (246, 209, 140)),
        *((152, 205, 255), (226, 196, 255), (142, 224, 236), (255, 255, 255)),
    ],
)
"""What the sixteen colours of a program's output are on dark themes, for `App.ansi_theme_dark`."""

ANSI_LIGHT = TerminalTheme(
    (251, 251, 249),
    (31, 39, 51),
    [
        *((31, 39, 51), (179, 38, 30), (28, 122, 62), (143, 94, 0)),
        *((11, 98, 184), (122, 61, 184), (12, 111, 128), (91, 103, 120)),
    ],
    [
        *((70, 80, 94), (200, 50, 40), (34, 128, 70), (150, 98, 0)),
        *((24, 110, 200), (138, 76, 200), (14, 118, 136), (70, 80, 94)),
    ],
)
"""What the sixteen colours are on light themes, for `App.ansi_theme_light`: white is a grey that can be read on paper."""


class ThemeError(OpsconsoleError):
    """Raised for a theme file that can't be used; its text is one line that names the file and what to change."""

    code = "theme"


class ThemeSet(NamedTuple):
    """The themes that could be read, and one line for each file that couldn't."""

    themes: list[Theme]
    problems: list[str]


def shipped_folder() -> Path:
    """Where the themes of this installation are: in the wheel beside this module, or at the root of a checkout."""
    here = Path(__file__).resolve()
    for folder in (here.parent / "themes", here.parents[2] / "themes"):
        if (folder / STYLESHEET).is_file():
            return folder
    raise ThemeError(f"themes are missing beside {here.parent}; install opsconsole again")


def user_folder() -> Path:
    """Where a user's own theme files belong; it may not exist."""
    return platformdirs.user_config_path("opsconsole") / "themes"


def stylesheet_path() -> Path:
    """The app's stylesheet, for `App.CSS_PATH`."""
    return shipped_folder() / STYLESHEET


def load_themes(folders: Iterable[Path] | None = None) -> ThemeSet:
    """All themes of the folders (None: the shipped and the user's); a later one replaces an earlier one of its name."""
    themes: dict[str, Theme] = {}
    problems: list[str] = []
    for folder in (shipped_folder(), user_folder()) if folders is None else folders:
        for path in sorted(folder.glob("*.toml")):
            try:
                theme = load_theme(path)
            except ThemeError as error:
                problems.append(error.message)
            else:
                themes[theme.name] = theme
    return ThemeSet(list(themes.values()), problems)


def load_theme(path: Path) -> Theme:
    """One theme file. Raises ThemeError."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ThemeError(f"theme {path.name} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ThemeError(f"theme {path.name} is not valid TOML: {error}") from error
    return _theme(path.name, data)


def variable_defaults(theme: Theme) -> dict[str, str]:
    """Our variables for a theme, for `App.get_theme_variable_defaults`; what the theme itself sets wins over them."""
    colors = theme.to_color_system().generate()
    return {
        name: colors[color] if percent == 100 or theme.ansi else f"{colors[color]} {percent}%"
        for name, (color, percent) in _DOMAIN.items()
    }


def _theme(file: str, data: Mapping[str, Any]) -> Theme:
    _check_keys(file, "", data, _TABLES)
    name = data.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ThemeError(f"theme {file}: name has to be lower-case letters, digits and dashes")
    dark = data.get("dark", True)
    if not isinstance(dark, bool):
        raise ThemeError(f"theme {file}: dark has to be true or false")
    colors = _table(file, data, "colors")
    _check_keys(file, "colors.", colors, _COLORS)
    if "primary" not in colors:
        raise ThemeError(f"theme {file}: colors.primary is missing")
    variables = _table(file, data, "variables")
    for key in variables:
        if not _NAME.fullmatch(key):
            raise ThemeError(f"theme {file}: variables.{key} has to be lower-case letters, digits and dashes")
    return Theme(
        name=name,
        dark=dark,
        primary=colors["primary"],
        secondary=colors.get("secondary"),
        accent=colors.get("accent"),
        foreground=colors.get("foreground"),
        background=colors.get("background"),
        surface=colors.get("surface"),
        panel=colors.get("panel"),
        boost=colors.get("boost"),
        success=colors.get("success"),
        warning=colors.get("warning"),
        error=colors.get("error"),
        variables=variables,
    )


def _table(file: str, data: Mapping[str, Any], key: str) -> dict[str, str]:
    """A table of colours; variables whose name ends in `-style` are text styles and left to the stylesheet."""
    table = data.get(key, {})
    if not isinstance(table, dict):
        raise ThemeError(f"theme {file}: {key} has to be a table")
    for name, value in table.items():
        if not isinstance(value, str):
            raise ThemeError(f"theme {file}: {key}.{name} has to be text such as '#6cb6ff'")
        if name.endswith("-style"):
            continue
        try:
            # A base colour is calculated with: it can't be a share of another one.
            Color.parse(value) if key == "colors" else parse_color(value)
        except ColorParseError as error:
            raise ThemeError(f"theme {file}: {key}.{name} is not a colour: {value!r}") from error
    return table


def _check_keys(file: str, prefix: str, data: Mapping[str, Any], known: Iterable[str]) -> None:
    known = tuple(known)
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {prefix}{near[0]}?" if near else f"; known are {', '.join(known)}"
            raise ThemeError(f"theme {file}: {prefix}{key} is unknown{hint}")
