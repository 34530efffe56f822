"""What admins ask about people and invitations, answered."""

from collections.abc import Callable

from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.identity import Caller, Identities, run_to_end
from opsconsole_coordinator.server.known_name import nobody
from opsconsole_coordinator.trust.credential import CredentialRecord, InvitationRecord, Role
from opsconsole_protocol import api
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.name import check_name, check_person_name, check_worker_name


class AccessApi:
    """Handlers of the requests about people and invitations; each takes the request and who asks.

    What takes something back is done to its end, also where it closes the connection of whoever asked.
    """

    def __init__(self, commit_loop: CommitLoop, identities: Identities, join_url: Callable[[], str]) -> None:
        self._commit_loop = commit_loop
        self._identities = identities
        self._join_url = join_url

    # --- people ------------------------------------------------------------------------------------------------

    async def people(self, request: api.ListPeople, caller: Caller) -> api.PersonList:
        """Everybody who came in as an operator, the local operator first."""
        del request, caller
        local = self._identities.local
        first = api.PersonRow(
            name=local.actor, role=str(local.role), is_local=True, connections=self._identities.connections(local.hash)
        )
        others = (self._person(name, held) for name, held in self._identities.people().items())
        return api.PersonList(people=(first, *others))

    async def rename(self, request: api.RenamePerson, caller: Caller) -> api.PersonList:
        """Rename somebody. Earlier events keep the old name."""
        self._known((request.name,))
        new = check_person_name(request.new)
        if any(worker.name == new for worker in self._commit_loop.fleet.workers.values()):
            raise Conflict(f"there is a worker called {new}: choose another name")
        await self._identities.rename_person(request.name, new)
        await self._audit(caller, EventKind.RENAME, f"renamed to {new} by {caller.actor}", request.name)
        return api.PersonList(people=(self._person(new, self._identities.people()[new]),))

    async def revoke_people(self, request: api.RevokePeople, caller: Caller) -> api.PersonList:
        """Revoke these people's credentials, or everybody's and all open invitations."""
        if request.everybody is bool(request.names):
            raise InvalidRequest("name those to revoke, or say --all and no name")
        return await run_to_end(self._revoke_people(request, caller))

    async def _revoke_people(self, request: api.RevokePeople, caller: Caller) -> api.PersonList:
        names = None if request.everybody else self._known(request.names)
        now_ms = self._commit_loop.clock.now_ms()
        ended = await self._identities.revoke_invitations(None, now_ms) if request.everybody else []
        held = await self._identities.revoke_people(names, now_ms)
        for name in sorted({one.subject for one in held}):
            self._commit_loop.reactor.on_audit(
                caller.actor, EventKind.REVOKE, f"revoked by {caller.actor}", name, now_ms
            )
        await self._tell_ended(ended, caller)
        people = self._identities.people()
        wanted = people if names is None else dict.fromkeys(names)
        return api.PersonList(people=tuple(self._person(name, people[name]) for name in wanted))

    def person_joined(self, credential: CredentialRecord, invitation: InvitationRecord) -> None:
        words = f"joined in the role {credential.role}, by invitation {invitation.id} of {invitation.created_by}"
        self._commit_loop.reactor.on_audit(
            credential.subject, EventKind.JOINED, words, credential.subject, self._commit_loop.clock.now_ms()
        )
        self._commit_loop.changed()

    def _known(self, names: tuple[str, ...]) -> tuple[str, ...]:
        people = self._identities.people()
        for name in names:
            if name not in people and name == self._identities.local.actor:
                raise Conflict(
                    f"{name} is who has the token in the coordinator's data folder: stop the coordinator and remove "
                    "operator.token there; its next start makes another"
                )
            if name not in people:
                raise nobody(name, people.keys())
        return names

    def _person(self, name: str, held: list[CredentialRecord]) -> api.PersonRow:
        valid = [one for one in held if one.revoked_at_ms is None]
        ended = [one.revoked_at_ms for one in held if one.revoked_at_ms is not None]
        return api.PersonRow(
            name=name,
            role=str(max((one.role for one in valid or held if one.role is not None), key=lambda role: role.rank)),
            credentials=len(valid),
            connections=sum(self._identities.connections(one.hash) for one in valid),
            joined_at_ms=min(one.created_at_ms for one in held),
            revoked_at_ms=None if valid else max(ended),
        )

    # --- invitations -------------------------------------------------------------------------------------------

    async def invite(self, request: api.Invite, caller: Caller) -> api.Invited:
        commit_loop = self._commit_loop
        self._check_invite(request)
        now_ms = commit_loop.clock.now_ms()
        expires_at_ms = now_ms + request.ttl_ms
        token = await self._identities.invite(
            role=request.role, uses=request.uses, name=request.name, tags=request.tags, expires_at_ms=expires_at_ms,
            created_by=caller.actor,
        )  # fmt: skip
        commit_loop.reactor.on_audit(
            caller.actor, EventKind.INVITED, f"made an invitation for {request.role}s", commit_loop.name, now_ms
        )
        await commit_loop.committed()
        return api.Invited(line=self._join_url() + token, expires_at_ms=expires_at_ms)

    def _check_invite(self, request: api.Invite) -> None:
        """Raise InvalidRequest or Conflict where nobody can be invited like this."""
        roles = ("worker", *Role)
        if request.role not in roles:
            raise InvalidRequest(f"{request.role!r} is not a role: use one of {', '.join(roles)}")
        for tag in request.tags:
            check_name(tag, "a tag")
        if not request.name:
            return
        if request.role == "worker":
            check_worker_name(request.name)
        else:
            check_person_name(request.name)
            if any(worker.name == request.name for worker in self._commit_loop.fleet.workers.values()):
                raise Conflict(f"there is a worker called {request.name}: choose another name")

    async def invitations(self, request: api.ListInvitations, caller: Caller) -> api.InvitationList:
        """The open invitations."""
        del request, caller
        return _listed(self._identities.invitations(self._commit_loop.clock.now_ms()))

    async def revoke_invitations(self, request: api.RevokeInvitations, caller: Caller) -> api.InvitationList:
        """Withdraw these invitations, or all open ones."""
        if request.everything is bool(request.ids):
            raise InvalidRequest("name the invitations to take back, or all of them")
        now_ms = self._commit_loop.clock.now_ms()
        is_open = {one.id for one in self._identities.invitations(now_ms)}
        for one in request.ids:
            if one not in is_open:
                raise NotFound(f"there is no open invitation {one} (opsconsole invite --list lists them)")
        return await run_to_end(self._revoke_invitations(request, caller, now_ms))

    async def _revoke_invitations(
        self, request: api.RevokeInvitations, caller: Caller, now_ms: int
    ) -> api.InvitationList:
        ended = await self._identities.revoke_invitations(None if request.everything else request.ids, now_ms)
        await self._tell_ended(ended, caller)
        return _listed(ended)

    async def _tell_ended(self, ended: list[InvitationRecord], caller: Caller) -> None:
        now_ms = self._commit_loop.clock.now_ms()
        for one in ended:
            words = f"invitation {one.id} taken back by {caller.actor}"
            self._commit_loop.reactor.on_audit(caller.actor, EventKind.REVOKE, words, self._commit_loop.name, now_ms)
        await self._commit_loop.committed()

    async def _audit(self, caller: Caller, kind: EventKind, words: str, subject: str) -> None:
        self._commit_loop.reactor.on_audit(caller.actor, kind, words, subject, self._commit_loop.clock.now_ms())
        await self._commit_loop.committed()


def _listed(records: list[InvitationRecord]) -> api.InvitationList:
    return api.InvitationList(
        invitations=tuple(
            api.InvitationRow(
                id=one.id, role=str(one.role or one.kind), name=one.name, tags=one.tags, uses_left=one.uses_left,
                expires_at_ms=one.expires_at_ms, created_by=one.created_by,
            )
            for one in records
        )
    )  # fmt: skip
