"""Letting in and shutting out (hard use 44, 52, 55, 56, 57, 59, 63, 65): check and use of an invitation are one, a hash
proves nothing, what was taken back is good for nothing from that moment, and a name is nobody else's id."""

import asyncio
import os
import stat
from collections import Counter
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection

from opsconsole_coordinator.store.folder import make_private, restrict
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol import api, link
from opsconsole_protocol.error import Conflict, Forbidden, InvalidRequest, NotFound, Unauthenticated
from opsconsole_protocol.host.dial import Refused
from opsconsole_protocol.trust.proof import secret_hash_of
from tests.coordinator.server.peer import Site, id_of, site, some_secret
from tests.waiting import until


async def attempt(where: Site, path: str, **headers: str) -> ClientConnection | str:
    """A connection, or why there is none."""
    try:
        return await where.connect(path, **headers)
    except Refused as error:
        return error.reason


async def join(where: Site, invitation: str, number: int) -> ClientConnection | str:
    return await attempt(
        where, "/agent", Authorization=f"Bearer {some_secret()}", Opsconsole_Worker=id_of(f"w{number}"),
        Opsconsole_Invitation=invitation,
    )  # fmt: skip


async def joined(answers: list[ClientConnection | str]) -> int:
    connections = [one for one in answers if not isinstance(one, str)]
    await asyncio.gather(*(one.close() for one in connections))
    assert all("used already" in one for one in answers if isinstance(one, str)), answers
    return len(connections)


# --- invitations ---------------------------------------------------------------------------------------------------


async def test_of_forty_who_bring_a_single_use_at_once_one_gets_in(site: Site) -> None:
    for role, path in (("worker", "/agent"), ("viewer", "/operator")):
        token = await site.invite(role=role)
        if role == "worker":
            found = await asyncio.gather(*(join(site, token, number) for number in range(40)))
        else:
            found = await asyncio.gather(*(
                attempt(site, path, Authorization=f"Bearer {some_secret()}", Opsconsole_Invitation=token)
                for _ in range(40)
            ))  # fmt: skip
        assert await joined(list(found)) == 1


async def test_every_use_is_counted_and_the_tags_outlive_a_restart(tmp_path: Path) -> None:
    async with site(tmp_path) as first:
        token = await first.invite(uses=100, tags=("zone=b",))
        secrets = [some_secret() for _ in range(110)]
        headers = [
            {"Authorization": f"Bearer {secret}", "Opsconsole_Worker": id_of(f"w{number}")}
            for number, secret in enumerate(secrets)
        ]
        found = await asyncio.gather(*(attempt(first, "/agent", Opsconsole_Invitation=token, **one) for one in headers))
        welcome = [number for number, one in enumerate(found) if not isinstance(one, str)]
        assert await joined(list(found)) == len(welcome) == 100
        async with await first.operator() as operator:
            assert (await operator.call(api.ListInvitations())).invitations == ()
    async with site(tmp_path) as second:
        for number in welcome[::10]:
            agent = await second.agent(f"w{number}", secret=secrets[number], invitation="")
            await agent.register()
            assert second.commit_loop.fleet.workers[agent.worker_id].tags == ("zone=b",)
            await agent.close()


async def test_open_invitations_are_listed_and_taken_back(site: Site) -> None:
    token = await site.invite(name="gpu-a", tags=("zone=b",), uses=3)
    identifier = token.partition(".")[0]
    async with await site.operator() as operator:
        [row] = (await operator.call(api.ListInvitations())).invitations
        assert (row.id, row.role, row.name, row.tags, row.uses_left) == (identifier, "worker", "gpu-a", ("zone=b",), 3)
        assert token.partition(".")[2] not in repr(row)
        [ended] = (await operator.call(api.RevokeInvitations(ids=(identifier,)))).invitations
        assert ended.id == identifier
        assert (await operator.call(api.ListInvitations())).invitations == ()
        with pytest.raises(NotFound, match="no open invitation"):
            await operator.call(api.RevokeInvitations(ids=(identifier,)))
    assert "was taken back" in str(await join(site, token, 1))


# --- what proves who one is ----------------------------------------------------------------------------------------


