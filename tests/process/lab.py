"""A small fleet of real processes: coordinator, agents, command lines; everything under one folder, everything ended."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from opsconsole import SyncClient
from opsconsole_console.cli.output import plain
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.log import LogQuery
from opsconsole_protocol.spec import JobSpec
from tests.seen_process import SeenProcess, everyone
from tests.waiting import until_sync

T = TypeVar("T")

OPSCONSOLE = (sys.executable, "-m", "opsconsole_console")
OURS = ("OPSCONSOLE_", "XDG_")


class Lab:
    """Starts what a test asks for; `close` ends all of it, keepers and tasks too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        """What was started last under each name."""
        self._client: SyncClient | None = None
        self._is_waiting = False
        self.environ = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
        self.environ |= {
            "HOME": str(folder / "home"),
            "OPSCONSOLE_DATA_DIR": str(self.data_dir),
            "OPSCONSOLE_CONFIG": str(folder / "config.toml"),
            "LAB": str(folder),
        }
        (folder / "home").mkdir()
        (folder / "config.toml").touch()

    # --- processes ---------------------------------------------------------------------------------------------

    def start(
        self, name: str, *arguments: str, environ: dict[str, str] | None = None, within: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start `opsconsole ARGUMENTS`; what it says goes to NAME.log. `within`: a command that becomes it."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                (*within, *OPSCONSOLE, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environ | (environ or {}),
                cwd=self.folder,
            )
        self._processes.append(process)
        self.processes[name] = process
        return process

    def serve(self, *arguments: str, listen: str = "127.0.0.1:0") -> subprocess.Popen[bytes]:
        """Start a coordinator and wait until it listens."""
        (self.data_dir / "endpoint.json").unlink(missing_ok=True)
        process = self.start("serve", "serve", "--listen", listen, *arguments)
        self.wait(lambda: (self.data_dir / "endpoint.json").exists() or process.poll() is not None, "the coordinator")
        assert process.poll() is None, self.said("serve")
        return process

    def agent(
        self,
        name: str,
        *arguments: str,
        slots: int | None = 2,
        environ: dict[str, str] | None = None,
        join: bool = True,
        within: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start an agent and wait until it is shown as connected."""
        own = ["--name", name, "--state-dir", str(self.state_dir(name))]
        own += ["--max-concurrent-jobs", str(slots)] if slots is not None else []
        process = self.start(name, "agent", *own, *arguments, environ=environ, within=within)
        if join:
            self.wait_connected(name)
        return process

    def state_dir(self, name: str) -> Path:
        """The agent's folder."""
        return self.folder / f"state-{name}"

    def keepers(self, name: str) -> list[SeenProcess]:
        """The keepers beside an agent: one, or none when it has had nothing to keep for a while."""
        folder = str(self.state_dir(name))
        return [one for one in everyone() if folder in (line := one.command) and "keeper/main.py" in " ".join(line)]

    def said(self, name: str) -> str:
        """What a started process printed."""
        return (self.folder / f"{name}.log").read_text()

    def kill(self, process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
        """Signal a process and wait for its end."""
        process.send_signal(number)
        process.wait(20)

    def follow(self, name: str, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a command whose output goes to a file of its own; the process and the file."""
        path = self.folder / f"{name}.out"
        with path.open("wb") as out:
            process = subprocess.Popen(
                (*OPSCONSOLE, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.environ,
                cwd=self.folder,
            )
        self._processes.append(process)
        return process, path

    def peak_memory_mb(self, name: str) -> float:
        """The most memory that a started process has had in use so far."""
        status = Path(f"/proc/{self.processes[name].pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    # --- the command line --------------------------------------------------------------------------------------

    def run(
        self, *arguments: str, code: int | None = 0, environ: dict[str, str] | None = None, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end; with `code` its exit code is checked.

        Not to wait for something: hundreds of processes would be started until it comes. Ask the client library.
        """
        assert not self._is_waiting, f"{arguments} would run again and again"
        done = subprocess.run(
            (*OPSCONSOLE, *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environ | (environ or {}),
            cwd=self.folder,
            timeout=timeout_s,
            check=False,
            errors="replace",
        )
        if code is not None:
            assert done.returncode == code, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def submit(self, *arguments: str) -> str:
        """Submit a job; its id."""
        return self.run("submit", *arguments).stdout.strip()

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """The objects that a command prints with --json."""
        return [json.loads(line) for line in self.run(*arguments, "--json").stdout.splitlines()]

    # --- the client library, for looking often -----------------------------------------------------------------

    def give(self, command: str | Sequence[str], **fields: Any) -> str:
        """Submit a job, a script for the shell or words, with fields of a `JobSpec`; its id. Quicker than `submit`."""
        words_ = ("sh", "-c", command) if isinstance(command, str) else tuple(command)
        spec = JobSpec(command=words_, **fields)
        return self.ask(lambda client: client.submit(spec))[0].id

    def act(self, verb: str, *ids: str) -> None:
        """Pause, resume, cancel, … by the client library."""
        self.ask(lambda client: client.act(verb, ids))

    def invite(self, role: str = "worker", **fields: Any) -> str:
        """A join line."""
        return self.ask(lambda client: client.run(client.client.invite(role, **fields))).line

    def lines(self, job_id: str, *, task: int | None = None, **fields: Any) -> list[str]:
        """The lines of a task's log that are stored by now, with fields of a `LogQuery`; fragments stand alone.

        With `max_lines` no more than those.
        """

        limit = fields.get("max_lines")

        async def read() -> list[str]:
            assert self._client is not None
            query, found = LogQuery(**fields), list[str]()
            while True:
                answer = await self._client.client.read_log(job_id, query, task_index=task)
                found += [line.data for line in answer.page.lines]
                if answer.page.end or limit is not None:
                    return found
                query = msgspec.structs.replace(query, cursor=answer.page.next_cursor)

        return self.ask(lambda client: client.run(read()))

    def events(self, subject: str = "") -> list[str]:
        """What happened, oldest first, as `actor: text`."""
        rows = self.ask(lambda client: client.run(client.client.events(subject)))
        return [f"{row.actor}: {row.text}" for row in reversed(rows)]

    def ask(self, question: Callable[[SyncClient], T]) -> T:
        """Ask the coordinator of this lab; connects anew when the last one is gone."""
        for attempt in range(2):
            if self._client is None:
                self._client = SyncClient.connect(data_dir=self.data_dir)
            try:
                return question(self._client)
            except Unavailable:
                self._client.close()
                self._client = None
                if attempt:
                    raise
        raise AssertionError("unreachable")

    def worker(self, name: str) -> dict[str, Any]:
        """One worker's row, empty when there is none."""
        rows = self.ask(lambda client: client.workers())
        found: dict[str, Any] = next((plain(row) for row in rows if row.name == name), {})
        return found

    def job(self, job_id: str) -> dict[str, Any]:
        """One job with tasks and events, as `show --json` has it."""
        detail = self.ask(lambda client: client.show(job_id))
        job: dict[str, Any] = plain(detail.job)
        return job | {"tasks": plain(detail.tasks), "events": plain(detail.events)}

    @property
    def endpoint(self) -> dict[str, Any]:
        """What the coordinator wrote down about itself."""
        found: dict[str, Any] = json.loads((self.data_dir / "endpoint.json").read_text())
        return found

    @property
    def port(self) -> int:
        """Where the coordinator listens."""
        return int(self.endpoint["url"].rpartition(":")[2])

    def state(self, job_id: str) -> str:
        """A job's state."""
        return str(self.job(job_id)["state"])

    # --- waiting -----------------------------------------------------------------------------------------------

    def wait(self, condition: Any, what: str, timeout_s: float = 30) -> None:
        """Wait for a condition; what the processes said is shown when it doesn't come."""
        self._is_waiting = True
        try:
            until_sync(condition, timeout_s, what)
        except AssertionError as error:
            logs = "\n".join(f"--- {path.name}\n{path.read_text()[-2000:]}" for path in self.folder.glob("*.log"))
            raise AssertionError(f"{error}\n{logs}") from None
        finally:
            self._is_waiting = False

    def wait_connected(self, name: str) -> None:
        """Wait until a worker is shown as connected."""
        self.wait(lambda: self.worker(name).get("connection") == "connected", f"{name} to be connected")

    def wait_ended(self, process: subprocess.Popen[bytes], timeout_s: float = 30) -> int:
        """Wait until a started process has ended; its exit code."""
        self.wait(lambda: process.poll() is not None, f"{process.args!r} to end", timeout_s)
        assert process.returncode is not None
        return process.returncode

    def wait_lines(self, job_id: str, *expected: str, timeout_s: float = 30) -> None:
        """Wait until a task has printed exactly these lines."""
        self.wait(lambda: self.lines(job_id) == list(expected), f"{job_id} to print {expected}", timeout_s)

    def wait_state(self, job_id: str, *states: str, timeout_s: float = 30) -> dict[str, Any]:
        """Wait until a job is in one of the states; the job."""
        try:
            self.wait(lambda: self.state(job_id) in states, f"{job_id} to be {' or '.join(states)}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.run('show', job_id).stdout}") from None
        return self.job(job_id)

    # --- the end -----------------------------------------------------------------------------------------------

    def left(self) -> list[SeenProcess]:
        """Every process that this lab brought into the world: they all carry its folder in environment or arguments."""
        mark = str(self.folder)
        return [
            one
            for one in everyone()
            if one.pid != os.getpid() and (one.environ.get("LAB") == mark or any(mark in word for word in one.command))
        ]

    def programs(self) -> list[SeenProcess]:
        """What runs of `opsconsole` itself: consoles, coordinators, agents; no keepers and no tasks."""
        return [one for one in self.left() if OPSCONSOLE[-1] in one.command]

    def close(self) -> None:
        """End everything."""
        if self._client is not None:
            self._client.close()
        for started in reversed(self._processes):
            if started.poll() is None:
                started.kill()
                started.wait(10)
        deadline = 20
        while (rest := self.left()) and deadline:
            for process in rest:
                process.signal(signal.SIGKILL)
            for process in rest:
                process.ends(1)
            deadline -= 1
        assert not rest, f"left behind: {rest}"


def words(script: str) -> Sequence[str]:
    """A shell script as a command, for `submit -- …`."""
    return ("--", "sh", "-c", script)


@contextlib.contextmanager
def lab(folder: Path) -> Iterator[Lab]:
    """A lab that is ended in any case."""
    made = Lab(folder)
    try:
        yield made
    finally:
        made.close()
