"""Proofs of a secret: each is good for one role, one stream and one place only."""

import pytest

from opsconsole_protocol.stream import proof

NONCES = b"d" * proof.NONCE_BYTES + b"l" * proof.NONCE_BYTES


def test_no_proof_does_for_another() -> None:
    made = [
        proof.request_proof("secret", "s1"),
        proof.request_proof("secret", "s2"),
        proof.request_proof("secret2", "s1"),
        proof.request_proof("secret", "s1", "127.0.0.1 7373"),
        proof.acceptance_proof("secret", "s1"),
        proof.dialler_proof("secret", "s1", NONCES, "").hex(),
        proof.listener_proof("secret", "s1", NONCES, "").hex(),
        proof.listener_proof("secret", "s1", NONCES, "00").hex(),
        proof.listener_proof("secret", "s1", NONCES[::-1], "").hex(),
        proof.place_mark("secret", "s1"),
    ]
    assert len(set(made)) == len(made)
    assert all(len(one) == 2 * proof.PROOF_BYTES for one in made)


def test_a_proof_is_compared_whole() -> None:
    one = proof.request_proof("secret", "s1")
    assert proof.is_same(one, one)
    assert not proof.is_same(one[:-1], one)
    assert not proof.is_same("", one)
    assert not proof.is_same("é" * 64, one)


def test_an_empty_secret_proves_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        proof.request_proof("", "s1")


def test_a_machine_that_does_not_know_its_place_has_none() -> None:
    assert proof.place_mark("secret", "") == ""


@pytest.mark.parametrize(
    ("name", "where"),
    [
        (("127.0.0.1", 7373), "127.0.0.1 7373"),
        (("::1", 7373, 0, 0), "::1 7373"),
        (("::ffff:127.0.0.1", 7373, 0, 0), "127.0.0.1 7373"),
    ],
)
def test_where_a_connection_leads_to_has_one_name_at_both_ends(name: tuple[object, ...], where: str) -> None:
    assert proof.where_of(name) == where
