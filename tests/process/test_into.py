"""Into tasks that run: programs with their own stdin, stdout, stderr and exit code, over streams, and none outlives its task."""

import hashlib
import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from opsconsole_protocol.error import NotFound
from tests.process.lab import OPSCONSOLE, Lab
from tests.seen_process import everyone


def told(house: Lab, job_id: str, words: str) -> None:
    """There is an event about the first task: it was committed before the stream opened."""
    assert words in " ".join(house.events(f"{job_id}/task-0"))


def begin(house: Lab, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command with pipes."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        (*OPSCONSOLE, *arguments), stdin=pipe, stdout=pipe, stderr=pipe, env=house.environ, cwd=house.folder
    )


def running(house: Lab, script: str = "sleep 600", **fields: object) -> str:
    """A job that runs."""
    job_id = house.give(script, **fields)
    house.wait_state(job_id, "running")
    return job_id


def lives(mark: str) -> bool:
    """Whether a process has this word on its command line, apart from commands of ours."""
    return any(mark in one.command and "opsconsole_console" not in one.command for one in everyone())


@pytest.mark.parametrize("via", ["direct", "relay"])
def test_a_program_has_its_own_stdin_stdout_stderr_and_exit_code(house: Lab, via: str) -> None:
    job_id = running(house, "export LATER=1; sleep 600", environment={"LR": "0.1"})
    sent = os.urandom(10_000_000)
    script = 'cat; echo "$LR $OPSCONSOLE_TASK_ID $PWD" >&2; exit 7'
    done = subprocess.run(
        (*OPSCONSOLE, "exec", "--via", via, job_id, "--", "sh", "-c", script),
        input=sent, capture_output=True, env=house.environ, cwd=house.folder, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(sent).digest()
    workdir = house.rows("show", job_id)[0]["tasks"][0]["attempts"][0]["workdir"]
    assert done.stderr.decode().split() == ["0.1", f"{job_id}/task-0", workdir]
    told(house, job_id, f"sh -c '{script.replace(chr(39), '')}' on gpu-a")
    house.act("cancel", job_id)


def test_what_cannot_be_run_or_reached_is_said_in_one_line(house: Lab) -> None:
    job_id = running(house)
    for words, code, said in (
        ((job_id, "--", "no-such-program"), 127, "command not found: no-such-program"),
        ((job_id, "--", "/etc/passwd"), 126, "permission denied: /etc/passwd is not executable"),
        ((job_id,), 2, "say what to run"),
        (("zzzzzzzzzz", "--", "true"), 1, "there is no job zzzzzzzzzz"),
    ):
        done = house.run("exec", *words, code=code)
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
    house.act("pause", job_id)
    house.wait_state(job_id, "paused")
    assert "is paused: nothing can run in it" in house.run("exec", job_id, "--", "true", code=1).stderr
    house.act("resume", job_id)
    house.wait_state(job_id, "running")
    house.run("pause", job_id, "--by", "checkpoint")
    assert house.run("exec", job_id, "--", "echo", "in").stdout == "in\n", "while it is asked to save, it runs"
    house.act("cancel", job_id)
    house.wait_state(job_id, "killed")
    assert "has ended: there is nothing to reach into" in house.run("exec", job_id, "--", "true", code=1).stderr


def test_a_viewer_gets_into_no_task(house: Lab) -> None:
    job_id = running(house)
    line = house.invite("viewer")
    home = house.folder / "viewer"
    home.mkdir(exist_ok=True)
    environ = {"HOME": str(home), "OPSCONSOLE_DATA_DIR": str(home / "data")}
    done = house.run("exec", "--connect", line, job_id, "--", "true", code=1, environ=environ)
    assert "operator" in done.stderr
    assert not [event for event in house.events(f"{job_id}/task-0") if "true on gpu-a" in event]
    house.act("cancel", job_id)


def test_a_program_ends_with_its_task_and_is_frozen_with_it(house: Lab) -> None:
    job_id = running(house)
    inside = begin(house, "exec", job_id, "--", "sh", "-c", "sleep 600.25 & echo up; wait")
    assert inside.stdout is not None
    assert inside.stdout.readline() == b"up\n"
    house.act("pause", job_id)
    house.wait_state(job_id, "paused")
    stopped = [one for one in everyone() if "600.25" in one.command and "opsconsole_console" not in one.command]
    assert stopped
    house.wait(lambda: all(one.is_stopped or _is_in_cgroup(one.pid) for one in stopped), "the freeze")
    house.act("resume", job_id)
    house.act("cancel", job_id)
    _, said = inside.communicate(timeout=30)
    assert inside.returncode == 128 + signal.SIGTERM
    assert b"the task has ended, and what ran in it with it" in said
    house.wait_state(job_id, "killed")
    assert not lives("600.25")


def test_a_task_that_ends_by_itself_takes_along_what_runs_in_it(house: Lab) -> None:
    go = house.folder / "go-home"
    job_id = running(house, f"while [ ! -e {go} ]; do sleep 0.05; done")
    inside = begin(house, "exec", job_id, "--", "sh", "-c", "echo up; exec sleep 600.5")
    assert inside.stdout is not None
    assert inside.stdout.readline() == b"up\n"
    go.touch()
    inside.communicate(timeout=30)
    assert inside.returncode == 128 + signal.SIGTERM
    house.wait_state(job_id, "succeeded")
    assert not lives("600.5")


def test_a_program_ends_with_its_operator(house: Lab) -> None:
    job_id = running(house)
    stubborn = "trap '' TERM; echo up; while :; do sleep 600.75; done"
    inside = begin(house, "exec", job_id, "--", "sh", "-c", stubborn)
    assert inside.stdout is not None
    assert inside.stdout.readline() == b"up\n"
    inside.kill()
    inside.communicate()
    house.wait(lambda: not lives(stubborn), "the end of what ran in the task")
    assert house.rows("show", job_id)[0]["state"] == "running"
    house.act("cancel", job_id)


def test_ctrl_c_is_the_program_s(house: Lab) -> None:
    job_id = running(house)
    inside = begin(house, "exec", job_id, "--", "sh", "-c", "trap 'echo caught; exit 9' INT; echo up; sleep 600 & wait")
    assert inside.stdout is not None
    assert inside.stdout.readline() == b"up\n"
    inside.send_signal(signal.SIGINT)
    out, _ = inside.communicate(timeout=30)
    assert (out, inside.returncode) == (b"caught\n", 9)
    house.act("cancel", job_id)


def _is_in_cgroup(pid: int) -> bool:
    """Whether it is in the cgroup of an attempt, which is made for freezing."""
    return "/opsconsole-" in Path(f"/proc/{pid}/cgroup").read_text()


SERVER = """
import http.server, os, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        size = int(self.path[1:])
        self.send_response(200); self.send_header("Content-Length", str(size)); self.end_headers()
        self.wfile.write(b"x" * size)
    def log_message(self, *_): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64
print("listens", flush=True)
Server(("127.0.0.1", int(os.environ["OPSCONSOLE_PORT_WEB"])), Handler).serve_forever()
"""


@pytest.mark.parametrize("via", ["direct", "relay"])
def test_a_port_is_reached_by_many_connections_at_once(house: Lab, via: str) -> None:
    job_id = house.give((sys.executable, "-c", SERVER), ports=("web",))
    house.wait(lambda: house.lines(job_id) == ["listens"], "the server")
    inside = begin(house, "forward", "--via", via, job_id, "web")
    assert inside.stdout is not None
    host, _, port = inside.stdout.readline().decode().strip().partition(":")
    # All are open before any is asked: they are there at once.
    opened = [http.client.HTTPConnection(host, int(port), timeout=30) for _ in range(20)]
    for connection in opened:
        connection.connect()
    for number, connection in enumerate(opened):
        connection.request("GET", f"/{1 + 100_000 * number}")
    for number, connection in reversed(list(enumerate(opened))):
        assert len(connection.getresponse().read()) == 1 + 100_000 * number
        connection.request("GET", "/7")  # the same connection once more
        assert connection.getresponse().read() == b"x" * 7
        connection.close()
    told(house, job_id, "port web on gpu-a")
    house.act("cancel", job_id)
    _, said = inside.communicate(timeout=30)
    assert inside.returncode == 1
    assert b"the task has ended, and its ports with it" in said


def test_a_port_is_reached_from_python_as_long_as_it_is_wanted(house: Lab) -> None:
    job_id = house.give((sys.executable, "-c", SERVER), ports=("web",))
    house.wait(lambda: house.lines(job_id) == ["listens"], "the server")
    client = house.ask(lambda client: client)
    with client.forward(job_id, "web") as address:
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request("GET", "/7")
        assert connection.getresponse().read() == b"x" * 7
        connection.close()
    with pytest.raises(OSError, match="refused"):
        http.client.HTTPConnection(address, timeout=30).connect()
    with pytest.raises(NotFound, match="has no port 'api'"), client.forward(job_id, "api"):
        pass
    house.act("cancel", job_id)


def test_a_port_that_nobody_listens_on_closes_what_connects(house: Lab) -> None:
    job_id = running(house, ports=("web",))
    assert f"{job_id} has no port 'api': it has web" in house.run("forward", job_id, "api", code=1).stderr
    inside = begin(house, "forward", job_id, "web")
    assert inside.stdout is not None
    assert inside.stderr is not None
    host, _, port = inside.stdout.readline().decode().strip().partition(":")
    with socket.create_connection((host, int(port)), 30) as connection:
        assert connection.recv(1) == b""
    assert b"nothing in the task listens on its port web (Connection refused)" in inside.stderr.readline()
    inside.send_signal(signal.SIGINT)
    inside.communicate(timeout=30)
    assert inside.returncode == 130
    house.act("cancel", job_id)


class Typist:
    """`opsconsole shell` on a terminal of our own."""

    def __init__(self, house: Lab, *arguments: str) -> None:
        self._master, slave = os.openpty()
        self.resize(90, 30)
        environ = house.environ | {"TERM": "xterm-256color", "PS1": "$ "}
        command = ("setsid", "--ctty", *OPSCONSOLE, "shell", *arguments)
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environ, cwd=house.folder)
        os.close(slave)
        self._seen = b""

    def resize(self, columns: int, rows: int) -> None:
        """As a person who pulls at the window."""
        termios.tcsetwinsize(self._master, (rows, columns))

    def type(self, text: bytes) -> None:
        """As a person does."""
        os.write(self._master, text)

    def sees(self, text: bytes) -> None:
        """Wait until this is shown, behind what was waited for before."""
        while text not in self._seen:
            ready, _, _ = select.select([self._master], [], [], 20)
            assert ready, f"{text!r} isn't shown, but {self._seen!r}"
            try:
                self._seen += os.read(self._master, 1 << 16)
            except OSError:
                raise AssertionError(f"it has ended, with {self._seen!r}") from None
        self._seen = self._seen.partition(text)[2]

    def leaves(self, code: int) -> bytes:
        """Wait for its end; what it still said."""
        while True:
            try:
                self._seen += os.read(self._master, 1 << 16)
            except OSError:
                break
        assert self.process.wait(20) == code
        os.close(self._master)
        return self._seen


