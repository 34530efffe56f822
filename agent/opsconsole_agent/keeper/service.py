"""The keeper's loop: one thread, one epoll, one unix socket, one agent at a time.

Protocol (newline-separated JSON objects; major.minor version in the hello). Keeper to agent: `hello` with every live
attempt and every exit that isn't forgotten; then `started`, `exited`, `frozen`, `thawed` as they happen; `reply` or
`error` with the number `n` of the command as `re`; `replaced` before it hangs up because another agent came. Agent to
keeper: `start`, `start_as` (with a `user`), `signal`, `forget`, `adopt`, `pids`, `quit`.
"""

import os
import select
import signal
import socket
import struct
import sys
import time

from opsconsole_agent.keeper import attempt as facts
from opsconsole_agent.keeper import command, state_file
from opsconsole_agent.keeper.connection import BACKLOG_BYTES_MAX, Connection
from opsconsole_agent.keeper.fault import Refused
from opsconsole_agent.keeper.journal import Journal
from opsconsole_agent.keeper.process import boot_id, look, read_mark
from opsconsole_agent.keeper.supervisor import Supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVarTuple, Unpack

    from opsconsole_agent.keeper.attempt import Attempt

    Answer = dict[str, object]
    Arguments = TypeVarTuple("Arguments")

VERSION = "1.1"
"""Agents speak to any keeper of the same major version."""
SOCKET_NAME = "keeper.sock"
LOG_NAME = "keeper.log"
_AFTER_FAULT_S = 0.05
_MEND_EVERY_S = 5.0
_ANCESTORS_MAX = 1_000
_BACKLOG = 16
_CREDENTIALS = struct.Struct("3i")


