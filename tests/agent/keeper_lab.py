"""A keeper in a folder of its own for one test, the attempts in it, and the certainty that none of them stays behind."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self

from opsconsole_agent.keeper import main as keeper_main
from opsconsole_agent.keeper.freezer import Cgroup
from opsconsole_agent.keeper.process import find_process, list_processes, read_mark
from opsconsole_agent.keeper_client.keeper_client import KeeperClient
from opsconsole_agent.keeper_client.message import (
    AttemptExited,
    AttemptStarted,
    KeeperEvent,
    KeeperHello,
    KeeperLost,
    StartCommand,
)
from opsconsole_agent.keeper_client.spawn import reap_keepers
from opsconsole_protocol.ids import AttemptId
from tests.agent.keeper_client import agent_script
from tests.waiting import until, until_sync

NOBODY = 65534
AGENT_ROOT = Path(keeper_main.__file__).resolve().parents[2]
REPOSITORY = Path(__file__).resolve().parents[3]
IDLE_S = 30

TREE = """
tick() { i=0; while :; do i=$((i+1)); echo $i > "$1"; sleep 0.02; done; }
case "${1:-leader}" in
daemon) echo $$ > daemon.pid; tick daemon ;;
*) echo $$ > leader.pid
   tick child &
   echo $! > child.pid
   (setsid sh "$0" daemon &)
   tick leader ;;
esac
"""
"""A leader, its child, and a daemon that has forked twice and left the session; each counts in a file of its own."""

TREE_ROLES = ("leader", "child", "daemon")

KEEPER_AS = """
import os, sys
sys.path.append(sys.argv[1])
from opsconsole_agent.keeper import freezer
from opsconsole_agent.keeper.startup import run
if sys.argv[2] == "signals":
    freezer.find_freezer = lambda: None
if int(sys.argv[3]):
    os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[3]))
