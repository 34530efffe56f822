"""`:reserve`: what workers are reserved for and when, windows of maintenance among that. Both can be made and taken back."""

from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from opsconsole.ask import ask
from opsconsole.fleet import Change
from opsconsole_console.model.coverage import ALL
from opsconsole_console.model.model import Model
from opsconsole_console.model.reservation import holder_words, read_reserve, when, worker_words
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.shell_access import shell
from opsconsole_console.screen.part.text_prompt import TextPrompt
from opsconsole_console.screen.reservation.reservation_pane import ReservationPane
from opsconsole_console.service.source import FleetSource
from opsconsole_protocol.api import CancelReservation, Done, ListReservations, ReservationList, ReservationRow

_ASK_AGAIN_S = 5.0
_HOW = "Which workers, for whom, until when? NAME… project=P, person=P or maintenance; from=+1h until=+8h gpus=N reason='…'"


class ReservationScreen(DetailScreen):
    """Keys mean the reservation under the cursor."""

    AUTO_FOCUS = "#reservation-table"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "reserve", "Reserve", tooltip="For a project or a person, or for maintenance", id="reservations.new"),
        Binding("c", "cancel", "Cancel", tooltip="Take it back, after a question", id="reservations.cancel"),
    ]  # fmt: skip

    def __init__(self, model: Model, source: FleetSource) -> None:
        super().__init__()
        self._model = model
        self._source = source
        self._reservations = ReservationPane(model)
        self._reservations.add_class("-chosen")

    def compose(self) -> ComposeResult:
        with Container(classes="detail-body"):
            yield self._reservations
        yield KeyBar()

    def on_mount(self) -> None:
        self._request_reservations()
        self.set_interval(_ASK_AGAIN_S, self._request_reservations)

    def apply(self, change: Change) -> None:
        """Ask anew after a lost connection, and where a worker changed: something may have begun or ended."""
        if change.reset or change.workers:
            self._request_reservations()

    def tick(self) -> None:
        """A second has passed: nothing here shows how long something takes."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide verbs from those who may only look."""
        if action in {"reserve", "cancel"} and shell(self).read_only:
            return False
        return super().check_action(action, parameters)

    def _request_reservations(self) -> None:
        if self.is_attached:
            shell(self).look_up(self._fetch)

    async def _fetch(self) -> None:
        found = (await ask(self._source, ListReservations(), ReservationList)).reservations
        self._reservations.table.set_rows({row.id: row for row in found})
        self._reservations.set_coverage(ALL)

    # -- actions --------------------------------------------------------------------------------------------------

    def action_reserve(self) -> None:
        shell(self).do(self._reserve)

    async def _reserve(self) -> None:
        made: list[ReservationRow] = []

        async def reserve(line: str) -> str:
            made.extend(
                (await ask(self._source, read_reserve(line, self._model.clock()), ReservationList)).reservations
            )
            return ""

        if await self.app.push_screen_wait(TextPrompt(_HOW, "", reserve)):
            for row in made:
                shell(self).say(f"{worker_words(row)} reserved for {holder_words(row)} until {when(row.until_ms)}")
            await self._fetch()

    def action_cancel(self) -> None:
        row = self._reservations.table.cursor_row
        if row is not None:
            shell(self).do(partial(self._cancel, row))

    async def _cancel(self, row: ReservationRow) -> None:
        detail = f"for {holder_words(row)} until {when(row.until_ms)}"
        if await shell(self).confirm(f"Take the reservation of {worker_words(row)} back?", detail, "Take back"):
            done = await ask(self._source, CancelReservation(id=row.id), Done)
            shell(self).say(done.text)
            await self._fetch()
