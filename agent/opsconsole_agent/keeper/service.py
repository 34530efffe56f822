"""The keeper's loop: one thread, one epoll, one unix socket, one agent at a time.

The protocol is one JSON object a line, with a major.minor version in the hello. The keeper sends `hello` with every live
attempt and every exit that isn't forgotten; then `started`, `exited`, `frozen`, `thawed` as they happen; `reply` or
`error` with the number `n` of the command as `re`; and `replaced` before it hangs up because another agent came. The agent
sends `start`, `start_as` (with a `user`), `signal`, `forget`, `adopt`, `pids`, `quit`. By `join` it has a program run within a live
attempt; `signal_guest` signals that, and `guest_exited` tells of its end.
"""

import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

from opsconsole_agent.keeper import command, event_line, state_file
from opsconsole_agent.keeper.attempt import Attempt
from opsconsole_agent.keeper.connection import BACKLOG_BYTES_MAX, Connection
from opsconsole_agent.keeper.journal import Journal
from opsconsole_agent.keeper.process import boot_id, find_process, read_mark
from opsconsole_agent.keeper.refusal import Refusal
from opsconsole_agent.keeper.supervisor import Supervisor

Answer = dict[str, object]

VERSION = "1.2"
"""An agent can speak to any keeper of the same major version."""
SOCKET_NAME = "keeper.sock"
LOG_NAME = "keeper.log"
_PAUSE_S = 0.05
"""After an error, and before the next try to write to a full disk."""
_RESTORE_EVERY_S = 5.0
_ANCESTORS_MAX = 1_000
_BACKLOG = 16
_CREDENTIALS = struct.Struct("3i")


