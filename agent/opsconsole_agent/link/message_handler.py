"""The agent as its link sees it: introduces the agent, handles what the coordinator says, and answers what it asks."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import msgspec

from opsconsole_agent.core.event import Contact, Event, LinkDown, LinkUp, OutputTooLarge
from opsconsole_agent.core_runner import CoreRunner
from opsconsole_agent.link.dataset_answerer import DatasetAnswerer
from opsconsole_agent.link.file_answerer import FileAnswerer
from opsconsole_agent.link.leaving_answerer import LeavingAnswerer
from opsconsole_agent.log.shipper import LogShipper
from opsconsole_agent.probe.address import reachable_address
from opsconsole_agent.probe.file_stability import RECHECK_MS, FileStability
from opsconsole_agent.probe.folder_check import FolderCheck, expand_home
from opsconsole_agent.probe.gpu import GpuReport
from opsconsole_agent.probe.host import HostIdentity
from opsconsole_agent.probe.io_path import InputFile as FoundInput
from opsconsole_agent.probe.io_path import InputRefused, WorkerIOConfig, inspect_dataset, inspect_input
from opsconsole_agent.state.departure import Departure
from opsconsole_agent.state.state_folder import StateFolder, StoreMark, check_attempt_id
from opsconsole_agent.telemetry import Telemetry
from opsconsole_agent.transfer.transfers import Transfers
from opsconsole_protocol import PROTOCOL_VERSION
from opsconsole_protocol.bound import cut
from opsconsole_protocol.dataset import ARROW, DATASETS, INSTALL
from opsconsole_protocol.error import InvalidRequest, LimitExceeded, OpsconsoleError
from opsconsole_protocol.gpu_load import GPU_SHARING
from opsconsole_protocol.ids import AttemptId, WorkerId
from opsconsole_protocol.link import (
    TROUBLE_CHARACTERS_MAX,
    TROUBLES_MAX,
    AskWaiting,
    CoordinatorMessage,
    DescribeDataset,
    Desired,
    DesiredSet,
    FileExists,
    FileNotFound,
    FindPort,
    Forget,
    Heartbeat,
    HeartbeatAck,
    InputFile,
    JobAssignment,
    ListFiles,
    LogAck,
    LookForLeavings,
    Message,
    MetadataUpdated,
    Observe,
    PeerError,
    PortFound,
    QuestionKind,
    ReadFilePart,
    Register,
    Registered,
    RemoveLeavings,
    ServeStream,
    SetWant,
    Signal,
    StopStream,
    StreamGranted,
    StreamRefused,
    TaskProgress,
    Trouble,
    TroubleCode,
    UpdateMetadata,
    Waiting,
)
from opsconsole_protocol.log import Source
from opsconsole_protocol.quantity import size_words
from opsconsole_protocol.stream.message import SESSIONS
from opsconsole_protocol.truncation import truncated

_CHECKS_MAX = 4
_ANSWER_TIMEOUT_S = 2.0
_SOURCES = {str(source): source for source in Source}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Description:
    """What an agent says of itself that doesn't change while it runs. `properties`: those that its user set."""

    worker_id: WorkerId
    name: str
    run_id: str
    host: HostIdentity
    io: WorkerIOConfig
    max_concurrent_jobs: int
    tags: tuple[str, ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)
    job_output_bytes: int = 0
    """How much a task may write to its output folder; 0: as much as it likes."""
    datasets: Sequence[str] = ()
    """Which datasets can be looked at here, in words of the property DATASETS."""

    def to_properties(self, gpus: GpuReport) -> dict[str, Any]:
        """Everything a job can ask for, by the seeds' names. What the user set beats what is measured."""
        return {
            **self.host.to_properties(),
            "cpu_count": self.host.cpu_count,
            **gpus.to_properties(),
            **self.properties,
            "max_concurrent_jobs": self.max_concurrent_jobs,
            "io_paths": self.io.to_properties(),
            DATASETS: list(self.datasets),
            SESSIONS: True,
            **({GPU_SHARING: True} if gpus.gpus else {}),
            "mounts": [msgspec.to_builtins(mount) for mount in self.io.mounts],
        }


