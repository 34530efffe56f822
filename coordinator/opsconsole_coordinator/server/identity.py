"""Who may come in: credentials and invitations, kept in the store, looked up in memory.

One transaction looks up whether an invitation may be used and writes its use down: of forty peers that bring it at
once, as many get in as it has uses. Whoever brings an invitation brings the credential itself that it is traded for, as
its token; a hash, which stands in the store and in every backup, proves nothing.
"""

import asyncio
import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

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
from opsconsole_protocol.error import Conflict, Forbidden, Unauthenticated
from opsconsole_protocol.ids import WorkerId, spell
from opsconsole_protocol.name import is_worker_id
from opsconsole_protocol.trust.invitation import InvitationId, split_token
from opsconsole_protocol.trust.proof import key_id
from opsconsole_protocol.trust.secret import SECRET_BYTES, is_random

LOCAL_ACTOR = "local"
REVOKED = "this token was revoked: ask an admin for a new invitation"
T = TypeVar("T")
_credential = reader(CredentialRecord, "a credential")
_invitation = reader(InvitationRecord, "an invitation")


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated operator; `hash` is the credential's."""

    actor: str
    role: Role
    hash: str = ""

    def require(self, role: Role, advice: str = "") -> None:
        """Raise Forbidden, which ends in `advice`, unless the caller's role includes this one."""
        if not self.role >= role:
            raise Forbidden(
                f"this needs the role {role}, and you are {self.role}: ask an admin for an invitation{advice}"
            )


@dataclass(frozen=True, slots=True)
class Written:
    """What a transaction wrote."""

    credentials: tuple[CredentialRecord, ...] = ()
    invitations: tuple[InvitationRecord, ...] = ()
    joined: CredentialRecord | None = None
    """The credential that an invitation was traded for in this transaction; None where it was traded before."""


