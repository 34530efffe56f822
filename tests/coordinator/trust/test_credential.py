"""Invitations and credentials: whatever the order of joins, no use too many and no lost answer that locks out."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_coordinator.trust.credential import (
    CredentialKind,
    CredentialRecord,
    CredentialRevoked,
    CredentialUnknown,
    InvitationExpired,
    InvitationRecord,
    InvitationUsed,
    InvitationWrong,
    Role,
    authenticate,
    credential_of,
    hash_secret,
    new_secret,
    redeem,
    revoke,
)
from opsconsole_protocol.error import InvalidRequest, Unauthenticated
from opsconsole_protocol.trust.invitation import InvitationId

SECRET = new_secret(bytes(range(32)))
HASHES = [hash_secret(str(number)) for number in range(4)]


def invitation(uses: int = 1, expires_at_ms: int = 1_000) -> InvitationRecord:
    return InvitationRecord(
        id=InvitationId("7k3m9q2x"),
        secret_hash=hash_secret(SECRET),
        uses_left=uses,
        expires_at_ms=expires_at_ms,
        created_by="ada",
    )


def join(
    record: InvitationRecord | None, by: str = HASHES[0], now_ms: int = 0, secret: str = SECRET
) -> InvitationRecord:
    return redeem(record, secret=secret, credential_hash=by, now_ms=now_ms)


def test_an_invitation_is_good_for_one_credential() -> None:
    record = join(invitation())
    assert (record.uses_left, record.used_by) == (0, (HASHES[0],))
    with pytest.raises(InvitationUsed, match="used already: ask for a new one with `opsconsole invite`"):
        join(record, HASHES[1])


def test_a_join_whose_answer_got_lost_is_repeated_even_after_the_time_is_over() -> None:
    record = join(invitation())
    assert join(record, now_ms=10_000) == record
    with pytest.raises(InvitationExpired):
        join(invitation(), now_ms=1_000)


@pytest.mark.parametrize("record", [None, invitation()])
def test_an_unknown_id_and_a_wrong_secret_are_the_same_to_who_asks(record: InvitationRecord | None) -> None:
    with pytest.raises(InvitationWrong, match=r"^the invitation is not known here: ask for a new one") as caught:
        join(record, secret=new_secret(bytes(32)))
    assert SECRET not in caught.value.message


def test_a_wrong_secret_is_refused_also_from_who_was_let_in_before() -> None:
    with pytest.raises(InvitationWrong):
        join(join(invitation()), secret="wrong")


def test_what_is_no_hash_uses_nothing_up() -> None:
    with pytest.raises(InvalidRequest, match="64 hexadecimal"):
        join(invitation(), "short")


@given(
    uses=st.integers(1, 3),
    attempts=st.lists(st.tuples(st.sampled_from(HASHES), st.integers(0, 2_000), st.booleans()), max_size=30),
)
def test_any_order_of_joins(uses: int, attempts: list[tuple[str, int, bool]]) -> None:
    """A model in three lines: who is in stays in; others get in while there is time and a use left."""
    record, inside = invitation(uses), list[str]()
    for credential_hash, now_ms, right in attempts:
        welcome = right and (credential_hash in inside or (now_ms < 1_000 and len(inside) < uses))
        try:
            record = join(record, credential_hash, now_ms, SECRET if right else "wrong")
        except Unauthenticated:
            assert not welcome
        else:
            assert welcome
            inside += [] if credential_hash in inside else [credential_hash]
        assert list(record.used_by) == inside
        assert record.uses_left == uses - len(inside)


def test_roles_have_an_order_that_is_not_the_alphabets() -> None:
    assert Role.VIEWER < Role.OPERATOR < Role.ADMIN
    assert sorted([Role.ADMIN, Role.VIEWER, Role.OPERATOR]) == list(Role)
    assert Role.ADMIN >= Role.ADMIN
    assert Role.ADMIN <= Role.ADMIN
    assert not Role.ADMIN > Role.ADMIN
    assert Role("admin") > "operator"


def test_a_workers_credential_has_no_role() -> None:
    record = credential_of(invitation(), credential_hash=HASHES[0], subject="worker-7k3m9q2x", now_ms=5)
    assert record == CredentialRecord(
        hash=HASHES[0], kind=CredentialKind.WORKER, subject="worker-7k3m9q2x", created_at_ms=5
    )
    assert record.role is None


def test_an_operators_credential_has_the_role_of_its_invitation() -> None:
    record = dataclasses.replace(invitation(), kind=CredentialKind.OPERATOR, role=Role.VIEWER)
    credential = credential_of(record, credential_hash=HASHES[0], subject="ada", now_ms=5)
    assert (credential.kind, credential.role) == (CredentialKind.OPERATOR, Role.VIEWER)


@pytest.mark.parametrize(("kind", "role"), [(CredentialKind.WORKER, Role.ADMIN), (CredentialKind.OPERATOR, None)])
def test_a_worker_with_a_role_and_an_operator_without_are_impossible(kind: CredentialKind, role: Role | None) -> None:
    with pytest.raises(InvalidRequest):
        dataclasses.replace(invitation(), kind=kind, role=role)
    with pytest.raises(InvalidRequest):
        CredentialRecord(hash=HASHES[0], kind=kind, subject="x", role=role, created_at_ms=0)


def test_a_revoked_credential_stays_revoked_whatever_is_redeemed() -> None:
    record = join(invitation())
    credential = credential_of(record, credential_hash=HASHES[0], subject="worker-7k3m9q2x", now_ms=5)
    assert authenticate(credential) is credential
    revoked = revoke(credential, 7)
    assert revoke(revoked, 9) == revoked
    join(record)
    with pytest.raises(CredentialRevoked, match="opsconsole invite"):
        authenticate(revoked)
    with pytest.raises(CredentialUnknown, match="opsconsole invite"):
        authenticate(None)
