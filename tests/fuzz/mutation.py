"""Bytes that nobody meant: noise, samples with something changed, and the bombs of each format."""

import os
from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st

REPEATABLE = settings(derandomize=os.environ.get("HYPOTHESIS_PROFILE") != "thorough")
"""The same bytes in every run, so that none fails by chance; others in every run that looks longer."""
BOMBS = (
    b"", b"\0" * 64, b"\xff" * 64,
    b"[" * 100_000, b'{"a":' * 100_000, b"\x91" * 100_000, b"\x81\xa1a" * 50_000,  # deep
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",  # large, says it
    b"9" * 10_000, b"-" + b"9" * 10_000, b"1e999999999", b"NaN", b"a" * 100_000, b"\xed\xa0\x80", b'"\\ud800"', b"\n" * 1_000,
)  # fmt: skip


def mutated(samples: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """A sample with up to six changes: bytes set, cut, doubled, swapped for others' or replaced by a bomb."""
    return st.builds(
        _change, st.sampled_from(samples), st.lists(_CHANGES, min_size=1, max_size=6), st.sampled_from(samples)
    )


def anything(samples: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Noise, bombs and mutated samples, more of the latter."""
    return st.one_of(st.binary(max_size=300), st.sampled_from(BOMBS), *([mutated(samples)] * 4))


_CHANGES = st.tuples(
    st.sampled_from(("set", "set", "cut", "double", "insert", "graft", "bomb", "end")),
    st.integers(0, 1 << 20),
    st.integers(0, 255),
    st.integers(1, 40),
)


def _change(sample: bytes, changes: list[tuple[str, int, int, int]], other: bytes) -> bytes:
    data = bytearray(sample)
    for kind, where, value, length in changes:
        place = where % (len(data) + 1)
        match kind:
            case "set" if place < len(data):
                data[place] = value
            case "cut":
                del data[place : place + length]
            case "double":
                data[place:place] = data[place : place + length]
            case "graft":
                data[place:place] = other[place : place + length]
            case "bomb":
                data[place:place] = BOMBS[value % len(BOMBS)][:4_000]
            case "end":
                del data[place:]
            case _:
                data[place:place] = bytes([value]) * length
    return bytes(data)
