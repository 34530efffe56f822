"""Where a client gets its connection: the one that is open, or another where that is gone."""

from __future__ import annotations

import asyncio
from typing import Protocol

from opsconsole.connection import Connection
from opsconsole.target import TargetSource, current
from opsconsole_protocol.error import NotFound, Unavailable


class ConnectionSource(Protocol):
    """Where a client gets the connection for its next call."""

    async def connection(self) -> Connection:
        """An open connection. Raises OpsconsoleError when none can be opened."""
        ...

    async def close(self) -> None:
        """Close that connection. The next call may open another."""
        ...


class Dialer:
    """Opens a connection when one is needed and the last one is gone."""

    def __init__(self, target: TargetSource) -> None:
        self._target = target
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self._has_been_there = False

    async def connection(self) -> Connection:
        """The open connection; one is opened if there is none. Raises what the target's source and `Connection.open` raise.

        A coordinator that was there once and can't be found any more is Unavailable: it may be about to start again.
        """
        async with self._lock:
            if self._connection is None or not self._connection.is_open:
                await self.close()
                try:
                    self._connection = await Connection.open(current(self._target))
                except NotFound as error:
                    if not self._has_been_there:
                        raise
                    raise Unavailable(error.message) from None
                self._has_been_there = True
            return self._connection

    async def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
