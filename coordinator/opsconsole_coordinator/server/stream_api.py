"""What operators and agents ask about streams and contents, answered."""

from collections.abc import Callable

from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.content_keeper import ContentKeeper
from opsconsole_coordinator.server.identity import Caller
from opsconsole_coordinator.server.kept_look import KeptLook
from opsconsole_coordinator.server.open_stream import Party, PartyKind
from opsconsole_coordinator.server.stream_broker import Ended, StreamBroker
from opsconsole_coordinator.server.stream_plan import StreamPlanner
from opsconsole_coordinator.server.transfer_process import TransferProcess
from opsconsole_protocol import api, link
from opsconsole_protocol.error import OpsconsoleError

READY_WAIT_S = 10.0
"""How long a question about kept trees waits for the store to be opened."""


class StreamApi:
    """Handlers of requests and messages about streams and contents."""

    def __init__(
        self, commit_loop: CommitLoop, broker: StreamBroker, planner: StreamPlanner, keeper: ContentKeeper,
        process: TransferProcess,
    ) -> None:  # fmt: skip
        self._commit_loop = commit_loop
        self._broker = broker
        self._planner = planner
        self._keeper = keeper
        self._process = process
        self.kept = KeptLook(keeper.collection, process)
        commit_loop.on_stream_message = self.on_message

    @property
    def trouble(self) -> str:
        """Why files can't be kept at the moment; empty when all is well."""
        return self._process.trouble

    # --- operators ---------------------------------------------------------------------------------------------

    async def ask_for_stream(self, request: api.AskForStream, caller: Caller) -> api.StreamAnswer:
        plan, person = await self._planner.plan_for_person(request.open), _person(caller)
        if plan.act is not None:  # written down before it can begin
            self._broker.check_room(person)
            kind, words = plan.act
            self._commit_loop.reactor.on_audit(person.name, kind, words, plan.subject, self._commit_loop.clock.now_ms())
            await self._commit_loop.committed()
        return api.StreamAnswer(grant=self._broker.open(request.open, person, plan))

    async def send_signal(self, request: api.SendSignal, caller: Caller) -> api.Done:
        self._broker.signal(request.stream_id, _person(caller), request.body)
        return api.Done(text="told")

    async def await_signals(self, request: api.AwaitSignals, caller: Caller) -> api.SignalsAnswer:
        return await self._broker.await_signals(request.stream_id, _person(caller), request.wait_ms)

    async def end_stream(self, request: api.EndStream, caller: Caller) -> api.Done:
        self._broker.ended(request.stream_id, _person(caller), _said(request))
        return api.Done(text="noted")

    async def find_contents(self, request: api.FindContents, caller: Caller) -> api.ContentsAnswer:
        del caller
        await self._process.ready(READY_WAIT_S)
        kept = self._keeper.kept(request.content_ids)
        return api.ContentsAnswer(kept=kept, keep_bytes_max=self._keeper.upload_bytes_max)

    async def offer_contents(self, request: api.OfferContents, caller: Caller) -> api.OfferAnswer:
        return await self._keeper.hosts.offer(request, caller)

    # --- agents ------------------------------------------------------------------------------------------------

    def on_message(self, worker: Worker, message: link.AgentMessage) -> None:
        """What an agent says about streams and contents. Never blocks."""
        match message:
            case link.AskForStream():
                self._on_ask(worker, message)
            case link.Signal(stream_id=stream_id, body=body):
                self._quietly(lambda: self._broker.signal(stream_id, _agent(worker), body))
            case link.StreamEnded(stream_id=stream_id):
                self._quietly(lambda: self._broker.ended(stream_id, _agent(worker), _said(message)))
            case link.Contents():
                if message.whole:  # it has just been connected
                    self._broker.connected(_agent(worker))
                self._commit_loop.reactor.on_contents(worker, message, self._commit_loop.clock.now_ms())

    def _on_ask(self, worker: Worker, message: link.AskForStream) -> None:
        session = self._commit_loop.sessions.get(worker.id)
        if session is None:
            return
        try:
            plan = self._planner.plan_for_worker(message.open, worker)
            grant = self._broker.open(message.open, _agent(worker), plan)
        except OpsconsoleError as error:
            session.send(link.StreamRefused(number=message.number, code=error.code, message=error.message))
        else:
            session.send(link.StreamGranted(number=message.number, grant=grant))

    @staticmethod
    def _quietly(tell: Callable[[], None]) -> None:
        """An agent that speaks of a stream which is over needs no answer: it was told to end it, or hears it from its other end."""
        try:
            tell()
        except OpsconsoleError:
            return


def _person(caller: Caller) -> Party:
    return Party(PartyKind.PERSON, caller.hash, caller.actor)


def _agent(worker: Worker) -> Party:
    return Party(PartyKind.WORKER, worker.id, worker.name)


def _said(message: api.EndStream | link.StreamEnded) -> Ended:
    return Ended(message.way, message.bytes, message.files, message.milliseconds, message.error, message.engine)