@pytest.mark.parametrize("via", ["direct", "relay"])
def test_a_shell_has_a_terminal_of_its_own(house: Lab, via: str) -> None:
    job_id = running(house, environment={"LR": "0.1"})
    typist = Typist(house, "--via", via, job_id)
    typist.type(b"echo lr-$LR-$TERM; stty size\r")
    typist.sees(b"lr-0.1-xterm-256color\r\n")
    typist.sees(b"30 90\r\n")
    typist.resize(120, 40)
    typist.type(b"until [ \"$(stty size)\" = '40 120' ]; do :; done; echo new-$((1+1))\r")
    typist.sees(b"new-2\r\n")
    typist.type(b"echo sleeps-$((1+2)); sleep 600.125\r")
    typist.sees(b"sleeps-3\r\n")
    house.wait(lambda: lives("600.125"), "the program in the shell")
    typist.type(b"\x03")
    typist.type(b"echo on-$((2+2)); tty\r")
    typist.sees(b"on-4\r\n")
    typist.sees(b"/dev/pts/")
    assert not lives("600.125")
    typist.type(b"exit 5\r")
    typist.leaves(5)
    told(house, job_id, "a shell on gpu-a")
    house.act("cancel", job_id)


def test_a_shell_is_left_by_escape_and_ended_by_the_end_of_its_task(house: Lab) -> None:
    job_id = running(house)
    typist = Typist(house, job_id)
    typist.type(b"echo up-$((1+1)); exec sleep 600.375\r")
    typist.sees(b"up-2\r\n")
    house.wait(lambda: lives("600.375"), "what the shell became")
    typist.type(b"\r~.")
    typist.leaves(130)
    house.wait(lambda: not lives("600.375"), "its end")
    typist = Typist(house, job_id)
    typist.type(b"echo up-$((1+1))\r")
    typist.sees(b"up-2\r\n")
    house.act("cancel", job_id)
    said = typist.leaves(128 + signal.SIGKILL)
    assert b"the task has ended, and what ran in it with it" in said
    assert "a shell needs a terminal" in house.run("shell", job_id, code=2).stderr


def test_a_worker_that_is_away_is_named(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    job_id = running(lab)
    lab.kill(lab.processes["gpu-a"])
    lab.wait(lambda: lab.worker("gpu-a")["connection"] != "connected", "the silence")
    said = lab.run("exec", job_id, "--", "true", code=1).stderr
    assert f"{job_id} runs on gpu-a, which is not connected" in said
    lab.agent("gpu-a")
    assert lab.run("exec", job_id, "--", "echo", "back").stdout == "back\n"
    lab.act("cancel", job_id)
    lab.wait_state(job_id, "killed")
