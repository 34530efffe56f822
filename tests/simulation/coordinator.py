"""The coordinator: its real commit loop, sessions and operator API, life after life on one disk."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opsconsole_coordinator import giving_way
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.server import agent_session, cleaning, commit_loop, job_api, operator_api, outbox
from opsconsole_coordinator.server.identity import Caller
from opsconsole_coordinator.server.retention import Retention, RetentionPolicy
from opsconsole_coordinator.server.streams import Streams, TransferPolicy
from opsconsole_coordinator.server.worker_row_cache import WorkerRowCache
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol import api
from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.ids import SessionId, WorkerId
from opsconsole_protocol.link import LogChunk
from tests.simulation.network import Connection, Network
from tests.simulation.plan import PEOPLE
from tests.simulation.store import Disk, MemoryDatabase, MemoryLogs, NotingJournal
from tests.simulation.virtual import Aio, Loop, Queue

EPOCH_MS = 1_700_000_000_000
_MODULES: tuple[Any, ...] = (commit_loop, agent_session, outbox, job_api, giving_way)


class _Clock:
    """The coordinator's steady clock."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return EPOCH_MS + self._loop.now_ms

    def uptime_ms(self) -> int:
        return self._loop.now_ms


class _Socket:
    """One end of a connection, with the face of a websocket."""

    def __init__(self, connection: Connection) -> None:
        self._inbox: Queue[dict[str, Any]] = Queue()
        self._end = connection.server
        self._end.on_frame = lambda frame: self._inbox.put_nowait({"type": "websocket.receive", "bytes": frame})
        self._end.on_closed = lambda: self._inbox.put_nowait({"type": "websocket.disconnect"})

    async def receive(self) -> dict[str, Any]:
        return await self._inbox.get()

    async def send_bytes(self, frame: bytes) -> None:
        if not self._end.is_open:
            raise RuntimeError("the connection is closed")
        self._end.send(frame)


class _People:
    """Everybody of whom a plan knows has come in; nobody else is invited."""

    local = Caller("root", Role.ADMIN)

    def people(self) -> tuple[str, ...]:
        return PEOPLE

    def invitations(self, now_ms: int) -> tuple[()]:
        del now_ms
        return ()


class Life:
    """A coordinator from its start to its end."""

    def __init__(
        self, loop: Loop, disk: Disk, rng: random.Random, check_log: Callable[[LogChunk], None],
        on_loaded: Callable[["Life"], None],
    ) -> None:  # fmt: skip
        self.aio = Aio(loop)
        for module in _MODULES:
            module.asyncio = self.aio
        self.commit_loop = commit_loop.CommitLoop(MemoryDatabase(disk), "simulated")
        vars(commit_loop)["journal"] = NotingJournal(disk, self.commit_loop.sessions)
        self.commit_loop.clock = _Clock(loop)  # type: ignore[assignment]
        self.logs = MemoryLogs(disk, check_log)
        self.commit_loop.log_offsets = self.logs.offsets
        retention = Retention(self.commit_loop, self.logs, RetentionPolicy())  # type: ignore[arg-type]
        tidy = cleaning.Cleaning(self.commit_loop, self.logs, retention)  # type: ignore[arg-type]
        rows = WorkerRowCache(self.commit_loop)
        moves = Streams(self.commit_loop, None, Path("nowhere"), TransferPolicy())
        parts: Any = (self.commit_loop, self.logs, _People(), rows, tidy, moves.api, lambda: "")
        self.operator_api = operator_api.OperatorApi(*parts)
        self.is_serving = False
        self._rng = rng
        self._on_loaded = on_loaded
        self._sessions = 0
        self.aio.create_task(self._main(), name="start")

    async def _main(self) -> None:
        load = self.commit_loop.load

        async def load_with_chance() -> None:
            await load()
            self.commit_loop.fleet.random_bits = self._rng.getrandbits
            self._on_loaded(self)

        self.commit_loop.load = load_with_chance  # type: ignore[method-assign]
        await self.commit_loop.load()
        self.aio.create_task(self.commit_loop.run(), name="commit")
        self.aio.create_task(self.commit_loop.tick(), name="tick")
        self.is_serving = True

    def serve(self, connection: Connection) -> None:
        """An agent has connected."""
        session = agent_session.AgentSession(
            _Socket(connection), self.commit_loop, self.logs, WorkerId(connection.host)  # type: ignore[arg-type]
        )  # fmt: skip
        self._sessions += 1
        session.id = SessionId(self._sessions)

        async def run() -> None:
            await session.run()
            connection.server.close()

        self.aio.create_task(run(), name=f"session of {connection.host}")


