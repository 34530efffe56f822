"""A table as text, and as a file: CSV, or Parquet where pyarrow is there."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from opsconsole_protocol.error import InvalidRequest

PARQUET = ".parquet"
"""How the name of a Parquet file ends."""


def csv_text(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV, each with a line end; None is empty."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([tuple(header), *rows])
    return file.getvalue()


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file. Raises InvalidRequest where it can't be written."""
    try:
        path.write_text(csv_text(header, rows), encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"can't write {path}: {error.strerror}") from None


def write_parquet(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a Parquet file; a column with anything but numbers in it is one of texts. Raises InvalidRequest."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise InvalidRequest(
            "Parquet files need pyarrow: pip install 'opsconsole[view]', or write a CSV file"
        ) from None
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in header]
    table = pa.table({name: _of_one_type(column) for name, column in zip(header, columns, strict=True)})
    try:
        parquet.write_table(table, path)
    except OSError as error:
        raise InvalidRequest(f"can't write {path}: {error.strerror or error}") from None


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write the kind of file that the name's end says; CSV where it is no Parquet. Blocks. Raises InvalidRequest."""
    (write_parquet if path.suffix.lower() == PARQUET else write_csv)(path, header, rows)


_WHOLE_MAX = 1 << 63


def _of_one_type(column: list[Any]) -> list[Any]:
    there = [value for value in column if value is not None]
    if all(type(value) is bool for value in there):
        return column
    if all(type(value) is int and -_WHOLE_MAX <= value < _WHOLE_MAX for value in there):
        return column
    if all(type(value) is float or (type(value) is int and abs(value) < _WHOLE_MAX) for value in there):
        return [None if value is None else float(value) for value in column]
    return [None if value is None else str(value) for value in column]
