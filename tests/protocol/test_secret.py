"""Secrets: shape, hash, comparison."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.trust.secret import SECRET_LENGTH, hash_secret, is_hash, is_secret, matches, new_secret


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_every_random_value_has_a_secret_of_its_own(one: bytes, other: bytes) -> None:
    assert is_secret(new_secret(one))
    assert (new_secret(one) == new_secret(other)) == (one == other)
    assert matches(new_secret(one), hash_secret(new_secret(other))) == (one == other)


def test_the_lowest_and_the_highest_value_are_told_apart_in_full_length() -> None:
    assert new_secret(bytes(32)) == "0" * SECRET_LENGTH
    assert new_secret(b"\xff" * 32) == "1" + "z" * (SECRET_LENGTH - 1)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_secret_from_too_little_randomness_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        new_secret(bytes(size))


def test_the_hash_is_the_plain_sha_256() -> None:
    secret = new_secret(bytes(32))
    assert hash_secret(secret) == hashlib.sha256(secret.encode("ascii")).hexdigest()
    assert is_hash(hash_secret(secret))
    assert not is_hash(hash_secret(secret).upper())
    assert not is_hash(hash_secret(secret)[:-1])
    assert not is_secret(secret + "0")
    assert not is_secret(secret.replace("0", "o"))
