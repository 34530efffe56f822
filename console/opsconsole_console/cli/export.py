"""Tables that go to a file, or as CSV to stdout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsconsole_console.cli.output import put
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def write(csv: str | None, parquet: Path | None, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write what --csv and --parquet name. CSV on stdout (-) is cleaned as `put` does it. Raises InvalidRequest."""
    if parquet is not None and str(parquet) == "-":
        raise InvalidRequest("Parquet goes to a file: --parquet FILE; --csv - prints a table")
    from opsconsole_console.service.table_file import csv_text, write_csv, write_parquet

    if csv is not None and parquet is not None:
        rows = list(rows)
    if csv == "-":
        put(*csv_text(header, rows).splitlines())
    elif csv is not None:
        write_csv(Path(csv), header, rows)
    if parquet is not None:
        write_parquet(parquet, header, rows)
