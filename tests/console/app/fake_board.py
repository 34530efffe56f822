"""A board of transfers that moves nothing: what is asked of it is noted, and rows are as the test says."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from opsconsole.transfer.download import Brought
from opsconsole.transfer.pending import PendingFetch, PendingGet, PendingOffer
from opsconsole.transfer.row import TransferKind, TransferPhase, TransferRow
from opsconsole_console.service.source import FleetSource
from opsconsole_protocol.api import WorkerRow
from opsconsole_protocol.ids import ContentId, JobId
from opsconsole_protocol.stream.message import FileRoot, Way
from tests.recording.lab import HOUR_MS, NOW_MS

OFFER = PendingOffer(
    store_id="s", content_id=ContentId("a" * 64), path=b"/home/ana/clips of may", name="clips of may", is_folder=True,
    size_bytes=12_300_000_000, files=40, job_ids=(JobId("6a0mc2d1xq"),), created_at_ms=NOW_MS,
)  # fmt: skip
FETCH = PendingFetch(store_id="s", job_id=JobId("42f0k9x2mq"), pattern="models/*", folder=b"/home/ana/models")


def row(id_: str, phase: TransferPhase = TransferPhase.MOVING, **fields: object) -> TransferRow:
    """A transfer that is under way, unless it says otherwise."""
    made = TransferRow(
        id=id_, kind=TransferKind.PUT, phase=phase, title="points.csv to gpu-a:/mnt/vast/inputs", peer="gpu-a",
        way=Way.DIRECT, bytes_done=3_200_000_000, bytes_total=7_800_000_000, files_done=0, files_total=1,
        rate_bytes_s=95e6, left_ms=48_000, started_at_ms=NOW_MS - 34_000,
    )  # fmt: skip
    return replace(made, **fields)


HISTORY = [
    row("h1", TransferPhase.DONE, bytes_done=7_800_000_000, ended_at_ms=NOW_MS - HOUR_MS + 82_000, started_at_ms=NOW_MS - HOUR_MS),
    row("h2", TransferPhase.FAILED, kind=TransferKind.GET, title="results of 42f", error="gpu-a has no room: 12 GB more are needed",
        started_at_ms=NOW_MS - 2 * HOUR_MS, ended_at_ms=NOW_MS - 2 * HOUR_MS, way=Way.RELAY),
]  # fmt: skip


class FakeBoard:
    """`asked` has what was begun and ended, in order."""

    def __init__(self) -> None:
        self.rows: tuple[TransferRow, ...] = ()
        self.asked: list[tuple[object, ...]] = []
        self.offers: list[PendingOffer] = []
        self.fetches: list[PendingFetch] = []
        self.gets: list[PendingGet] = []
        self.earlier: list[TransferRow] = []
        self.runs = 0
        self.row = row("begun")
        self.brought: dict[str, Brought] = {}
        self._on_change: Callable[[TransferRow], None] = lambda _: None

    def made(self, source: FleetSource, on_change: Callable[[TransferRow], None]) -> "FakeBoard":
        """The board, for the app."""
        del source
        self._on_change = on_change
        return self

    def change(self, *rows: TransferRow) -> None:
        """Let transfers be so."""
        changed = {one.id for one in rows}
        self.rows = (*rows, *(one for one in self.rows if one.id not in changed))
        for one in rows:
            self._on_change(one)

    def put(self, files: Sequence[Path], worker: WorkerRow, folder: str = "", *, replace: bool = False) -> "FakeBoard":
        self.asked.append(("put", [str(path) for path in files], worker.name, folder, replace))
        return self

    def get_files(
        self, worker: str, root: FileRoot, folder: bytes, patterns: Sequence[str], to: Path, *, force: bool = False
    ) -> "FakeBoard":
        self.asked.append(("get", worker, root, folder, list(patterns), str(to), *(["force"] if force else [])))
        return self

    async def wait(self) -> TransferRow:
        return self.row

    def cancel(self, id: str) -> None:  # noqa: A002
        self.asked.append(("cancel", id))

    async def history(self, limit: int = 200) -> list[TransferRow]:
        return self.earlier[:limit]

    async def pending_offers(self) -> list[PendingOffer]:
        return self.offers

    async def pending_fetches(self) -> list[PendingFetch]:
        return self.fetches

    async def interrupted_gets(self) -> list[PendingGet]:
        return self.gets

    async def forget(self, id: str) -> None:  # noqa: A002
        self.asked.append(("forget", id))
        self.offers = [one for one in self.offers if one.id != id]

    async def run(self) -> None:
        self.runs += 1
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.asked.append(("close",))
