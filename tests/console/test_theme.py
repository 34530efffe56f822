import re
from pathlib import Path

import pytest
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from opsconsole_console import theme as themes
from opsconsole_console.widget.palette import parse_color

SHIPPED = {theme.name: theme for theme in themes.load_themes([themes.shipped_folder()]).themes}
STATES = [name for name in themes._DOMAIN if name.startswith("state-")]
TEXTS = [*STATES, "log-stderr", "log-build", "log-error", "log-warning", "text-muted"]

GOOD = 'name = "mine"\n[colors]\nprimary = "#336699"\n[variables]\nstate-failed = "red 80%"\nlink-style = "none"\n'


def contrast(one: Color, other: Color) -> float:
    """The ratio of WCAG 2: from 1 to 21."""

    def luminance(color: Color) -> float:
        parts = [part / 255 for part in color.rgb]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def variables(theme: Theme) -> dict[str, str]:
    generated = theme.to_color_system().generate()
    return {**themes.variable_defaults(theme), **generated, **theme.variables}


def test_what_ships() -> None:
    assert {"opsconsole-dark", "opsconsole-light", "opsconsole-contrast"} <= SHIPPED.keys()
    assert themes.DEFAULT_THEME in SHIPPED
    assert not themes.load_themes([themes.shipped_folder()]).problems
    assert themes.stylesheet_path().is_file()


@pytest.mark.parametrize("theme", SHIPPED.values(), ids=SHIPPED)
def test_shipped_themes_say_every_variable_of_ours(theme: Theme) -> None:
    assert not themes._DOMAIN.keys() - theme.variables.keys()


@pytest.mark.parametrize("theme", SHIPPED.values(), ids=SHIPPED)
@pytest.mark.parametrize("ground", ["background", "cursor-background", "cursor-blurred-background"])
def test_every_text_can_be_read_on_every_ground(theme: Theme, ground: str) -> None:
    known = variables(theme)
    back = Color.parse(known[ground])
    lowest = 7.0 if "contrast" in theme.name else 3.0 if ground != "background" else 4.5
    readable = {name: contrast(parse_color(known[name]), back) for name in ["foreground", *TEXTS]}
    quiet = (
        {"state-killed", "state-succeeded", "text-muted", "state-pending"} if "contrast" not in theme.name else set()
    )
    too_faint = {n: round(r, 1) for n, r in readable.items() if r < (lowest if n not in quiet else 2.9)}
    assert not too_faint


@pytest.mark.parametrize("theme", [*SHIPPED.values(), *BUILTIN_THEMES.values()], ids=lambda theme: theme.name)
def test_the_stylesheets_need_no_variable_a_theme_lacks(theme: Theme) -> None:
    sheets = [path.read_text() for path in themes.shipped_folder().glob("*.tcss")]
    wanted = {name for sheet in sheets for name in re.findall(r"\$([a-z][a-z0-9-]*)", sheet)}
    assert not wanted - variables(theme).keys()


@pytest.mark.parametrize("theme", SHIPPED.values(), ids=SHIPPED)
def test_programs_colours_can_be_read(theme: Theme) -> None:
    ansi = themes.ANSI_DARK if theme.dark else themes.ANSI_LIGHT
    back = Color.parse(variables(theme)["background"])
    colors = [ansi.ansi_colors[number] for number in range(16)]
    # Black on a dark ground is meant to be faint.
    ratios = [contrast(Color(*color), back) for color in (colors[1:] if theme.dark else colors)]
    assert min(ratios) >= 3.8


def test_a_users_theme_replaces_ours_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD.replace("mine", "opsconsole-dark"))
    (tmp_path / "b.toml").write_text(GOOD)
    found = {theme.name: theme for theme in themes.load_themes([themes.shipped_folder(), tmp_path]).themes}
    assert found["opsconsole-dark"].primary == "#336699"
    assert found["mine"].variables["state-failed"] == "red 80%"
    assert len(found) == len(SHIPPED) + 1


def test_a_bad_file_costs_only_itself(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("name =")
    (tmp_path / "b.toml").write_text(GOOD)
    found = themes.load_themes([tmp_path])
    assert [theme.name for theme in found.themes] == ["mine"]
    assert len(found.problems) == 1


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert themes.load_themes([tmp_path / "nowhere"]) == ([], [])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name =", "not valid TOML"),
        ("", "name has to be"),
        ('name = "My Theme"', "name has to be"),
        ('name = "x"', "colors.primary is missing"),
        ('name = "x"\ndark = "yes"', "dark has to be true or false"),
        ('name = "x"\ncolours = 1', "colours is unknown; did you mean colors?"),
        ('name = "x"\nfoo = 1', "foo is unknown; known are"),
        ('name = "x"\ncolors = 1', "colors has to be a table"),
        ('name = "x"\n[colors]\nprimry = "red"', "colors.primry is unknown; did you mean colors.primary?"),
        ('name = "x"\n[colors]\nprimary = "rouge"', "colors.primary is not a colour: 'rouge'"),
        ('name = "x"\n[colors]\nprimary = "red 50%"', "colors.primary is not a colour"),
        ('name = "x"\n[colors]\nprimary = 7', "colors.primary has to be text"),
        ('name = "x"\n[colors]\nprimary = "red"\n[variables]\nbar = "long"', "variables.bar is not a colour"),
        ('name = "x"\n[colors]\nprimary = "red"\n[variables]\nBar = "red"', "variables.Bar has to be lower-case"),
    ],
)
def test_a_bad_file_is_one_line_that_says_what_to_do(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(themes.ThemeError) as caught:
        themes.load_theme(path)
    assert says in caught.value.message
    assert "bad.toml" in caught.value.message
    assert "\n" not in caught.value.message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "missing.toml", tmp_path / "bytes.toml"):
        with pytest.raises(themes.ThemeError, match=path.name):
            themes.load_theme(path)


@pytest.mark.parametrize("theme", BUILTIN_THEMES.values(), ids=BUILTIN_THEMES)
def test_textuals_own_themes_get_our_variables(theme: Theme) -> None:
    defaults = themes.variable_defaults(theme)
    assert defaults.keys() == themes._DOMAIN.keys()
    for value in defaults.values():
        parse_color(value)
