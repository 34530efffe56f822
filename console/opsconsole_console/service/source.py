"""What the console needs of a fleet, live or recorded: the folded view, news of changes, and requests.

The console is handed a `FleetSource`: the one behind a live coordinator is made in `live_source.py`, a recorded one
lives with the tests. All callbacks come on the console's own event loop.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from opsconsole.ask import Requester
from opsconsole.fleet import Change, Fleet
from opsconsole_console.model.contact import Contact

if TYPE_CHECKING:
    from opsconsole.target import Target
    from opsconsole_protocol.host.stream.coordinator_dial import Home

OnChange: TypeAlias = Callable[[Change], None]
OnContact: TypeAlias = Callable[[Contact], None]


class FleetSource(Requester, Protocol):
    """A fleet to look at and to ask."""

    @property
    def address(self) -> str:
        """Where the coordinator is, for people."""

    @property
    def fleet(self) -> Fleet:
        """The fleet as last heard of."""

    async def home(self) -> "Home":
        """Where the coordinator is at the moment, for streams. Raises Unavailable while there is no connection."""

    def target(self) -> "Target":
        """Where the coordinator is at the moment, and what is shown to it, for a program beside the console. Raises OpsconsoleError."""

    async def store_id(self) -> str:
        """Which coordinator it is, wherever it listens. Raises Unavailable while there is no connection."""

    async def run(self, on_change: OnChange, on_contact: OnContact) -> None:
        """Keep the fleet in step, through lost connections too, until cancelled.

        Raises OpsconsoleError when there can be none: a coordinator that was to be started didn't start.
        """
