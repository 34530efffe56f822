"""A running coordinator as a `FleetSource`."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from opsconsole.fleet import Fleet
from opsconsole.target import TargetSource, current
from opsconsole_console.model.contact import Contact
from opsconsole_console.service.source import OnChange, OnContact
from opsconsole_protocol.api import AnyAnswer, AnyRequest
from opsconsole_protocol.error import OpsconsoleError, Unavailable

if TYPE_CHECKING:
    from opsconsole.fleet_link import Connectivity, FleetLink


class LiveSource:
    """Owns the link to one coordinator, which `start` starts if it has to be; that blocks, on a thread of its own."""

    def __init__(self, target: TargetSource, start: Callable[[], None] | None = None) -> None:
        self.fleet = Fleet()
        self._target = target
        self._start = start
        self._link: FleetLink | None = None

    @property
    def address(self) -> str:
        """The coordinator's address, as of now: one that restarted may have another."""
        try:
            return current(self._target).url
        except OpsconsoleError:
            return ""

    async def run(self, on_change: OnChange, on_contact: OnContact) -> None:
        """Connect, and again whenever the connection is lost, until cancelled. Raises OpsconsoleError out of `start`."""
        from opsconsole.fleet_link import FleetLink  # codecs for all messages: they can wait for the first paint

        start, self._start = self._start, None
        if start is not None:
            await asyncio.to_thread(start)

        def tell(told: "Connectivity") -> None:
            welcome = None if self._link is None else self._link.welcome
            role, actor = ("", "") if welcome is None else (welcome.role, welcome.actor)
            on_contact(Contact(told.state, told.text, role, actor, told.retry_ms, told.silent_ms))

        self._link = FleetLink(self._target, on_change=on_change, on_connection=tell, fleet=self.fleet)
        try:
            await self._link.run()
        finally:
            await self._link.close()

    async def request(self, request: AnyRequest) -> AnyAnswer:
        """Ask over the connection at hand."""
        if self._link is None:
            raise Unavailable("not connected yet: try again")
        return await self._link.client.request(request)
