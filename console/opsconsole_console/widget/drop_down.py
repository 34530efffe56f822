"""A list to choose one from, whose entries are data: see `words`. Apart, since only the new-job dialog needs it."""

from collections.abc import Iterable

from rich.text import Text
from textual.widgets import Select

from opsconsole_console.visible import clean


class DropDown(Select[str]):
    """Entries are (text, value); the first is chosen."""

    def __init__(self, entries: Iterable[tuple[str, str]], *, value: str, id: str) -> None:  # noqa: A002 - Textual's
        super().__init__(_entries(entries), value=value, allow_blank=False, compact=True, id=id)

    def offer(self, entries: Iterable[tuple[str, str]]) -> None:
        """Let these be chosen instead."""
        self.set_options(_entries(entries))


def _entries(entries: Iterable[tuple[str, str]]) -> list[tuple[Text, str]]:
    return [(Text(clean(text)), value) for text, value in entries]
