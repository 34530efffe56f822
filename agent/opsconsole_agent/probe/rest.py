"""Whether a file is still being written. A job must not start on half of one, and succeed.

Pure: sizes, times and clocks are handed in. A file that nobody wrote to for a while is at rest. Of any other that is told
from two looks: its size and its time of change have stayed the same from one to the other.
"""

from opsconsole_protocol.quantity import size_words

REST_S = 2.0
"""So long a file has to stay the same that was written to lately."""
LATELY_S = 10.0
AGAIN_MS = 500
"""After so long it is worth to look again."""
_FILES_MAX = 1_000


class RestWatch:
    """Remembers how files looked."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, float, bool]] = {}
        """Size, time of change, since when they are the same, and whether they were seen to change."""

    def look(self, name: str, size: int, changed_ns: int, wall_ns: int, now_s: float) -> str:
        """Note how a file looks now; what to say while it may still be written, else nothing. `now_s` is monotonic."""
        seen = self._seen.get(name)
        if seen is None:
            if wall_ns - changed_ns >= LATELY_S * 1e9:
                return ""
            self._note(name, (size, changed_ns, now_s, False))
            return f"was written a moment ago, {size_words(size)}"
        if seen[:2] != (size, changed_ns):
            self._note(name, (size, changed_ns, now_s, True))
            return f"is still {'growing' if size > seen[0] else 'being written'}, {size_words(size)}"
        if now_s - seen[2] >= REST_S:
            return ""
        return f"{'is still being written' if seen[3] else 'was written a moment ago'}, {size_words(size)}"

    def _note(self, name: str, look: tuple[int, int, float, bool]) -> None:
        self._seen.pop(name, None)
        self._seen[name] = look
        if len(self._seen) > _FILES_MAX:
            del self._seen[next(iter(self._seen))]
