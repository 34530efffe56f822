import math
from array import array
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.widget.cell import width
from opsconsole_console.widget.curve.chart import Drawing, Manner, Sheet, draw
from opsconsole_console.widget.curve.legend import SIGNS, Entry, legend
from opsconsole_console.widget.curve.raster import Dots
from opsconsole_console.widget.curve.scale import Unit
from opsconsole_console.widget.curve.series import Series
from opsconsole_console.widget.curve.window import Window, whole, widened
from tests.console.widget.curve.training import series, sheet

NAN = math.nan
ANY = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-10, 10)


def text(drawing: Drawing) -> list[str]:
    return ["".join(part for part, _ in line).rstrip() for line in drawing.lines]


def shown(one: Sheet, cells: int = 40, lines: int = 9, manner: Manner | None = None) -> list[str]:
    manner = manner or Manner()
    return text(draw(one, replace(manner, window=manner.window or whole([*one.series, *one.below])), cells, lines))


def one_curve(*values: float) -> Sheet:
    return Sheet([series("loss", values)])


def test_a_drawing() -> None:
    assert shown(one_curve(*(10 - place for place in range(11)))) == [
        "step 10          ● loss 0",
        "  10 ┤⠒⠤⢄⣀┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈",
        "     │    ⠉⠑⠒⠤⢄⣀",
        "     │          ⠉⠉⠒⠢⠤⣀⡀",
        "     │                ⠈⠉⠒⠢⠤⣀⡀",
        "     │                      ⠈⠉⠒⠢⠤⣀⡀",
        "   0 ┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈⠈⠉⠑⠢⠤●",
        "     ╰┬────────────────┬───────────────┬",
        "step  0                5              10",
    ]


def test_a_panel_shares_the_axis() -> None:
    both = Sheet([series("loss", range(11))], [series("memory %", [50.0] * 11)], below_limits=(0, 100))
    found = shown(both, lines=15, manner=Manner(cursor=5))
    (panel,) = (place for place, line in enumerate(found) if "memory %" in line)
    assert "memory % 50" in found[panel]
    inside = [line[6:] for place, line in enumerate(found[1:-2], 1) if place != panel]
    assert len({line.index(sign) for line in inside for sign in "│●◆" if sign in line}) == 1
    assert sum("●" in line for line in inside) == sum("◆" in line for line in inside) == 1


@pytest.mark.parametrize(
    ("one", "manner", "said"),
    [
        (Sheet(), Manner(), "No points yet."),
        (Sheet(empty="Waiting for gpu-a."), Manner(), "Waiting for gpu-a."),
        (one_curve(NAN, math.inf), Manner(), "Nothing to see here: 0 shows all."),
        (one_curve(-1, 0), Manner(log=True), "Nothing here is above zero: o for a linear scale."),
    ],
)
def test_where_there_is_nothing_it_says_why(one: Sheet, manner: Manner, said: str) -> None:
    assert any(said in line for line in shown(one, cells=60, manner=manner))


def test_a_window_too_small_says_so() -> None:
    assert shown(one_curve(1, 2), cells=12, lines=3) == ["", "Too small f…", ""]


def test_a_single_point_is_marked() -> None:
    assert sum(line.count("●") for line in shown(one_curve(4.5))) == 2
    assert sum(line.count("•") for line in shown(one_curve(1, NAN, 2, NAN, 3))) == 2


def test_a_constant_runs_in_the_middle() -> None:
    found = shown(one_curve(*[0.25] * 50), lines=10)
    assert [
        place for place, line in enumerate(found) if "⠉⠉⠉" in line or "⠒⠒⠒" in line or "⠤⠤⠤" in line or "⣀⣀⣀" in line
    ] == [4]


def test_a_log_scale_leaves_gaps_where_nothing_is_above_zero() -> None:
    found = shown(one_curve(1, 10, -1, -1, 100, 1_000), cells=60, manner=Manner(log=True))
    assert found[0].endswith("log, above zero only")
    assert any(line.lstrip().startswith("1000 ┤") or line.lstrip().startswith("100 ┤") for line in found)


