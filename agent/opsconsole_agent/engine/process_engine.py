"""Starts attempts as processes of this host, through the keeper. To pause one is to freeze its processes."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from signal import Signals
from typing import Any

import msgspec
import psutil

from opsconsole_agent.core.event import (
    AttemptExited,
    AttemptPrepared,
    AttemptStarted,
    BuildStarted,
    EngineHello,
    Event,
    FoundAttempt,
    Paused,
    PauseFailed,
    PreparationFailed,
    Resumed,
    StartFailed,
)
from opsconsole_agent.core.intent import PROCESS, Intent
from opsconsole_agent.engine.build import Build, has_build, run_at_once
from opsconsole_agent.engine.engine import Emit, Settled, StepProgress
from opsconsole_agent.engine.leader import leader_of, minds
from opsconsole_agent.engine.port import PortTaken, allocate_ports, is_listened_on
from opsconsole_agent.engine.setup import SetupFailed
from opsconsole_agent.engine.side_process import SideProcesses, attempt_of
from opsconsole_agent.engine.staging import CheckpointGone, Prepared, Staging
from opsconsole_agent.keeper_client import message as keeper_message
from opsconsole_agent.keeper_client.keeper_client import KeeperClient
from opsconsole_agent.probe.io_path import NOTHING_WRITTEN, OutputRefused
from opsconsole_agent.session.guests import Guests
from opsconsole_agent.state import pause_flag
from opsconsole_agent.state.state_folder import is_disk_full
from opsconsole_agent.transfer.fetcher import ContentAway
from opsconsole_protocol.content.error import DiskFull, NoRoom
from opsconsole_protocol.dataset import BrokenDataset
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.error import Conflict, LimitExceeded, NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.job_content import Bundle
from opsconsole_protocol.link import Launch

_CAUSES: Mapping[type, EndCause] = {
    PortTaken: EndCause.PORT_TAKEN,
    ContentAway: EndCause.CONTENT_AWAY,
    SetupFailed: EndCause.SETUP_FAILED,
    BrokenDataset: EndCause.BROKEN_DATASET,
    DiskFull: EndCause.DISK_FULL,
    NoRoom: EndCause.DISK_FULL,
    CheckpointGone: EndCause.CHECKPOINT_GONE,
}
_MOMENTARY = (PortTaken, ContentAway, DiskFull, NoRoom, CheckpointGone)
"""Only the moment is to blame, so the attempt is to be tried again at no cost."""

_SIGNAL_AGAIN_S = 0.2
_log = logging.getLogger(__name__)


class ProcessEngine:
    """An Engine, whose docstrings say what the methods promise."""

    name = PROCESS

    def __init__(
        self,
        keeper: KeeperClient,
        staging: Staging,
        emit: Emit,
        expected: Callable[[], Iterable[AttemptId]],
        say: Callable[[str], None] = _log.warning,
        side_processes: SideProcesses | None = None,
        guests: Guests | None = None,
    ) -> None:
        """`expected`: attempts that should have a process. `say` is told what was found damaged, one line at a time.

        `side_processes`: the programs that steps of `staging` run. `guests`: those that operators run in attempts.
        """
        self._side_processes = side_processes or SideProcesses(keeper, staging.state)
        self._guests = guests or Guests(keeper)
        self._keeper = keeper
        self._staging = staging
        self._emit = emit
        self._expected = expected
        self._say = say
        self._damage: dict[str, None] = {}
        self._from_before_restart: set[AttemptId] = set()
        self._ready: dict[AttemptId, Prepared] = {}
        self._ports: dict[AttemptId, tuple[int, ...]] = {}
        self._builds: dict[AttemptId, Build] = {}
        self._stagings: dict[AttemptId, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_forget: list[AttemptId] = []

    async def run(self) -> None:
        """See Engine."""
        async for batch in self._keeper.batches():
            events: list[Event] = []
            for message in batch:
                if isinstance(message, keeper_message.KeeperHello):
                    self._say_damage(message.notes)
                    hello = await self._readopt_all(message)
                    if hello is not None:
                        events.append(hello)
                elif isinstance(message, keeper_message.GuestExited):
                    self._guests.exited(message)
                elif isinstance(message, keeper_message.KeeperLost):
                    self._guests.keeper_lost()
                    if message.final:
                        raise Unavailable(f"the keeper can't be used any more: {message.reason}")
                    _log.warning("the keeper was lost and is looked for: %s", message.reason)
                elif not self._side_processes.take(message):
                    events.append(self._with_taken_port(_to_event(message)))
                    if isinstance(message, keeper_message.AttemptExited):
                        self._guests.attempt_exited(message.attempt_id)
            self._emit(events)
        raise Unavailable("the link to the keeper was closed")

    def _say_damage(self, notes: Iterable[str]) -> None:
        """Once each, though every hello of a keeper repeats them."""
        for note in notes:
            if note not in self._damage:
                self._damage[note] = None
                self._say(f"the keeper says: {note}")

    async def close(self) -> None:
        """End what is under way here; no attempt is touched."""
        tasks = [*self._tasks, *self._stagings.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._side_processes.close()

    # --- before the start ------------------------------------------------------------------------------------------

    def prepare(self, attempt_id: AttemptId, launch: Launch) -> None:
        """See Engine."""
        if self._staging.is_quick(launch):
            run_at_once(self._prepare(attempt_id, launch, is_quick=True))
            return
        self._emit([BuildStarted(attempt_id=attempt_id, at_ms=_now_ms())])
        task = asyncio.create_task(self._prepare(attempt_id, launch, is_quick=False), name=f"stage {attempt_id}")
        self._stagings[attempt_id] = task
        task.add_done_callback(lambda _: self._stagings.pop(attempt_id, None))

    async def _prepare(self, attempt_id: AttemptId, launch: Launch, *, is_quick: bool) -> None:
        try:
            build = Build(attempt_id, launch, self._take_ports(attempt_id, launch), is_quick)
            self._builds[attempt_id] = build
            prepared = await self._staging.stage(build)
        except (OpsconsoleError, OSError) as error:
            self._refuse(attempt_id, error)
        else:
            self._accept(attempt_id, prepared, build.ports)
        finally:
            self._builds.pop(attempt_id, None)

    def progress(self) -> dict[AttemptId, StepProgress]:
        """See Engine."""
        return {attempt_id: build.progress for attempt_id, build in self._builds.items() if build.progress is not None}

    def _accept(self, attempt_id: AttemptId, prepared: Prepared, ports: Mapping[str, int]) -> None:
        self._ready[attempt_id] = prepared
        self._emit(
            [
                AttemptPrepared(
                    attempt_id=attempt_id,
                    at_ms=_now_ms(),
                    output_path=prepared.output_path,
                    from_cache=prepared.from_cache,
                    workdir=prepared.command.cwd,
                    ports=dict(ports),
                    datasets=prepared.datasets,
                )
            ]
        )

    def _refuse(self, attempt_id: AttemptId, error: OpsconsoleError | OSError) -> None:
        self._ports.pop(attempt_id, None)
        is_full = isinstance(error, OSError) and is_disk_full(error)
        again = isinstance(error, _MOMENTARY) or is_full
        found = (cause for kind, cause in _CAUSES.items() if isinstance(error, kind))
        cause = EndCause.DISK_FULL if is_full else next(found, EndCause.NOT_STARTED)
        is_ours = isinstance(error, OSError | OutputRefused | LimitExceeded | Unavailable | DiskFull) and not again
        self._emit(
            [
                PreparationFailed(
                    attempt_id=attempt_id,
                    at_ms=_now_ms(),
                    error=_words(error),
                    worker_fault=is_ours,
                    again=again,
                    cause=cause,
                    hint=error.hint if isinstance(error, SetupFailed) else "",
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

    def _with_taken_port(self, event: Event) -> Event:
        """Of a failure tell whether somebody else has the port that was chosen for it."""
        if not isinstance(event, AttemptExited) or event.exit_code in {0, None} or not event.all_gone:
            return event
        taken = next((one for one in self._ports.get(event.attempt_id, ()) if is_listened_on(one)), None)
        return event if taken is None else msgspec.structs.replace(event, taken_port=taken)

    def free_port(self) -> int:
        """A port that is free now; raises LimitExceeded."""
        return allocate_ports(("gang",), {port for ports in self._ports.values() for port in ports})["gang"]

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
            self._emit([StartFailed(attempt_id=attempt_id, at_ms=_now_ms(), error=error.message)])

    def pause(self, attempt_id: AttemptId) -> None:
        """See Engine."""
        self._spawn(self._switch(attempt_id, self._keeper.freeze(attempt_id), "can't be paused"))

    def resume(self, attempt_id: AttemptId) -> None:
        """See Engine."""
        self._spawn(self._switch(attempt_id, self._keeper.thaw(attempt_id), "can't be resumed"))

    async def _switch(self, attempt_id: AttemptId, command: Coroutine[Any, Any, int], trouble: str) -> None:
        try:
            await command
        except NotFound:
            return  # it has ended, as an event says or has said
        except Conflict as error:
            _log.info("%s %s: %s", attempt_id, trouble, error)
        except OpsconsoleError as error:
            if self._keeper.connected:
                self._emit([PauseFailed(attempt_id=attempt_id, error=f"{trouble}: {error.message}")])

    def ask_to_save(self, attempt_id: AttemptId, signal: str) -> None:
        """See Engine."""
        try:
            pause_flag.put_up(self._staging.state.folder(attempt_id))
        except OSError as error:
            self._say(f"{attempt_id} can't be asked to save a checkpoint ({error.strerror})")
        if signal:
            self._spawn(self._signal_leader(attempt_id, signal))

    async def _signal_leader(self, attempt_id: AttemptId, name: str) -> None:
        """As soon as the leader minds the signal, which would end it before: while it still imports what it needs, say."""
        try:
            pids = (await self.pids()).get(attempt_id, [])
        except OpsconsoleError as error:
            _log.info("a signal was not sent: %s", error)
            return
        with contextlib.suppress(psutil.Error):
            leader, signal = leader_of(pids), Signals[f"SIG{name}"]
            while (
                leader is not None and leader.is_running() and pause_flag.is_up(self._staging.state.folder(attempt_id))
            ):
                if minds(leader.pid, signal):
                    leader.send_signal(signal)
                    return
                await asyncio.sleep(_SIGNAL_AGAIN_S)

    def withdraw_ask(self, attempt_id: AttemptId) -> None:
        """See Engine."""
        pause_flag.take_down(self._staging.state.folder(attempt_id))

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

    def settle(
        self, attempt_id: AttemptId, launch: Launch | None, output_path: str | None, *, all_gone: bool, then: Settled
    ) -> None:
        """See Engine."""
        bundle = None if launch is None or not all_gone else launch.bundle
        if bundle is None:
            if all_gone and self._staging.reclaim(output_path):
                then(NOTHING_WRITTEN)
                return
            is_known, count = self._staging.count_at_once(output_path)
            if is_known:
                then(count)
                return
        self._spawn(self._settle(attempt_id, bundle, output_path, then))

    async def _settle(
        self, attempt_id: AttemptId, bundle: Bundle | None, output_path: str | None, then: Settled
    ) -> None:
        if bundle is not None:
            await self._staging.remove_bundle(attempt_id, bundle)
            if self._staging.reclaim(output_path):
                then(NOTHING_WRITTEN)
                return
        then(await self._staging.count(output_path))

    def forget(self, attempt_id: AttemptId, launch: Launch | None = None) -> None:
        """See Engine."""
        self._ports.pop(attempt_id, None)
        if launch is not None and has_build(launch):
            self._spawn(self._staging.release(attempt_id, launch.bundle))
        if not self._to_forget:
            asyncio.get_running_loop().call_soon(self._forget_all)
        self._to_forget.append(attempt_id)

    def _forget_all(self) -> None:
        """What has been forgotten in this turn of the loop, in one command."""
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
        found: dict[AttemptId, list[int]] = {}
        for attempt_id, pids in (await self._keeper.pids()).items():
            found[attempt_of(attempt_id)] = [*found.get(attempt_of(attempt_id), ()), *pids]
        return found

    def unresponsive_because(self) -> str:
        """See Engine."""
        return self._keeper.problem()

    def damage(self) -> Sequence[str]:
        """See Engine."""
        return list(self._damage)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what is found ---------------------------------------------------------------------------------------------

    def readopt(self, intent: Intent, *, host_restarted: bool) -> None:
        """See Engine."""
        self._ports[intent.attempt_id] = tuple(intent.ports.values())
        if host_restarted:
            # The keeper's log, never synced, may have lost its start when the host went down.
            self._from_before_restart.add(intent.attempt_id)

    async def _readopt_all(self, hello: keeper_message.KeeperHello) -> EngineHello | None:
        """The whole truth, after the keeper has looked for what it doesn't know; None if it is lost meanwhile."""
        without_others = await self._side_processes.take_hello(hello, self._build_log)
        if without_others is None:
            return None
        hello = without_others
        live = [
            FoundAttempt(attempt_id=one.attempt_id, started_at_ms=one.started_at_ms, is_paused=one.frozen)
            for one in hello.live
        ]
        known = {one.attempt_id for one in hello.live} | {one.attempt_id for one in hello.exits}
        unstarted: set[AttemptId] = set()
        lost_with_host: set[AttemptId] = set()
        for attempt_id in list(self._expected()):
            if attempt_id in known:
                continue
            try:
                found = await self._keeper.adopt(attempt_id, paths=self._staging.log_files(attempt_id))
            except Unavailable:
                return None
            if found:
                live.append(FoundAttempt(attempt_id=attempt_id, started_at_ms=_now_ms()))
            elif attempt_id in self._from_before_restart:
                lost_with_host.add(attempt_id)
            else:
                unstarted.add(attempt_id)
        exits = tuple(_exited(one) for one in hello.exits)
        return EngineHello(
            engine=self.name,
            live=tuple(live),
            exits=exits,
            unstarted=frozenset(unstarted),
            lost_with_host=frozenset(lost_with_host),
        )

    def _build_log(self, attempt_id: AttemptId) -> tuple[str, ...]:
        return (self._staging.build_log(attempt_id),)


