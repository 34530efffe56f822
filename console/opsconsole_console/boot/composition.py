"""The one place where everything is put together: which data folder, whose coordinator, which worker.

The lock on a data folder is the truth about whether a coordinator runs there. Where it is free, the console runs a
coordinator on a thread of its own and a worker as a child process; where it is held, the console attaches.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_protocol.error import NotFound, Unavailable

if TYPE_CHECKING:
    from opsconsole.target import Target
    from opsconsole_console.boot.config import Config, Notify
    from opsconsole_console.boot.config import Coordinator as CoordinatorSection
    from opsconsole_console.model.announcement import Telling
    from opsconsole_coordinator.notice.rule import NoticeRule
    from opsconsole_coordinator.runtime import CoordinatorConfig
    from opsconsole_coordinator.server.retention import RetentionPolicy
    from opsconsole_coordinator.server.streams import TransferPolicy

AGENT_FOLDER = "agent"
AGENT_LOG = "agent.log"
CONSOLE_LOG = "console.log"
LOG_BYTES_MAX = 4 * 1024 * 1024
AGENT_STOP_S = 10.0
_RESTART_FIRST_S = 1.0
_RESTART_MAX_S = 30.0
DEFAULT_LISTEN = "127.0.0.1:7373"


def resolve_data_dir(flag: Path | None, config_flag: Path | None, config: Config | None = None) -> Path:
    """The data folder: from the flag, the environment, the config file, or the user's own."""
    from opsconsole.endpoint import default_data_dir

    return configured_data_dir(flag, config_flag, config) or default_data_dir()


def configured_data_dir(flag: Path | None, config_flag: Path | None, config: Config | None = None) -> Path | None:
    """The data folder from the flag, the environment or the config file, or None where none of them names one."""
    if flag is not None:
        return flag.expanduser().absolute()
    if text := os.environ.get("OPSCONSOLE_DATA_DIR"):
        return Path(text).expanduser().absolute()
    if config is None:
        from opsconsole_console.boot.config import load_config

        config = load_config(config_flag)
    return Path(config.coordinator.data_dir).expanduser().absolute() if config.coordinator.data_dir else None


def coordinator_config(
    data_dir: Path, config: Config, *, listen: str | None, tls: str | None, advertise: str | None, name: str | None
) -> CoordinatorConfig:
    """What to start a coordinator with: flags, then the file, then defaults."""
    from opsconsole_coordinator.runtime import CoordinatorConfig
    from opsconsole_coordinator.trust.credential import Role
    from opsconsole_protocol.link import ATTEMPT_LOG_BYTES

    file = config.coordinator
    log_mb = file.max_task_log_mb
    return CoordinatorConfig(
        data_dir=data_dir,
        listen=listen or file.listen or DEFAULT_LISTEN,
        tls=tls or file.tls or "auto",
        advertise=advertise or file.advertise,
        name=name or file.name,
        retention=_retention(file.keep_finished_days, file.keep_log_gb, file.keep_store_gb),
        local_role=Role(file.local_role or Role.ADMIN),
        attempt_log_bytes=ATTEMPT_LOG_BYTES if log_mb is None else log_mb << 20,
        transfer=_transfer(file),
        notices=notice_rules(config),
    )


def telling(config: Config) -> Telling:
    """What the console tells of to somebody who looks elsewhere. Raises ConfigError."""
    from opsconsole_console.boot.config import ConfigError
    from opsconsole_console.model.announcement import Telling
    from opsconsole_protocol.error import InvalidRequest
    from opsconsole_protocol.quantity import duration_ms

    one = config.console
    if ("wait" in one.notify_on) != (one.notify_wait_longer_than is not None):
        raise ConfigError('[console]: notify_on = ["wait"] and notify_wait_longer_than = "1h" go together')
    try:
        wait_ms = None if one.notify_wait_longer_than is None else duration_ms(one.notify_wait_longer_than)
    except InvalidRequest as error:
        raise ConfigError(f"[console] notify_wait_longer_than: {error.message}") from None
    return Telling(one.notify, one.notify_on, wait_ms, mine=one.notify_whose == "mine")


