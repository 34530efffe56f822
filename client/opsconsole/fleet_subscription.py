"""Keeps a view of a fleet up to date: connects to the coordinator, subscribes and folds, and starts over when the connection is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from opsconsole.client import Client
from opsconsole.connection import Connection
from opsconsole.fleet import Change, Fleet
from opsconsole.target import TargetSource, current
from opsconsole_protocol.api import AskHealth, SnapshotAnswer, Subscribe, Update, Welcome
from opsconsole_protocol.error import (
    Forbidden,
    InvalidRequest,
    OpsconsoleError,
    ProtocolError,
    Unauthenticated,
    Unavailable,
    VersionMismatch,
)

ConnectionState = Literal["connecting", "connected", "lost"]
OnChange = Callable[[Change], None]


@dataclass(frozen=True, slots=True)
class Connectivity:
    """The state of the connection. `text` is the coordinator's address, or says why there is no connection.

    Where it is lost, `retry_ms` is the time until the next try, and `silent_ms` is how long nothing had been heard when it was
    given up: zero where there never was a connection.
    """

    state: ConnectionState
    text: str = ""
    retry_ms: int = 0
    silent_ms: int = 0


OnConnection = Callable[[Connectivity], None]

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
BACKOFF_HOPELESS_S = 30.0
"""Between two tries where trying again doesn't help before a person has changed something."""

PROBE_AFTER_S = 8.0
"""How long a silence lasts before the coordinator is asked for its health, and before it counts as lost without an answer."""

_HOPELESS = (Forbidden, InvalidRequest, Unauthenticated, VersionMismatch)


class FleetSubscription:
    """A subscription that connects again by itself: `await run()` until cancelled.

    `fleet` is the view. `client` makes calls over the subscription's connection and raises Unavailable while there is none.
    `on_change` is called after every fold, `on_connection` whenever it begins to connect, is connected, or is lost. Both are
    called on the loop of `run` and must not block.
    """

    def __init__(
        self,
        target: TargetSource,
        *,
        on_change: OnChange,
        on_connection: OnConnection,
        fleet: Fleet | None = None,
        finished_limit: int = 200,
    ) -> None:
        self.fleet = fleet if fleet is not None else Fleet()
        self.client = Client(self)
        self.welcome: Welcome | None = None
        """The last coordinator's greeting: its name, its version, and the role that this token has there."""
        self._target = target
        self._on_change = on_change
        self._on_connection = on_connection
        self._finished_limit = finished_limit
        self._connection: Connection | None = None
        self._why_not = "not connected yet: try again"

    async def connection(self) -> Connection:
        """The open connection. Raises Unavailable while there is none."""
        if self._connection is None or not self._connection.is_open:
            raise Unavailable(self._why_not)
        return self._connection

    async def close(self) -> None:
        """Close the open connection; `run` opens another unless it is cancelled."""
        if self._connection is not None:
            await self._connection.close()

    async def run(self) -> None:
        """Keep the fleet up to date until cancelled."""
        pause_s = BACKOFF_FIRST_S
        while True:
            silent_s, hopeless = 0.0, False
            try:
                reason, silent_s = await self._stay_connected()
                pause_s = BACKOFF_FIRST_S  # it was a working connection that ended
            except OpsconsoleError as error:
                hopeless = isinstance(error, _HOPELESS) or not getattr(error, "temporary", True)
                reason = error
            wait_s = BACKOFF_HOPELESS_S if hopeless else pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
            self._why_not = reason.message
            self._on_connection(Connectivity("lost", reason.message, round(1000 * wait_s), round(1000 * silent_s)))
            await asyncio.sleep(wait_s)
            pause_s = min(2 * pause_s, BACKOFF_MAX_S)

    async def _stay_connected(self) -> tuple[OpsconsoleError, float]:
        """One connection, from its opening to its end: why it ended, and for how many seconds it had been silent.

        Raises OpsconsoleError when none comes about.
        """
        target = current(self._target)
        self._on_connection(Connectivity("connecting", target.url))
        connection = await Connection.open(target)
        early: list[Update] = []
        connection.on_update = early.append
        try:
            answer = await connection.call(Subscribe(finished_limit=self._finished_limit))
            if not isinstance(answer, SnapshotAnswer):
                raise ProtocolError(f"{target.url} doesn't answer a subscription with a snapshot")
            self._connection, self.welcome = connection, connection.welcome
            self._on_connection(Connectivity("connected", target.url))
            self._on_change(self.fleet.reset(answer.snapshot))
            for update in early:
                self._fold(update)
            connection.on_update = self._fold
            return await self._until_lost(connection), connection.silent_for_s
        finally:
            self._connection = None
            await connection.close()

    def _fold(self, update: Update) -> None:
        if change := self.fleet.fold(update):
            self._on_change(change)

    async def _until_lost(self, connection: Connection) -> OpsconsoleError:
        """Wait for the end of the connection, and bring it about when the coordinator is silent for too long."""
        closed = asyncio.ensure_future(connection.wait_closed())
        try:
            while True:
                await asyncio.wait((closed,), timeout=PROBE_AFTER_S)
                if closed.done():
                    return closed.result()
                if connection.silent_for_s < PROBE_AFTER_S:
                    continue
                try:
                    async with asyncio.timeout(PROBE_AFTER_S):
                        await connection.call(AskHealth())
                except TimeoutError:
                    return Unavailable(f"{connection.url} doesn't answer any more: trying again")
                except OpsconsoleError:
                    continue  # it is closed, or answers with an error, which is an answer
        finally:
            closed.cancel()