class Service:
    """Socket, signals and timers around a Supervisor; works in the present folder."""

    def __init__(self, idle_s: float, key: bytes | None = None) -> None:
        self._idle_s = idle_s
        self._idle_since_s: float | None = None
        self._leaving = False
        self._connection: Connection | None = None
        self._interest = 0
        self._started_ms = facts.now_ms()
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
        self._listener, self._address = _listen()
        self._poll.register(self._listener.fileno(), select.EPOLLIN)
        self._mend_at_s = time.monotonic() + _MEND_EVERY_S
        self._handlers: dict[str, Callable[[command.Fields], Answer]] = {
            "start": self._start,
            "start_as": self._start_as,
            "signal": self._signal,
            "forget": self._forget,
            "adopt": self._adopt,
            "pids": self._pids,
            "quit": self._quit,
        }
        _log(f"keeper {os.getpid()} started, {len(self._supervisor.live)} attempts found alive")

    def run(self) -> int:
        """Serve until idle for long enough, or told to quit; returns the exit code."""
        self._flush()
        while not self._leaving and not self._idle_long_enough():
            for fd, events in self._poll.poll(self._timeout_s()):
                self._guard(self._dispatch, fd, events)
            if self._supervisor.next_due_s() is not None:
                self._guard(self._supervisor.tick, time.monotonic())
            if not self._empty and time.monotonic() >= self._mend_at_s:
                self._guard(self._mend)
            self._flush()
        state_file.clear(SOCKET_NAME)
        _log("keeper left: nothing to keep")
        return 0

    # ---- the loop ----

    @staticmethod
    def _guard(step: "Callable[[Unpack[Arguments]], None]", *arguments: "Unpack[Arguments]") -> None:
        """Nothing that goes wrong in one step may end the parent of all attempts."""
        try:
            step(*arguments)
        except Exception:  # noqa: BLE001
            _log_fault("a step failed:")
            time.sleep(_AFTER_FAULT_S)

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
        if not self._empty:
            due_s = self._mend_at_s if due_s is None else min(due_s, self._mend_at_s)
        if self._journal.behind:
            return _AFTER_FAULT_S if due_s is None else min(_AFTER_FAULT_S, max(0.0, due_s - time.monotonic()))
        return -1 if due_s is None else max(0.0, due_s - time.monotonic())

    @property
    def _empty(self) -> bool:
        return not self._supervisor.live and not self._supervisor.exits

    def _idle_long_enough(self) -> bool:
        if self._connection is not None or not self._empty:
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
        if signal.SIGTERM in numbers and self._empty:
            self._leaving = True

    def _mend(self) -> None:
        """Have log and socket where they belong, should a task have taken them away. The agent is not to notice."""
        self._mend_at_s = time.monotonic() + _MEND_EVERY_S
        if not self._journal.is_ours:
            _log("the exit log was changed by somebody else: it is written again")
            self._supervisor.write_truth()
        if _place(SOCKET_NAME) != self._address:
            _log("the socket was taken away by somebody else: it is made again")
            self._poll.unregister(self._listener.fileno())
            self._listener.close()
            self._listener, self._address = _listen()
            self._poll.register(self._listener.fileno(), select.EPOLLIN)

    def _flush(self) -> None:
        """First to the log, then to the agent."""
        self._journal.flush()
        self._guard(self._supervisor.tidy)
        lines = self._supervisor.outbox
        connection = self._connection
        if connection is not None:
            if lines:
                connection.send(("\n".join(lines) + "\n").encode())
            self._attend(connection)
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
        self._supervisor.outbox.clear()  # all of it is in the hello
        self._journal.flush()
        self._connection.send(self._hello().encode())

    def _is_task(self, pid: int) -> bool:
        """Whether a process belongs to what we keep: such a one is no agent, but may want to pass for it."""
        if read_mark(pid) in self._supervisor.live:
            return True
        for _ in range(_ANCESTORS_MAX):
            process = look(pid)
            if process is None or process.parent <= 1:
                return False
            if process.parent == os.getpid():
                return True
            pid = process.parent
        return True

    def _hello(self) -> str:
        head = facts.encode(
            {
                "kind": "hello",
                "version": VERSION,
                "pid": os.getpid(),
                "boot_id": self._boot_id,
                "started_ms": self._started_ms,
                "key": self._journal.key.hex() if self._journal.is_sealed else "",
                "notes": self._notes,
                "live": [facts.live_entry(one) for one in self._supervisor.live.values()],
            }
        )
        # Exits are kept as the lines they were first told in.
        return f'{head[:-1]},"exits":[{",".join(self._supervisor.exits.values())}]}}\n'

    def _on_connection(self, connection: Connection, events: int) -> None:
        if events & select.EPOLLOUT:
            connection.flush()
        if events & ~select.EPOLLOUT:
            for line in connection.receive():
                self._obey(line)
        if not connection.open:
            self._hang_up(connection)

    def _attend(self, connection: Connection) -> None:
        """Read unless the agent lags behind; write when there is something left."""
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

    def _obey(self, line: bytes | None) -> None:
        """Carry out one command; whatever is wrong with it becomes an error line."""
        number: int | None = None
        try:
            fields = command.parse(line)
            number = command.request_number(fields)
            answer = self._handler(fields)(fields)
        except Refused as refusal:
            self._say({"kind": "error", "re": number, "code": refusal.code, "text": refusal.text})
        except Exception as error:  # noqa: BLE001  (nothing an agent says may end the parent of all attempts)
            _log_fault("a command failed:")
            self._say({"kind": "error", "re": number, "code": "failed", "text": f"the keeper failed: {error!r}"})
        else:
            if number is not None and answer:
                self._say({"kind": "reply", "re": number, **answer})
            elif number is not None:
                self._say(number)

    def _handler(self, fields: command.Fields) -> "Callable[[command.Fields], Answer]":
        handler = self._handlers.get(str(fields["kind"]))
        if handler is None:
            raise Refused("unknown_command", f"commands are {', '.join(self._handlers)}")
        return handler

    def _say(self, message: "Answer | int") -> None:
        """A message, or just the number of a command that was carried out."""
        line = f'{{"kind":"reply","re":{message}}}' if isinstance(message, int) else facts.encode(message)
        self._supervisor.outbox.append(line)

    # ---- commands ----

    def _start(self, fields: command.Fields) -> "Answer":
        self._supervisor.start(command.launch_of(fields))
        return {}

    def _start_as(self, fields: command.Fields) -> "Answer":
        self._supervisor.start(command.launch_of(fields, command.user_of(fields)))
        return {}

    def _signal(self, fields: command.Fields) -> "Answer":
        attempt_id = command.attempt_id_of(fields)
        action = command.action_of(fields)
        grace_ms = command.whole_number(fields, "grace_ms")
        one = self._supervisor.live.get(attempt_id)
        if one is None:
            if attempt_id in self._supervisor.exits:
                raise Refused("ended", f"attempt {attempt_id} has ended")
            raise Refused("unknown_attempt", f"no attempt {attempt_id} here")
        return {"processes": self._apply(one, action, grace_ms)}

    def _apply(self, one: "Attempt", action: str, grace_ms: int | None) -> int:
        if action == "freeze":
            return self._supervisor.control.freeze(one)
        if action == "thaw":
            return self._supervisor.control.thaw(one)
        if action == "term":
            return self._supervisor.term(one, grace_ms)
        return self._supervisor.kill(one)

    def _forget(self, fields: command.Fields) -> "Answer":
        return {"forgotten": self._supervisor.forget(command.attempt_ids_of(fields))}

    def _adopt(self, fields: command.Fields) -> "Answer":
        found = self._supervisor.adopt(
            command.attempt_id_of(fields),
            command.whole_number(fields, "pid"),
            command.whole_number(fields, "start_time"),
            command.paths_of(fields),
        )
        return {"found": found}

    def _pids(self, _: command.Fields) -> "Answer":
        return {"pids": self._supervisor.pids()}

    def _quit(self, _: command.Fields) -> "Answer":
        if self._supervisor.live:
            raise Refused("busy", f"{len(self._supervisor.live)} attempts are alive: end them first")
        self._leaving = True
        return {}


def _log(text: str) -> None:
    """One line for whoever looks after the host; never arguments or environments."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
    sys.stderr.flush()


def _log_fault(text: str) -> None:
    """With the traceback of the exception that is being handled; importing `traceback` would cost 8 ms of every start."""
    _log(text)
    sys.excepthook(*sys.exc_info())


def _signal_pipe() -> int:
    """A descriptor from which numbers of signals can be read: ended children, and the wish that we end."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for signum in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(signum, lambda *_: None)
    return reader


def _listen() -> tuple[socket.socket, "tuple[int, int] | None"]:
    """Our socket, for our own user only, and its place; by a relative name, since a path is at most 107 bytes long."""
    state_file.clear(SOCKET_NAME)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    try:
        listener.bind(SOCKET_NAME)
    finally:
        os.umask(before)
    listener.listen(_BACKLOG)
    return listener, _place(SOCKET_NAME)


def _place(path: str) -> "tuple[int, int] | None":
    """What tells this very file from another of that name; None where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
