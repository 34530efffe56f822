"""How much of an attempt's log is stored here, whatever its agent sends."""

from collections.abc import Callable, Mapping, Sequence

from opsconsole_protocol.link import LogChunk
from opsconsole_protocol.log import Source
from opsconsole_protocol.report import REPORT_BYTES_MAX

NOTES_BYTES = 1 << 20
"""How many bytes of its own remarks an agent may add beyond an attempt's limit: more than a correct agent ever sends."""


def within(
    chunks: Sequence[LogChunk], stored: Callable[[str], Mapping[str, int]], limit_bytes: int
) -> tuple[list[LogChunk], dict[tuple[str, str], int]]:
    """The chunks to store, and how far (offset by attempt and source) those beyond the limit count as seen.

    The latter are dropped. `stored` says how far each source of an attempt has come here.
    """
    reached: dict[str, dict[str, int]] = {}
    kept: list[LogChunk] = []
    dropped: dict[tuple[str, str], int] = {}
    for chunk in chunks:
        source = str(chunk.source)
        offsets = reached.setdefault(chunk.attempt_id, dict(stored(chunk.attempt_id)))
        known = offsets.get(source, 0)
        is_next = chunk.offset <= known < chunk.end
        if is_next and _reached(offsets, chunk.source) + chunk.end - known > _limit(chunk.source, limit_bytes):
            dropped[chunk.attempt_id, source] = chunk.end
        else:
            kept.append(chunk)
        if is_next:
            offsets[source] = chunk.end
    return kept, dropped


def _limit(source: Source, limit_bytes: int) -> int:
    return REPORT_BYTES_MAX if source is Source.REPORT else limit_bytes + NOTES_BYTES


def _reached(offsets: Mapping[str, int], source: Source) -> int:
    """How much is stored that counts against the same limit."""
    report = offsets.get(Source.REPORT, 0)
    return report if source is Source.REPORT else sum(offsets.values()) - report
