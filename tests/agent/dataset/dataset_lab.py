"""Small datasets, made in the test."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from opsconsole_agent.dataset.description import describe_found
from opsconsole_agent.dataset.limit import Limits
from opsconsole_agent.dataset.source import find_here
from opsconsole_protocol.dataset import DatasetDescription

TABLE = pa.table({"x": [1, None, 3], "y": ["a", "b", None]})
CSV = b"x,y\n1,a\n,b\n3,\n"
TSV = CSV.replace(b",", b"\t")
JSON_LINES = b'{"x":1,"y":"a"}\n{"y":"b"}\n\n{"x":3,"y":null}\n'
JSON = b'[\n {"x": 1, "y": "a"},\n {"y": "b", "x": null},\n {"x": 3}\n]\n'
COMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def parquet_bytes(table: Any = TABLE) -> bytes:
    """A table as a Parquet file."""
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    return bytes(sink.getvalue())


def arrow_bytes(table: Any = TABLE, *, stream: bool = False) -> bytes:
    """A table as an Arrow file, or in the form of a stream."""
    sink = pa.BufferOutputStream()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return bytes(sink.getvalue())


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder, by their paths."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def saved(table: Any = TABLE, above: str = "") -> dict[str, bytes]:
    """The files that `Dataset.save_to_disk` writes."""
    name = "data-00000-of-00001.arrow"
    return {
        f"{above}{name}": arrow_bytes(table, stream=True),
        f"{above}state.json": json.dumps({"_data_files": [{"filename": name}], "_split": None}).encode(),
        f"{above}dataset_info.json": json.dumps({"features": {}}).encode(),
    }


def described(path: Path, **limits: Any) -> DatasetDescription:
    """The description of what is at a path, made in this process."""
    limit = Limits(**{"budget_s": 60.0, **limits})
    return describe_found(find_here("/", (), str(path).lstrip("/"), ""), limit)
