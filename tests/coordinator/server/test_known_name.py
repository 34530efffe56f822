"""A name that nobody has is never taken for a new one: it is refused in one line, with those that may have been meant."""

import time

import pytest

from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest, NotFound
from opsconsole_protocol.share import ShareChange
from tests.coordinator.server.peer import Site, some_secret

HALF = ShareChange(weight=0.5)
SOON_MS = time.time_ns() // 1_000_000 + 3_600_000


def reserve(worker: str, *, project: str = "", person: str = "") -> api.Reserve:
    until_ms = SOON_MS + 60_000
    return api.Reserve(workers=(worker,), from_ms=SOON_MS, until_ms=until_ms, project=project, person=person)


PROJECT = "there is no project visoin: did you mean vision? (`opsconsole project set visoin --create` makes it)"
PERSON = "there is nobody called Anna: did you mean anna? (opsconsole people lists them)"
WORKER = "there is no worker gpu-aa: did you mean gpu-a?"
MISSPELT: dict[str, tuple[api.AnyRequest, str]] = {
    "a project's weight": (api.SetProject(name="visoin", share=HALF), PROJECT),
    "a project's status": (api.SetProject(name="visoin", status="paused"), PROJECT),
    "the next of a project": (api.PopJob(project="visoin"), PROJECT),
    "a project's queue": (api.ClearQueue(project="visoin"), PROJECT),
    "what a project would lose": (api.ClearQueue(project="visoin", dry_run=True), PROJECT),
    "a reservation for a project": (reserve("gpu-a", project="visoin"), PROJECT),
    "a person's weight": (api.SetPerson(name="Anna", share=HALF), PERSON),
    "a reservation for a person": (reserve("gpu-a", person="Anna"), PERSON),
    "a person to rename": (api.RenamePerson(name="Anna", new="eve"), PERSON),
    "a person to revoke": (api.RevokePeople(names=("Anna",)), PERSON),
    "a reservation of a worker": (reserve("gpu-aa", project="vision"), WORKER),
    "a worker to drain": (api.SetWorker(name="gpu-aa", action="drain"), WORKER),
    "a worker to revoke": (api.SetWorker(name="gpu-aa", action="revoke"), WORKER),
    "a worker to clean": (api.Clean(workers=("gpu-aa",)), WORKER),
}


@pytest.mark.parametrize("what", MISSPELT)
async def test_a_misspelt_name_is_refused_with_the_nearest_ones_and_makes_nothing(site: Site, what: str) -> None:
    request, words = MISSPELT[what]
    async with await site.operator() as admin, await site.agent("gpu-a") as one, await site.agent("gpu-b") as other:
        await one.register()
        await other.register()
        await admin.submit(project="vision", held=True)
        for name in ("anna", "hanna"):
            token = await site.invite(role="operator", name=name)
            await (await site.operator(some_secret(), Opsconsole_Invitation=token)).close()
        before = await admin.call(api.ListProjects())
        with pytest.raises(NotFound) as error:
            await admin.call(request)
        assert error.value.message == words
        assert await admin.call(api.ListProjects()) == before
        assert not site.commit_loop.fleet.people
        assert not list(site.commit_loop.fleet.reservations)


async def test_a_project_is_made_on_purpose_or_by_a_job_and_then_known_for_good(site: Site) -> None:
    async with await site.operator() as admin:
        with pytest.raises(NotFound, match=r"there is no project eyes \(opsconsole projects lists them; `opsc"):
            await admin.call(api.SetProject(name="eyes"))
        for _ in range(2):  # whoever lost the answer asks again
            done = await admin.call(api.SetProject(name="eyes", share=HALF, create=True))
            assert done.text == "project eyes is active, weight 0.5"
        job = await admin.submit(project="ears", held=True)
        await admin.call(api.Act(verb="cancel", ids=(job.id,)))
        assert "ears" not in site.commit_loop.fleet.projects
        for name in ("eyes", "ears", "default"):
            await admin.call(api.SetProject(name=name, share=HALF))
        with pytest.raises(InvalidRequest, match="a project's name"):
            await admin.call(api.SetProject(name="a\nb"))


async def test_who_is_invited_or_has_the_data_folder_can_be_given_a_share(site: Site) -> None:
    async with await site.operator() as admin:
        with pytest.raises(NotFound):
            await admin.call(api.SetPerson(name="ben", share=HALF))
        await site.invite(role="operator", name="ben")
        for name in ("ben", (await admin.call(api.ListPeople())).people[0].name):
            assert (await admin.call(api.SetPerson(name=name, share=HALF))).text == f"{name}: weight 0.5"