async def test_a_hash_of_an_admins_credential_opens_nothing(site: Site) -> None:
    admin, secret = await site.invite(role="admin"), some_secret()
    await (await site.operator(secret, Opsconsole_Invitation=admin)).close()
    mine = await site.invite(role="viewer")
    known = secret_hash_of(secret)
    for headers in (
        {"Authorization": f"Bearer {mine}", "X_Opsconsole_Credential": known},
        {"Authorization": f"Bearer {known}", "Opsconsole_Invitation": mine},
        {"Authorization": f"Bearer {known}"},
        {"Authorization": f"Bearer {secret_hash_of(site.token)}"},
    ):
        assert isinstance(await attempt(site, "/operator", **headers), str), headers
    async with await site.operator() as operator:
        assert [one.uses_left for one in (await operator.call(api.ListInvitations())).invitations] == [1]


async def test_a_join_whose_answer_got_lost_is_repeated_with_the_secret(site: Site) -> None:
    token, secret = await site.invite(role="viewer"), some_secret()
    for _ in range(3):
        await (await site.operator(secret, Opsconsole_Invitation=token)).close()


@pytest.mark.parametrize("credential", ["x", "0" * 52, "password" * 6 + "pass", "a1" * 26])
async def test_a_credential_that_somebody_typed_is_none(site: Site, credential: str) -> None:
    worker, viewer = await site.invite(), await site.invite(role="viewer")
    bearer = f"Bearer {credential}"
    said = await attempt(
        site, "/agent", Authorization=bearer, Opsconsole_Worker=id_of("w1"), Opsconsole_Invitation=worker
    )
    assert "this is no credential" in str(said)
    said = await attempt(site, "/operator", Authorization=bearer, Opsconsole_Invitation=viewer)
    assert "this is no credential" in str(said)
    async with await site.operator() as operator:
        assert len((await operator.call(api.ListInvitations())).invitations) == 2


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o700])
async def test_the_folder_and_all_that_is_in_it_are_the_owners(tmp_path: Path, mode: int) -> None:
    data_dir = tmp_path / "data"
    old = os.umask(0)
    try:
        async with site(data_dir) as first, await first.operator() as operator:
            await operator.submit()
            (data_dir / "logs").mkdir()
            (data_dir / "logs" / "stdout").touch()
        for path in (*data_dir.rglob("*"), data_dir):
            if path.name != "operator.token":  # which would be refused, and rightly
                path.chmod(0o777 if path.is_dir() else 0o644)
        data_dir.chmod(mode)
        async with site(data_dir) as second, await second.operator() as operator:
            await operator.submit()
            await operator.call(api.Backup(path=str(tmp_path / "backup.db")))
            found = {path.name: path for path in (data_dir, *data_dir.rglob("*"), tmp_path / "backup.db")}
            assert found.keys() >= {"opsconsole.db", "opsconsole.db-wal", "opsconsole.db-shm", "stdout"}
            kept_out = {name: stat.S_IMODE(path.stat().st_mode) & 0o077 for name, path in found.items()}
            if mode == 0o700:  # nobody comes past the folder; what is copied out of it is closed all the same
                kept_out = {name: bits for name, bits in kept_out.items() if "opsconsole.db" in name}
            assert set(kept_out.values()) == {0}, kept_out
    finally:
        os.umask(old)


