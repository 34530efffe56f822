"""What can be asked of a fleet as a whole: workers, people, projects, events, and the coordinator itself."""

from collections.abc import Sequence

from opsconsole.client_part import ClientPart
from opsconsole_protocol import api
from opsconsole_protocol.share import ShareChange


class FleetRequests(ClientPart):
    """A part of a client: its requests that aren't about one job."""

    async def workers(self, filter: str = "", *, revoked: bool = False) -> list[api.WorkerRow]:  # noqa: A002
        """The workers that match a line of requirements, by name; with `revoked`, revoked ones too."""
        return list((await self._ask(api.ListWorkers(filter=filter, revoked=revoked), api.WorkerList)).workers)

    async def set_worker(
        self, name: str, action: str, *, reason: str = "", within_ms: int | None = None
    ) -> list[api.WorkerRow]:
        """Drain, undrain, revoke or remove a worker, and return its row afterwards (of a removed one its last). Raises NotFound.

        What is drained may have a `reason`. After `within_ms` what still runs there leaves: it saves a checkpoint if it can, else it is
        ended, and it waits in the queue again.
        """
        request = api.SetWorker(name=name, action=action, reason=reason, within_ms=within_ms)
        return list((await self._ask(request, api.WorkerList)).workers)

    async def revoke_all_workers(self) -> list[api.WorkerRow]:
        """Take back every worker's credential, and return the workers' rows afterwards."""
        asked = api.SetWorker(name="", action="revoke", everybody=True)
        return list((await self._ask(asked, api.WorkerList)).workers)

    async def reserve(
        self, *workers: str, from_ms: int, until_ms: int, project: str = "", person: str = "", maintenance: bool = False,
        gpus: int | None = None, reason: str = "",
    ) -> api.ReservationRow:  # fmt: skip
        """Reserve workers for one project or person, or for maintenance, between two times in Unix milliseconds; for admins.

        `gpus`: only so many of each worker's. When it begins, what others run there leaves. Raises InvalidRequest, NotFound, or Conflict
        where it overlaps another.
        """
        request = api.Reserve(
            workers=workers, from_ms=from_ms, until_ms=until_ms, project=project, person=person,
            maintenance=maintenance, gpus=gpus, reason=reason,
        )  # fmt: skip
        return (await self._ask(request, api.ReservationList)).reservations[0]

    async def reservations(self) -> list[api.ReservationRow]:
        """All reservations that haven't ended, the next to begin first."""
        return list((await self._ask(api.ListReservations(), api.ReservationList)).reservations)

    async def cancel_reservation(self, id: str) -> str:  # noqa: A002
        """Take a reservation back, and return in one line what was done. Raises NotFound."""
        return (await self._ask(api.CancelReservation(id=id), api.Done)).text

    async def people(self) -> list[api.PersonRow]:
        """Who may do what, or once might. The owner of the token in the coordinator's data folder comes first."""
        return list((await self._ask(api.ListPeople(), api.PersonList)).people)

    async def rename_person(self, name: str, new: str) -> api.PersonRow:
        """Give a person another name, and return the person's row afterwards. Raises NotFound or InvalidRequest."""
        return (await self._ask(api.RenamePerson(name=name, new=new), api.PersonList)).people[0]

    async def revoke_people(self, *names: str, everybody: bool = False) -> list[api.PersonRow]:
        """Take back the credentials of these people and end their connections; with `everybody`, end all open invitations as well."""
        asked = api.RevokePeople(names=names, everybody=everybody)
        return list((await self._ask(asked, api.PersonList)).people)

    async def invitations(self) -> list[api.InvitationRow]:
        """The invitations that still let somebody in."""
        return list((await self._ask(api.ListInvitations(), api.InvitationList)).invitations)

    async def revoke_invitations(self, *ids: str, everything: bool = False) -> list[api.InvitationRow]:
        """End these invitations, or all with `everything`, and return those that were open."""
        asked = api.RevokeInvitations(ids=ids, everything=everything)
        return list((await self._ask(asked, api.InvitationList)).invitations)

    async def invite(
        self,
        role: str = "worker",
        *,
        ttl_ms: int = 3_600_000,
        uses: int = 1,
        name: str = "",
        tags: Sequence[str] = (),
    ) -> api.Invited:
        """Make a join line. `role` is worker, viewer, operator or admin; `uses` is how many it lets in, within `ttl_ms`."""
        return await self._ask(
            api.Invite(role=role, ttl_ms=ttl_ms, uses=uses, name=name, tags=tuple(tags)), api.Invited
        )

    async def projects(self) -> list[api.ProjectRow]:
        """All projects, by name."""
        return list((await self._ask(api.ListProjects(), api.ProjectList)).projects)

    async def set_project(
        self, name: str, *, description: str | None = None, status: str | None = None, share: ShareChange | None = None,
        preemptible: bool | None = None,
        place: str | None = None, create: bool = False,
    ) -> str:  # fmt: skip
        """Change a project, and return in one line what happened. `status` is active, paused or archived.

        `share` says how much of the fleet it may have at a time, and what it weighs; for admins. Raises InvalidRequest for
        what can't be, and NotFound where there is no such project, unless `create` makes it. `preemptible`: its tasks make way for jobs of a higher priority band.
        `place`: where tasks of its new jobs go that don't say, `pack` or `spread`; empty: nobody says.
        """
        request = api.SetProject(
            name=name, description=description, status=status, share=share, preemptible=preemptible, place=place,
            create=create,
        )  # fmt: skip
        return (await self._ask(request, api.Done)).text

    async def set_person(self, name: str, share: ShareChange) -> str:
        """Change how much of the fleet a person may have, and return in one line what happened. Raises InvalidRequest, or NotFound."""
        return (await self._ask(api.SetPerson(name=name, share=share), api.Done)).text

    async def usage(self, days: int = 7) -> api.UsageAnswer:
        """Who had what of the fleet in the last days, who has what now, and whose turn is next."""
        return await self._ask(api.AskUsage(days=days), api.UsageAnswer)

    async def events(
        self, subject: str = "", *, limit: int = 200, before_seq: int | None = None
    ) -> list[api.EventRow]:  # fmt: skip
        """Events, newest first: those of `subject` unless it is empty, and before `before_seq`."""
        asked = api.ListEvents(subject=subject, before_seq=before_seq, limit=limit)
        return list((await self._ask(asked, api.EventList)).events)

    async def confirm_restore(self) -> str:
        """After a restored backup, let the coordinator stop what it doesn't know. Returns in one line what happened."""
        return (await self._ask(api.ConfirmRestore(), api.Done)).text

    async def clean(
        self,
        *workers: str,
        older_than_ms: int = 0,
        remove: bool = False,
        attempts: bool = True,
        outputs: bool = False,
        logs: bool = False,
        history: bool = False,
        policy: bool = False,
        jobs: Sequence[str] = (),
    ) -> api.Cleaned:
        """What ended jobs left on these workers (on all where none is named) and with the coordinator; with `remove`, remove it.

        Only what is older than `older_than_ms` counts. `attempts`: working folders and logs. `outputs`: output folders.
        `logs`, `history`: what the coordinator holds. `policy`: say also what is removed without being asked. `jobs`: only
        what these ended jobs left, whatever their age.
        """
        asked = api.Clean(
            workers=workers, older_than_ms=older_than_ms, remove=remove, attempts=attempts, outputs=outputs, logs=logs,
            history=history, policy=policy, jobs=tuple(jobs),
        )  # fmt: skip
        return await self._ask(asked, api.Cleaned)

    async def remove(self, *jobs: str, yes: bool = False) -> api.Cleaned:
        """All that is left of these ended jobs, results, logs and record; with `yes`, remove it. Raises NotFound."""
        return await self.clean(jobs=jobs, remove=yes, attempts=False, outputs=True, logs=True, history=True)

    async def backup(self, path: str) -> str:
        """Copy the coordinator's store to a new file on its machine, and return in one line what was done."""
        return (await self._ask(api.Backup(path=path), api.Done)).text

    async def health(self) -> api.Health:
        """How the coordinator is."""
        return await self._ask(api.AskHealth(), api.Health)
