"""A store in which anything was changed is read, or refused in one line: nothing else comes of it."""

import contextlib
import sqlite3
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from opsconsole_coordinator.store.database import FAULTS
from opsconsole_coordinator.store.schema import StoreError
from tests.fuzz.mutation import REPEATABLE, anything, mutated
from tests.fuzz.store import PATH, columns, load, read_everything

IMAGE = PATH.read_bytes()
VALUES = columns(load(IMAGE))
BLOBS = [value for _, _, value in VALUES if isinstance(value, bytes)]
_ODD = st.none() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats() | st.text(max_size=20) | anything(BLOBS)


def test_it_is_read_as_it_is() -> None:
    read_everything(load(IMAGE))


@settings(REPEATABLE, max_examples=300, suppress_health_check=[HealthCheck.data_too_large])
@given(st.sampled_from(VALUES), st.data())
def test_a_value_that_was_changed(cell: tuple[str, str, Any], data: st.DataObject) -> None:
    table, name, before = cell
    after = data.draw(mutated([before]) if isinstance(before, bytes) else _ODD)
    connection = load(IMAGE)
    with contextlib.suppress(sqlite3.IntegrityError):
        connection.execute(f"UPDATE {table} SET {name} = ? WHERE {name} IS ?", (after, before))
    refusal = None
    try:
        read_everything(connection)
    except (StoreError, *FAULTS) as error:
        refusal = str(error)
    assert refusal is None or "\n" not in refusal
    connection.close()


@settings(REPEATABLE, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(IMAGE) - 1), st.binary(min_size=1, max_size=64)), min_size=1, max_size=8))
@example([(0, b"\xff" * 100)])
@example([(16, b"\0\1")])
def test_a_file_that_rots(spots: list[tuple[int, bytes]]) -> None:
    image = bytearray(IMAGE)
    for place, noise in spots:
        image[place : place + len(noise)] = noise
    connection = load(bytes(image[: len(IMAGE)]))
    with contextlib.suppress(StoreError, *FAULTS):
        read_everything(connection)
    connection.close()


@settings(REPEATABLE, max_examples=30)
@given(st.integers(1, len(IMAGE)))
def test_a_file_that_was_cut_short(size: int) -> None:
    with contextlib.suppress(StoreError, *FAULTS):
        connection = load(IMAGE[:size])
        read_everything(connection)
        connection.close()
