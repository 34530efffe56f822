"""The templates that are in memory: the newest version of each, and older ones as far as somebody asked for them."""

from collections.abc import Iterable, Iterator, Mapping

from opsconsole_protocol.api import TemplateRow

OLDER_MAX = 1_000


class Templates:
    """By name and version. A name that was removed goes on counting where it left off."""

    def __init__(self, newest: Iterable[TemplateRow] = (), last: Mapping[str, int] | None = None) -> None:
        """`last`: the number of the last version of every name there ever was."""
        self._newest = {one.name: one for one in newest}
        self._last = dict(last or {name: one.version for name, one in self._newest.items()})
        self._older: dict[tuple[str, int], TemplateRow] = {}
        self._made: list[TemplateRow] = []
        self._removed: dict[str, None] = {}

    def __iter__(self) -> Iterator[TemplateRow]:
        return iter(self._newest.values())

    def __contains__(self, name: object) -> bool:
        return name in self._newest

    @property
    def count(self) -> int:
        """How many names there are, those that were removed included."""
        return len(self._last)

    def find(self, name: str, version: int | None = None) -> TemplateRow | None:
        """The newest version, or this one, if it is in memory."""
        newest = self._newest.get(name)
        if version is None or (newest is not None and newest.version == version):
            return newest
        return self._older.get((name, version))

    def last_version(self, name: str) -> int:
        """The number of its last version; 0 where there never was one."""
        return self._last.get(name, 0)

    def put(self, row: TemplateRow) -> None:
        """A new version."""
        self._shelve(row.name)
        self._newest[row.name] = row
        self._last[row.name] = row.version
        self._made.append(row)
        self._removed.pop(row.name, None)

    def remove(self, name: str) -> None:
        """It isn't there any more; its versions are."""
        self._shelve(name)
        self._newest.pop(name, None)
        self._removed[name] = None

    def take_notes(self) -> tuple[list[TemplateRow], list[str]]:
        """What is to be stored since the last time: new versions in their order, and the names of those that aren't there any more."""
        made, removed, self._made, self._removed = self._made, list(self._removed), [], {}
        return made, removed

    def note_older(self, row: TemplateRow) -> None:
        """A version that the store has is needed."""
        self._older.pop((row.name, row.version), None)
        self._older[row.name, row.version] = row
        while len(self._older) > OLDER_MAX:
            del self._older[next(iter(self._older))]

    def _shelve(self, name: str) -> None:
        if name in self._newest:
            self.note_older(self._newest[name])