class Service:
    """Socket, signals and timers around a Supervisor; its files are in the present folder."""

    def __init__(self, idle_s: float, key: bytes | None = None) -> None:
        self._idle_s = idle_s
        self._idle_since_s: float | None = None
        self._leaving = False
        self._connection: Connection | None = None
        self._interest = 0
        self._started_ms = event_line.now_ms()
        self._boot_id = boot_id()
        self._poll = select.epoll()
        self._signals = _signal_pipe()
        self._poll.register(self._signals, select.EPOLLIN)
        self._journal = Journal(key=key)
        history = self._journal.open()
        if history.damaged:
            _log(f"left out {history.damaged} damaged lines of the exit log")
        self._notes = history.notes
        for note in history.notes:
            _log(note)
        home = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._supervisor = Supervisor(self._journal, home, self._watch, self._poll.unregister)
        self._supervisor.recover(history)
        self._listener, self._socket_identity = _listen()
        self._poll.register(self._listener.fileno(), select.EPOLLIN)
        self._restore_at_s = time.monotonic() + _RESTORE_EVERY_S
        self._handlers: dict[str, Callable[[command.Fields], Answer]] = {
            "start": self._start,
            "start_as": self._start_as,
            "signal": self._signal,
            "forget": self._forget,
            "adopt": self._adopt,
            "pids": self._pids,
            "quit": self._quit,
            "join": self._join,
            "signal_guest": self._signal_guest,
        }
        _log(f"keeper {os.getpid()} started, {len(self._supervisor.live)} attempts found alive")

    def run(self) -> int:
        """Serve until idle for long enough or told to quit and return the exit code."""
        self._flush()
        while not self._leaving and not self._idle_long_enough():
            for fd, events in self._poll.poll(self._timeout_s()):
                self._guard(self._dispatch, fd, events)
            if self._supervisor.next_due_s() is not None:
                self._guard(self._supervisor.tick, time.monotonic())
            if not self._has_no_work and time.monotonic() >= self._restore_at_s:
                self._guard(self._restore_files)
            self._flush()
        state_file.clear(SOCKET_NAME)
        _log("keeper left: nothing to keep")
        return 0

    # ---- the loop ----

    @staticmethod
    def _guard(step: Callable[..., None], *arguments: object) -> None:
        """Do one step and log its error, as no error may end the parent of all attempts."""
        try:
            step(*arguments)
        except Exception:  # noqa: BLE001
            _log_exception("a step failed:")
            time.sleep(_PAUSE_S)

    def _watch(self, fd: int) -> None:
        self._poll.register(fd, select.EPOLLIN)

    def _dispatch(self, fd: int, events: int) -> None:
        if fd == self._signals:
            self._on_signal()
        elif fd == self._listener.fileno():
            self._accept()
        elif self._connection is not None and fd == self._connection.fd:
            self._on_connection(self._connection, events)
        elif not self._supervisor.pump.readable(fd):
            self._supervisor.leader_ended(fd)

    def _timeout_s(self) -> float:
        due_s = self._supervisor.next_due_s()
        if self._idle_since_s is not None:
            idle_until_s = self._idle_since_s + self._idle_s
            due_s = idle_until_s if due_s is None else min(due_s, idle_until_s)
        if not self._has_no_work:
            due_s = self._restore_at_s if due_s is None else min(due_s, self._restore_at_s)
        if self._journal.behind:
            return _PAUSE_S if due_s is None else min(_PAUSE_S, max(0.0, due_s - time.monotonic()))
        return -1 if due_s is None else max(0.0, due_s - time.monotonic())

    @property
    def _has_no_work(self) -> bool:
        return not self._supervisor.live and not self._supervisor.exits

    def _idle_long_enough(self) -> bool:
        if self._connection is not None or not self._has_no_work:
            self._idle_since_s = None
            return False
        now_s = time.monotonic()
        if self._idle_since_s is None:
            self._idle_since_s = now_s
        return now_s - self._idle_since_s >= self._idle_s

    def _on_signal(self) -> None:
        numbers = os.read(self._signals, 1 << 12)
        if signal.SIGCHLD in numbers:
            self._supervisor.reap()
        if signal.SIGTERM in numbers and self._has_no_work:
            self._leaving = True

    def _restore_files(self) -> None:
        """Make the log and the socket anew, should a task have removed them. The agent's connection stays."""
        self._restore_at_s = time.monotonic() + _RESTORE_EVERY_S
        if not self._journal.is_in_place:
            _log("the exit log was changed by somebody else: it is written again")
            self._supervisor.rewrite_journal()
        if _file_identity(SOCKET_NAME) != self._socket_identity:
            _log("the socket was taken away by somebody else: it is made again")
            self._poll.unregister(self._listener.fileno())
            self._listener.close()
            self._listener, self._socket_identity = _listen()
            self._poll.register(self._listener.fileno(), select.EPOLLIN)

    def _flush(self) -> None:
        """Write what has happened to the log, then send it to the agent."""
        self._journal.flush()
        self._guard(self._supervisor.compact_journal)
        lines = self._supervisor.outbox
        connection = self._connection
        if connection is not None:
            if lines:
                connection.send(("\n".join(lines) + "\n").encode())
            self._update_interest(connection)
        lines.clear()

    # ---- the agent ----

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, user, _ = _CREDENTIALS.unpack(credentials)
        if user not in {0, os.getuid()} or self._is_task(pid):
            _log(f"process {pid} of user {user} is no agent, and was not let in")
            sock.close()
            return
        if self._connection is not None:
            self._connection.send(b'{"kind":"replaced"}\n')
            self._hang_up(self._connection)
        self._connection = Connection(sock)
        self._interest = select.EPOLLIN
        self._poll.register(sock.fileno(), self._interest)
        self._supervisor.outbox.clear()  # the hello says all of it
        self._journal.flush()
        self._connection.send(self._hello().encode())

    def _is_task(self, pid: int) -> bool:
        """Whether a process is one of an attempt: such a process is no agent, but may claim to be one."""
        if read_mark(pid) in self._supervisor.live:
            return True
        for _ in range(_ANCESTORS_MAX):
            process = find_process(pid)
            if process is None or process.parent <= 1:
                return False
            if process.parent == os.getpid():
                return True
            pid = process.parent
        return True

    def _hello(self) -> str:
        head = event_line.encode(
            {
                "kind": "hello",
                "version": VERSION,
                "pid": os.getpid(),
                "boot_id": self._boot_id,
                "started_ms": self._started_ms,
                "key": self._journal.key.hex() if self._journal.is_authenticated else "",
                "notes": self._notes,
                "live": [event_line.live_entry(attempt) for attempt in self._supervisor.live.values()],
            }
        )
        # Exits are stored as the lines that they were sent as.
        return f'{head[:-1]},"exits":[{",".join(self._supervisor.exits.values())}]}}\n'

    def _on_connection(self, connection: Connection, events: int) -> None:
        if events & select.EPOLLOUT:
            connection.flush()
        if events & ~select.EPOLLOUT:
            for line in connection.receive():
                self._run_command(line)
        if not connection.open:
            self._hang_up(connection)

    def _update_interest(self, connection: Connection) -> None:
        """Have epoll report new commands unless the agent reads too slowly, and space to write when something is left."""
        if not connection.open:
            self._hang_up(connection)
            return
        interest = 0 if connection.backlog > BACKLOG_BYTES_MAX else select.EPOLLIN
        if connection.backlog:
            interest |= select.EPOLLOUT
        if interest != self._interest:
            self._interest = interest
            self._poll.modify(connection.fd, interest)

    def _hang_up(self, connection: Connection) -> None:
        self._poll.unregister(connection.fd)
        connection.close()
        if connection is self._connection:
            self._connection = None
            self._supervisor.guests.end_all()

    def _run_command(self, line: bytes | None) -> None:
        """Carry out one command; an error becomes an error line."""
        number: int | None = None
        try:
            fields = command.parse(line)
            number = command.request_number(fields)
            answer = self._handler(fields)(fields)
        except Refusal as refusal:
            self._reply({"kind": "error", "re": number, "code": refusal.code, "text": refusal.text})
        except Exception as error:  # noqa: BLE001  (no command may end the parent of all attempts)
            _log_exception("a command failed:")
            self._reply({"kind": "error", "re": number, "code": "failed", "text": f"the keeper failed: {error!r}"})
        else:
            if number is not None and answer:
                self._reply({"kind": "reply", "re": number, **answer})
            elif number is not None:
                self._reply(number)

    def _handler(self, fields: command.Fields) -> Callable[[command.Fields], Answer]:
        handler = self._handlers.get(str(fields["kind"]))
        if handler is None:
            raise Refusal("unknown_command", f"commands are {', '.join(self._handlers)}")
        return handler

    def _reply(self, message: Answer | int) -> None:
        """Queue a message for the agent, or the reply to a command of which there is only its number to say."""
        line = f'{{"kind":"reply","re":{message}}}' if isinstance(message, int) else event_line.encode(message)
        self._supervisor.outbox.append(line)

    # ---- commands ----

    def _start(self, fields: command.Fields) -> Answer:
        self._supervisor.start(command.launch_of(fields))
        return {}

    def _start_as(self, fields: command.Fields) -> Answer:
        self._supervisor.start(command.launch_of(fields, command.user_of(fields)))
        return {}

    def _signal(self, fields: command.Fields) -> Answer:
        attempt_id = command.attempt_id_of(fields)
        action = command.action_of(fields)
        grace_ms = command.whole_number(fields, "grace_ms")
        return {"processes": self._apply(self._live(attempt_id), action, grace_ms)}

    def _live(self, attempt_id: str) -> Attempt:
        attempt = self._supervisor.live.get(attempt_id)
        if attempt is None:
            if attempt_id in self._supervisor.exits:
                raise Refusal("ended", f"attempt {attempt_id} has ended")
            raise Refusal("unknown_attempt", f"no attempt {attempt_id} here")
        return attempt

    def _join(self, fields: command.Fields) -> Answer:
        spec = command.launch_of(fields, command.user_of(fields) if fields.get("user") is not None else None)
        spec.terminal = fields.get("terminal") is True
        self._supervisor.guests.start(self._live(spec.attempt_id), command.guest_of(fields), spec)
        return {}

    def _signal_guest(self, fields: command.Fields) -> Answer:
        return {"processes": self._supervisor.guests.signal(command.guest_of(fields), command.signal_of(fields))}

    def _apply(self, attempt: Attempt, action: str, grace_ms: int | None) -> int:
        if action == "freeze":
            return self._supervisor.control.freeze(attempt)
        if action == "thaw":
            return self._supervisor.control.thaw(attempt)
        if action == "term":
            return self._supervisor.term(attempt, grace_ms)
        return self._supervisor.kill(attempt)

    def _forget(self, fields: command.Fields) -> Answer:
        return {"forgotten": self._supervisor.forget(command.attempt_ids_of(fields))}

    def _adopt(self, fields: command.Fields) -> Answer:
        found = self._supervisor.adopt(
            command.attempt_id_of(fields),
            command.whole_number(fields, "pid"),
            command.whole_number(fields, "start_time"),
            command.paths_of(fields),
        )
        return {"found": found}

    def _pids(self, _: command.Fields) -> Answer:
        return {"pids": self._supervisor.pids()}

    def _quit(self, _: command.Fields) -> Answer:
        if self._supervisor.live:
            raise Refusal("busy", f"{len(self._supervisor.live)} attempts are alive: end them first")
        self._leaving = True
        return {}


def _log(text: str) -> None:
    """Write one line to the keeper's log; never arguments or environments."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
    sys.stderr.flush()


def _log_exception(text: str) -> None:
    """Log a line and the present exception's traceback. Importing `traceback` would cost 8 ms of every start."""
    _log(text)
    sys.excepthook(*sys.exc_info())


def _signal_pipe() -> int:
    """Return a descriptor from which the numbers of signals can be read: SIGCHLD and SIGTERM."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for signum in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(signum, lambda *_: None)
    return reader


def _listen() -> tuple[socket.socket, tuple[int, int] | None]:
    """Make our socket, for our own user only. Return it and its file's identity.

    It is bound by its relative name, as the path of a unix socket is at most 107 bytes long.
    """
    state_file.clear(SOCKET_NAME)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    try:
        listener.bind(SOCKET_NAME)
    finally:
        os.umask(before)
    listener.listen(_BACKLOG)
    return listener, _file_identity(SOCKET_NAME)


def _file_identity(path: str) -> tuple[int, int] | None:
    """Return device and inode, which tell a file from another one of that name, or None where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
