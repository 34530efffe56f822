"""From what is found at a path or a URL to its description."""

from dataclasses import dataclass, field

from opsconsole_agent.dataset.arrow import ArrowReader
from opsconsole_agent.dataset.delimited import DelimitedReader
from opsconsole_agent.dataset.fault import Broken
from opsconsole_agent.dataset.folder import Layout, layout_of
from opsconsole_agent.dataset.json_rows import JsonReader
from opsconsole_agent.dataset.limit import Budget, Limits
from opsconsole_agent.dataset.reader import Kind, Reader
from opsconsole_agent.dataset.recognition import recognise
from opsconsole_agent.dataset.source import Found, NotInstalled, Refused, Source
from opsconsole_protocol.bound import PATH_CHARACTERS_MAX, cut
from opsconsole_protocol.dataset import (
    COLUMNS_MAX,
    BrokenDataset,
    DatasetColumn,
    DatasetDescription,
    DatasetFault,
    DatasetFormat,
    DatasetSplit,
)
from opsconsole_protocol.truncation import truncated

_READERS: dict[DatasetFormat, type[Reader]] = {
    DatasetFormat.CSV: DelimitedReader,
    DatasetFormat.TSV: DelimitedReader,
    DatasetFormat.JSON: JsonReader,
    DatasetFormat.JSON_LINES: JsonReader,
    DatasetFormat.PARQUET: ArrowReader,
    DatasetFormat.ARROW: ArrowReader,
}


@dataclass
class _Progress:
    """How far the files of a dataset have been read."""

    found: Found
    limits: Limits
    budget: Budget
    known: tuple[Kind, str, Reader] | None = None
    """Of the first file: what it is, its name, and who reads it and all others."""
    at: Source | None = None
    unread: int = 0
    """Files that there was no time for."""
    is_partial: bool = False
    splits: list[DatasetSplit] = field(default_factory=list)


def describe_found(found: Found, limits: Limits) -> DatasetDescription:
    """Describe it. Raises BrokenDataset, Refused."""
    progress = _Progress(found, limits, Budget(limits.budget_s))
    try:
        layout = layout_of(found) if found.is_folder else Layout(None, {"": found.sources})
        for name, sources in layout.splits.items():
            _read_split(progress, name, sources)
        return _description(progress, layout)
    except Broken as broken:
        if broken.path:
            path = f"{found.shown.rstrip('/')}/{broken.path}"
        else:
            path = found.shown if progress.at is None else found.path_of(progress.at)
        fault = DatasetFault(_plain(str(broken)), cut(_plain(path), PATH_CHARACTERS_MAX), broken.line)
        raise BrokenDataset(truncated(fault)) from None
    except MemoryError:
        raise Refused("limit", f"{_place(progress)} needs too much memory to be looked at") from None
    except NotInstalled:
        raise
    except Refused as refusal:
        raise Refused(refusal.code, f"{_place(progress)}: {refusal}") from None


def _place(progress: _Progress) -> str:
    return progress.found.shown if progress.at is None else progress.found.path_of(progress.at)


def _read_split(progress: _Progress, name: str, sources: list[Source]) -> None:
    rows: int | None = 0
    for source in sources:
        counted = None
        if progress.budget.is_over and progress.known is not None:
            progress.unread += 1
        else:
            progress.at = source
            counted = _read(progress, source)
            progress.at = None
        rows = None if rows is None or counted is None else rows + counted
    size = sum(source.size for source in sources)
    progress.splits.append(DatasetSplit(_plain(name), rows, size, len(sources)))


def _read(progress: _Progress, source: Source) -> int | None:
    kind = recognise(source)
    if progress.known is None:
        progress.known = kind, source.name, _READERS[kind.format](progress.budget, progress.limits.rows)
    first, name, reader = progress.known
    if kind.format is not first.format:
        raise Broken(f"is {kind.words}, and {name} is {first.words}: a dataset has one format")
    counted = reader.read(source, kind)
    progress.is_partial = progress.is_partial or counted is None
    return counted


def _description(progress: _Progress, layout: Layout) -> DatasetDescription:
    if progress.known is None:
        raise Broken("has no files")
    kind, _, reader = progress.known
    columns = reader.columns()
    splits = progress.splits
    counts = [split.rows for split in splits]
    counted = [rows for rows in counts if rows is not None]
    rows = sum(counted) if len(counted) == len(counts) else None
    if rows == 0:
        raise Broken("has columns and no rows")
    is_whole = rows is not None
    notes = [layout.note, *reader.notes]
    if progress.unread:
        notes.append(f"{progress.unread:,} of {sum(one.files for one in splits):,} files were not looked at, for time")
    elif progress.is_partial:
        notes.append("it is too large to be read to its end in the time that there is: what was read is sound")
    return truncated(
        DatasetDescription(
            format=layout.format or kind.format,
            compression=kind.compression,
            rows=rows,
            columns=tuple(
                DatasetColumn(_plain(one.name), _plain(one.type), one.nulls if is_whole else None)
                for one in columns[:COLUMNS_MAX]
            ),
            columns_total=len(columns),
            size_bytes=sum(split.size_bytes for split in splits),
            files=sum(split.files for split in splits),
            splits=tuple(split for split in splits if split.name or len(splits) > 1),
            first_rows=tuple(tuple(_plain(cell) for cell in row) for row in reader.first_rows),
            note="; ".join(note for note in notes if note),
        )
    )


def _plain(text: str) -> str:
    """Text that UTF-8 can hold: JSON may spell half a character."""
    return text.encode("utf-8", "replace").decode()
