"""A running coordinator as a `FleetSource`."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from opsconsole.fleet import Fleet
from opsconsole.target import Target, TargetSource, current
from opsconsole_console.model.contact import Contact
from opsconsole_console.service.source import OnChange, OnContact
from opsconsole_protocol.api import AnyAnswer, AnyRequest
from opsconsole_protocol.error import OpsconsoleError, Unavailable

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole.fleet_subscription import Connectivity, FleetSubscription
    from opsconsole_protocol.host.stream.coordinator_dial import Home


class LiveSource:
    """Owns the subscription to one coordinator. Where that has to be started, `start` does it, blocking, on another thread."""

    def __init__(self, target: TargetSource, start: Callable[[], None] | None = None) -> None:
        self.fleet = Fleet()
        self._target = target
        self._start = start
        self._subscription: FleetSubscription | None = None

    @property
    def address(self) -> str:
        """The coordinator's address as it is now (a restart may have changed it); empty where it isn't known."""
        try:
            return current(self._target).url
        except OpsconsoleError:
            return ""

    async def run(self, on_change: OnChange, on_contact: OnContact) -> None:
        """Connect, and connect again whenever the connection is lost, until cancelled. Raises what `start` raises."""
        # The codecs of all messages can wait for the first paint.
        from opsconsole.fleet_subscription import FleetSubscription

        start, self._start = self._start, None
        if start is not None:
            await asyncio.to_thread(start)

        def tell(status: "Connectivity") -> None:
            welcome = None if self._subscription is None else self._subscription.welcome
            role, actor = ("", "") if welcome is None else (welcome.role, welcome.actor)
            on_contact(Contact(status.state, status.text, role, actor, status.retry_ms, status.silent_ms))

        self._subscription = FleetSubscription(self._target, on_change=on_change, on_connection=tell, fleet=self.fleet)
        try:
            await self._subscription.run()
        finally:
            await self._subscription.close()

    async def home(self) -> "Home":
        """See FleetSource."""
        return await self._client.home()

    def target(self) -> Target:
        """See FleetSource."""
        return current(self._target)

    async def store_id(self) -> str:
        """See FleetSource."""
        return await self._client.store_id()

    async def request(self, request: AnyRequest) -> AnyAnswer:
        """Ask over the connection. Raises OpsconsoleError; Unavailable while there is none."""
        return await self._client.request(request)

    @property
    def _client(self) -> "Client":
        if self._subscription is None:
            raise Unavailable("not connected yet: try again")
        return self._subscription.client
