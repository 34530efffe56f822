"""Starting and stopping a coordinator, alone or inside another program."""

import asyncio
import contextlib
import fcntl
import getpass
import logging
import os
import resource
import secrets
import sqlite3
import sys
import threading
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from socket import gethostname

import msgspec

from opsconsole_coordinator.gc_timer import GcTimer
from opsconsole_coordinator.http import web
from opsconsole_coordinator.notice.rule import NoticeRule
from opsconsole_coordinator.server.broadcaster import Broadcaster
from opsconsole_coordinator.server.cleaning import Cleaning
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.identity import Identities
from opsconsole_coordinator.server.log_service import LOG_FILES, LogService
from opsconsole_coordinator.server.notifier import Notifier
from opsconsole_coordinator.server.operator_api import OperatorApi
from opsconsole_coordinator.server.retention import Retention, RetentionPolicy
from opsconsole_coordinator.server.streams import Streams, TransferPolicy
from opsconsole_coordinator.server.worker_row_cache import WorkerRowCache
from opsconsole_coordinator.store import folder, query
from opsconsole_coordinator.store.database import FILE_NAME, Database
from opsconsole_coordinator.trust import certificate, token_file
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol.error import Conflict, InvalidRequest, Unavailable
from opsconsole_protocol.host.data_folder import ENDPOINT_FILE, LOCK_FILE
from opsconsole_protocol.host.endpoint import Endpoint
from opsconsole_protocol.host.private_file import write_private
from opsconsole_protocol.ids import spell
from opsconsole_protocol.link import ATTEMPT_LOG_BYTES
from opsconsole_protocol.trust.address import is_loopback

log = logging.getLogger("opsconsole.coordinator")

STORE_ID_LENGTH = 16
CONTENT_FOLDER = "content"
"""In the data folder: the trees of files that are kept."""
FILES_MAX = 16_384
SWITCH_INTERVAL_S = 0.001
"""How long the loop may keep the interpreter's lock while the store's threads wait for it. They give it up at every row: with
Python's 5 ms a page of 100 rows could take half a second whenever the loop is busy."""


@dataclass(frozen=True, slots=True)
class CoordinatorConfig:
    """How a coordinator runs. `listen` is HOST:PORT, port 0 for any; `tls` is auto (off on loopback only) or on."""

    data_dir: Path
    listen: str = "127.0.0.1:7373"
    tls: str = "auto"
    advertise: str | None = None
    name: str | None = None
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)
    attempt_log_bytes: int = ATTEMPT_LOG_BYTES
    transfer: TransferPolicy = field(default_factory=TransferPolicy)
    local_role: Role = Role.ADMIN
    """What the token in the data folder reaches."""
    notices: tuple[NoticeRule, ...] = ()


class DataFolderInUse(Conflict):
    """Another coordinator runs on this data folder."""


