"""What every reader of a format has: it takes the files of a dataset one after another, and keeps what they have in common."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from opsconsole_agent.dataset.fault import Broken, shown
from opsconsole_agent.dataset.limit import Budget
from opsconsole_agent.dataset.source import Source
from opsconsole_protocol.dataset import CELL_CHARACTERS_MAX, ROW_CELLS_MAX, DatasetFormat, format_words


class Kind(NamedTuple):
    """What one file is."""

    format: DatasetFormat
    compression: str = ""
    variant: str = ""
    """What its reader needs to know: a delimiter, or which of Arrow's two forms it is."""

    @property
    def words(self) -> str:
        """For people."""
        return format_words(self.format, self.compression)


class Column(NamedTuple):
    """As in DatasetColumn."""

    name: str
    type: str
    nulls: int | None


@dataclass
class Reader:
    """Reads files of one format. `first_rows`: of the first file that has rows."""

    budget: Budget
    rows_max: int
    first_rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def read(self, source: Source, kind: Kind) -> int | None:
        """Read a file; return how many rows it has, or None where the time was over before its end.

        Raises Broken, also where its columns are others than those of the files before; Refused; OSError.
        """
        raise NotImplementedError

    def columns(self) -> list[Column]:
        """The columns that all files have, as far as they were read."""
        raise NotImplementedError

    def keep_row(self, values: Sequence[object]) -> None:
        """Keep a row to be shown, if there is room."""
        if len(self.first_rows) < self.rows_max:
            self.first_rows.append(tuple(spelled(value) for value in values[:ROW_CELLS_MAX]))


def spelled(value: object) -> str:
    """A value as text, cut."""
    if value is None:
        return ""
    if isinstance(value, (bytes, bytearray)):
        return f"<{len(value):,} bytes>"
    if isinstance(value, (list, tuple)):
        text = f"[{', '.join(spelled(one) for one in value[:20])}{', …' if len(value) > 20 else ''}]"
    elif isinstance(value, dict):
        text = f"{{{', '.join(f'{key}: {spelled(one)}' for key, one in list(value.items())[:20])}}}"
    else:
        text = value if isinstance(value, str) else str(value)
    return text if len(text) <= CELL_CHARACTERS_MAX else f"{text[: CELL_CHARACTERS_MAX - 1]}…"


def check_names(names: Sequence[str], line: int | None = None) -> None:
    """Raise Broken where two columns have the same name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Broken(f"two columns are called {shown(name)!r}: give one of them another name", line)
        seen.add(name)


def difference(here: Sequence[tuple[str, str]], before: Sequence[tuple[str, str]]) -> str:
    """In words, the first difference of two lists of names and types; empty where there is none."""
    types, old = dict(here), dict(before)
    for name, kind in before:
        if name not in types:
            return f"has no column {shown(name)!r}"
        if types[name] != kind:
            return f"column {shown(name)!r} is {shown(types[name])} here and {shown(kind)}"
    extra = next((name for name in types if name not in old), None)
    if extra is not None:
        return f"has a column {shown(extra)!r} that isn't"
    return ""