def test_the_cursor_reads_every_curve() -> None:
    two = Sheet([series("a", [1, 2, 3]), series("b", [7], every=1)])
    assert shown(two, cells=60, manner=Manner(cursor=1))[0] == "step 1           ● a 2         ◆ b –"
    assert shown(two, cells=60, manner=Manner(cursor=0))[0] == "step 0           ● a 1         ◆ b 7"


def test_a_smoothed_curve_is_read_beside_the_real_one() -> None:
    raw, calm = series("a", [1, 2, 3]), series("a", [1, 1.5, 2])
    found = shown(Sheet([raw]), cells=60, manner=Manner(weight=0.6, smoothed=(calm,), cursor=2))
    assert "● a 3" in found[0]
    assert "≈2" in found[0]
    assert found[0].endswith("smoothed 0.6")


def test_names_are_data() -> None:
    found = shown(Sheet([series("a\x1b[2J\u202eb", [1, 2])]), cells=60)
    assert "\x1b" not in "".join(found)
    assert "\u202e" not in "".join(found)


def test_what_the_legend_has_no_room_for_is_counted() -> None:
    entries = [Entry(SIGNS[place], "", f"run-{place}", 0.5) for place in range(9)]
    (line,) = legend("step 5", entries, "log", 60, 1)
    found = "".join(part for part, _ in line)
    assert found == "step 5           ● run-0 0.5       +8 more               log"
    assert sum(len("".join(p for p, _ in one)) for one in legend("step 5", entries, "log", 60, 4)) == 240


@given(st.integers(0, 120), st.integers(1, 4), st.integers(0, 12))
def test_the_legend_is_as_wide_as_it_has_to_be(cells: int, lines: int, count: int) -> None:
    entries = [Entry("●", "", "x" * (place * 3), 0.5, 0.25) for place in range(count)]
    found = legend("step 5", entries, "log · smoothed 0.9", cells, lines)
    assert 1 <= len(found) <= lines
    assert {sum(width(part) for part, _ in line) for line in found} == {cells}


@pytest.mark.parametrize("dots", Dots)
@pytest.mark.parametrize("size", [(80, 24), (160, 45), (24, 8)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_line_has_the_width_asked_for(size: tuple[int, int], dots: Dots) -> None:
    one = sheet()
    for unit in Unit:
        found = draw(replace(one, unit=unit), Manner(window=whole(one.series), dots=dots, cursor=50_000), *size)
        assert len(found.lines) == size[1]
        assert {sum(width(part) for part, _ in line) for line in found.lines} == {size[0]}


@given(
    st.lists(st.lists(st.tuples(ANY, ANY), max_size=80), max_size=4),
    st.tuples(st.integers(0, 90), st.integers(0, 30)),
    st.booleans(),
    st.sampled_from(Unit),
    st.sampled_from(Dots),
    st.none() | st.floats(-1e300, 1e300),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_any_numbers_can_be_drawn(
    curves: list[list[tuple[float, float]]],
    size: tuple[int, int],
    log: bool,
    unit: Unit,
    dots: Dots,
    cursor: float | None,
    part: tuple[float, float],
) -> None:
    lines = [
        Series(f"run-{place}", array("d", (x for x, _ in points)), array("d", (y for _, y in points)))
        for place, points in enumerate(curves)
    ]
    everything = whole(lines)
    window: Window | None = None
    if everything is not None:
        window = widened(*sorted((everything.at(part[0]), everything.at(part[1]))))
    manner = Manner(window=window, cursor=cursor, log=log, dots=dots)
    found = draw(Sheet(lines[:3], lines[3:], unit=unit), manner, *size)
    assert len(found.lines) == size[1]
    assert all(sum(width(text) for text, _ in line) == size[0] for line in found.lines)