def notice_rules(config: Config) -> tuple[NoticeRule, ...]:
    """Who is told of what. Raises ConfigError, which counts the tables from 1."""
    from opsconsole_console.boot.config import ConfigError
    from opsconsole_protocol.error import InvalidRequest

    found: list[NoticeRule] = []
    for number, one in enumerate(config.notify, 1):
        try:
            found.append(_notice_rule(one, frozenset(entry.secret_env for entry in config.notify if entry.secret_env)))
        except InvalidRequest as error:
            raise ConfigError(f"[[notify]] number {number}: {error.message}") from None
    return tuple(found)


def _notice_rule(one: Notify, hidden: frozenset[str]) -> NoticeRule:
    from opsconsole_coordinator.notice.rule import Command, NoticeRule, Occasion, Webhook
    from opsconsole_coordinator.server.notice_channel import check_channel
    from opsconsole_protocol.error import InvalidRequest
    from opsconsole_protocol.quantity import duration_ms

    if (one.webhook is None) == (one.command is None):
        raise InvalidRequest("it needs a webhook or a command, and not both")
    if one.command is not None and (one.secret_file or one.secret_env):
        raise InvalidRequest("a secret goes with a webhook: a command gets none")
    if one.secret_file and one.secret_env:
        raise InvalidRequest("write secret_file or secret_env, and not both")
    if ("wait" in one.on) != (one.wait_longer_than is not None):
        raise InvalidRequest('on = ["wait"] and wait_longer_than = "1h" go together')
    channel: Command | Webhook
    if one.command is not None:
        channel = Command(one.command, hidden)
    else:
        channel = Webhook(one.webhook or "", one.secret_file or "", one.secret_env or "")
    check_channel(channel)
    return NoticeRule(
        channel=channel,
        on=frozenset(map(Occasion, one.on)),
        person=one.person or "",
        project=one.project or "",
        wait_ms=None if one.wait_longer_than is None else duration_ms(one.wait_longer_than),
    )


def _transfer(file: CoordinatorSection) -> TransferPolicy:
    """What the coordinator takes, keeps and relays: None means the default."""
    from opsconsole_coordinator.server.streams import TransferPolicy
    from opsconsole_protocol.stream.message import IceServer

    usual = TransferPolicy()
    upload_gb, content_gb = file.keep_upload_gb, file.keep_content_gb
    servers = tuple(
        IceServer(url=one.url, username=one.username, credential=one.credential) for one in file.ice_servers
    )
    return TransferPolicy(
        keep_upload_bytes=usual.keep_upload_bytes if upload_gb is None else round(upload_gb * (1 << 30)),
        keep_content_bytes=usual.keep_content_bytes if content_gb is None else round(content_gb * (1 << 30)),
        relay=file.relay,
        relay_streams=file.relay_streams or usual.relay_streams,
        relay_mb_s=file.relay_mb_s,
        ice_servers=servers,
    )


def _retention(finished_days: float | None, log_gb: float | None, store_gb: float | None) -> RetentionPolicy:
    """How much history stays: 0 means all of it, None the default."""
    from opsconsole_coordinator.server.retention import RetentionPolicy

    usual = RetentionPolicy()
    return RetentionPolicy(
        finished_days=usual.finished_days if finished_days is None else finished_days or None,
        log_bytes=usual.log_bytes if log_gb is None else round(log_gb * (1 << 30)) or None,
        store_bytes=usual.store_bytes if store_gb is None else round(store_gb * (1 << 30)) or None,
    )


