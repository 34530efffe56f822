"""The worker's end of sessions: what an operator runs in a live attempt, and connections to its ports.

The coordinator has decided who may. Each session has a thread; the attempt's processes and the keeper belong to the loop.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
import signal
import socket
import struct
import termios
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple, TypeVar

from opsconsole_agent.keeper_client.message import GuestExited, JoinCommand, User
from opsconsole_agent.session.guests import Guests
from opsconsole_protocol.bound import cut
from opsconsole_protocol.error import Forbidden, NotFound, OpsconsoleError, ProtocolError, Unavailable
from opsconsole_protocol.host.session.session import Session, Wire
from opsconsole_protocol.host.stream.stream import Stream, tune
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.session import frame
from opsconsole_protocol.session.frame import STDERR, STDIN, STDOUT, Control, Exit, Failed
from opsconsole_protocol.stream.error import StreamLost
from opsconsole_protocol.stream.message import ReachPort, RunInTask, Terminal

PORT_CONNECTIONS_MAX = 200
"""To a port, of one session."""
_SHELL = ("/bin/sh", "-c", "command -v bash > /dev/null && exec bash; exec sh")
_ANSWER_S = 15.0
_LINGER_S = 10.0
"""How long the other end may take to hang up once all is said."""
_CONNECT_S = 3.0
_NOT_FOUND, _NOT_RUN = 127, 126
"""Exit codes, as shells have them."""
T = TypeVar("T")


class LiveTask(NamedTuple):
    """What a session needs of an attempt that runs. `hosts`: where its ports may be listened on."""

    workdir: str
    ports: Mapping[str, int]
    hosts: tuple[str, ...] = ("127.0.0.1", "::1")
    user: User | None = None


class SessionServer:
    """One agent's. `find` is called on the loop; it raises Conflict for an attempt that doesn't run."""

    def __init__(self, guests: Guests, find: Callable[[AttemptId], LiveTask]) -> None:
        self._loop = asyncio.get_running_loop()
        self._guests = guests
        self._find = find
        self._tasks: set[asyncio.Future[None]] = set()

    def serve(self, purpose: RunInTask | ReachPort, stream: Stream) -> None:
        """Be the other end of a session until it is over, in a thread. Raises OpsconsoleError."""
        end = _ProgramEnd(self, purpose, stream) if isinstance(purpose, RunInTask) else _PortEnd(self, purpose, stream)
        try:
            end.run()
        except StreamLost:
            if not end.is_said:
                raise
        finally:
            end.close()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it. Raises what it raises, Unavailable where that takes too long."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(_ANSWER_S)
        except TimeoutError:
            future.cancel()
            raise Unavailable("the worker's keeper doesn't answer") from None

    def tell(self, act: Callable[[], object]) -> None:
        """Have something done on the loop; nothing where the agent has ended, with which the keeper ends what it ran."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(act)

    def begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine on the loop, and don't wait for it."""
        self.tell(lambda: self._keep(asyncio.ensure_future(work())))

    def _keep(self, task: asyncio.Future[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def find(self, attempt_id: str) -> LiveTask:
        """What is to be known of an attempt. Raises Conflict."""
        return self._find(AttemptId(attempt_id))

    @property
    def guests(self) -> Guests:
        """For use on the loop."""
        return self._guests


class _End:
    """A session at this end. `is_said`: the last that is to be said was said, so that the other end hangs up."""

    def __init__(self, server: SessionServer, stream: Stream) -> None:
        self._server = server
        self._session = Session(stream, self._on_control)
        self._leave_s: float | None = None

    @property
    def is_said(self) -> bool:
        return self._leave_s is not None

    def run(self) -> None:
        """Until it is over."""
        try:
            self._begin()
        except OpsconsoleError as error:
            self._last_of_all(_said(error))
        except OSError as error:
            self._last_of_all(_said(Unavailable(f"the worker has no room for it ({error.strerror})")))
        self._session.run(self._is_over)

    def close(self) -> None:
        """Give back what it has of the worker."""

    def _begin(self) -> None:
        raise NotImplementedError

    def _on_control(self, control: Control) -> None:
        raise NotImplementedError

    def _is_over(self) -> bool:
        return self._leave_s is not None and time.monotonic() > self._leave_s

    def _last_of_all(self, said: Exit | Failed) -> None:
        """Say that, as soon as the session is carried."""
        self._session.post(lambda: self._last(said))

    def _last(self, said: Exit | Failed) -> None:
        """Say the last thing."""
        if self._leave_s is None:
            self._leave_s = time.monotonic() + _LINGER_S
            self._session.say(said)


class _ProgramEnd(_End):
    """A program, with a terminal or without."""

    def __init__(self, server: SessionServer, purpose: RunInTask, stream: Stream) -> None:
        super().__init__(server, stream)
        self._purpose = purpose
        self._guest = f"guest-{secrets.token_hex(8)}"
        self._master = -1
        self._exited: GuestExited | None = None
        self._is_gone = False

    def _begin(self) -> None:
        task = self._server.call(self._server.find(self._purpose.attempt_id))
        if self._purpose.terminal is None:
            self._join_by_pipes(task)
        else:
            self._join_by_terminal(task, self._purpose.terminal)

    def _join_by_pipes(self, task: LiveTask) -> None:
        (stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr) = (os.pipe2(os.O_CLOEXEC) for _ in range(3))
        self._session.wires = {
            STDIN: Wire(sink=to_stdin),
            STDOUT: Wire(source=from_stdout),
            STDERR: Wire(source=from_stderr),
        }
        try:
            # The keeper opens them anew, by their names in our folder of /proc.
            self._join(task, *(f"/proc/{os.getpid()}/fd/{one}" for one in (stdin, stdout, stderr)), environment={})
        finally:
            for descriptor in (stdin, stdout, stderr):
                os.close(descriptor)

    def _join_by_terminal(self, task: LiveTask, terminal: Terminal) -> None:
        master, slave = os.openpty()
        self._master = os.dup(master)
        self._session.wires = {STDOUT: Wire(source=master), STDIN: Wire(sink=os.dup(master))}
        environment = {"TERM": terminal.kind or "xterm-256color"}
        if terminal.colors:
            environment["COLORTERM"] = terminal.colors
        try:
            self._resize(terminal.columns, terminal.rows)
            if task.user is not None:
                os.fchown(slave, task.user.uid, -1)
            path = os.ttyname(slave)
            self._join(task, path, path, path, environment=environment)
        finally:
            os.close(slave)

    def _join(self, task: LiveTask, stdin: str, stdout: str, stderr: str, *, environment: dict[str, str]) -> None:
        command = JoinCommand(
            attempt_id=AttemptId(self._purpose.attempt_id),
            guest=self._guest,
            argv=list(self._purpose.argv or _SHELL),
            cwd=task.workdir,
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            terminal=self._purpose.terminal is not None,
            user=task.user,
        )
        try:
            self._server.call(self._server.guests.join(command, self._when_exited))
        except (NotFound, Forbidden) as error:
            code = _NOT_FOUND if isinstance(error, NotFound) else _NOT_RUN
            self._last_of_all(Exit(code, cut(error.message)))

    def _when_exited(self, news: GuestExited | None) -> None:
        """On the loop."""
        self._session.post(lambda: self._take_exit(news))

    def _take_exit(self, news: GuestExited | None) -> None:
        self._is_gone = True
        if news is None:
            self._last(_said(Unavailable("the worker's keeper was lost while it ran: how it ended can't be known")))
        else:
            self._exited = news
            self._session.drain()

    def _is_over(self) -> bool:
        if self._exited is not None and not self._session.has_sources:
            self._last(_exit(self._exited))
        return super()._is_over()

    def _on_control(self, control: Control) -> None:
        match control:
            case frame.Resize(columns=columns, rows=rows):
                self._resize(columns, rows)
            case frame.Signal(number=number):
                self._server.begin(lambda: self._server.guests.signal(self._guest, number))
            case _:
                raise ProtocolError("the operator's end says what makes no sense here: the session is closed")

    def _resize(self, columns: int, rows: int) -> None:
        if self._master >= 0:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        """End the program, if it hasn't ended: its operator has left."""
        if self._master >= 0:
            os.close(self._master)
        if not self._is_gone:
            first = signal.SIGTERM if self._purpose.terminal is None else signal.SIGHUP
            self._server.begin(lambda: self._server.guests.end(self._guest, first))


class _PortEnd(_End):
    """Connections to a port, each a channel that the other end opens."""

    def __init__(self, server: SessionServer, purpose: ReachPort, stream: Stream) -> None:
        super().__init__(server, stream)
        self._purpose = purpose
        self._key = secrets.token_hex(8)
        self._port = 0
        self._hosts: tuple[str, ...] = ()

    def _begin(self) -> None:
        task = self._server.call(self._server.find(self._purpose.attempt_id))
        port = task.ports.get(self._purpose.port)
        if port is None:
            raise NotFound(
                f"the task has no port {self._purpose.port!r}: it has {', '.join(sorted(task.ports)) or 'none'}"
            )
        self._port, self._hosts = port, task.hosts
        attempt_id = AttemptId(self._purpose.attempt_id)
        self._server.tell(lambda: self._server.guests.watch(self._key, attempt_id, self._when_over))

    def _when_over(self) -> None:
        """On the loop."""
        self._last_of_all(Failed("conflict", "the task has ended, and its ports with it"))

    def _on_control(self, control: Control) -> None:
        match control:
            case frame.Open(channel=channel):
                self._connect(channel)
            case frame.Reset():
                pass
            case _:
                raise ProtocolError("the operator's end says what makes no sense here: the session is closed")

    def _connect(self, channel: int) -> None:
        if channel in self._session.wires:
            raise ProtocolError("the operator's end opens a connection twice: the session is closed")
        if len(self._session.wires) >= PORT_CONNECTIONS_MAX:
            self._session.reset(channel, f"{PORT_CONNECTIONS_MAX} connections are open: close some")
            return
        reason = ""
        for host in self._hosts:
            try:
                sock = socket.create_connection((host, self._port), _CONNECT_S)
            except OSError as error:
                reason = reason or (error.strerror or "no answer")
            else:
                tune(sock)
                self._session.wires[channel] = Wire(sock=sock)
                return
        self._session.reset(channel, f"nothing in the task listens on its port {self._purpose.port} ({reason})")

    def close(self) -> None:
        """See `_End`."""
        self._server.tell(lambda: self._server.guests.unwatch(self._key))


def _said(error: OpsconsoleError) -> Failed:
    return Failed(error.code, cut(error.message))


def _exit(news: GuestExited) -> Exit:
    code = news.exit_code if news.exit_code is not None else 128 + (news.signal or 0)
    return Exit(code & 0xFF, "the task has ended, and what ran in it with it" if news.ending else "")
