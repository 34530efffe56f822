"""What operators ask about reservations and windows of maintenance, answered."""

from opsconsole_coordinator.core.reservation_view import reservation_row
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.identity import Caller, Identities
from opsconsole_coordinator.server.known_name import check_person, check_project
from opsconsole_protocol import api


class ReservationApi:
    """Handlers of the requests about reservations; each takes the request and who asks."""

    def __init__(self, commit_loop: CommitLoop, identities: Identities) -> None:
        self._commit_loop = commit_loop
        self._identities = identities

    async def reserve(self, request: api.Reserve, caller: Caller) -> api.ReservationList:
        if request.person:
            check_person(self._commit_loop, self._identities, request.person)
        if request.project:
            await check_project(self._commit_loop, request.project)
        now_ms = self._commit_loop.clock.now_ms()
        reservation = self._commit_loop.reactor.on_reserve(request, caller.actor, now_ms)
        row = reservation_row(self._commit_loop.fleet, reservation, now_ms)
        await self._commit_loop.committed()
        return api.ReservationList(reservations=(row,))

    async def reservations(self, request: api.ListReservations, caller: Caller) -> api.ReservationList:
        del request, caller
        fleet, now_ms = self._commit_loop.fleet, self._commit_loop.clock.now_ms()
        found = sorted(fleet.reservations, key=lambda one: (one.from_ms, one.id))
        return api.ReservationList(reservations=tuple(reservation_row(fleet, one, now_ms) for one in found))

    async def cancel(self, request: api.CancelReservation, caller: Caller) -> api.Done:
        now_ms = self._commit_loop.clock.now_ms()
        words = self._commit_loop.reactor.on_cancel_reservation(request.id, caller.actor, now_ms)
        await self._commit_loop.committed()
        return api.Done(text=words)