class Coordinator:
    """Whoever holds the data folder at the moment."""

    def __init__(
        self, loop: Loop, network: Network, disk: Disk, rng: random.Random, check_log: Callable[[LogChunk], None]
    ) -> None:
        self.life: Life | None = None
        self.disk = disk
        self._loop = loop
        self._network = network
        self._rng = rng
        self._check_log = check_log
        self._calls: dict[Call, None] = {}
        self.restores = 0
        self.on_loaded: Callable[[Life], None] = lambda _: None
        """A life has built its fleet from the store."""
        network.accept = self._accept

    @property
    def fleet(self) -> Fleet | None:
        """The fleet of the present life."""
        return self.life.commit_loop.fleet if self.life is not None and self.life.is_serving else None

    @property
    def is_committed(self) -> bool:
        """Whether everything noted in the fleet is in the store."""
        fleet = self.fleet
        if fleet is None or self.life is None:
            return False
        return not fleet.is_dirty and self.life.commit_loop.committed_seq == fleet.seq

    def start(self) -> None:
        """Start, unless one runs."""
        if self.life is None:
            self.life = Life(self._loop, self.disk, self._rng, self._check_log, self.on_loaded)

    def crash(self) -> None:
        """`kill -9`."""
        if self.life is None:
            return
        life, self.life = self.life, None
        life.is_serving = False  # whoever still holds it hears nothing more of it
        calls, self._calls = self._calls, {}
        life.aio.kill()
        self.disk.pending = None
        self._network.drop_all(self._rng)
        for call in calls:
            call.fail(Unavailable("the coordinator is gone"))

    def ask(
        self,
        request: api.AnyRequest,
        then: Callable[[Any], None],
        failed: Callable[[OpsconsoleError], None],
        person: str = "ana",
    ) -> None:
        """What an operator's client does: the answer, or the error, comes later."""
        call = Call(then, failed)
        life = self.life
        if life is None or not life.is_serving:
            self._loop.at(5, lambda: call.fail(Unavailable("nobody answers")))
            return
        self._calls[call] = None
        restores = self.restores

        def deliver(found: Any) -> None:
            if self.restores == restores:
                call.answer(found)
            else:
                call.fail(Unavailable("the store is another one by now"))

        async def answer() -> None:
            try:
                found = await life.operator_api.answer(request, Caller(person, Role.ADMIN))
            except OpsconsoleError as error:
                failure = error
                self._loop.at(self._rng.randrange(1, 10), lambda: call.fail(failure))
            else:
                self._loop.at(self._rng.randrange(1, 10), lambda: deliver(found))
            finally:
                self._calls.pop(call, None)

        life.aio.create_task(answer(), name=type(request).__name__)

    def _accept(self, connection: Connection) -> bool:
        if self.life is None or not self.life.is_serving:
            return False
        self.life.serve(connection)
        return True


class Call:
    """A request under way: answered or failed, once."""

    def __init__(self, then: Callable[[Any], None], failed: Callable[[OpsconsoleError], None]) -> None:
        self._then = then
        self._failed = failed
        self._is_over = False

    def answer(self, found: Any) -> None:
        """It was answered."""
        if not self._is_over:
            self._is_over = True
            self._then(found)

    def fail(self, error: OpsconsoleError) -> None:
        """It was refused, or nobody knows what became of it."""
        if not self._is_over:
            self._is_over = True
            self._failed(error)
