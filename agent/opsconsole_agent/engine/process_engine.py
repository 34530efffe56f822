"""What attempts are started with. A process of this host, for now; containers and batch systems have the same face."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from opsconsole_agent.core import (
    AttemptPrepared,
    BuildStarted,
    Event,
    FreezeFailed,
    Frozen,
    KeeperHello,
    LiveProcess,
    PreparationFailed,
    ProcessExited,
    ProcessStarted,
    StartFailed,
    Thawed,
)
from opsconsole_agent.engine.port import PortTaken, allocate_ports, is_listened_on
from opsconsole_agent.engine.staging import Prepared, Staging
from opsconsole_agent.keeper.event_line import HOST_RESTARTED
from opsconsole_agent.keeper_client import message as keeper_says
from opsconsole_agent.keeper_client.keeper_client import KeeperClient
from opsconsole_agent.probe.io_path import OutputRefused
from opsconsole_agent.state.state_folder import is_disk_full
from opsconsole_protocol.error import Conflict, LimitExceeded, NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Launch

_log = logging.getLogger(__name__)

Tell = Callable[[Sequence[Event]], None]


class Engine(Protocol):
    """Carries out what the core wants; whatever comes of it is told as events. No method waits for anything."""

    def prepare(self, attempt_id: AttemptId, launch: Launch) -> None:
        """Tells (BuildStarted and) AttemptPrepared or PreparationFailed."""

    def abandon(self, attempt_id: AttemptId) -> None:
        """The preparation isn't wanted any more; nothing need be told."""

    def start(self, attempt_id: AttemptId) -> None:
        """Start what was prepared. Tells ProcessStarted and, at its end, ProcessExited."""

    def freeze(self, attempt_id: AttemptId) -> None:
        """Tells Frozen or FreezeFailed."""

    def thaw(self, attempt_id: AttemptId) -> None:
        """Tells Thawed or FreezeFailed."""

    def terminate(self, attempt_id: AttemptId, grace_ms: int) -> None:
        """Ask all its processes to end."""

    def kill(self, attempt_id: AttemptId) -> None:
        """End all its processes."""

    def forget(self, attempt_id: AttemptId) -> None:
        """How it ended is safe elsewhere."""

    def free_port(self) -> int:
        """A port that is free now; raises LimitExceeded."""

    def publish(self, output_path: str) -> None:
        """What was written there is its task's accepted result: have it where that is looked for."""

    async def pids(self) -> dict[AttemptId, list[int]]:
        """The living processes of every attempt; raises OpsconsoleError."""

    def silence(self) -> str:
        """Why `pids` isn't answered, in words; empty where that is over in a moment."""

    @property
    def notes(self) -> Sequence[str]:
        """What was found damaged and set aside."""


