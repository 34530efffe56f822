"""Whether a file is still being written, as a job that starts on half of a file may succeed with wrong results.

Pure: sizes, times and clocks are handed in. A file is stable when it hasn't been written to for a while, or when its size
and its time of change were the same at two checks.
"""

from opsconsole_protocol.quantity import size_words

STABLE_S = 2.0
"""How long a file that was written to recently has to stay unchanged."""
RECENT_S = 10.0
RECHECK_MS = 500
"""How long to wait before the file is checked again."""
_FILES_MAX = 1_000


class FileStability:
    """Remembers what size and time of change files had when they were checked."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, float, bool]] = {}
        """Size, time of change, since when they have been the same, and whether they were seen to change."""

    def check(self, name: str, size: int, changed_ns: int, wall_ns: int, now_s: float) -> str:
        """Take in how a file is now and return in words why it may still be being written, "" when it is stable.

        `size` is in bytes, `now_s` on the monotonic clock.
        """
        seen = self._seen.get(name)
        if seen is None:
            if wall_ns - changed_ns >= RECENT_S * 1e9:
                return ""
            self._remember(name, (size, changed_ns, now_s, False))
            return f"was written a moment ago, {size_words(size)}"
        if seen[:2] != (size, changed_ns):
            self._remember(name, (size, changed_ns, now_s, True))
            return f"is still {'growing' if size > seen[0] else 'being written'}, {size_words(size)}"
        if now_s - seen[2] >= STABLE_S:
            return ""
        return f"{'is still being written' if seen[3] else 'was written a moment ago'}, {size_words(size)}"

    def _remember(self, name: str, state: tuple[int, int, float, bool]) -> None:
        self._seen.pop(name, None)
        self._seen[name] = state
        if len(self._seen) > _FILES_MAX:
            del self._seen[next(iter(self._seen))]