class Coordinator:
    """A coordinator on the running event loop."""

    def __init__(self, config: CoordinatorConfig) -> None:
        self._config = config
        self._lock = -1
        self._database: Database | None = None
        self._log_service: LogService | None = None
        self._web: web.Web | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Task[None] | None = None
        self._gc_timer = GcTimer()
        self.endpoint: Endpoint | None = None
        self._notifier: Notifier | None = None
        self.streams: Streams | None = None

    async def start(self) -> Endpoint:
        """Lock the data folder, open the store, listen. Raises OpsconsoleError with one line, and then nothing is left open."""
        try:
            return await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> Endpoint:
        config = self._config
        host, port = _split(config.listen)
        _check_advertise(host, config.advertise)
        self._lock_folder()
        if word := folder.restrict(config.data_dir, config.data_dir / FILE_NAME):
            log.warning(word)
        _raise_file_limit()
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
        listener = web.bind(host, port)
        self._gc_timer.pause()
        try:
            endpoint = await self._open(host, listener.getsockname()[1])
        except BaseException:
            listener.close()
            raise
        assert self._web is not None  # noqa: S101 - made by _open
        files = certificate.CertificateFiles.of(config.data_dir) if endpoint.certificate_hash else None
        self._server = asyncio.create_task(self._web.serve([listener], files), name="web")
        listening = asyncio.create_task(self._web.listening.wait(), name="wait for the web")
        await asyncio.wait((self._server, listening), return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            listening.cancel()
            raise Unavailable("the web server ended before it began")
        write_private(config.data_dir / ENDPOINT_FILE, msgspec.json.encode(endpoint).decode() + "\n")
        self.endpoint = endpoint
        self._gc_timer.begin()
        return endpoint

    async def _open(self, host: str, port: int) -> Endpoint:
        config = self._config
        name = config.name or gethostname()
        token = token_file.ensure_token(config.data_dir)
        uses_tls = config.tls == "on" or not is_loopback(host)
        digest = self._certificate() if uses_tls else None
        database = self._database = Database(config.data_dir / FILE_NAME)
        await database.open()
        commit_loop = CommitLoop(database, name)
        self._log_service = log_service = LogService(config.data_dir / "logs", commit_loop, _log_files())
        commit_loop.log_offsets = log_service.offsets
        commit_loop.attempt_log_bytes = config.attempt_log_bytes
        store_id = await _ensure_store_id(database)
        await commit_loop.load()
        identities = Identities(database, token, getpass.getuser(), config.local_role)
        await identities.load()
        scheme = "wss" if uses_tls else "ws"
        reach = config.advertise or f"{_reachable(host)}:{port}"
        join_url = f"{scheme}://{reach}#{digest or '-'}."
        worker_row_cache = WorkerRowCache(commit_loop)
        broadcaster = Broadcaster(commit_loop, worker_row_cache)
        retention = Retention(commit_loop, log_service, config.retention)
        cleaning = Cleaning(commit_loop, log_service, retention)
        files = certificate.CertificateFiles.of(config.data_dir)
        streams = self.streams = Streams(
            commit_loop, identities, config.data_dir / CONTENT_FOLDER, config.transfer,
            (files.cert, files.key) if uses_tls else None,
        )  # fmt: skip
        retention.on_removed += [streams.collection.forget, streams.checkpoints.forget]
        operator_api = OperatorApi(
            commit_loop, log_service, identities, worker_row_cache, cleaning, streams.api, lambda: join_url
        )
        identities.person_joined = operator_api.person_joined
        notifier = self._notifier = Notifier(commit_loop, identities, config.notices, store_id)
        commit_loop.commit_listeners.append(notifier)
        self._web = web.Web(commit_loop, broadcaster, operator_api, log_service, identities, _version(), streams)
        loops = (
            (commit_loop.run, "commit"), (commit_loop.tick, "tick"), (log_service.run, "sync logs"), (log_service.seal_reports, "seal reports"), (retention.run, "remove old history"),
            (cleaning.run, "clean outputs"), (notifier.run, "notices"), (self._gc_timer.run, "collect garbage"),
            (streams.process.run, "transfer process"), (streams.broker.run, "expire streams"),
            (streams.collection.run, "let kept results go"),
            (streams.checkpoints.run, "let copies of checkpoints go"),
        )  # fmt: skip
        for loop, label in loops:
            task = asyncio.create_task(loop(), name=label)
            task.add_done_callback(_report)
            self._tasks.append(task)
        return Endpoint(
            url=f"{scheme}://{'127.0.0.1' if host in _ANY else _bracket(host)}:{port}",
            certificate_hash=digest,
            pid=os.getpid(),
            store_id=store_id,
            name=name,
        )

    async def stop(self) -> None:
        """Stop serving, close the store, unlock the data folder. Running tasks go on."""
        self._gc_timer.end()
        if self._web is not None:
            self._web.stop()
        if self._server is not None:
            await asyncio.gather(self._server, return_exceptions=True)
        if self._notifier is not None:
            await self._notifier.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._log_service is not None:
            await asyncio.to_thread(self._log_service.close)
        if self._database is not None:
            await self._database.close()
        if self.endpoint is not None:
            (self._config.data_dir / ENDPOINT_FILE).unlink(missing_ok=True)
            self.endpoint = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        self._tasks, self._server, self._web, self._log_service, self._database = [], None, None, None, None
        self._notifier = None

    def _lock_folder(self) -> None:
        data_dir = self._config.data_dir
        try:
            data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderInUse(
                f"a coordinator{_whereabouts(data_dir)} runs on {data_dir} already: use it (`opsconsole` attaches), "
                "or choose another --data-dir"
            ) from None
        except OSError as error:
            raise InvalidRequest(f"can't use the data folder {data_dir}: {error.strerror}") from None

    def _certificate(self) -> str:
        advertised = self._config.advertise.rpartition(":")[0] if self._config.advertise else ""
        files = certificate.ensure_certificate(self._config.data_dir, certificate.machine_names(advertised))
        return certificate.fingerprint(files.cert)


class CoordinatorThread:
    """A coordinator on a thread and loop of its own, which shares nothing with the program around it."""

    def __init__(self, config: CoordinatorConfig) -> None:
        self._config = config
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._result: Endpoint | BaseException | None = None

    def start(self) -> Endpoint:
        """Start and wait until it listens. Raises OpsconsoleError."""
        self._thread = threading.Thread(target=self._main, name="coordinator", daemon=True)
        self._thread.start()
        self._ready.wait()
        if isinstance(self._result, BaseException):
            self._thread.join()
            raise self._result
        assert isinstance(self._result, Endpoint)  # noqa: S101 - one of the two was set
        return self._result

    def stop(self) -> None:
        """Stop and wait for the end."""
        if self._thread is None or not self._thread.is_alive():
            return
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:
            if self._result is None:
                self._result = error
            else:
                log.critical("the coordinator's thread has ended", exc_info=error)
        finally:
            self._ready.set()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        coordinator = Coordinator(self._config)
        self._result = await coordinator.start()
        self._ready.set()
        await self._stop.wait()
        await coordinator.stop()


_ANY = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not listened on


def _split(listen: str) -> tuple[str, int]:
    host, separator, port = listen.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535:
        raise InvalidRequest(f"--listen {listen!r} is not HOST:PORT: write for example 0.0.0.0:7373")
    return host.strip("[]"), int(port)


def _check_advertise(host: str, advertise: str | None) -> None:
    if advertise is not None:
        _split(advertise)
        if is_loopback(host):
            raise InvalidRequest(f"--advertise needs a --listen address that others reach; {host} is this machine only")


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reachable(host: str) -> str:
    return gethostname() if host in _ANY else _bracket(host)


def _whereabouts(data_dir: Path) -> str:
    """Which coordinator runs on a folder, as its endpoint file says; empty where there is no readable one."""
    try:
        endpoint = msgspec.json.decode((data_dir / ENDPOINT_FILE).read_bytes(), type=Endpoint)
    except (OSError, ValueError, RecursionError):
        return ""
    return f" (process {endpoint.pid}, {endpoint.url})"


@cache
def _version() -> str:
    try:
        return version("opsconsole")
    except PackageNotFoundError:
        return "unknown"


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("%s has ended by a fault of our own", task.get_name(), exc_info=error)


def _raise_file_limit() -> None:
    """Each agent and console is an open file, and the usual soft limit of 1,024 is less than a fleet."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(FILES_MAX, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _log_files() -> int:
    """How many logs may be open at a time: fewer where the system allows few open files."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return LOG_FILES if allowed == resource.RLIM_INFINITY else max(2, min(LOG_FILES, allowed // 8))


async def _ensure_store_id(database: Database) -> str:
    def write(connection: sqlite3.Connection) -> str:
        # What is told to workers is sealed with a key that only the store and its backups have.
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('seal_key', ?)", (secrets.token_hex(32),))
        known = query.meta(connection, "store_id")
        if known:
            return known
        made = spell(secrets.randbits(5 * STORE_ID_LENGTH), STORE_ID_LENGTH)
        connection.execute("INSERT INTO meta VALUES ('store_id', ?)", (made,))
        return made

    return await database.write(write)