class MessageHandler:
    """The Peer of a link: handles each kind of message by one table."""

    def __init__(
        self,
        description: Description,
        core_runner: CoreRunner,
        state: StateFolder,
        shipper: LogShipper,
        telemetry: Telemetry,
        file_answerer: FileAnswerer,
        dataset_answerer: DatasetAnswerer,
        leaving_answerer: LeavingAnswerer,
        transfers: Transfers,
        departure: Departure,
        say: Callable[[str], None],
    ) -> None:
        self._description = description
        self._dials = 0
        self._core_runner = core_runner
        self._state = state
        self._shipper = shipper
        self._telemetry = telemetry
        self._file_answerer = file_answerer
        self._dataset_answerer = dataset_answerer
        self._leaving_answerer = leaving_answerer
        self._transfers = transfers
        self._departure = departure
        self._say = say
        self._store = state.load_store_mark()
        self._properties: dict[str, Any] = {}
        self._address: dict[str, str] = {}
        self._events: list[Event] = []
        self._checks = asyncio.Semaphore(_CHECKS_MAX)
        self._file_stability = FileStability()
        self._folders = FolderCheck()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: asyncio.Future[int] | None = None
        self._handlers: Mapping[type, Callable[[Any], None]] = {
            DesiredSet: self._on_desired_set,
            JobAssignment: self._on_job_assignment,
            SetWant: self._on_core_event,
            Forget: self._on_core_event,
            Observe: self._on_core_event,
            HeartbeatAck: self._on_heartbeat_ack,
            Waiting: self._on_waiting,
            LogAck: self._on_log_ack,
            InputFile: self._on_input_file,
            FindPort: self._on_find_port,
            LookForLeavings: self._on_leavings,
            RemoveLeavings: self._on_leavings,
            ListFiles: self._on_file_question,
            ReadFilePart: self._on_file_question,
            DescribeDataset: self._on_dataset_question,
            PeerError: self._on_error,
            StreamGranted: transfers.broker.on_granted,
            StreamRefused: transfers.broker.on_refused,
            Signal: transfers.broker.on_signal,
            ServeStream: transfers.server.on_serve,
            StopStream: transfers.broker.on_stop,
            MetadataUpdated: self._on_metadata_updated,
            Registered: self._on_nothing,
        }
        """Every message of the coordinator by its handler."""

    async def close(self) -> None:
        """Cancel the answers under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what the link asks ----------------------------------------------------------------------------------------

    def registration(self, reached_from: str) -> Register:
        """See Peer."""
        one = self._description
        self._dials += 1
        self._address = {"advertise_host": reachable_address(reached_from)}
        self._properties = {**self._address, **one.to_properties(self._telemetry.gpu_report)}
        return truncated(
            Register(
                protocol=PROTOCOL_VERSION,
                agent_version=_version(),
                worker_id=one.worker_id,
                name=one.name,
                run_id=one.run_id,
                dial=self._dials,
                boot_id=one.host.boot_id,
                tags=one.tags,
                properties=self._properties,
                max_concurrent_jobs=one.max_concurrent_jobs,
                gpus=self._telemetry.gpus,
                gpu_message=self._telemetry.gpu_report.message,
                troubles=self._telemetry.troubles,
                store_id=self._store.store_id,
                store_seq=self._store.store_seq,
                store_seal=self._store.store_seal,
                observed=self._core_runner.begin_exchange(),
            )
        )

    def connected(self, registered: Registered) -> None:
        """See Peer."""
        self._remember(StoreMark(registered.store_id, registered.store_seq, registered.store_seal))
        self._shipper.attempt_bytes_max = registered.attempt_log_bytes
        self._core_runner.handle_events([LinkUp()])
        self._transfers.connected()
        self.tell_status()

    def disconnected(self) -> None:
        """See Peer."""
        self._events.clear()
        self._transfers.disconnected()
        self._departure.lost()
        self._core_runner.handle_events([LinkDown()])

    def receive(self, message: CoordinatorMessage) -> None:
        """See Peer."""
        self._handlers[type(message)](message)

    def batch_received(self) -> None:
        """See Peer."""
        if self._events:
            events = self._events[:]
            self._events.clear()
            self._core_runner.handle_events(events)

    def overflowed(self) -> None:
        """See Peer."""
        asyncio.get_running_loop().call_soon(self._core_runner.handle_events, [Observe(exchange=0)])

    def shipped(self) -> None:
        """See Peer."""
        self._core_runner.correct_log_sizes()

    async def heartbeat(self) -> Heartbeat:
        """See Peer. The engine is asked each time: that is how it is noticed that it doesn't answer."""
        pids: Mapping[str, list[int]] = {}
        engine = self._core_runner.engine
        troubles = [
            Trouble(code=TroubleCode.STATE_DAMAGED, text=cut(note, TROUBLE_CHARACTERS_MAX), blocks=False)
            for note in engine.damage()
        ]
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                pids = {str(key): held for key, held in (await engine.pids()).items()}
        except (OpsconsoleError, TimeoutError) as error:
            _log.info("this heartbeat goes without usage: %s", error)
            if words := engine.unresponsive_because():
                troubles.insert(0, Trouble(code=TroubleCode.KEEPER_SILENT, text=cut(words, TROUBLE_CHARACTERS_MAX)))
        outputs = {
            str(one.attempt_id): one.output_path for one in self._core_runner.reactor.expected() if one.output_path
        }
        heartbeat = await self._telemetry.heartbeat(pids, outputs, _ANSWER_TIMEOUT_S)
        self._update_metadata()
        self._check_outputs()
        building = {
            str(key): TaskProgress(done=one.done, total=one.total, text=one.step)
            for key, one in engine.progress().items()
        }
        return truncated(
            msgspec.structs.replace(
                heartbeat,
                troubles=(*heartbeat.troubles, *troubles)[:TROUBLES_MAX],
                progress=building | heartbeat.progress,
            )
        )

    def _check_outputs(self) -> None:
        """End tasks that have written more results than they may."""
        allowed = self._description.job_output_bytes
        # Sizes are rounded up to whole MiB: what isn't surely too much goes on.
        too_large = {key: size for key, size in self._telemetry.output_mb.items() if 0 < allowed < (size - 1) << 20}
        if too_large:
            self._core_runner.handle_events(
                [
                    OutputTooLarge(
                        attempt_id=AttemptId(key),
                        reason=f"its results have {size_words(size << 20)}, and this worker allows a task "
                        f"{size_words(allowed)} (job_output_bytes)",
                    )
                    for key, size in too_large.items()
                ]
            )

    def _update_metadata(self) -> None:
        """Tell what has changed: GPUs may be lost, and drivers be updated, while the agent runs."""
        properties = {**self._address, **self._description.to_properties(self._telemetry.gpu_report)}
        changed = {key: value for key, value in properties.items() if self._properties.get(key) != value}
        if changed:
            self._properties |= changed
            self._send_metadata(changed)

    def tell_status(self) -> None:
        """Tell the coordinator whether tasks are wanted, where that has changed."""
        if (status := self._departure.status()) is not None:
            self._send_metadata({"status": status})

    def _send_metadata(self, properties: dict[str, Any]) -> None:
        self._departure.told()
        self._send(UpdateMetadata(properties=properties))

    async def ask_waiting(self) -> int | None:
        """How many tasks wait that may come here; None where the coordinator doesn't say so in time."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._send(AskWaiting())
        try:
            return await asyncio.wait_for(self._waiting, _ANSWER_TIMEOUT_S)
        except TimeoutError:
            return None

    # --- what the coordinator says ---------------------------------------------------------------------------------

    def _on_core_event(self, message: SetWant | Forget | Observe) -> None:
        self._events.append(message)

    def _on_nothing(self, _: Registered) -> None:
        """Nothing is left to be done: the link has taken `registered`."""

    def _on_metadata_updated(self, _: MetadataUpdated) -> None:
        self._departure.answered()

    def _on_leavings(self, message: LookForLeavings | RemoveLeavings) -> None:
        self._answer_later(self._answer_leavings(message))

    async def _answer_leavings(self, message: LookForLeavings | RemoveLeavings) -> None:
        self._send(await self._leaving_answerer.answer(message))

    def _on_file_question(self, message: ListFiles | ReadFilePart) -> None:
        self._answer_later(self._answer_file_question(message))

    async def _answer_file_question(self, message: ListFiles | ReadFilePart) -> None:
        self._send(await self._file_answerer.answer(message))

    def _on_dataset_question(self, message: DescribeDataset) -> None:
        self._answer_later(self._answer_dataset_question(message))

    async def _answer_dataset_question(self, message: DescribeDataset) -> None:
        self._send(await self._dataset_answerer.answer(message))

    def _on_desired_set(self, message: DesiredSet) -> None:
        self._events.append(
            DesiredSet(
                seq=message.seq,
                attempts=tuple(desired for desired in message.attempts if self._is_sound(desired)),
                adopting=message.adopting,
            )
        )
        self._core_runner.link.allow_shipping()

    def _on_job_assignment(self, message: JobAssignment) -> None:
        if self._is_sound(message.desired):
            self._events.append(message)

    def _is_sound(self, desired: Desired) -> bool:
        """Whether an attempt's id can name a folder; the coordinator is told where it can't."""
        try:
            check_attempt_id(desired.attempt_id)
        except InvalidRequest as error:
            self._send(PeerError(code=error.code, message=error.message))
            return False
        return True

    def _on_heartbeat_ack(self, message: HeartbeatAck) -> None:
        self._remember(StoreMark(self._store.store_id, message.store_seq, message.store_seal))
        self._events.append(Contact())

    def _on_waiting(self, message: Waiting) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(message.tasks)

    def _remember(self, told: StoreMark) -> None:
        """Keep the highest sequence of the store that was heard of last, with its seal."""
        known = self._store
        is_later = (told.store_seq, bool(told.store_seal)) > (known.store_seq, bool(known.store_seal))
        if told.store_id == known.store_id and not is_later:
            return
        self._store = told
        try:
            self._state.save_store_mark(self._store)
        except OSError as error:
            _log.warning("the store's sequence can't be remembered: %s", error.strerror)

    def _on_log_ack(self, message: LogAck) -> None:
        for attempt_id, source, offset in message.offsets:
            if source in _SOURCES:
                self._shipper.acknowledge(attempt_id, _SOURCES[source], offset)
        self._core_runner.link.wake_shipping()

    def _on_error(self, message: PeerError) -> None:
        self._say(f"the coordinator says: {message.message}")

    def _on_input_file(self, message: InputFile) -> None:
        self._answer_later(self._check_input(message))

    def _answer_later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_find_port(self, message: FindPort) -> None:
        try:
            port = self._core_runner.engine.free_port()
        except LimitExceeded as error:
            self._send(PeerError(code=error.code, message=error.message))
        else:
            self._send(PortFound(check_id=message.check_id, port=port))

    async def _check_input(self, message: InputFile) -> None:
        async with self._checks:
            if message.kind is QuestionKind.FOLDER:
                self._send(await asyncio.to_thread(self._look_for_folder, message))
            else:
                self._send(await asyncio.to_thread(self._look_for_input, message))

    def _look_for_input(self, message: InputFile) -> FileExists | FileNotFound:
        try:
            found = self._find(message)
        except InputRefused as refusal:
            return FileNotFound(check_id=message.check_id, reason=cut(refusal.message))
        if not found.changed_ns:
            return FileExists(check_id=message.check_id, path=str(found.path), size_bytes=0, is_folder=True)
        restless = self._file_stability.check(
            str(found.path), found.size_bytes, found.changed_ns, time.time_ns(), time.monotonic()
        )  # fmt: skip
        if restless:
            return FileNotFound(check_id=message.check_id, reason=restless, again_ms=RECHECK_MS)
        return FileExists(check_id=message.check_id, path=str(found.path), size_bytes=found.size_bytes)

    def _find(self, message: InputFile) -> FoundInput:
        """Raises InputRefused."""
        if message.kind is not QuestionKind.DATASET:
            return inspect_input(self._description.io, message.filename)
        found, has_arrow = inspect_dataset(self._description.io, message.filename)
        if has_arrow and ARROW not in self._description.datasets:
            raise InputRefused(f"has Parquet or Arrow, which its agent can't read: {INSTALL} in its environment")
        return found

    def _look_for_folder(self, message: InputFile) -> FileExists | FileNotFound:
        path = expand_home(message.filename)
        try:
            if self._folders.exists(path):
                return FileExists(check_id=message.check_id, path=path, size_bytes=0)
        except TimeoutError:
            return FileNotFound(check_id=message.check_id, reason="this folder doesn't answer: is the mount hung?")
        return FileNotFound(check_id=message.check_id, reason="there is no such folder on this worker")

    def _send(self, message: Message) -> None:
        self._core_runner.link.send(message)


def _version() -> str:
    try:
        return metadata.version("opsconsole")
    except metadata.PackageNotFoundError:
        return "unknown"
