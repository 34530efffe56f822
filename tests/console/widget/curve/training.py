"""A recorded training for the pictures of curves: three runs, and their card underneath."""

import math
from array import array
from collections.abc import Iterable
from random import Random

from opsconsole_console.widget.curve.chart import Sheet
from opsconsole_console.widget.curve.series import Series


def series(name: str, y: Iterable[float], *, every: float = 1.0, tone: str = "") -> Series:
    """Values at 0, `every`, twice `every` and so on."""
    values = array("d", y)
    return Series(name, array("d", (place * every for place in range(len(values)))), values, tone)


def sheet() -> Sheet:
    """Two noisy losses and one measured seldom, over memory and utilisation of a card in percent."""
    chance = Random(3)  # noqa: S311 - noise
    points = range(2_000)

    def loss(start: float, decay: float) -> list[float]:
        return [
            start * math.exp(-place / decay) + 0.15 + chance.gauss(0, 0.05) * (0.3 + math.exp(-place / decay))
            for place in points
        ]

    seldom = [2.2 * math.exp(-place / 7) + 0.25 for place in range(40)]
    memory = [min(92.0, 20 + place * 3) + chance.gauss(0, 1) for place in range(200)]
    busy = [70 + 20 * math.sin(place / 9) + chance.gauss(0, 2) for place in range(200)]
    return Sheet(
        [
            series("train/loss 42f", loss(2.2, 300), every=50),
            series("train/loss 51c", loss(2.0, 500), every=50),
            series("val/loss 42f", seldom, every=2_500),
        ],
        [series("memory %", memory, every=500), series("busy %", busy, every=500)],
        below_limits=(0, 100),
    )
