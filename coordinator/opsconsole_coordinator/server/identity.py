"""Who may come in: credentials and invitations, kept in the store, looked up in memory."""

import secrets
import sqlite3
from dataclasses import dataclass

import msgspec

from opsconsole_coordinator.store.blob import reader
from opsconsole_coordinator.store.database import Database
from opsconsole_coordinator.trust import credential
from opsconsole_coordinator.trust.credential import (
    CredentialKind,
    CredentialRecord,
    InvitationRecord,
    Role,
    hash_secret,
    new_secret,
)
from opsconsole_protocol.error import Forbidden, Unauthenticated
from opsconsole_protocol.ids import WorkerId, spell
from opsconsole_protocol.invitation import InvitationId, split_token
from opsconsole_protocol.secret import SECRET_BYTES

LOCAL_ACTOR = "local"
_credential = reader(CredentialRecord, "a credential")
_invitation = reader(InvitationRecord, "an invitation")


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated operator."""

    actor: str
    role: Role

    def require(self, role: Role) -> None:
        """Raise Forbidden unless the role reaches."""
        if not self.role >= role:
            raise Forbidden(f"this needs the role {role}, and you are {self.role}: ask an admin for an invitation")


class Identities:
    """All credentials and open invitations. The local operator's token is an admin's."""

    def __init__(self, database: Database, local_token: str, local_actor: str = LOCAL_ACTOR) -> None:
        self._database = database
        self._local = hash_secret(local_token)
        self._local_actor = local_actor
        self._credentials: dict[str, CredentialRecord] = {}
        self._invitations: dict[str, InvitationRecord] = {}

    async def load(self) -> None:
        """Read what the store has."""

        credentials, invitations = await self._database.read(_stored)
        self._credentials.update({held.hash: held for held in credentials})
        self._invitations.update({invited.id: invited for invited in invitations})

    async def operator(self, token: str, credential_hash: str, now_ms: int) -> Caller:
        """The operator behind a token. With an invitation as token, it is traded for `credential_hash`.

        Raises Unauthenticated.
        """
        if hash_secret(token) == self._local:
            return Caller(self._local_actor, Role.ADMIN)
        invitation = split_token(token)
        if invitation is None:
            record = credential.authenticate(self._credentials.get(hash_secret(token)))
        else:
            record = await self._redeem(invitation, credential_hash, CredentialKind.OPERATOR, "", now_ms)
        if record.role is None:
            raise Unauthenticated("this is an agent's credential: operators need a token of their own")
        return Caller(record.subject, record.role)

    async def worker(
        self, secret: str, invitation_token: str, worker_id: WorkerId, now_ms: int
    ) -> InvitationRecord | None:
        """Let an agent in, by its credential or by an invitation that it brings.

        Returns the invitation that it once came with, since it may name the worker and its tags. Raises
        Unauthenticated.
        """
        hashed = hash_secret(secret)
        known = self._credentials.get(hashed)
        if known is not None:
            held = credential.authenticate(known)
            if held.kind is not CredentialKind.WORKER or held.subject != worker_id:
                raise Unauthenticated("this credential belongs to another worker: was a state folder mixed up?")
            return next((one for one in self._invitations.values() if hashed in one.used_by), None)
        if not invitation_token:
            credential.authenticate(None)
        if hash_secret(invitation_token) == self._local:
            await self._keep(CredentialRecord(
                hash=hashed, kind=CredentialKind.WORKER, subject=worker_id, created_at_ms=now_ms
            ))  # fmt: skip
            return None
        invitation = split_token(invitation_token)
        if invitation is None:
            raise Unauthenticated("the token is neither an invitation nor the operator's: paste the whole join line")
        if any(one.subject == worker_id and one.revoked_at_ms is None for one in self._credentials.values()):
            # An invitation lets a new worker in; it doesn't make anybody a worker that is there already.
            raise Unauthenticated(
                f"worker {worker_id} has another credential: start the agent with a new --state-dir, or revoke the worker"
            )
        await self._redeem(invitation, hashed, CredentialKind.WORKER, worker_id, now_ms)
        return self._invitations.get(invitation[0])

    async def _redeem(
        self,
        invitation: tuple[InvitationId, str],
        credential_hash: str,
        kind: CredentialKind,
        subject: str,
        now_ms: int,
    ) -> CredentialRecord:
        invitation_id, secret = invitation
        record = self._invitations.get(invitation_id)
        after = credential.redeem(record, secret=secret, credential_hash=credential_hash, now_ms=now_ms)
        if after.kind is not kind:
            raise Unauthenticated(f"this invitation is for {after.kind}s: ask for one with `opsconsole invite --role`")
        known = self._credentials.get(credential_hash)
        if known is not None:
            return credential.authenticate(known)
        subject = subject or after.name or f"{after.role}-{after.id[:4]}"
        made = credential.credential_of(after, credential_hash=credential_hash, subject=subject, now_ms=now_ms)
        await self._keep(made, after)
        return made

    async def _keep(self, record: CredentialRecord, invitation: InvitationRecord | None = None) -> None:
        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO credentials VALUES (?,?,?,?)",
                (record.hash, str(record.kind), record.subject, msgspec.msgpack.encode(record)),
            )
            if invitation is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO invitations VALUES (?,?)",
                    (invitation.id, msgspec.msgpack.encode(invitation)),
                )

        await self._database.write(write)
        self._credentials[record.hash] = record
        if invitation is not None:
            self._invitations[invitation.id] = invitation

    async def invite(
        self, *, role: str, uses: int, name: str, tags: tuple[str, ...], expires_at_ms: int, created_by: str
    ) -> str:
        """Make an invitation; returns the token `id.secret`. Raises ValueError for an unknown role."""
        secret = new_secret(secrets.token_bytes(SECRET_BYTES))
        is_worker = role == CredentialKind.WORKER
        record = InvitationRecord(
            id=InvitationId(spell(secrets.randbits(40), 8)),
            secret_hash=hash_secret(secret),
            kind=CredentialKind.WORKER if is_worker else CredentialKind.OPERATOR,
            role=None if is_worker else Role(role),
            name=name,
            tags=tags,
            uses_left=uses,
            expires_at_ms=expires_at_ms,
            created_by=created_by,
        )

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO invitations VALUES (?,?)", (record.id, msgspec.msgpack.encode(record)))

        await self._database.write(write)
        self._invitations[record.id] = record
        return f"{record.id}.{secret}"

    async def revoke_worker(self, worker_id: WorkerId, now_ms: int) -> None:
        """Take back every credential of a worker."""
        for record in [one for one in self._credentials.values() if one.subject == worker_id]:
            await self._keep(credential.revoke(record, now_ms))


def _stored(connection: sqlite3.Connection) -> tuple[list[CredentialRecord], list[InvitationRecord]]:
    return (
        [_credential(row[0]) for row in connection.execute("SELECT data FROM credentials")],
        [_invitation(row[0]) for row in connection.execute("SELECT data FROM invitations")],
    )
