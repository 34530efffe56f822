"""A worker's clock is a day behind: its logs are found by the coordinator's time, and somebody is told (hard use 11).

The kind: a time that a worker says is compared with ours.
"""

import pytest

from opsconsole_coordinator.core import view
from opsconsole_protocol import link
from tests.coordinator.core.world import World

DAY_MS = 86_400_000


def beat(world: World, behind_ms: int) -> None:
    """A heartbeat of the worker, whose clock is so far behind."""
    worker = next(iter(world.fleet.workers.values()))
    world.reactor.on_heartbeat(worker, link.Heartbeat(at_ms=world.now_ms - behind_ms), world.now_ms)


@pytest.mark.parametrize(
    ("behind_ms", "told"),
    [
        (0, ""),
        (1_000, ""),
        (-20_000, ""),
        (DAY_MS, "1 d behind"),
        (-3 * 3_600_000, "3 h ahead"),
        (40_000, "40 s behind"),
    ],
)
def test_times_are_ours_and_a_wrong_clock_is_told(world: World, behind_ms: int, told: str) -> None:
    worker = world.worker()
    world.now_ms += 10 * DAY_MS
    beat(world, behind_ms)
    written_ms = world.now_ms - 60_000
    corrected = worker.record.here_ms(written_ms - behind_ms, world.now_ms)
    assert abs(corrected - written_ms) <= 2_000
    attention = view.worker_row(world.fleet, worker.record, world.now_ms).attention
    assert (told in attention) if told else attention == ""


def test_nothing_was_written_in_the_future(world: World) -> None:
    worker = world.worker()
    beat(world, 0)
    assert worker.record.here_ms(1 << 60, world.now_ms) == world.now_ms
