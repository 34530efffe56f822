"""A transfer as it is shown: on its line while it moves, and in the history afterwards."""

from enum import StrEnum

import msgspec

from opsconsole_protocol.stream.message import Way, way_words


class TransferKind(StrEnum):
    """What a transfer is for."""

    PUT = "put"
    """Files of this machine that are to lie in a worker's folder."""
    GET = "get"
    """A job's results, or other files of a worker, that are to lie here."""
    UPLOAD = "upload"
    """What a job brings along, sent to the coordinator, which keeps it."""
    OFFER = "offer"
    """What a job brings along, sent to the worker that wants it."""


class TransferPhase(StrEnum):
    """How far a transfer is."""

    SCANNING = "scanning"
    CONNECTING = "connecting"
    MOVING = "moving"
    WAITING = "waiting"
    """Somebody is away: it is tried again by itself. `note` says who."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


_OVER = frozenset({TransferPhase.DONE, TransferPhase.FAILED, TransferPhase.CANCELLED})


class TransferRow(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer at one moment. Sizes are bytes, times are Unix milliseconds; texts are not escaped yet."""

    id: str
    kind: TransferKind
    phase: TransferPhase
    title: str
    """For people: `data.csv to gpu-a`."""
    peer: str = ""
    job_id: str = ""
    folder: str = ""
    """Where on this machine it is brought to, as text; empty for what goes elsewhere."""
    way: Way | None = None
    engine: str = ""
    """Of WebRTC, where that is the way: `wrtc` is native, `aiortc` is not."""
    note: str = ""
    """The way and why it is taken, or what is waited for, in one line."""
    bytes_done: int = 0
    bytes_total: int = 0
    bytes_skipped: int = 0
    """What was on the other side already, and holes of files, which nobody sends; part of `bytes_done`."""
    bytes_empty: int = 0
    """Those holes; part of `bytes_skipped`."""
    files_done: int = 0
    files_total: int = 0
    rate_bytes_s: float | None = None
    """Of the last seconds, and of the whole transfer once it is over; None before anything was measured."""
    left_ms: int | None = None
    error: str = ""
    started_at_ms: int = 0
    ended_at_ms: int | None = None

    @property
    def way_words(self) -> str:
        """`relay` or `webrtc with aiortc`; empty before a way was taken."""
        return "" if self.way is None else way_words(self.way, self.engine)

    @property
    def bytes_known(self) -> int:
        """What was on the other side already."""
        return self.bytes_skipped - self.bytes_empty

    @property
    def is_over(self) -> bool:
        """Whether it won't change any more."""
        return self.phase in _OVER

    @property
    def is_under_way(self) -> bool:
        """Whether something is being done for it, and it doesn't only wait."""
        return not self.is_over and self.phase is not TransferPhase.WAITING