class Identities:
    """All credentials and invitations. The token in the data folder has `local_role`, an admin's unless told otherwise."""

    def __init__(
        self,
        database: Database,
        local_token: str,
        local_actor: str = LOCAL_ACTOR,
        local_role: Role = Role.ADMIN,
    ) -> None:
        self._database = database
        self._local = Caller(local_actor, local_role, hash_secret(local_token))
        self._credentials: dict[str, CredentialRecord] = {}
        self._invitations: dict[str, InvitationRecord] = {}
        self._invitation_of: dict[str, InvitationId] = {}
        """By the hash of a credential, what it came with."""
        self.hash_by_key_id: dict[str, str] = {key_id(self._local.hash): self._local.hash}
        """Every hash that can be proven to be known, by its key id."""
        self._connections: dict[str, set[Callable[[str], None]]] = {}
        self.credential_revoked: Callable[[CredentialRecord], None] = lambda _: None
        """Called for each credential that was revoked."""
        self.person_joined: Callable[[CredentialRecord, InvitationRecord], None] = lambda *_: None
        """Called once for each person who came in by an invitation, with credential and invitation."""

    async def load(self) -> None:
        """Read all credentials and invitations from the store."""

        credentials, invitations = await self._database.read(_stored)
        for held in credentials:
            self._index_credential(held)
        for invited in invitations:
            self._index_invitation(invited)

    # --- who is it ---------------------------------------------------------------------------------------------

    async def authenticate_operator(self, token: str, invitation_token: str, now_ms: int) -> Caller:
        """The operator behind a token, which may be one of their own making that an invitation comes with.

        Raises Unauthenticated.
        """
        hashed = hash_secret(token)
        if hashed == self._local.hash:
            return self._local
        known = self._credentials.get(hashed)
        if known is None and invitation_token:
            invitation = split_token(invitation_token)
            if invitation is None:
                raise Unauthenticated("what came as an invitation is none: paste the whole line")
            known = await self._redeem(invitation, token, CredentialKind.OPERATOR, "", now_ms)
        elif known is None and split_token(token) is not None:
            raise Unauthenticated(
                "an invitation alone lets nobody in: update opsconsole on this machine and use the line again"
            )
        record = credential.authenticate(known)
        if record.role is None:
            raise Unauthenticated("this is an agent's credential: operators need a token of their own")
        return Caller(record.subject, record.role, record.hash)

    def refreshed(self, caller: Caller) -> Caller:
        """The caller as they are known now: they may have been renamed. Raises CredentialRevoked."""
        if caller.hash == self._local.hash:
            return self._local
        record = credential.authenticate(self._credentials.get(caller.hash))
        return Caller(record.subject, record.role or caller.role, record.hash)

    async def authenticate_worker(
        self, secret: str, invitation_token: str, worker_id: WorkerId, now_ms: int
    ) -> InvitationRecord | None:
        """Let an agent in, by its credential or by an invitation that it brings.

        Returns the invitation that it once came with, since it may name the worker and its tags. Raises
        Unauthenticated.
        """
        hashed = hash_secret(secret)
        known = self._credentials.get(hashed)
        if known is None and not invitation_token:
            credential.authenticate(None)
        if known is None and hash_secret(invitation_token) == self._local.hash:
            self._local.require(Role.ADMIN)
            await self._write(lambda connection: _add_worker(connection, secret, worker_id, now_ms))
        elif known is None:
            invitation = split_token(invitation_token)
            if invitation is None:
                raise Unauthenticated(
                    "the token is neither an invitation nor the operator's: paste the whole join line"
                )
            known = await self._redeem(invitation, secret, CredentialKind.WORKER, worker_id, now_ms)
        if known is not None:
            held = credential.authenticate(known)
            if held.kind is not CredentialKind.WORKER or held.subject != worker_id:
                raise Unauthenticated("this credential belongs to another worker: was a state folder mixed up?")
        came_with = self._invitation_of.get(hashed)
        return self._invitations[came_with] if came_with is not None else None

    async def _redeem(
        self, invitation: tuple[InvitationId, str], secret: str, kind: CredentialKind, subject: str, now_ms: int
    ) -> CredentialRecord:
        # What is wrong for certain needs no transaction: strangers mustn't be able to keep the writer busy.
        record = self._invitations.get(invitation[0])
        credential.redeem(record, secret=invitation[1], credential_hash=hash_secret(secret), now_ms=now_ms)

        def write(connection: sqlite3.Connection) -> Written:
            return _redeem(connection, invitation, secret, kind, subject, now_ms)

        return (await self._write(write)).credentials[0]

    # --- changes -----------------------------------------------------------------------------------------------

    async def _write(self, write: Callable[[sqlite3.Connection], Written]) -> Written:
        """Write in one transaction, then update memory with what was written, also when nobody waits any more."""

        async def both() -> Written:
            written = await self._database.write(write)
            for record in written.credentials:
                self._index_credential(record)
            for invited in written.invitations:
                self._index_invitation(invited)
            if written.joined is not None and written.joined.role is not None:
                self.person_joined(written.joined, written.invitations[0])
            return written

        return await run_to_end(both())

    def _index_credential(self, record: CredentialRecord) -> None:
        self._credentials[record.hash] = record
        self.hash_by_key_id[key_id(record.hash)] = record.hash
        if record.revoked_at_ms is not None:
            for end in list(self._connections.get(record.hash, ())):
                end(REVOKED)
            self.credential_revoked(record)

    def _index_invitation(self, record: InvitationRecord) -> None:
        self._invitations[record.id] = record
        self.hash_by_key_id[key_id(record.secret_hash)] = record.secret_hash
        self._invitation_of.update(dict.fromkeys(record.used_by, record.id))

    async def invite(
        self, *, role: str, uses: int, name: str, tags: tuple[str, ...], expires_at_ms: int, created_by: str
    ) -> str:
        """Make an invitation, and return the token `id.secret`. Raises ValueError for an unknown role."""
        secret = new_secret(secrets.token_bytes(SECRET_BYTES))
        is_worker = role == CredentialKind.WORKER
        if not is_worker and name == self._local.actor:
            raise Conflict(f"{name} is who has the token in the data folder: choose another name")
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

        def write(connection: sqlite3.Connection) -> Written:
            connection.execute("INSERT INTO invitations VALUES (?,?)", (record.id, msgspec.msgpack.encode(record)))
            return Written(invitations=(record,))

        await self._write(write)
        return f"{record.id}.{secret}"

    async def revoke_worker(self, worker_id: WorkerId | None, now_ms: int) -> None:
        """Revoke every credential of a worker, of all workers where `worker_id` is None."""

        def write(connection: sqlite3.Connection) -> Written:
            if worker_id is not None:
                return _revoke(connection, _of_subject(connection, CredentialKind.WORKER, worker_id), now_ms)
            return _revoke(connection, [one for one in _stored(connection)[0] if one.role is None], now_ms)

        await self._write(write)

    async def revoke_people(self, names: tuple[str, ...] | None, now_ms: int) -> list[CredentialRecord]:
        """Revoke every credential of these people, of everybody where `names` is None. Returns the records.

        The transaction looks up what a person holds, so a credential that is made meanwhile is revoked too.
        """

        def write(connection: sqlite3.Connection) -> Written:
            held = _stored(connection)[0]
            theirs = [one for one in held if one.role is not None and (names is None or one.subject in names)]
            return _revoke(connection, theirs, now_ms)

        return list((await self._write(write)).credentials)

    async def revoke_invitations(self, ids: tuple[str, ...] | None, now_ms: int) -> list[InvitationRecord]:
        """Withdraw these invitations, all of them where `ids` is None. Returns those that were open."""

        def write(connection: sqlite3.Connection) -> Written:
            wanted = [one for one in _stored(connection)[1] if ids is None or one.id in ids]
            ended = tuple(credential.withdraw(one, now_ms) for one in wanted if credential.is_open(one, now_ms))
            _put_invitations(connection, ended)
            return Written(invitations=ended)

        return list((await self._write(write)).invitations)

    async def rename_person(self, name: str, new: str) -> None:
        """Rename a person. Raises Conflict where somebody has the new name."""

        def write(connection: sqlite3.Connection) -> Written:
            if new == self._local.actor or _of_subject(connection, CredentialKind.OPERATOR, new):
                raise Conflict(f"somebody is called {new} already: choose another name")
            held = _of_subject(connection, CredentialKind.OPERATOR, name)
            return _put_credentials(connection, [replace(one, subject=new) for one in held])

        await self._write(write)

    # --- lists -------------------------------------------------------------------------------------------------

    @property
    def local(self) -> Caller:
        """Who has the token in the data folder."""
        return self._local

    def people(self) -> dict[str, list[CredentialRecord]]:
        """Everybody who ever came in as an operator, by name, with all of their credentials."""
        found: dict[str, list[CredentialRecord]] = {}
        for one in self._credentials.values():
            if one.kind is CredentialKind.OPERATOR:
                found.setdefault(one.subject, []).append(one)
        return dict(sorted(found.items()))

    def invitations(self, now_ms: int) -> list[InvitationRecord]:
        """The open invitations, ordered by when they expire."""
        found = [one for one in self._invitations.values() if credential.is_open(one, now_ms)]
        return sorted(found, key=lambda one: (one.expires_at_ms, one.id))

    @contextmanager
    def connected(self, secret: str, end: Callable[[str], None]) -> Iterator[None]:
        """Count a connection of whoever showed `secret`; `end` is called with the reason once that credential is revoked."""
        hashed = hash_secret(secret)
        ends = self._connections.setdefault(hashed, set())
        ends.add(end)
        record = self._credentials.get(hashed)
        if record is not None and record.revoked_at_ms is not None:
            end(REVOKED)  # after the peer was authenticated
        try:
            yield
        finally:
            ends.discard(end)
            if not ends:
                self._connections.pop(hashed, None)

    def connections(self, record_hash: str) -> int:
        """How many connections a credential has."""
        return len(self._connections.get(record_hash, ()))


