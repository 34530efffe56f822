"""The reservations screen: what workers are for, made and taken back by keys."""

import pytest
from msgspec.structs import replace

from opsconsole_console.format import clock, stamp
from opsconsole_protocol.api import CancelReservation, Reserve
from opsconsole_protocol.error import Conflict
from tests.console.app.recorded import NOW_MS
from tests.console.app.source import RecordedSource
from tests.console.app.stage import SMALL, stage

HOUR_MS = 3_600_000


async def test_reservations_are_listed_in_a_small_terminal_too(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        await there.line("reserve")
        await there.until(lambda: "project pose, 2 GPUs" in there.text())
        assert "in force" in there.text()
        assert "maintenance" in there.text()


async def test_a_worker_is_reserved_by_a_line(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.line("reserve")
        await there.until(lambda: "project pose, 2 GPUs" in there.text())
        await there.press("n")
        await there.until(lambda: there.screen_name == "TextPrompt")
        await there.type("gpu-b project=vision from=+1h")
        await there.press("enter")
        await there.until(lambda: "say when it ends" in there.text())
        await there.type(" until=+8h gpus=4 reason='a demo'")
        await there.press("enter")
        await there.until(lambda: "project vision, 4 GPUs" in there.text())
        (asked,) = source.asked(Reserve)
        assert isinstance(asked, Reserve)
        assert (asked.workers, asked.project, asked.gpus, asked.reason) == (("gpu-b",), "vision", 4, "a demo")
        assert asked.until_ms - asked.from_ms == 8 * HOUR_MS
        assert abs(asked.from_ms - NOW_MS - HOUR_MS) < HOUR_MS


async def test_what_the_coordinator_refuses_is_said_below_the_line(source: RecordedSource) -> None:
    source.refuse = (Reserve, Conflict("gpu-a is reserved already for project pose"))
    async with stage(source) as there:
        await there.line("reserve")
        await there.until(lambda: "project pose, 2 GPUs" in there.text())
        await there.press("n")
        await there.until(lambda: there.screen_name == "TextPrompt")
        await there.type("gpu-a maintenance until=+1h")
        await there.press("enter")
        await there.until(lambda: "is reserved already" in there.text())
        assert there.screen_name == "TextPrompt"


async def test_a_reservation_is_taken_back_after_a_question(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.line("reserve")
        await there.until(lambda: "project pose, 2 GPUs" in there.text())
        await there.press("c")
        await there.until(lambda: "Take the reservation of gpu-a, gpu-b back?" in there.text())
        await there.press("y")
        await there.until(lambda: "project pose, 2 GPUs" not in there.text())
        assert source.asked(CancelReservation) == [CancelReservation(id="r7k3m9q")]


async def test_who_may_only_look_has_no_verbs_here(source: RecordedSource) -> None:
    async with stage(source, read_only=True) as there:
        await there.line("reserve")
        await there.until(lambda: "project pose, 2 GPUs" in there.text())
        await there.press("c", "n")
        assert there.screen_name == "ReservationScreen"


@pytest.mark.parametrize(("size", "pose"), [(SMALL, "pose → "), ((300, 60), "pose 2 GPUs → ")])
async def test_the_workers_table_says_who_has_a_worker_until_when(
    source: RecordedSource, size: tuple[int, int], pose: str
) -> None:
    async with stage(source, size) as there:
        assert "RESERVED" not in there.text(), "nothing is said where there is nothing to say"
        first, second = source.reservations
        rows = {one.name: one for one in source.fleet.workers.values()}
        held = replace(rows["gpu-a"], reservation=first)
        later = replace(rows["gpu-b"], reservation=second)
        source.change_workers(held, later)
        await there.until(lambda: "RESERVED" in there.text())
        assert pose + clock(first.until_ms)[:5] in there.text() or pose + stamp(first.until_ms)[5:10] in there.text()
        assert size == SMALL or "maintenance from " in there.text()
        source.change_workers(rows["gpu-a"], rows["gpu-b"])
        await there.until(lambda: "RESERVED" not in there.text())
