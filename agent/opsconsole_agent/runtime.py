"""The agent: its parts, put together. Nothing is decided here."""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from opsconsole_agent.core.event import StopAll
from opsconsole_agent.core.reactor import Reactor
from opsconsole_agent.core_runner import CoreRunner
from opsconsole_agent.dataset.ability import abilities
from opsconsole_agent.dataset.describer import START_LIMITS, Describer
from opsconsole_agent.engine.own_output import OwnOutputs
from opsconsole_agent.engine.process_engine import ProcessEngine
from opsconsole_agent.engine.setup_cache import SETUPS_FOLDER, SetupCache
from opsconsole_agent.engine.side_process import SideProcesses
from opsconsole_agent.engine.staging import Equipment, Staging, TaskDefaults
from opsconsole_agent.engine.task_user import TaskUser, find_task_user
from opsconsole_agent.keeper_client.keeper_client import KeeperClient
from opsconsole_agent.link.coordinator_link import CoordinatorLink, Target
from opsconsole_agent.link.dataset_answerer import DatasetAnswerer
from opsconsole_agent.link.file_answerer import FileAnswerer
from opsconsole_agent.link.leaving_answerer import LeavingAnswerer
from opsconsole_agent.link.message_handler import Description, MessageHandler
from opsconsole_agent.log.shipper import KEPT_DAYS, LogShipper
from opsconsole_agent.probe.file_look import FileLook
from opsconsole_agent.probe.io_path import WorkerIOConfig, check
from opsconsole_agent.recognise.recogniser import Recogniser
from opsconsole_agent.report.gpu_recorder import EVERY_MS, GpuRecorder, Holder
from opsconsole_agent.report.server import ReportServer
from opsconsole_agent.report.token import job_token
from opsconsole_agent.session.guests import Guests
from opsconsole_agent.session.server import LiveTask, SessionServer
from opsconsole_agent.state.content_folder import CONTENT_FOLDER, cache_bytes, open_store
from opsconsole_agent.state.credential import Credential, StateLock, ensure_credential, keep_joined
from opsconsole_agent.state.departure import Departure
from opsconsole_agent.state.file_place import FilePlaces
from opsconsole_agent.state.membership import Membership, save_membership
from opsconsole_agent.state.sdk_folder import install_sdk
from opsconsole_agent.state.state_folder import ATTEMPTS_FOLDER, OUTPUTS_FOLDER, StateFolder
from opsconsole_agent.telemetry import Telemetry
from opsconsole_agent.transfer.transfers import Transfers
from opsconsole_protocol.error import Conflict, InvalidRequest, Unavailable
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.host.private_file import PrivateFileError
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Message
from opsconsole_protocol.log import Source