def _redeem(
    connection: sqlite3.Connection,
    invitation: tuple[InvitationId, str],
    secret: str,
    kind: CredentialKind,
    subject: str,
    now_ms: int,
) -> Written:
    """Trade an invitation for a credential, within one transaction."""
    hashed = hash_secret(secret)
    known = _one(connection, "SELECT data FROM credentials WHERE hash = ?", hashed, _credential)
    if known is not None:
        return Written(credentials=(known,))
    invitation_id, invited_secret = invitation
    record = _one(connection, "SELECT data FROM invitations WHERE id = ?", invitation_id, _invitation)
    after = credential.redeem(record, secret=invited_secret, credential_hash=hashed, now_ms=now_ms)
    if after.kind is not kind:
        raise Unauthenticated(f"this invitation is for {after.kind}s: ask for one with `opsconsole invite --role`")
    if kind is CredentialKind.WORKER:
        _check_new_worker(connection, subject)
    _check_secret(secret)
    subject = subject or after.name or f"{after.role}-{after.id[:4]}"
    made = credential.credential_of(after, credential_hash=hashed, subject=subject, now_ms=now_ms)
    _put_invitations(connection, (after,))
    _put_credentials(connection, [made])
    return Written((made,), (after,), joined=made)


def _add_worker(connection: sqlite3.Connection, secret: str, worker_id: WorkerId, now_ms: int) -> Written:
    """A worker that comes with the token in the data folder."""
    _check_new_worker(connection, worker_id)
    _check_secret(secret)
    made = CredentialRecord(
        hash=hash_secret(secret), kind=CredentialKind.WORKER, subject=worker_id, created_at_ms=now_ms
    )
    return _put_credentials(connection, [made])


