"""How much of an attempt's log is stored here, whatever its agent sends."""

from collections.abc import Callable, Mapping, Sequence

from opsconsole_protocol.link import LogChunk

NOTES_BYTES = 1 << 20
"""What an agent itself may say beyond an attempt's limit: more than an honest one ever does."""


def within(
    chunks: Sequence[LogChunk], stored: Callable[[str], Mapping[str, int]], limit_bytes: int
) -> tuple[list[LogChunk], dict[tuple[str, str], int]]:
    """The chunks to store, and for those beyond the limit how far they come: they count as seen, and are dropped.

    `stored` says how far each source of an attempt has come here.
    """
    reached: dict[str, dict[str, int]] = {}
    kept: list[LogChunk] = []
    dropped: dict[tuple[str, str], int] = {}
    for chunk in chunks:
        source = str(chunk.source)
        offsets = reached.setdefault(chunk.attempt_id, dict(stored(chunk.attempt_id)))
        known = offsets.get(source, 0)
        is_next = chunk.offset <= known < chunk.end
        if is_next and sum(offsets.values()) + chunk.end - known > limit_bytes + NOTES_BYTES:
            dropped[chunk.attempt_id, source] = chunk.end
        else:
            kept.append(chunk)
        if is_next:
            offsets[source] = chunk.end
    return kept, dropped