STOP_TIMEOUT_S = 60.0
_FORGET_TIMEOUT_S = 5.0
_CUT_OFF_S = 60.0
"""How long one that leaves waits for the coordinator to come back and hear what ended here: else that would be run again elsewhere."""
_SWEEP_EVERY_S = 24 * 3600.0
_POLL_S = 0.02
_LEAVE_POLL_S = 0.2
OWN_OUTPUT_DAYS = 30.0
"""How long outputs stay in the state folder of a worker without an output path, which nobody looks into."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AgentConfig:
    """What an agent is told.

    `token`: an invitation (`id.secret`) or an operator's token, for the first join. `max_concurrent_jobs` None: as many as
    there are GPUs, else 1. `tags`: `K` or `K=V` each. `properties`: added to those that are measured.
    `keep_attempt_days`: how long that stays which tasks leave in their working folders. `keep_output_days`: how long the
    outputs of ended jobs stay; 0: for ever; None: for ever in an output path, else for OWN_OUTPUT_DAYS. `stop_tasks`: end all tasks with the agent. `project`: advertised as a property.
    `exit_when_empty_s`: how often an agent without tasks asks whether any wait for it, to leave when none do; None: it stays.
    `remember`: keep the coordinator's address for the next start; one that is found by its data folder need not be kept.
    `stdin`: the file that tasks read. `run_as`: the user that tasks run as, where the agent is root. `cache_bytes`: how much
    is kept of files and code that jobs brought, and as much again of what setups made; None: a tenth of the disk, at most 50 GB.
    `own_outputs`: keep results in the state folder where there is no output path. `job_output_bytes`: how much a task may write
    to its output folder, where that is local, before it is ended; 0: as much as it likes.
    """

    url: str
    certificate_hash: str | None
    token: str | None = field(repr=False)
    name: str
    state_dir: Path
    io: WorkerIOConfig = field(default_factory=WorkerIOConfig)
    max_concurrent_jobs: int | None = None
    tags: tuple[str, ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)
    keep_attempt_days: float = KEPT_DAYS
    keep_output_days: float | None = None
    stop_tasks: bool = False
    project: str | None = None
    exit_when_empty_s: float | None = None
    remember: bool = True
    stdin: str = os.devnull
    run_as: str | None = None
    cache_bytes: int | None = None
    own_outputs: bool = True
    job_output_bytes: int = 0

    @property
    def outputs(self) -> WorkerIOConfig:
        """The I/O paths, with the place where results go as the output path, also where the worker has none to show."""
        if self.io.output_path is not None or not self.own_outputs:
            return self.io
        return replace(self.io, output_path=self.state_dir.absolute() / OUTPUTS_FOLDER)

    @property
    def output_days(self) -> float:
        """How many days the outputs of ended jobs stay; 0: for ever."""
        if self.keep_output_days is not None:
            return self.keep_output_days
        return 0 if self.outputs == self.io else OWN_OUTPUT_DAYS


class Agent:
    """One agent. `say` is told what a person should know, one line at a time."""

    def __init__(self, config: AgentConfig, say: Callable[[str], None]) -> None:
        self._config = config
        self._say = say

    async def run(self, stop: asyncio.Event, leave: asyncio.Event | None = None) -> None:
        """Join and serve until `stop` is set; tasks go on unless `stop_tasks`.

        Once `leave` is set no more tasks are taken, and when those that run have ended it returns.

        Raises OpsconsoleError, one line that says what to do, when the agent can't start or may not go on.
        """
        user = find_task_user(self._config.run_as) if self._config.run_as else None
        problems = await asyncio.to_thread(check, self._config.io)
        if problems:
            raise InvalidRequest("; ".join(problems))
        self._say(_io_words(self._config.io))
        with StateLock(self._config.state_dir):
            credential = ensure_credential(self._config.state_dir)
            state = StateFolder(
                self._config.state_dir, self._config.keep_attempt_days, None if user is None else user.user
            )
            if user is not None:
                io = self._config.io
                needed = (self._config.state_dir / ATTEMPTS_FOLDER, *(Path(mount.path) for mount in io.every_mount))
                await asyncio.to_thread(user.check_reach, needed)
                self._say(f"tasks run as {user.name}")
            telemetry = Telemetry(state, self._config.io.output_path)
            keeper = await KeeperClient.connect(self._config.state_dir)
            try:
                service = await _Service.make(self._config, self._say, credential, state, telemetry, keeper, user)
                await service.run(stop, leave or asyncio.Event())
            finally:
                await keeper.close()
                telemetry.close()


class _Service:
    """The parts of a running agent."""

    def __init__(
        self,
        config: AgentConfig,
        say: Callable[[str], None],
        state: StateFolder,
        description: Description,
        credential: Credential,
        telemetry: Telemetry,
        keeper: KeeperClient,
        user: TaskUser | None,
        store: ContentStore,
    ) -> None:
        self._config = config
        self._say = say
        self._state = state
        self._reactor = Reactor(description.max_concurrent_jobs, ProcessEngine.name)
        self._boot_id = description.host.boot_id
        shipper = LogShipper(kept_days=config.keep_attempt_days)
        self._recogniser = Recogniser(lambda attempt_id: partial(state.log_names, attempt_id))
        self._core_runner = CoreRunner(self._reactor, state, shipper, self._recogniser, os.environ)
        places = FilePlaces(state, config.io)
        home = Home(config.url, config.certificate_hash)
        guests = Guests(keeper)
        self._task_user = user
        sessions = SessionServer(guests, self._live_task)
        transfers = self._transfers = Transfers(
            self._send, store, home, places.find, _input_folders(config), sessions.serve
        )
        user_ids = None if user is None else user.user.ids
        file_answerer = FileAnswerer(places, FileLook(user_ids))
        dataset_answerer = DatasetAnswerer(places, Describer(user_ids))
        self._setups = SetupCache(
            state.path / SETUPS_FOLDER,
            cache_bytes(config.state_dir, config.cache_bytes),
            None if user is None else user.user,
        )
        caches = (transfers.contents, self._setups)
        leaving_answerer = LeavingAnswerer(state, config.outputs, config.output_days, caches, say)
        self._departure = Departure(config.state_dir)
        self._cut_off_since_s: float | None = None
        self._message_handler = MessageHandler(
            description,
            self._core_runner,
            state,
            shipper,
            telemetry,
            file_answerer,
            dataset_answerer,
            leaving_answerer,
            transfers,
            self._departure,
            say,
        )
        self._credential = credential
        headers = {"Authorization": f"Bearer {credential.secret}", "Opsconsole-Worker": credential.worker_id}
        target = Target(
            config.url, config.certificate_hash, headers, config.token, credential.secret,
            credential.has_joined_by(config.token),
        )  # fmt: skip
        self._link = CoordinatorLink(target, self._message_handler, shipper, say, self._on_accepted)
        own_outputs = None
        if config.outputs.output_path is not None and config.outputs != config.io:
            own_outputs = OwnOutputs(config.outputs.output_path, shared=user is not None)
        defaults = TaskDefaults(
            description.worker_id, config.url, dict(os.environ), config.io, config.stdin, user, own_outputs,
            _sdk_path(config.state_dir, say), self._report_api,
        )  # fmt: skip
        self._gpu_recorder = GpuRecorder(
            self._gpu_holders, lambda: telemetry.fresh_gpus(EVERY_MS / 1000), self._recogniser.add
        )
        self._report_server = ReportServer(config.state_dir, credential.secret, self._is_live, self._report_file)
        side_processes = SideProcesses(keeper, state)
        describer = Describer(user_ids, limits=START_LIMITS)
        equipment = Equipment(transfers.contents, self._setups, side_processes, describer)
        self._engine = ProcessEngine(
            keeper,
            Staging(defaults, state, equipment),
            self._core_runner.handle_events,
            self._expected,
            say,
            side_processes,
            guests,
        )
        self._core_runner.engine = self._engine
        self._core_runner.link = self._link

    @classmethod
    async def make(
        cls,
        config: AgentConfig,
        say: Callable[[str], None],
        credential: Credential,
        state: StateFolder,
        telemetry: Telemetry,
        keeper: KeeperClient,
        user: TaskUser | None,
    ) -> "_Service":
        """Look at the host first: how many GPUs there are decides how many slots."""
        host = await telemetry.identify()
        own = {"project": config.project} if config.project else {}
        description = Description(
            worker_id=credential.worker_id,
            name=config.name,
            run_id=secrets.token_hex(8),
            host=host,
            io=config.io,
            max_concurrent_jobs=config.max_concurrent_jobs or len(telemetry.gpus) or 1,
            tags=config.tags,
            properties={**config.properties, **own},
            job_output_bytes=config.job_output_bytes,
            datasets=abilities(),
        )
        contents = await asyncio.to_thread(open_store, config.state_dir, config.cache_bytes, readable=user is not None)
        telemetry.cache_room = contents.room_bytes
        return cls(config, say, state, description, credential, telemetry, keeper, user, contents)

    def _send(self, message: Message) -> None:
        self._link.send(message)

    def _on_accepted(self) -> None:
        """Remember the coordinator that has accepted this agent: from now on it has to know the agent's credential."""
        config = self._config
        try:
            keep_joined(config.state_dir, self._credential, config.token)
            if config.remember:
                save_membership(config.state_dir, Membership(config.url, config.certificate_hash))
        except PrivateFileError as error:  # a full disk keeps no agent from its tasks
            self._say(error.message)

    def _is_live(self, attempt_id: AttemptId) -> bool:
        return any(attempt.attempt_id == attempt_id for attempt in self._reactor.expected())

    def _live_task(self, attempt_id: AttemptId) -> LiveTask:
        """What is to be known of an attempt that an operator wants to get into. Raises Conflict."""
        attempt = next((one for one in self._reactor.expected() if one.attempt_id == attempt_id), None)
        if attempt is None or attempt.workdir is None:
            raise Conflict("the task doesn't run on this worker any more")
        gang = None if attempt.launch is None else attempt.launch.gang
        hosts = ("127.0.0.1", "::1") if gang is None else ("127.0.0.1", "::1", gang.host)
        return LiveTask(
            attempt.workdir, attempt.ports, hosts, None if self._task_user is None else self._task_user.user
        )

    def _patterns(self) -> dict[AttemptId, str]:
        """What runs here, each with its pattern for metrics."""
        launches = ((one.attempt_id, one.launch) for one in self._reactor.expected())
        return {attempt_id: launch.metric_pattern for attempt_id, launch in launches if launch is not None}

    def _gpu_holders(self) -> dict[AttemptId, Holder]:
        """What runs here with GPUs."""
        return {
            one.attempt_id: Holder(one.gpu_ids, one.started_at_ms)
            for one in self._reactor.expected()
            if one.gpu_ids and one.started_at_ms is not None and one.exited is None
        }

    def _report_file(self, attempt_id: AttemptId) -> str:
        return self._state.log_file(attempt_id, Source.REPORT)

    def _report_api(self, attempt_id: AttemptId) -> tuple[str, str] | None:
        url = self._report_server.url
        return (url, job_token(self._credential.secret, attempt_id)) if url else None

    def _expected(self) -> list[AttemptId]:
        return [attempt.attempt_id for attempt in self._reactor.expected()]

    def _recover(self) -> None:
        """Take over what an earlier life of the agent wrote down."""
        host_restarted = not self._state.same_boot(self._boot_id)
        for intent in self._core_runner.recover():
            if intent.engine == self._engine.name:
                self._engine.readopt(intent, host_restarted=host_restarted)
        for attempt in self._reactor.foreign():
            self._say(f"{attempt.attempt_id} was {attempt.reason} until an agent that has it runs here")

    async def _drop_unknown(self) -> None:
        """What attempts needed that nobody knows any more goes."""
        known = {attempt.attempt_id for attempt in self._reactor.observed()}
        await asyncio.to_thread(self._transfers.contents.recover, known)
        await asyncio.to_thread(self._setups.recover, known)

    async def run(self, stop: asyncio.Event, leave: asyncio.Event) -> None:
        """Serve until told to stop or to leave; raises what fails for good."""
        self._recover()
        try:
            await self._report_server.start()
        except OSError as error:
            self._say(f"tasks can't report by HTTP: {error.strerror}")
        running = [asyncio.create_task(self._engine.run(), name="keeper news")]
        try:
            # Before the engine has said what lives, what runs would be registered as what never started.
            await _first_of(running, self._core_runner.knows_attempts)
            await self._drop_unknown()
            if found := len(self._reactor.observed()):
                self._say(f"found {found} attempts of an earlier run, {len(self._reactor.expected())} of them running")
            running += [asyncio.create_task(self._link.run(), name="link"), asyncio.create_task(self._sweep())]
            running.append(asyncio.create_task(self._recogniser.run(self._patterns), name="recogniser"))
            running.append(asyncio.create_task(self._gpu_recorder.run(), name="GPU recorder"))
            running.append(asyncio.create_task(self._leave(leave, stop), name="leave"))
            running.append(asyncio.create_task(self._leave_when_empty(leave), name="leave when empty"))
            await _first_of(running, stop)
            if self._config.stop_tasks:
                await self._stop_tasks()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            self._core_runner.close()
            self._recogniser.close()
            await self._report_server.close()
            await self._message_handler.close()
            await self._engine.close()
            await self._transfers.close()
        if left := len(self._reactor.expected()):
            self._say(f"{_tasks(left, 'goes on', 'go on')}; start the agent again to have that reported")

    async def _leave(self, leave: asyncio.Event, stop: asyncio.Event) -> None:
        """When it is time, take no more tasks, and stop once those that are here have ended and the coordinator knows it."""
        await leave.wait()
        try:
            await asyncio.to_thread(self._departure.begin)
        except OSError as error:
            self._say(f"that it leaves can't be written down ({error.strerror}): undrain it when it is back")
        if self._link.is_up:
            self._message_handler.tell_status()
        if left := len(self._reactor.expected()):
            self._say(f"takes no more tasks, and leaves when {_tasks(left, 'has ended', 'have ended')}")
        await _until(self._has_left, None)
        stop.set()

    async def _leave_when_empty(self, leave: asyncio.Event) -> None:
        """It is time once nothing is here and nothing waits that could come, if that is wanted."""
        every_s = self._config.exit_when_empty_s
        while every_s is not None and not leave.is_set():
            await asyncio.sleep(every_s)
            if self._link.is_up and not self._reactor.observed() and await self._message_handler.ask_waiting() == 0:
                leave.set()
        await asyncio.Event().wait()  # that this has been said ends nothing by itself

    def _has_left(self) -> bool:
        """Whether nothing runs here, and the coordinator knows of that and assigns nothing more, or can't be told for long."""
        if self._link.is_up or self._reactor.expected():
            self._cut_off_since_s = None
            return self._departure.is_known and not self._reactor.observed()
        if not self._reactor.observed():
            return True
        now_s = time.monotonic()
        if self._cut_off_since_s is None:
            self._cut_off_since_s = now_s
            self._say("what ended here isn't reported yet: waits for the coordinator")
        return now_s - self._cut_off_since_s >= _CUT_OFF_S

    async def _stop_tasks(self) -> None:
        """End all tasks, and wait a while for the coordinator to hear of it."""
        self._core_runner.handle_events([StopAll(reason="its agent was told to stop its tasks")])
        await _until(lambda: not self._reactor.expected(), STOP_TIMEOUT_S)
        await _until(lambda: not self._link.is_up or not self._reactor.observed(), _FORGET_TIMEOUT_S)

    async def _sweep(self) -> None:
        while True:
            await asyncio.to_thread(self._setups.trim)
            if removed := await asyncio.to_thread(self._state.sweep, time.time()):
                _log.info("removed %d old working folders", removed)
            await asyncio.sleep(_SWEEP_EVERY_S)


