"""Job ids as short as they can be told apart: what is shown can be typed."""

from collections.abc import Iterable

from opsconsole_protocol.ids import JOB_ID_LENGTH

_LENGTH_MIN = 4


class ShortIds:
    """The shortest common prefix length at which all known ids differ. It only grows, so that ids on the screen rarely change."""

    def __init__(self) -> None:
        self.length = _LENGTH_MIN
        self._ids: set[str] = set()
        self._prefixes: set[str] = set()

    def add(self, ids: Iterable[str]) -> bool:
        """Take ids into account and return whether the length changed."""
        before = self.length
        for job_id in ids:
            if job_id in self._ids:
                continue
            self._ids.add(job_id)
            while job_id[: self.length] in self._prefixes and self.length < JOB_ID_LENGTH:
                self.length += 1
                self._prefixes = {known[: self.length] for known in self._ids if known != job_id}
            self._prefixes.add(job_id[: self.length])
        return self.length != before

    def show(self, job_id: str) -> str:
        """The id as it is shown."""
        return job_id[: self.length]