def test_a_folder_for_everybody_is_left_as_it_is_with_a_word(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    make_private(tmp_path / "opsconsole.db")
    assert "is a folder for everybody" in restrict(tmp_path, tmp_path / "opsconsole.db")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777
    assert stat.S_IMODE((tmp_path / "opsconsole.db").stat().st_mode) == 0o600


# --- people --------------------------------------------------------------------------------------------------------


async def test_people_are_listed_renamed_and_shut_out_at_once(site: Site) -> None:
    token, secret = await site.invite(role="operator", name="ana"), some_secret()
    ana = await site.operator(secret, Opsconsole_Invitation=token)
    async with await site.operator() as admin:
        local, row = (await admin.call(api.ListPeople())).people
        assert (local.is_local, local.role, local.connections) == (True, "admin", 1)
        assert (row.name, row.role, row.credentials, row.connections) == ("ana", "operator", 1, 1)
        await admin.call(api.RenamePerson(name="ana", new="anna"))
        _, joined, invited = (await admin.call(api.ListEvents())).events
        assert (invited.actor, invited.kind, invited.text) == (
            local.name,
            "invited",
            "made an invitation for operators",
        )
        assert (joined.actor, joined.kind, joined.subject) == ("ana", "joined", "ana")
        assert joined.text == f"joined in the role operator, by invitation {token.partition('.')[0]} of {local.name}"
        await (await site.operator(secret)).close()
        await admin.call(api.RenamePerson(name="anna", new="ana"))
        await admin.call(api.RenamePerson(name="ana", new="anna"))
        kinds = [event.kind for event in (await admin.call(api.ListEvents())).events]
        assert kinds == ["rename", "rename", "rename", "joined", "invited"], "who comes back hasn't joined again"
        assert (await ana.submit(held=True)).submitted_by == "anna"
        waiting = await ana.ask(api.WaitJobs(ids=((await ana.submit(held=True)).id,)))
        [row] = (await admin.call(api.RevokePeople(names=("anna",)))).people
        assert (row.credentials, row.connections, row.revoked_at_ms is None) == (0, 0, False)
        with pytest.raises(Unauthenticated, match="revoked"):
            await ana.answer(waiting)
        await ana.ended()
        assert "was revoked" in str(await attempt(site, "/operator", Authorization=f"Bearer {secret}"))
        with pytest.raises(NotFound, match="nobody called eve"):
            await admin.call(api.RevokePeople(names=("eve",)))
        with pytest.raises(Conflict, match=r"operator\.token"):
            await admin.call(api.RevokePeople(names=(local.name,)))


async def test_everybody_is_shut_out_and_nobody_let_in_any_more(site: Site) -> None:
    people = [await site.operator_of(role) for role in ("viewer", "admin")]
    token = await site.invite(role="admin")
    mine = people[1]
    await mine.ask(api.RevokePeople(everybody=True))
    for one in people:
        last = (await one.ended())[-1]
        assert isinstance(last, api.Failure)
        assert "revoked" in last.message
    said = await attempt(site, "/operator", Authorization=f"Bearer {some_secret()}", Opsconsole_Invitation=token)
    assert "was taken back" in str(said)
    async with await site.operator() as local:
        rows = (await local.call(api.ListPeople())).people
        assert Counter(row.revoked_at_ms is None for row in rows) == {True: 1, False: 2}
        await site.commit_loop.committed()  # who asked for it was cut off by it, and so waits for nothing
        kinds = [event.kind for event in (await local.call(api.ListEvents())).events]
        assert kinds.count("revoke") == 3, "two people and an invitation"


async def test_revoking_a_worker_never_touches_a_person_of_that_name(site: Site) -> None:
    """Nobody is called as a worker's id any more; an older store may have somebody who is."""
    worker = id_of("w1")
    with pytest.raises(InvalidRequest, match="means somebody else"):
        await site.invite(role="operator", name=worker)
    async with await site.agent("w1") as agent, await site.operator() as admin:
        await agent.register()
        operator = await site.operator_of("operator")
        await site.identities.rename_person("the-operator", worker)
        await admin.call(api.SetWorker(name=worker, action="revoke"))
        assert (await operator.call(api.ListJobs())).jobs == ()


# --- workers -------------------------------------------------------------------------------------------------------


async def test_a_revoked_worker_is_not_listed_and_one_that_is_gone_is_removed(site: Site) -> None:
    async with await site.operator() as admin:
        await admin.call(api.Subscribe())
        agent = await site.agent("w1")
        await agent.register()
        with pytest.raises(Conflict, match="is connected: revoke it first"):
            await admin.call(api.SetWorker(name="w1", action="remove"))
        await admin.call(api.SetWorker(name="w1", action="revoke"))
        assert (await admin.call(api.ListWorkers())).workers == ()
        assert [one.name for one in (await admin.call(api.ListWorkers(revoked=True))).workers] == ["w1"]
        async with asyncio.timeout(10):
            while not any(id_of("w1") in update.workers_removed for update in admin.updates):
                await admin.call(api.AskHealth())
        [gone] = (await admin.call(api.SetWorker(name="w1", action="remove"))).workers
        assert gone.id == id_of("w1")
        assert (await admin.call(api.ListWorkers(revoked=True))).workers == ()
        with pytest.raises(NotFound):
            await admin.call(api.SetWorker(name="w1", action="remove"))
        other = await site.agent("w2", secret=(secret := some_secret()))
        await other.register()
        await other.close()
        await until(lambda: not site.commit_loop.sessions, 10)
        await admin.call(api.SetWorker(name="w2", action="remove"))
        said = await attempt(site, "/agent", Authorization=f"Bearer {secret}", Opsconsole_Worker=id_of("w2"))
        assert "was revoked" in str(said), "it can't come back unseen"


@pytest.mark.parametrize(
    "name",
    [id_of("w2"), "worker-00000000", "a\nb", "a\u200bb", "\u202egpu", "gpu ", " gpu", "a\x1b[1m", "\u3164", "a\u00a0b"],
)
async def test_a_worker_is_not_called_as_an_id_and_by_no_sign_that_nobody_sees(site: Site, name: str) -> None:
    async with await site.agent("w2") as other:
        await other.register()
        agent = await site.agent("w1")
        agent.name = name
        await agent.send(link.Register(protocol=1, agent_version="1", worker_id=agent.worker_id, name=name, run_id="r"))
        assert [one.code for one in await agent.ended() if isinstance(one, link.PeerError)] == ["invalid"]
        assert set(site.commit_loop.fleet.workers) == {other.worker_id}


async def test_what_a_worker_does_is_no_persons_act_in_the_events(site: Site) -> None:
    for name in ("root", "coordinator"):
        async with await site.agent(name) as agent, await site.operator() as admin:
            await agent.register()
            events = (await admin.call(api.ListEvents(subject=name))).events
            assert {event.actor for event in events} == {f"worker {name}"}


@pytest.mark.parametrize(
    "name", ["", "root", "Coordinator", "local", "worker w1", "a\u200bb", "a\nb", " a", "worker-00000000"]
)
async def test_nobody_is_invited_or_renamed_to_what_means_somebody_else(site: Site, name: str) -> None:
    name = name or site.identities.local.actor
    with pytest.raises((InvalidRequest, Conflict)):
        await site.invite(role="operator", name=name)
    await (await site.operator_of("viewer")).close()
    async with await site.operator() as admin:
        with pytest.raises((InvalidRequest, Conflict)):
            await admin.call(api.RenamePerson(name="the-viewer", new=name))


@pytest.mark.parametrize("text", ["a\u200bb", "a\nb", "\u202eb"])
async def test_projects_and_tags_have_names_that_are_seen(site: Site, text: str) -> None:
    with pytest.raises(InvalidRequest):
        await site.invite(tags=(text,))
    async with await site.operator() as admin:
        with pytest.raises(InvalidRequest):
            await admin.call(api.SetProject(name=text))
        with pytest.raises(InvalidRequest):
            await admin.submit(project=text)


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_the_token_of_the_data_folder_may_be_less_than_an_admins(tmp_path: Path, role: str) -> None:
    """Hard use 58: where tasks run as the coordinator's user, they can read it."""
    secret, credential = some_secret(), some_secret()
    async with site(tmp_path) as first:
        token = await first.invite(role="admin", name="ana")
        await (await first.operator(secret, Opsconsole_Invitation=token)).close()
        await (await first.agent("w1", secret=credential)).close()
    async with site(tmp_path, local_role=Role(role)) as second, await second.operator() as local:
        with pytest.raises(Forbidden, match=f"and you are {role}"):
            await local.call(api.Invite())
        with pytest.raises(Forbidden):
            await local.call(api.RevokePeople(names=("ana",)))
        said = await attempt(
            second, "/agent", Authorization=f"Bearer {some_secret()}", Opsconsole_Worker=id_of("w2"),
            Opsconsole_Invitation=second.token,
        )  # fmt: skip
        assert "needs the role admin" in str(said)
        await (await second.agent("w1", secret=credential, invitation=second.token)).close()
        async with await second.operator(secret) as ana:
            assert await ana.call(api.Invite())