def _input_folders(config: AgentConfig) -> tuple[str, ...]:
    """Where inputs of tasks lie: in the store of trees, and in the worker's mounts."""
    return str(config.state_dir.absolute() / CONTENT_FOLDER), *(mount.path for mount in config.io.every_mount)


def _io_words(io: WorkerIOConfig) -> str:
    """Where it reads and writes, in one line."""
    mounts = "".join(f"; {one.label}: {one.path}{' (writable)' if one.writable else ''}" for one in io.mounts)
    if io.input_path is None and io.output_path is None:
        return f"I/O paths: none; --input-path and --output-path name folders{mounts}"
    return f"I/O paths: input {io.input_path or 'none'}, output {io.output_path or 'none'} ({io.filesystem}){mounts}"


async def _first_of(running: list[asyncio.Task[None]], event: asyncio.Event) -> None:
    """Return when the event is set; raise what one of the tasks raises before that."""
    waiting = asyncio.create_task(event.wait())
    try:
        done, _ = await asyncio.wait([waiting, *running], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        waiting.cancel()


async def _until(condition: Callable[[], bool], timeout_s: float | None) -> None:
    give_up_at_s = None if timeout_s is None else time.monotonic() + timeout_s
    poll_s = _LEAVE_POLL_S if timeout_s is None else _POLL_S
    while not condition() and (give_up_at_s is None or time.monotonic() < give_up_at_s):  # noqa: ASYNC110  (once, on the way out)
        await asyncio.sleep(poll_s)


def _sdk_path(state_dir: Path, say: Callable[[str], None]) -> str | None:
    try:
        return install_sdk(state_dir)
    except (OSError, Unavailable) as error:
        say(f"tasks can't import opsconsole: {error}")
        return None


def _tasks(number: int, one: str, many: str) -> str:
    return f"1 task {one}" if number == 1 else f"{number} tasks {many}"