def _to_event(
    message: keeper_message.AttemptStarted
    | keeper_message.AttemptExited
    | keeper_message.AttemptFrozen
    | keeper_message.AttemptThawed,
) -> Event:
    match message:
        case keeper_message.AttemptStarted():
            return AttemptStarted(attempt_id=message.attempt_id, at_ms=message.at_ms)
        case keeper_message.AttemptExited():
            return _exited(message)
        case keeper_message.AttemptFrozen():
            return Paused(attempt_id=message.attempt_id, at_ms=message.at_ms)
        case keeper_message.AttemptThawed():
            return Resumed(attempt_id=message.attempt_id, at_ms=message.at_ms)


def _exited(message: keeper_message.AttemptExited) -> AttemptExited:
    return AttemptExited(
        attempt_id=message.attempt_id,
        at_ms=message.at_ms,
        exit_code=message.exit_code,
        signal=message.signal,
        exit_known=message.exit_known,
        error=message.error or "",
        out_of_memory=message.oom_kill is True,
        all_gone=message.proof,
        leftovers=message.leftovers,
        outlived=tuple(message.outlived),
        cause=message.cause,
        host_restarted=message.cause == EndCause.HOST_RESTARTED,
        started_at_ms=message.started_at_ms,
        peak_memory_mb=round(message.max_rss_mb) if message.pid is not None else None,
        cpu_seconds=round(message.user_s + message.system_s, 3) if message.pid is not None else None,
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
