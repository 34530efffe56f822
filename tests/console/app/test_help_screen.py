"""Help says what the keys are and how a filter goes, from the one place where each is defined. Hard use, triage."""

import pytest

from opsconsole_console.screen.help.help_screen import Key, help_lines
from opsconsole_console.screen.part.line_view import LineView
from opsconsole_protocol import filter as filters
from opsconsole_protocol.api import job_filter
from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage


@pytest.mark.parametrize("example", [example for example, _ in filters.SYNTAX])
def test_every_example_of_the_filter_language_can_be_typed(example: str) -> None:
    read = job_filter.parse(example)
    is_text = "has" in dict(filters.SYNTAX)[example]
    assert bool(read.conditions) is not (is_text or example.startswith("!"))
    assert not read.empty


def test_every_operator_has_an_example() -> None:
    shown = " ".join(" ".join(pair) for pair in filters.SYNTAX)
    for operator in ("=", "!=", ">", ">=", "<", "<=", "~", " in ", "!"):
        assert operator in shown


@pytest.mark.parametrize("cells", [68, 92, 108, 148])
def test_nothing_that_help_says_is_cut(cells: int) -> None:
    """Two columns of 120 cells had "Again: a new job from this one, wit…"."""
    long = [Key("job", "e", "Again: a new job from this one, with changes, and with every word of this said")]
    lines = help_lines(long * 3, {"jobs": ["id"]}, cells)
    text = "\n".join(line.left.text for line in lines)
    assert max(len(line.left.text) for line in lines) <= cells
    assert "…" not in text
    for _, means in filters.SYNTAX:
        assert all(word in text for word in means.split())


@pytest.mark.parametrize("size", [(80, 24), (104, 24), (120, 32), (160, 45)])
async def test_no_line_goes_beyond_the_edge(source: RecordedSource, size: tuple[int, int]) -> None:
    """At 80 columns the scroll bar stood on the last letter."""
    async with stage(source, size) as there:
        await there.press("question_mark")
        view = there.app.screen.query_one(LineView)
        assert max(len(line.left.text.rstrip()) for line in view.lines) <= view.content_size.width


async def test_help_has_the_keys_of_triage_and_the_filter_language(source: RecordedSource) -> None:
    async with stage(source, (160, 45), keymap={"failure.next": "f8"}) as there:
        await there.press("question_mark")
        screen = there.app.screen
        lines = help_lines(screen._keys, screen._fields, 148)  # type: ignore[attr-defined]
        text = "\n".join(line.left.text for line in lines)
        for said in ("f8", "Next failure: to the next job that failed unseen", "Mark all", "name~^train"):
            assert said in text
        for field in ("user", "created", "command", "gpu_memory_mb"):
            assert field in text
