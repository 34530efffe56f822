import pytest

from opsconsole_console.widget.sparkline import level_tone, sparkline, utilisation, window


def test_levels_run_from_the_lowest_to_the_highest_block() -> None:
    assert sparkline([0, 14, 29, 43, 57, 72, 86, 100]) == "▁▂▃▄▅▆▇█"


def test_outside_is_cut_off_and_unknown_is_a_dot() -> None:
    assert sparkline([-5, 250, None, float("nan")]) == "▁█··"
    assert sparkline([1, 2], maximum=0) == "··"


def test_maximum_scales() -> None:
    assert sparkline([0, 450], maximum=450) == "▁█"


def test_window_keeps_the_newest_and_fills_in_front() -> None:
    assert window([1, 2, 3], 2) == [2, 3]
    assert window([1], 3) == [None, None, 1]
    assert window([1], 0) == []


@pytest.mark.parametrize(
    ("value_percent", "tone"),
    [(None, "text-disabled"), (0, "gpu-idle"), (10, "gpu-warm"), (60, "gpu-busy"), (90, "gpu-hot"), (100, "gpu-hot")],
)
def test_tone_follows_the_level(value_percent: float | None, tone: str) -> None:
    assert level_tone(value_percent) == tone


def test_neighbours_of_one_tone_are_one_span() -> None:
    assert utilisation([0, 1, 95, None]).spans == (("▁▁", "gpu-idle"), ("█", "gpu-hot"), ("·", "text-disabled"))
