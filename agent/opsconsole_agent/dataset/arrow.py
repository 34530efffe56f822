"""Parquet and Arrow, by PyArrow. Parquet says in its footer what it holds; of Arrow every batch is read, one at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from opsconsole_agent.dataset.fault import Broken, shown
from opsconsole_agent.dataset.reader import Column, Kind, Reader, check_names, difference
from opsconsole_agent.dataset.remote import INSTALL
from opsconsole_agent.dataset.source import NotInstalled, Source
from opsconsole_agent.dataset.text import Plain
from opsconsole_protocol.dataset import ROW_CELLS_MAX, DatasetFormat

FILE_MAGIC, STREAM_MAGIC = b"ARROW1", b"\xff\xff\xff\xff"
_STREAM_END = STREAM_MAGIC + bytes(4)
_BUFFER_BYTES = 1 << 20


@dataclass
class ArrowReader(Reader):
    """Reads them."""

    _schema: list[tuple[str, str]] = field(default_factory=list)
    _first: str = ""
    _nulls: list[int | None] = field(default_factory=list)

    def read(self, source: Source, kind: Kind) -> int | None:
        """See Reader."""
        try:
            import pyarrow as pa
        except ImportError:
            raise NotInstalled("invalid", f"to read {kind.words}, {INSTALL}") from None
        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
        with _words_of(kind, pa):
            if kind.format is DatasetFormat.PARQUET:
                with source.open_anywhere() as file:
                    return self._read_parquet(pa, source, file)
            if kind.variant == "file":
                with source.open_anywhere() as file:
                    return self._read_file(pa, source, file)
            plain = Plain(source.open_stream(), kind.compression)
            try:
                return self._read_stream(pa, source, plain)
            finally:
                plain.close()

    def _take_schema(self, source: Source, schema: Any) -> None:
        found = [(one.name, str(one.type)) for one in schema]
        check_names([name for name, _ in found])
        if not self._first:
            self._schema, self._first, self._nulls = found, source.name, [0] * len(found)
            return
        other = difference(found, self._schema)
        if not other and found != self._schema:
            other = "has its columns in another order"
        if other:
            raise Broken(f"{other} in {shown(self._first)}: mixed schemas")

    def _read_parquet(self, pa: Any, source: Source, file: Any) -> int:
        from pyarrow import parquet

        found = parquet.ParquetFile(pa.PythonFile(file, mode="r"), pre_buffer=False, buffer_size=_BUFFER_BYTES)
        schema, facts = found.schema_arrow, found.metadata
        self._take_schema(source, schema)
        self._count_nulls(facts, len(schema))
        if facts.num_rows and len(self.first_rows) < self.rows_max:
            names = [one.name for one in schema][:ROW_CELLS_MAX]
            for batch in found.iter_batches(batch_size=self.rows_max, columns=names):
                self._keep(batch)
                break
        return int(facts.num_rows)

    def _count_nulls(self, facts: Any, width: int) -> None:
        """As the footer says, which need not say it, and doesn't for nested columns."""
        if facts.num_columns != width:
            self._nulls = [None] * width
            return
        for number in range(facts.num_row_groups):
            if self.budget.is_over:
                self._nulls = [None] * width
                return
            group = facts.row_group(number)
            for place in range(width):
                column, known = group.column(place), self._nulls[place]
                counted = column.statistics.null_count if column.is_stats_set else None
                is_flat = "." not in column.path_in_schema
                self._nulls[place] = None if known is None or counted is None or not is_flat else known + counted

    def _read_file(self, pa: Any, source: Source, file: Any) -> int | None:
        reader = pa.ipc.open_file(pa.PythonFile(file, mode="r"))
        self._take_schema(source, reader.schema)
        return self._read_batches(reader.get_batch(number) for number in range(reader.num_record_batches))

    def _read_stream(self, pa: Any, source: Source, plain: Plain) -> int | None:
        tail = _Tail(plain)
        reader = pa.ipc.open_stream(pa.PythonFile(cast("Any", tail), mode="r"))
        self._take_schema(source, reader.schema)
        count = self._read_batches(reader)
        if count is not None and not tail.data.endswith(_STREAM_END):
            raise Broken("is cut off: it doesn't end as Arrow does")
        return count

    def _read_batches(self, batches: Iterator[Any]) -> int | None:
        count = 0
        for batch in batches:
            batch.validate(full=True)  # what is in it may point anywhere
            count += batch.num_rows
            for place, column in enumerate(batch.columns):
                known = self._nulls[place]
                self._nulls[place] = None if known is None else known + column.null_count
            self._keep(batch)
            if self.budget.is_over:
                return None
        return count

    def _keep(self, batch: Any) -> None:
        shown_ = batch.slice(0, max(0, self.rows_max - len(self.first_rows)))
        columns = [[_value(one) for one in column] for column in shown_.columns[:ROW_CELLS_MAX]]
        for row in zip(*columns, strict=True):
            self.keep_row(row)

    def columns(self) -> list[Column]:
        """See Reader."""
        return [Column(name, kind, nulls) for (name, kind), nulls in zip(self._schema, self._nulls, strict=True)]


def _value(scalar: Any) -> object:
    try:
        return cast("object", scalar.as_py())
    except (ValueError, OverflowError, KeyError, TypeError, ArithmeticError):
        return str(getattr(scalar, "value", "?"))  # a time that Python has no word for, a zone that isn't installed


class _Tail:
    """A stream for Arrow that keeps its last bytes."""

    closed = False

    def __init__(self, plain: Plain) -> None:
        self._plain = plain
        self.data = b""

    def read(self, size: int = -1) -> bytes:
        pieces, wanted = [], size
        while wanted and (piece := self._plain.read(wanted if wanted > 0 else _BUFFER_BYTES)):
            pieces.append(piece)
            wanted -= len(piece) if wanted > 0 else 0
        found = b"".join(pieces)
        self.data = (self.data + found[-len(_STREAM_END) :])[-len(_STREAM_END) :]
        return found

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        return


@contextmanager
def _words_of(kind: Kind, pa: Any) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, pa.ArrowInvalid, EOFError, UnicodeDecodeError) as error:
        if isinstance(error, MemoryError):
            raise
        raise Broken(_reason(kind, error)) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise Broken(_reason(kind, error)) from None


def _reason(kind: Kind, error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    is_cut = any(
        sign in text for sign in ("magic bytes", "too small", "smaller than", "Unexpected end", "Not an Arrow file")
    )
    is_cut = is_cut or any(sign in text for sign in ("Expected to be able to read", "Expected to read", "truncated"))
    if is_cut:
        return f"is cut off, or no {kind.words}: {shown(text, 120)}"
    return f"is damaged, its {kind.words} can't be read: {shown(text, 120)}"
