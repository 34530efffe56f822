"""A credential that is taken back ends every connection that it opened, at whatever moment of its life that is."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from opsconsole_coordinator.server.identity import REVOKED
from opsconsole_protocol import PROTOCOL_VERSION, api, link
from opsconsole_protocol.error import Unauthenticated
from opsconsole_protocol.host.dial import Refused
from opsconsole_protocol.ids import WorkerId
from opsconsole_protocol.spec import JobSpec
from tests.coordinator.server.peer import Agent, Operator, Peer, Site, id_of, some_job_id, some_secret
from tests.waiting import until

WORKER, PERSON = "w1", "the-operator"


class Holder(NamedTuple):
    """Somebody who holds a credential."""

    connect: Callable[[], Awaitable[Peer]]
    revoke: Callable[[], Awaitable[None]]


async def worker(site: Site, *, by_invitation: bool) -> Holder:
    """An agent; with `by_invitation` it comes for the first time."""
    secret, invitation = some_secret(), await site.invite()
    if not by_invitation:
        async with await site.agent(WORKER, secret=secret, invitation=invitation) as agent:
            await agent.register()
        await until(lambda: not site.commit_loop.sessions)

    async def connect() -> Peer:
        return await site.agent(WORKER, secret=secret, invitation=invitation if by_invitation else "")

    async def revoke() -> None:
        await site.identities.revoke_worker(WorkerId(id_of(WORKER)), site.commit_loop.clock.now_ms())

    return Holder(connect, revoke)


async def person(site: Site, *, by_invitation: bool) -> Holder:
    """An operator who hasn't greeted; with `by_invitation` they come for the first time."""
    secret, invitation = some_secret(), await site.invite(role="operator", name=PERSON)
    if not by_invitation:
        await (await site.operator(secret, Opsconsole_Invitation=invitation)).close()

    async def connect() -> Peer:
        brought = {"Opsconsole_Invitation": invitation} if by_invitation else {}
        return Operator(await site.connect("/operator", Authorization=f"Bearer {secret}", **brought))

    async def revoke() -> None:
        async with await site.operator() as admin:
            await admin.call(api.RevokePeople(names=(PERSON,)))

    return Holder(connect, revoke)


async def nothing(_: Site, peer: Peer) -> None:
    """It has been let in, and has said nothing yet."""
    del peer


async def said_who_it_is(_: Site, peer: Peer) -> None:
    if isinstance(peer, Agent):
        await peer.register()
    if isinstance(peer, Operator):
        await peer.greet(PROTOCOL_VERSION)


async def busy(site: Site, peer: Peer) -> None:
    """It has a task; or it is subscribed, and a call of it waits."""
    await said_who_it_is(site, peer)
    async with await site.operator() as admin:
        job = await admin.submit(held=not isinstance(peer, Agent))
    if isinstance(peer, Agent):
        await peer.assigned()
    if isinstance(peer, Operator):
        await peer.call(api.Subscribe())
        await peer.ask(api.WaitJobs(ids=(job.id,)))


def check_end(said: list[Any]) -> None:
    """The last word is that the credential was revoked, and why nothing else comes."""
    assert isinstance(said[-1], link.PeerError | api.Failure)
    assert (said[-1].code, said[-1].message) == ("unauthenticated", REVOKED)


@pytest.mark.parametrize("by_invitation", [False, True])
@pytest.mark.parametrize("holder", [worker, person])
@pytest.mark.parametrize("moment", [nothing, said_who_it_is, busy])
async def test_an_open_connection_ends(site: Site, holder: Any, moment: Any, by_invitation: bool) -> None:
    held = await holder(site, by_invitation=by_invitation)
    async with await held.connect() as peer:
        await moment(site, peer)
        await held.revoke()
        check_end(await peer.ended())
    await until(lambda: not site.identities._connections)
    with pytest.raises(Refused) as refused:
        await held.connect()
    assert refused.value.status == 401


@pytest.mark.parametrize("by_invitation", [False, True])
@pytest.mark.parametrize(("holder", "name"), [(worker, "authenticate_worker"), (person, "authenticate_operator")])
async def test_a_connection_ends_that_was_about_to_be_opened(
    site: Site, monkeypatch: pytest.MonkeyPatch, holder: Any, name: str, by_invitation: bool
) -> None:
    """Between the look at the credential and the connection's entry in the list of those that it has."""
    held = await holder(site, by_invitation=by_invitation)
    authenticate = getattr(site.identities, name)

    async def revoked_at_once(*arguments: Any) -> Any:
        found = await authenticate(*arguments)
        monkeypatch.setattr(site.identities, name, authenticate)
        await held.revoke()
        return found

    monkeypatch.setattr(site.identities, name, revoked_at_once)
    async with await held.connect() as peer:
        check_end(await peer.ended())
    assert not site.commit_loop.sessions


@pytest.mark.parametrize(
    "request_", [api.ListJobs(), api.Subscribe(), api.SubmitJobs(submissions=(api.Submission(some_job_id(), JobSpec(command=("true",))),))]
)  # fmt: skip
async def test_nothing_is_answered_on_a_connection_that_can_not_be_ended(
    site: Site, monkeypatch: pytest.MonkeyPatch, request_: api.AnyRequest
) -> None:
    """Its peer doesn't read, say."""
    operator = await site.operator_of("operator")
    monkeypatch.setattr(site.identities, "_connections", {})
    async with await site.operator() as admin:
        await admin.call(api.RevokePeople(names=(PERSON,)))
    with pytest.raises(Unauthenticated, match="revoked"):
        await operator.call(request_)
    await operator.close()