sys.exit(run(sys.argv[4:]))
"""
"""A keeper without a cgroup freezer, or as another user."""


class KeeperLab:
    """The folder, what the link says, and shorthands to start attempts."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="keeper-test-"))
        self.state_dir = self.folder / "state"
        self.state_dir.mkdir(mode=0o700)
        self.client: KeeperClient
        self.events: list[KeeperEvent] = []
        self.keeper_pids: set[int] = set()
        self._prefix = f"test-{secrets.token_hex(4)}"
        self._reading: asyncio.Task[None] | None = None
        self._keepers: list[subprocess.Popen[bytes]] = []

    # ---- the keeper and the link ----

    def start_keeper(self, *, freezing: str = "any", user: int = 0, idle_s: float = IDLE_S) -> int:
        """A keeper that the link will find; `freezing="signals"` forbids it cgroups. Returns its pid."""
        if user:
            for path in (self.folder, self.state_dir):
                os.chown(path, user, user)
        script = [sys.executable, "-I", "-S", "-c", KEEPER_AS, str(AGENT_ROOT), freezing, str(user)]
        keeper = subprocess.Popen(
            [*script, str(self.state_dir), str(idle_s)], stdout=subprocess.PIPE, start_new_session=True
        )
        self._keepers.append(keeper)
        self.keeper_pids.add(keeper.pid)
        assert keeper.stdout is not None
        with keeper.stdout as said:
            assert said.readline() == b"ready\n", (self.state_dir / "keeper.log").read_text()
        return keeper.pid

    async def connect(self, idle_s: float = IDLE_S) -> Self:
        """Connect, and collect every event from now on."""
        self.client = await KeeperClient.connect(self.state_dir, idle_s=idle_s)
        self.events = []
        self._reading = asyncio.create_task(self._read(self.client, self.events))
        await until(lambda: self.hello is not None, what="the hello")
        return self

    async def _read(self, client: KeeperClient, events: list[KeeperEvent]) -> None:
        async for event in client.events():
            events.append(event)
            if isinstance(event, KeeperHello):
                self.keeper_pids.add(event.pid)

    def start_agent(self, scripts: dict[AttemptId, str]) -> subprocess.Popen[bytes]:
        """An agent in a process of its own, which has started these shell scripts."""
        words = [word for pair in scripts.items() for word in pair]
        agent = subprocess.Popen(
            [sys.executable, agent_script.__file__, str(self.state_dir), str(self.folder), *words],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert agent.stdout is not None
        with agent.stdout as said:
            assert said.readline() == b"started\n"
        return agent

    async def disconnect(self) -> None:
        """As an agent that ends."""
        await self.client.close()
        if self._reading is not None:
            await self._reading

    @property
    def hello(self) -> KeeperHello | None:
        """The latest one of this link."""
        return next((event for event in reversed(self.events) if isinstance(event, KeeperHello)), None)

    @property
    def keeper_pid(self) -> int:
        """Of the keeper that we are connected to."""
        assert self.hello is not None
        return self.hello.pid

    def kill_keeper(self) -> None:
        """As the out-of-memory killer would."""
        pid = self.keeper_pid
        os.kill(pid, signal.SIGKILL)
        until_sync(lambda: not alive(pid), what="the keeper's death")

    async def kill_keeper_and_wait(self) -> KeeperHello:
        """The same, and the hello of the next one."""
        before = self.keeper_pid
        self.kill_keeper()
        await until(lambda: self.hello is not None and self.hello.pid != before, what="another keeper")
        assert any(isinstance(event, KeeperLost) for event in self.events)
        assert self.hello is not None
        return self.hello

    # ---- attempts ----

    def id(self, name: str) -> AttemptId:
        """An attempt id that no other test has."""
        return AttemptId(f"{self._prefix}.{name}")

    def command(
        self, name: str, *argv: str, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> StartCommand:
        """A start in this test's folder, with output in `NAME.out` and `NAME.err`."""
        return StartCommand(
            attempt_id=self.id(name),
            argv=list(argv),
            cwd=str(cwd or self.folder),
            env={"PATH": os.environ["PATH"]} if env is None else env,
            stdout=str(self.folder / f"{name}.out"),
            stderr=str(self.folder / f"{name}.err"),
        )

    async def start(self, name: str, *argv: str) -> AttemptId:
        """Start it; returns its id."""
        await self.client.start(self.command(name, *argv))
        return self.id(name)

    async def shell(self, name: str, script: str, program: str = "/bin/sh") -> AttemptId:
        """Start a shell script."""
        return await self.start(name, program, "-c", script)

    async def run(self, name: str, *argv: str) -> AttemptExited:
        """Start it and wait for its end."""
        return await self.ended(await self.start(name, *argv))

    async def tree(self, name: str = "tree") -> AttemptId:
        """Start the tree of three and wait until all of them count. Its files are in a folder `NAME`."""
        folder = self.folder / name
        folder.mkdir()
        folder.chmod(0o777)
        (folder / "tree.sh").write_text(TREE)
        await self.client.start(self.command(name, "/bin/sh", "tree.sh", cwd=folder))
        await until(lambda: all(self.count(name, role) > 1 for role in TREE_ROLES), what="the tree to grow")
        return self.id(name)

    def count(self, name: str, role: str) -> int:
        """How far a part of the tree has counted."""
        try:
            return int((self.folder / name / role).read_text() or 0)
        except FileNotFoundError:
            return 0

    def counts(self, name: str = "tree") -> list[int]:
        """How far each has."""
        return [self.count(name, role) for role in TREE_ROLES]

    def tree_pids(self, name: str = "tree") -> list[int]:
        """Leader, child, daemon."""
        return [int((self.folder / name / f"{role}.pid").read_text()) for role in TREE_ROLES]

    async def ended(self, attempt_id: AttemptId, timeout_s: float = 10) -> AttemptExited:
        """Wait for its exit, which may have come with a hello."""
        await until(lambda: self.exit_of(attempt_id) is not None, timeout_s, what=f"the end of {attempt_id}")
        found = self.exit_of(attempt_id)
        assert found is not None
        return found

    def exit_of(self, attempt_id: AttemptId) -> AttemptExited | None:
        """Its exit, if that has been told."""
        hello = self.hello
        told = [*(hello.exits if hello else []), *self.events]
        return next((e for e in told if isinstance(e, AttemptExited) and e.attempt_id == attempt_id), None)

    def started(self, attempt_id: AttemptId) -> AttemptStarted:
        """Its start, which has been told."""
        return next(e for e in self.events if isinstance(e, AttemptStarted) and e.attempt_id == attempt_id)

    def output(self, name: str) -> str:
        """What it has written."""
        return (self.folder / f"{name}.out").read_text()

    # ---- the end ----

    async def close(self) -> list[int]:
        """End everything; returns processes that were still alive though nobody should be."""
        if self._reading is not None:
            await self.disconnect()
        for pid in self.keeper_pids:
            if alive(pid):
                kill(pid)
        for pid in self.keeper_pids:
            await until(lambda pid=pid: not alive(pid), what="the keeper's death")  # type: ignore[misc]
        for keeper in self._keepers:
            keeper.wait()
        reap_keepers()
        left = self.marked()
        while pids := self.marked():
            for pid in pids:
                kill(pid)
        self._remove_cgroups()
        shutil.rmtree(self.folder)
        return left

    def _remove_cgroups(self) -> None:
        """Those of a keeper that was killed."""
        for cgroup in Path("/sys/fs/cgroup").glob(f"**/opsconsole-{self._prefix}.*"):
            until_sync(Cgroup(str(cgroup), 2).remove, what="the cgroup's last process to be gone")

    def marked(self) -> list[int]:
        """Living processes that carry a mark of this test."""
        return [
            process.pid
            for process in list_processes().values()
            if process.alive and (read_mark(process.pid) or "").startswith(self._prefix)
        ]


def kill(pid: int) -> None:
    """Kill a process that may end by itself meanwhile."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether a process lives; a zombie doesn't."""
    process = find_process(pid)
    return process is not None and process.alive


def proc(pid: int, name: str) -> str:
    """A file of /proc/PID, for a process that lives on; raises OSError when it has ended."""
    return Path(f"/proc/{pid}/{name}").read_text()


def resident_kb(pid: int) -> int:
    """Memory of a process."""
    return int(proc(pid, "status").split("VmRSS:")[1].split()[0])


@asynccontextmanager
async def keeper_lab() -> AsyncIterator[KeeperLab]:
    """A lab that is ended whatever happens."""
    one = KeeperLab()
    try:
        yield one
    finally:
        await one.close()
