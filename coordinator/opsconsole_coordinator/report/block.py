"""Points on the disk: blocks one after the other, each whole or not there at all.

    block    b"OPRB", u32 length of the head, u32 crc32 of head and payloads, head, payloads        (big-endian)
    head     msgpack: how far in the report these points lead, and for each metric its name, points and bytes of payload
    payload  steps, times, values: 64-bit floats, the first byte of all, then the second of all, …; compressed together

In that order of bytes neighbours are alike, which makes a point of three floats take about six bytes.
"""

import struct
import sys
import zlib
from array import array
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import msgspec

from opsconsole_coordinator.report.series import Series, Summary

_MAGIC = b"OPRB"
_HEAD = struct.Struct(">4sII")
_HEAD_BYTES_MAX = 1 << 20
_LEVEL = 1
_FLOAT_BYTES = 8


class _Part(msgspec.Struct, frozen=True, array_like=True):
    name: str
    count: int
    size: int
    summary: Summary


class Head(msgspec.Struct, frozen=True, array_like=True):
    """`raw_end`: the offset in the report up to which its lines are in this block or an earlier one."""

    raw_end: int
    parts: tuple[_Part, ...]


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Head).decode


def encode_block(raw_end: int, series: Mapping[str, Series]) -> bytes:
    """One block."""
    payloads = [zlib.compress(_shuffled(one), _LEVEL) for one in series.values()]
    parts = tuple(
        _Part(name, len(one), len(payload), one.summary)
        for (name, one), payload in zip(series.items(), payloads, strict=True)
    )
    head = _encode(Head(raw_end, parts))
    crc = zlib.crc32(b"".join(payloads), zlib.crc32(head))
    return b"".join((_HEAD.pack(_MAGIC, len(head), crc), head, *payloads))


def read_blocks(file: BinaryIO, end: int = 0) -> Iterator[tuple[Head, bytes, int]]:
    """Head, payloads and end in the file of each whole block behind `end`, up to the first place where there is none."""
    file.seek(end)
    while True:
        start = file.read(_HEAD.size)
        if len(start) < _HEAD.size:
            return
        magic, size, crc = _HEAD.unpack(start)
        if magic != _MAGIC or size > _HEAD_BYTES_MAX:
            return
        head_bytes = file.read(size)
        try:
            head = _decode(head_bytes)
        except msgspec.DecodeError:
            return
        length = sum(part.size for part in head.parts)
        payloads = file.read(length)
        if len(payloads) < length or zlib.crc32(payloads, zlib.crc32(head_bytes)) != crc:
            return
        end += _HEAD.size + size + length
        yield head, payloads, end


def add_points(into: dict[str, Series], head: Head, payloads: bytes, names: frozenset[str] | None = None) -> None:
    """Add a block's points to series; of `names` only, where given. Raises ValueError for a damaged payload."""
    start = 0
    for part in head.parts:
        payload, start = payloads[start : start + part.size], start + part.size
        if names is not None and part.name not in names:
            continue
        try:
            steps, at_ms, values = _unshuffled(zlib.decompress(payload), part.count)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        series = into.get(part.name)
        if series is None:
            series = into[part.name] = Series()
        series.extend(steps, at_ms, values)


def add_summaries(into: dict[str, Summary], head: Head) -> None:
    """Add what a block's head says of its points."""
    for part in head.parts:
        before = into.get(part.name)
        into[part.name] = part.summary if before is None else before.followed_by(part.summary)


def _shuffled(series: Series) -> bytes:
    data = b"".join(_big_endian(one).tobytes() for one in (series.steps, series.at_ms, series.values))
    return b"".join(data[byte::_FLOAT_BYTES] for byte in range(_FLOAT_BYTES))


def _unshuffled(data: bytes, count: int) -> tuple["array[float]", "array[float]", "array[float]"]:
    if len(data) != 3 * count * _FLOAT_BYTES:
        raise ValueError(f"{len(data)} bytes for {count} points")
    mixed = bytearray(len(data))
    for byte in range(_FLOAT_BYTES):
        mixed[byte::_FLOAT_BYTES] = data[byte * 3 * count : (byte + 1) * 3 * count]
    whole = array("d", bytes(mixed))
    whole = _big_endian(whole)
    return whole[:count], whole[count : 2 * count], whole[2 * count :]


def _big_endian(floats: "array[float]") -> "array[float]":
    if sys.byteorder == "big":
        return floats
    swapped = floats[:]
    swapped.byteswap()
    return swapped
