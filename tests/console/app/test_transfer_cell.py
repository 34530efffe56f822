"""How a transfer is written, in a line and in a table: what matters most is always in sight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole.transfer.row import TransferKind, TransferPhase
from opsconsole_console.model.transfer_words import end_words
from opsconsole_console.screen.part.transfer_cell import transfer_columns, transfer_line
from opsconsole_console.service.transfers import Transfers
from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import width
from opsconsole_console.widget.column import arrange
from opsconsole_protocol.stream.message import Way
from tests.console.app.fake_board import FakeBoard, row
from tests.console.app.source import RecordedSource


class Dialog:
    """Nobody listens."""

    def say(self, text: str, severity: str = "information") -> None:
        raise AssertionError(text, severity)

    async def confirm(self, question: str, detail: str, yes: str) -> bool:
        raise AssertionError(question, detail, yes)


LONG = "model-of-the-recording-of-yesterday-evening-epoch-0012.pt and 12 more to gpu-a:/mnt/vast/inputs/runs/2026-11"
TITLES = st.sampled_from(
    ["a.pt of alpha:lab", LONG, "数据集-训练-" * 9 + ".csv of alpha:lab", "with\nnew lines " * 9, "e\u0301" * 90]
)


def written(
    title: str, cells: int, phase: TransferPhase = TransferPhase.MOVING, **fields: object
) -> tuple[str, str, int]:
    """What stands left and right of the line, and how many cells it takes with the least gap between."""
    line = transfer_line(row("one", phase, title=title, **fields), cells)
    assert line.right is not None
    left, right = clean(line.left.text), clean(line.right.text)
    return left, right, width(left) + 2 + width(right)


@given(TITLES, st.integers(60, 200))
def test_percent_rate_and_time_left_are_always_in_the_line(title: str, cells: int) -> None:
    _, right, taken = written(title, cells, way=Way.WEBRTC, engine="aiortc")
    assert taken <= cells
    for part in ("41 %", "95 MB/s", "48s left"):
        assert part in right


def test_a_name_loses_its_middle_and_whatever_else_has_room_is_told() -> None:
    left, right, _ = written(LONG, 80)
    assert left.startswith(" ↑ model-of-t")
    assert left.endswith("s/2026-11")
    assert "…" in left
    assert "█" in right
    assert written(LONG, 160)[1].split() == [
        "████▏",
        "41",
        "%",
        "3.2",
        "of",
        "7.8",
        "GB",
        "95",
        "MB/s",
        "48s",
        "left",
        "direct",
    ]
    assert written("a.pt of alpha:lab", 80)[0] == " ↑ a.pt of alpha:lab"


@given(TITLES, st.integers(60, 200))
def test_what_is_waited_for_fits_as_well(title: str, cells: int) -> None:
    note = "gpu-a isn't reached directly (no route to host), nor by webrtc: " * 3
    _, right, taken = written(title, cells, phase=TransferPhase.CONNECTING, note=note)
    assert taken <= cells
    assert right.startswith("gpu-a ")


@pytest.mark.parametrize(
    ("cells", "wanted"), [(78, {"what", "state", "size", "rate", "left"}), (60, {"what", "state", "rate", "left"})]
)
def test_the_columns_that_stay_in_a_narrow_table(cells: int, wanted: set[str]) -> None:
    columns = transfer_columns()
    assert {columns[slot.column].key for slot in arrange(columns, cells)} == wanted


def test_an_end_says_where_it_lies_now() -> None:
    got = row(
        "one",
        TransferPhase.DONE,
        kind=TransferKind.GET,
        folder="/home/ana/out",
        files_total=3,
        ended_at_ms=row("one").started_at_ms + 2_000,
    )
    assert end_words(got) == "3 files, 7.8 GB to /home/ana/out in 2s, 95 MB/s (direct)"
    known = row("one", TransferPhase.DONE, folder="/home/ana/out", bytes_skipped=7_800_000_000)
    assert end_words(known) == "7.8 GB, all of which was in /home/ana/out already"


def test_a_rate_isnt_shown_any_more_when_nothing_comes() -> None:
    board, now_ms = FakeBoard(), [100_000]
    transfers = Transfers(RecordedSource(), Dialog(), board.made, lambda: now_ms[0])
    assert transfers.board is board
    board.change(row("one"), row("two"))
    seen = transfers.changes
    now_ms[0] += 2_900
    assert [one.rate_bytes_s for one in transfers.rows] == [95e6, 95e6]
    assert transfers.changes == seen
    board.change(row("two", bytes_done=3_300_000_000))
    seen = transfers.changes
    now_ms[0] += 200
    two, one = transfers.rows
    assert (one.rate_bytes_s, one.left_ms, two.left_ms) == (0.0, None, 48_000)
    assert transfers.changes != seen, "whoever shows them looks again"
    assert "41 %  3.2 of 7.8 GB  stalled  direct" in transfer_line(one, 160).right.text  # type: ignore[union-attr]
    board.change(row("one", bytes_done=3_300_000_000))
    assert [one.left_ms for one in transfers.rows] == [48_000, 48_000]


def test_that_the_other_side_still_reads_its_files_is_said() -> None:
    got = row("one", kind=TransferKind.GET, bytes_total=0, bytes_done=0, rate_bytes_s=None, left_ms=None)
    line = transfer_line(got, 80)
    assert line.right is not None
    assert line.right.text == "gpu-a is looking at its files "