class AgentProcess:
    """The console's own worker: a child that is started again should it end, and that ends when the console does.

    It is told of the console's end by its stdin closing, so a killed console leaves no agent behind. Its tasks belong
    to its keeper and go on; the next agent with the same state folder finds them again.
    """

    def __init__(self, arguments: Sequence[str], log_path: Path, environ: Mapping[str, str] | None = None) -> None:
        self._command = [sys.executable, "-m", "opsconsole_console", "agent", *arguments, "--while-stdin"]
        self._log_path = log_path
        self._environ = dict(os.environ if environ is None else environ)
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._supervise, name="agent process", daemon=True)

    @property
    def pid(self) -> int | None:
        """The child's, while it lives."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def start(self) -> None:
        """Start it, and keep it started."""
        self._log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._thread.start()

    def stop(self) -> None:
        """End the agent, not its tasks. Return when it has ended."""
        self._stopping.set()
        with self._lock:
            child = self._child
        if child is not None:
            _end(child)
        self._thread.join()

    def _supervise(self) -> None:
        pause_s = _RESTART_FIRST_S
        while not self._stopping.is_set():
            with self._lock:
                if self._stopping.is_set():
                    return
                self._child = child = self._spawn()
            child.wait()
            if child.stdin is not None:
                child.stdin.close()
            if self._stopping.wait(pause_s):
                return
            pause_s = min(2 * pause_s, _RESTART_MAX_S)

    def _spawn(self) -> subprocess.Popen[bytes]:
        if self._log_path.exists() and self._log_path.stat().st_size > LOG_BYTES_MAX:
            self._log_path.replace(self._log_path.with_suffix(".log.1"))
        with open(self._log_path, "ab", opener=_private) as log:
            # A group of its own: Ctrl-C in the terminal is meant for the console.
            return subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=self._environ, process_group=0
            )


def _end(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(AGENT_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


class Embedded:
    """A coordinator on a thread of this process and, unless `agent_arguments` is None, a worker beside it.

    `start` may take its time on another thread while the console is shown already; `close` ends what was started.
    """

    def __init__(
        self, data_dir: Path, config: Callable[[], CoordinatorConfig], *, agent_arguments: Sequence[str] | None
    ) -> None:
        self._data_dir = data_dir
        self._config = config
        self._agent_arguments = agent_arguments
        self._closing = ExitStack()
        self._lock = threading.Lock()
        """`close` may be called while `start` is at work, by somebody who leaves at once."""

    def start(self) -> None:
        """Start both. Blocks. Raises OpsconsoleError when the coordinator can't start."""
        with self._lock:
            from opsconsole_coordinator.runtime import CoordinatorThread

            self._closing.callback(end_log, log_to(self._data_dir / CONSOLE_LOG))
            coordinator = CoordinatorThread(self._config())
            coordinator.start()
            self._closing.callback(coordinator.stop)
            if self._agent_arguments is not None:
                folder = self._data_dir / AGENT_FOLDER
                common = ["--data-dir", str(self._data_dir), "--state-dir", str(folder)]
                agent = AgentProcess([*common, *self._agent_arguments], folder / AGENT_LOG, _without_address())
                agent.start()
                self._closing.callback(agent.stop)

    @property
    def own_worker(self) -> str | None:
        """The id of the worker that stops with it."""
        from opsconsole_agent.state.credential import worker_id_of

        return worker_id_of(self._data_dir / AGENT_FOLDER)

    def close(self) -> None:
        """End the worker, then the coordinator; running tasks go on. Blocks."""
        with self._lock:
            self._closing.close()


def log_to(path: Path) -> logging.Handler:
    """Write what is logged to a file, and return the handler for `end_log`: on the screen it would stand between the panes."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = _PrivateLog(path, maxBytes=LOG_BYTES_MAX, backupCount=1, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    return handler


class _PrivateLog(logging.handlers.RotatingFileHandler):
    """For its owner alone, also after it was rotated."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def end_log(handler: logging.Handler) -> None:
    """Undo `log_to`."""
    logging.getLogger().removeHandler(handler)
    handler.close()


def attached(data_dir: Path) -> Callable[[], Target]:
    """What finds the coordinator of this data folder, each time anew: one that restarts may get another port.

    It raises Unavailable while the coordinator is just starting or stopping.
    """
    from opsconsole.resolver import resolve

    def find() -> Target:
        try:
            return resolve(None, None, None, data_dir)
        except NotFound:
            raise Unavailable(f"the coordinator on {data_dir} is starting or stopping: try again") from None

    return find


def _without_address() -> dict[str, str]:
    """The environment for an agent that is to join this very coordinator."""
    return {key: value for key, value in os.environ.items() if key not in {"OPSCONSOLE_URL", "OPSCONSOLE_TOKEN"}}
