"""Decoding what the store keeps as blobs; what can't be decoded is told as damage."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from opsconsole_coordinator.store.schema import StoreError

S = TypeVar("S")
T = TypeVar("T")


def damaged(what: str) -> StoreError:
    """The error for a file that is sound for SQLite but not for us."""
    return StoreError(f"{what} in it is damaged: restore a backup (opsconsole backup makes them)")


def reader(kind: type[T], what: str) -> Callable[[bytes], T]:
    """A function that decodes blobs of this kind. It raises StoreError, which calls them `what`."""
    return guarded(msgspec.msgpack.Decoder(kind).decode, what)


def text_reader(kind: type[T], what: str) -> Callable[[str], T]:
    """A function that decodes JSON of this kind, which SQLite makes of rows. It raises StoreError, which calls it `what`."""
    return guarded(msgspec.json.Decoder(kind).decode, what)


def guarded(decode: Callable[[S], T], what: str) -> Callable[[S], T]:
    """The function, with StoreError, which calls what it reads `what`, for what can't be decoded."""

    def read(data: S) -> T:
        try:
            return decode(data)
        except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
            raise damaged(what) from None

    return read


def row_reader(kind: type[T], what: str) -> Callable[[tuple[object, ...]], T]:
    """A function that checks rows, where `kind` is a tuple: SQLite keeps any type in a column. It raises StoreError."""

    def read(row: tuple[object, ...]) -> T:
        try:
            return msgspec.convert(row, kind)
        except msgspec.ValidationError:
            raise damaged(what) from None

    return read