class ProcessEngine:
    """Starts attempts as processes of this host, through the keeper. `run` brings its news until it is cancelled."""

    def __init__(
        self,
        keeper: KeeperClient,
        staging: Staging,
        tell: Tell,
        expected: Callable[[], Iterable[AttemptId]],
        unsure: frozenset[AttemptId] = frozenset(),
        say: Callable[[str], None] = _log.warning,
    ) -> None:
        """`expected`: attempts that should have a process. `unsure`: those of them from before the host restarted.

        `say` is told what the keeper found damaged.
        """
        self._say = say
        self._told: dict[str, None] = {}
        self._keeper = keeper
        self._staging = staging
        self._tell = tell
        self._expected = expected
        self._unsure = unsure
        self._ready: dict[AttemptId, Prepared] = {}
        self._ports: dict[AttemptId, tuple[int, ...]] = {}
        self._stagings: dict[AttemptId, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_forget: list[AttemptId] = []

    async def run(self) -> None:
        """Pass on what the keeper says; raises Unavailable when it is lost for good."""
        async for batch in self._keeper.batches():
            events: list[Event] = []
            for said in batch:
                if isinstance(said, keeper_says.KeeperHello):
                    self._tell_notes(said.notes)
                    hello = await self._hello(said)
                    if hello is not None:
                        events.append(hello)
                elif isinstance(said, keeper_says.KeeperLost):
                    if said.final:
                        raise Unavailable(f"the keeper can't be used any more: {said.reason}")
                    _log.warning("the keeper was lost and is looked for: %s", said.reason)
                else:
                    events.append(self._look_at_ports(_event(said)))
            self._tell(events)
        raise Unavailable("the link to the keeper was closed")

    def _tell_notes(self, notes: Iterable[str]) -> None:
        """Once each, though every hello of a keeper repeats them."""
        for note in notes:
            if note not in self._told:
                self._told[note] = None
                self._say(f"the keeper says: {note}")

    async def close(self) -> None:
        """End what is under way here; no attempt is touched."""
        tasks = [*self._tasks, *self._stagings.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- before the start ------------------------------------------------------------------------------------------

    def prepare(self, attempt_id: AttemptId, launch: Launch) -> None:
        """See Engine."""
        if not self._staging.is_quick(launch):
            task = asyncio.create_task(self._prepare_slowly(attempt_id, launch), name=f"stage {attempt_id}")
            self._stagings[attempt_id] = task
            task.add_done_callback(lambda _: self._stagings.pop(attempt_id, None))
            return
        try:
            ports = self._take_ports(attempt_id, launch)
            prepared = self._staging.stage(attempt_id, launch, ports, quick=True)
        except (OpsconsoleError, OSError) as error:
            self._refuse(attempt_id, error)
        else:
            self._accept(attempt_id, prepared, ports)

    async def _prepare_slowly(self, attempt_id: AttemptId, launch: Launch) -> None:
        self._tell([BuildStarted(attempt_id=attempt_id, at_ms=_now_ms())])
        try:
            ports = self._take_ports(attempt_id, launch)
            prepared = await asyncio.to_thread(self._staging.stage, attempt_id, launch, ports, quick=False)
        except (OpsconsoleError, OSError) as error:
            self._refuse(attempt_id, error)
        else:
            self._accept(attempt_id, prepared, ports)

    def _accept(self, attempt_id: AttemptId, prepared: Prepared, ports: dict[str, int]) -> None:
        self._ready[attempt_id] = prepared
        self._tell(
            [
                AttemptPrepared(
                    attempt_id=attempt_id,
                    at_ms=_now_ms(),
                    output_path=prepared.output_path,
                    workdir=prepared.command.cwd,
                    ports=ports,
                )
            ]
        )

    def _refuse(self, attempt_id: AttemptId, error: OpsconsoleError | OSError) -> None:
        self._ports.pop(attempt_id, None)
        again = isinstance(error, PortTaken)
        is_ours = isinstance(error, OSError | OutputRefused | LimitExceeded | Unavailable) and not again
        self._tell(
            [
                PreparationFailed(
                    attempt_id=attempt_id, at_ms=_now_ms(), error=_words(error), worker_fault=is_ours, again=again
                )
            ]
        )

    def _take_ports(self, attempt_id: AttemptId, launch: Launch) -> dict[str, int]:
        if not launch.ports:
            return {}
        taken = {port for ports in self._ports.values() for port in ports}
        chosen = launch.gang.port if launch.gang is not None and launch.gang.rank == 0 else None
        ports = allocate_ports(launch.ports, taken, chosen)
        self._ports[attempt_id] = tuple(ports.values())
        return ports

    def _look_at_ports(self, event: Event) -> Event:
        """Of a failure tell whether somebody else has the port that was chosen for it."""
        if not isinstance(event, ProcessExited) or event.exit_code in {0, None} or not event.all_gone:
            return event
        taken = next((one for one in self._ports.get(event.attempt_id, ()) if is_listened_on(one)), None)
        return event if taken is None else msgspec.structs.replace(event, taken_port=taken)

    def free_port(self) -> int:
        """A port that is free now; raises LimitExceeded."""
        return allocate_ports(("gang",), {port for ports in self._ports.values() for port in ports})["gang"]

    def keep_ports(self, attempt_id: AttemptId, ports: Iterable[int]) -> None:
        """An attempt found alive has these."""
        self._ports[attempt_id] = tuple(ports)

    def abandon(self, attempt_id: AttemptId) -> None:
        """See Engine."""
        self._ready.pop(attempt_id, None)
        self._ports.pop(attempt_id, None)
        task = self._stagings.get(attempt_id)
        if task is not None:
            task.cancel()

    # --- the process -----------------------------------------------------------------------------------------------

    def start(self, attempt_id: AttemptId) -> None:
        """See Engine."""
        self._spawn(self._start(attempt_id))

    async def _start(self, attempt_id: AttemptId) -> None:
        prepared = self._ready.pop(attempt_id)
        try:
            await self._keeper.start(prepared.command)
        except (Unavailable, Conflict) as error:
            # What came of it is in the keeper's next hello; or it runs already.
            _log.warning("the start of %s was not answered: %s", attempt_id, error)
        except OpsconsoleError as error:
            self._tell([StartFailed(attempt_id=attempt_id, at_ms=_now_ms(), error=error.message)])

    def freeze(self, attempt_id: AttemptId) -> None:
        """See Engine."""
        self._spawn(self._turn(attempt_id, self._keeper.freeze(attempt_id), "can't be paused"))

    def thaw(self, attempt_id: AttemptId) -> None:
        """See Engine."""
        self._spawn(self._turn(attempt_id, self._keeper.thaw(attempt_id), "can't be resumed"))

    async def _turn(self, attempt_id: AttemptId, command: Coroutine[Any, Any, int], trouble: str) -> None:
        try:
            await command
        except NotFound:
            return  # it has ended, as an event says or has said
        except Conflict as error:
            _log.info("%s %s: %s", attempt_id, trouble, error)
        except OpsconsoleError as error:
            if self._keeper.connected:
                self._tell([FreezeFailed(attempt_id=attempt_id, error=f"{trouble}: {error.message}")])

    def terminate(self, attempt_id: AttemptId, grace_ms: int) -> None:
        """See Engine."""
        self._spawn(self._signal(self._keeper.term(attempt_id, grace_ms=grace_ms)))

    def kill(self, attempt_id: AttemptId) -> None:
        """See Engine."""
        self._spawn(self._signal(self._keeper.kill(attempt_id)))

    async def _signal(self, command: Coroutine[Any, Any, int]) -> None:
        try:
            await command
        except OpsconsoleError as error:
            # It has ended, or the keeper is gone: then its next hello brings the signal up again.
            _log.info("a signal was not sent: %s", error)

    def forget(self, attempt_id: AttemptId) -> None:
        """See Engine."""
        self._ports.pop(attempt_id, None)
        if not self._to_forget:
            asyncio.get_running_loop().call_soon(self._forget)
        self._to_forget.append(attempt_id)

    def _forget(self) -> None:
        """All that has been forgotten in this turn of the loop, in one command."""
        attempt_ids, self._to_forget = self._to_forget, []
        self._keeper.forget(attempt_ids)

    def publish(self, output_path: str) -> None:
        """See Engine."""
        self._spawn(self._publish(output_path))

    async def _publish(self, output_path: str) -> None:
        try:
            await asyncio.to_thread(self._staging.publish, output_path)
        except OpsconsoleError as error:
            self._say(error.message)

    async def pids(self) -> dict[AttemptId, list[int]]:
        """See Engine."""
        return await self._keeper.pids()

    def silence(self) -> str:
        """See Engine."""
        return self._keeper.problem()

    @property
    def notes(self) -> Sequence[str]:
        """See Engine."""
        return list(self._told)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- hello -----------------------------------------------------------------------------------------------------

    async def _hello(self, hello: keeper_says.KeeperHello) -> KeeperHello | None:
        """The whole truth, after the keeper has looked for what it doesn't know; None if it is lost meanwhile."""
        live = [
            LiveProcess(attempt_id=one.attempt_id, started_at_ms=one.started_at_ms, frozen=one.frozen)
            for one in hello.live
        ]
        known = {one.attempt_id for one in hello.live} | {one.attempt_id for one in hello.exits}
        unstarted: set[AttemptId] = set()
        outlived: set[AttemptId] = set()
        for attempt_id in list(self._expected()):
            if attempt_id in known:
                continue
            try:
                found = await self._keeper.adopt(attempt_id, paths=self._staging.log_files(attempt_id))
            except Unavailable:
                return None
            if found:
                live.append(LiveProcess(attempt_id=attempt_id, started_at_ms=_now_ms()))
            elif attempt_id in self._unsure:
                outlived.add(attempt_id)
            else:
                unstarted.add(attempt_id)
        exits = tuple(_exited(one) for one in hello.exits)
        return KeeperHello(live=tuple(live), exits=exits, unstarted=frozenset(unstarted), outlived=frozenset(outlived))


def _event(
    said: keeper_says.AttemptStarted
    | keeper_says.AttemptExited
    | keeper_says.AttemptFrozen
    | keeper_says.AttemptThawed,
) -> Event:
    match said:
        case keeper_says.AttemptStarted():
            return ProcessStarted(attempt_id=said.attempt_id, at_ms=said.at_ms)
        case keeper_says.AttemptExited():
            return _exited(said)
        case keeper_says.AttemptFrozen():
            return Frozen(attempt_id=said.attempt_id, at_ms=said.at_ms)
        case keeper_says.AttemptThawed():
            return Thawed(attempt_id=said.attempt_id, at_ms=said.at_ms)


def _exited(said: keeper_says.AttemptExited) -> ProcessExited:
    return ProcessExited(
        attempt_id=said.attempt_id,
        at_ms=said.at_ms,
        exit_code=said.exit_code,
        signal=said.signal,
        exit_known=said.exit_known,
        error=said.error or "",
        out_of_memory=said.oom_kill is True,
        all_gone=said.proof,
        leftovers=said.leftovers,
        outlived=tuple(said.outlived),
        host_restarted=said.error == HOST_RESTARTED,
        started_at_ms=said.started_at_ms,
        peak_memory_mb=round(said.max_rss_mb) if said.pid is not None else None,
        cpu_seconds=round(said.user_s + said.system_s, 3) if said.pid is not None else None,
    )


def _words(error: OpsconsoleError | OSError) -> str:
    if isinstance(error, OpsconsoleError):
        return error.message
    advice = ": make room there" if is_disk_full(error) else ""
    return (
        f"{error.filename} can't be made ({error.strerror}){advice}" if error.filename else str(error.strerror or error)
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