def _check_new_worker(connection: sqlite3.Connection, worker_id: str) -> None:
    """An invitation lets a new worker in; it doesn't make anybody a worker that is there already, or takes a name for id."""
    if not is_worker_id(worker_id):
        raise Unauthenticated("the header Opsconsole-Worker is no worker's id: is this an opsconsole agent?")
    held = _of_subject(connection, CredentialKind.WORKER, worker_id)
    if any(one.revoked_at_ms is None for one in held):
        raise Unauthenticated(
            f"worker {worker_id} has another credential: start the agent with a new --state-dir, or revoke the worker"
        )


def _check_secret(secret: str) -> None:
    if not is_random(secret):
        raise Unauthenticated("this is no credential: one is 256 random bits, as opsconsole makes them by itself")


def _revoke(connection: sqlite3.Connection, held: list[CredentialRecord], now_ms: int) -> Written:
    return _put_credentials(connection, [credential.revoke(one, now_ms) for one in held if one.revoked_at_ms is None])


def _put_credentials(connection: sqlite3.Connection, records: list[CredentialRecord]) -> Written:
    connection.executemany(
        "INSERT OR REPLACE INTO credentials VALUES (?,?,?,?)",
        [(one.hash, str(one.kind), one.subject, msgspec.msgpack.encode(one)) for one in records],
    )
    return Written(credentials=tuple(records))


def _put_invitations(connection: sqlite3.Connection, records: tuple[InvitationRecord, ...]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO invitations VALUES (?,?)", [(one.id, msgspec.msgpack.encode(one)) for one in records]
    )


def _of_subject(connection: sqlite3.Connection, kind: CredentialKind, subject: str) -> list[CredentialRecord]:
    rows = connection.execute("SELECT data FROM credentials WHERE kind = ? AND subject = ?", (str(kind), subject))
    return [_credential(row[0]) for row in rows]


def _one(connection: sqlite3.Connection, statement: str, key: str, read: Callable[[bytes], T]) -> T | None:
    row = connection.execute(statement, (key,)).fetchone()
    return None if row is None else read(row[0])


async def run_to_end(work: Awaitable[T]) -> T:
    """Let work run to its end, also where its caller is cancelled meanwhile: the work may end the caller's own connection."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(task)


def _stored(connection: sqlite3.Connection) -> tuple[list[CredentialRecord], list[InvitationRecord]]:
    return (
        [_credential(row[0]) for row in connection.execute("SELECT data FROM credentials")],
        [_invitation(row[0]) for row in connection.execute("SELECT data FROM invitations")],
    )
