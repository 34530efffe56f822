"""Which names are near one that there isn't."""

import pytest

from opsconsole_protocol.near_name import did_you_mean, near_names


@pytest.mark.parametrize(
    ("name", "names", "near"),
    [
        ("visoin", ("vision", "default"), ["vision"]),
        ("VISION", ("Vision", "vision"), ["Vision", "vision"]),
        ("an", ("ana", "ann", "ben"), ["ann", "ana"]),
        ("gpu-33", tuple(f"gpu-{number}" for number in range(9)), ["gpu-3"]),
        ("x", ("vision",), []),
        ("vision", (), []),
        ("z" * 100_000, ("z" * 100,), ["z" * 100]),
    ],
)
def test_the_nearest_names_are_found(name: str, names: tuple[str, ...], near: list[str]) -> None:
    assert sorted(near_names(name, names)) == sorted(near)


def test_they_are_asked_for_in_words() -> None:
    assert did_you_mean("an", ("ana", "ben")) == ": did you mean ana?"
    assert did_you_mean("gpu", ("gpu1", "gpu2")) in {
        ": did you mean gpu1 or gpu2?",
        ": did you mean gpu2 or gpu1?",
    }
    assert not did_you_mean("x", ("ana",))
