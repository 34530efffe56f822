"""A dialog that asks the coordinator for one thing, and anew every two seconds while it is open."""

from abc import abstractmethod
from typing import Generic

from textual.screen import ModalScreen

from opsconsole.ask import AnswerT, ask
from opsconsole_console.screen.part.line_view import Line, LineView
from opsconsole_console.screen.part.shell_access import run_exclusive
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.cell import cell
from opsconsole_console.widget.steady_screen import SteadyScreen
from opsconsole_protocol.api import AnyRequest
from opsconsole_protocol.error import OpsconsoleError, Unavailable

_ASK_AGAIN_S = 2.0


class AskingScreen(SteadyScreen, ModalScreen[None], Generic[AnswerT]):
    """`head` says what is wrong; what is shown already stays while the coordinator is away."""

    def __init__(self, source: FleetSource, request: AnyRequest, kind: type[AnswerT], head: LineView) -> None:
        super().__init__()
        self._source = source
        self._request = request
        self._kind = kind
        self._head = head
        self._answer: AnswerT | None = None

    def on_mount(self) -> None:
        self._request_answer()
        self.set_interval(_ASK_AGAIN_S, self._request_answer)

    def _request_answer(self) -> None:
        run_exclusive(self, self._fetch_answer, "answer")

    async def _fetch_answer(self) -> None:
        try:
            self._answer = await ask(self._source, self._request, self._kind)
        except Unavailable:
            if self._answer is None:
                self._head.show([Line(cell("the coordinator is not reached", "text-muted"))])
        except OpsconsoleError as error:
            self._head.show([Line(cell(error.message, "state-failed"))])
        else:
            self._show_answer()

    @abstractmethod
    def _show_answer(self) -> None:
        """Show the answer that has come last."""
