"""Invitations and the credentials they are traded for, as values: no I/O, no clock, no randomness.

An invitation is open for a short time and for a number of uses, one by default. Whoever joins brings a credential
that it made itself, and the coordinator keeps the hash. So a join whose answer got lost is repeated with the same
credential and finds itself already let in, whatever became of the invitation meanwhile. It is the credential that is
shown, never its hash: who reads a hash in a backup can do nothing with it. Letting the same one in again never undoes
a revocation: that stands in the credential's own record, which `authenticate` reads.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from opsconsole_protocol.error import InvalidRequest, Unauthenticated
from opsconsole_protocol.trust.invitation import InvitationId
from opsconsole_protocol.trust.secret import hash_secret, is_hash, is_secret, matches, new_secret

__all__ = [
    "CredentialKind",
    "CredentialRecord",
    "CredentialRevoked",
    "CredentialUnknown",
    "InvitationExpired",
    "InvitationRecord",
    "InvitationUsed",
    "InvitationWithdrawn",
    "InvitationWrong",
    "Role",
    "authenticate",
    "credential_of",
    "hash_secret",
    "is_open",
    "is_secret",
    "matches",
    "new_secret",
    "redeem",
    "revoke",
    "withdraw",
]

_NO_HASH = "0" * 64


class CredentialKind(StrEnum):
    """Who holds a credential: an agent, or a person or script."""

    WORKER = "worker"
    OPERATOR = "operator"


class Role(StrEnum):
    """What an operator may do. Each role may do all that a lower one may: viewer < operator < admin."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """The role's place in the order of roles, from 0."""
        return list(Role).index(self)

    # A StrEnum would compare by spelling, and admin would come first.
    def __lt__(self, other: str) -> bool:
        return self.rank < Role(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Role(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Role(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Role(other).rank


class InvitationWrong(Unauthenticated):
    """There is no such invitation, or the secret isn't its own. Nobody is told which of the two."""


class InvitationExpired(Unauthenticated):
    """The invitation's time is over."""


class InvitationUsed(Unauthenticated):
    """The invitation has no uses left."""


class InvitationWithdrawn(Unauthenticated):
    """An invitation that an admin took back."""


class CredentialUnknown(Unauthenticated):
    """A credential that this coordinator never accepted."""


class CredentialRevoked(Unauthenticated):
    """A credential that an admin took back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationRecord:
    """An invitation as it is kept: the secret only as a hash. `role` is None for workers."""

    id: InvitationId
    secret_hash: str
    kind: CredentialKind = CredentialKind.WORKER
    role: Role | None = None
    name: str = ""
    tags: tuple[str, ...] = ()
    uses_left: int = 1
    expires_at_ms: int
    created_by: str
    used_by: tuple[str, ...] = ()
    """The hashes of the credentials it was traded for."""
    withdrawn_at_ms: int | None = None

    def __post_init__(self) -> None:
        _check_role(self.kind, self.role)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRecord:
    """A credential as it is kept. `subject` is the worker's id or the operator's name."""

    hash: str
    kind: CredentialKind
    subject: str
    role: Role | None = None
    created_at_ms: int
    revoked_at_ms: int | None = None

    def __post_init__(self) -> None:
        _check_role(self.kind, self.role)


def redeem(record: InvitationRecord | None, *, secret: str, credential_hash: str, now_ms: int) -> InvitationRecord:
    """Trade an invitation (None: no such id) for the credential behind `credential_hash`, and return its new record.

    The same credential again gets the record back unchanged, also when the invitation is expired or used up.
    Raises InvitationWrong, InvitationExpired or InvitationUsed, and InvalidRequest for what is no SHA-256.
    """
    right = matches(secret, record.secret_hash if record is not None else _NO_HASH)
    if record is None or not right:
        raise InvitationWrong("the invitation is not known here: ask for a new one with `opsconsole invite`")
    if not is_hash(credential_hash):
        raise InvalidRequest("a credential's hash is 64 hexadecimal digits: update the agent")
    if credential_hash in record.used_by:
        return record
    if record.withdrawn_at_ms is not None:
        raise InvitationWithdrawn("the invitation was taken back: ask for a new one with `opsconsole invite`")
    if now_ms >= record.expires_at_ms:
        raise InvitationExpired("the invitation has expired: ask for a new one with `opsconsole invite`")
    if record.uses_left < 1:
        raise InvitationUsed("the invitation was used already: ask for a new one with `opsconsole invite`")
    return replace(record, uses_left=record.uses_left - 1, used_by=(*record.used_by, credential_hash))


def is_open(record: InvitationRecord, now_ms: int) -> bool:
    """Whether the invitation still lets somebody in."""
    return record.withdrawn_at_ms is None and record.uses_left > 0 and now_ms < record.expires_at_ms


def withdraw(record: InvitationRecord, now_ms: int) -> InvitationRecord:
    """The invitation's record, withdrawn. Whoever came in by it stays."""
    return replace(record, withdrawn_at_ms=now_ms)


def credential_of(record: InvitationRecord, *, credential_hash: str, subject: str, now_ms: int) -> CredentialRecord:
    """The credential to keep for a redeemed invitation, if there is none with this hash yet."""
    return CredentialRecord(
        hash=credential_hash, kind=record.kind, subject=subject, role=record.role, created_at_ms=now_ms
    )


def authenticate(record: CredentialRecord | None) -> CredentialRecord:
    """The record found under the hash of the presented secret, if it may be used.

    Looking up by hash needs no constant time: who can't choose the hash learns nothing from how near it came.
    Raises CredentialUnknown or CredentialRevoked.
    """
    if record is None:
        raise CredentialUnknown("the token is not valid here: ask for an invitation with `opsconsole invite`")
    if record.revoked_at_ms is not None:
        raise CredentialRevoked("the token was revoked: ask for a new invitation with `opsconsole invite`")
    return record


def revoke(record: CredentialRecord, now_ms: int) -> CredentialRecord:
    """The credential's record, revoked. A second call keeps the time of the first."""
    return record if record.revoked_at_ms is not None else replace(record, revoked_at_ms=now_ms)


def _check_role(kind: CredentialKind, role: Role | None) -> None:
    if (kind is CredentialKind.WORKER) != (role is None):
        raise InvalidRequest("an operator has a role (viewer, operator or admin), a worker has none")
