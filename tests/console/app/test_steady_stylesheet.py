"""Colours that stay are parsed once; others change what is shown; what was parsed isn't forgotten; and few rules are tried."""

import pytest
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode

from opsconsole_console.app.steady_stylesheet import SteadyStylesheet
from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each source that is really parsed, in order."""
    seen: list[str] = []
    parse = Stylesheet._parse_rules
    monkeypatch.setattr(SteadyStylesheet, "_parsed", {})

    def noted(self: Stylesheet, css: str, *args: object, **options: object) -> object:
        known = len(self._parse_cache)
        rules = parse(self, css, *args, **options)  # type: ignore[arg-type]
        if len(self._parse_cache) > known:
            seen.append(css)
        return rules

    monkeypatch.setattr(SteadyStylesheet, "_parse_rules", noted)
    return seen


def _sheet(sources: int, colour: str = "#111111") -> SteadyStylesheet:
    sheet = SteadyStylesheet({"ink": colour})
    for number in range(sources):
        sheet.add_source(f"#w{number} {{ color: $ink; }}", read_from=("", str(number)))
    sheet.parse()
    return sheet


def _colour(sheet: SteadyStylesheet) -> str:
    return sheet.rules[0].styles.color.hex


def test_the_same_colours_again_parse_nothing(parsed: list[str]) -> None:
    sheet = _sheet(3)
    sheet.set_variables({"ink": "#111111"})
    sheet.reparse()
    assert len(parsed) == 3


def test_other_colours_show_and_the_first_ones_come_back_without_parsing(parsed: list[str]) -> None:
    sheet = _sheet(3)
    sheet.set_variables({"ink": "#EEEEEE"})
    sheet.reparse()
    assert _colour(sheet) == "#EEEEEE"
    sheet.set_variables({"ink": "#111111"})
    sheet.reparse()
    assert _colour(sheet) == "#111111"
    assert len(parsed) == 6


def test_one_more_kind_of_widget_parses_no_other_again(parsed: list[str]) -> None:
    sheet = _sheet(100)
    sheet.add_source("#last { color: $ink; }", read_from=("", "last"))
    assert len(sheet.rules) == 101
    assert len(parsed) == 101


def _styles(node: DOMNode) -> tuple[object, object]:
    """Its styles, and those of all its parts."""
    parts = {name: node._component_styles[name].base.get_rules() for name in node._get_component_classes()}
    return node.styles.base.get_rules(), parts


async def test_every_widget_has_the_styles_that_textual_gives_it_from_a_few_of_the_rules(
    source: RecordedSource,
) -> None:
    async with stage(source) as there:
        sheet = there.app.stylesheet
        assert isinstance(sheet, SteadyStylesheet)
        for line in ("jobs", "show 42f", "worker gpu-a"):
            await there.line(line)
            plain = Stylesheet(variables=there.app.get_css_variables())
            plain.source = sheet.source
            plain.parse()
            nodes = list(there.app.screen.walk_children(with_self=True))
            ours = [_styles(node) for node in nodes]
            for node in nodes:
                plain.apply(node)
            assert [_styles(node) for node in nodes] == ours
            assert all(len(sheet._naming(node)) < len(plain.rules) / 5 for node in nodes)
