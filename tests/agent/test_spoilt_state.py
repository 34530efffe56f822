"""A task with the agent's rights plays with the agent's state folder, and the keeper is killed (hard use 51, 61).

The kind: whatever lies under the name of one of our files, agent and keeper come up, the task that lives is kept, new
work goes on, and no task's end is taken from a line that no keeper wrote.
"""

import json
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from opsconsole_agent.keeper.process import find_process
from opsconsole_protocol.host.private_file import PrivateFileError
from opsconsole_protocol.link import Mode
from tests.agent.conftest import RunningAgent, StartAgent
from tests.agent.fake_coordinator import FakeCoordinator
from tests.agent.keeper.test_state_file import SPOILERS
from tests.agent.test_runtime import keeper_pid
from tests.waiting import until

pytestmark = pytest.mark.process
A, B = (f"{name}-{secrets.token_hex(4)}" for name in "ab")
"""Ids that no other test has: keepers look for theirs among all processes of the host."""

FILES = (
    "agent.lock",
    "keeper.lock",
    "keeper.log",
    "keeper.sock",
    "exit.log",
    "exit.log.new",
    "boot",
    "boot.new",
    "store.json",
    "store.json.new",
    "attempts",
    f"attempts/{A}",
    f"attempts/{A}/work",
    f"attempts/{A}/spec.json",
    f"attempts/{A}/spec.json.new",
    f"attempts/{A}/stdout",
    f"attempts/{A}/stderr",
    f"attempts/{A}/error",
    "logs",
    f"logs/{A}.stdout",
    f"logs/{A}.stderr",
    "api_port",
    "sdk",
    "sdk/opsconsole",
    "sdk/opsconsole/__init__.py",
    "sdk/opsconsole/callback.py",
    "sdk/opsconsole/call.py",
    "departure",
    "content",
    *(f"content/{name}" for name in ("trees", "records", "incoming", "trash", "pins")),
    "content/hashes.db",
    "outputs",
    "outputs/jobs",
    "outputs/jobs/j0b0000000",
    *(f"outputs/jobs/j0b0000000/{name}" for name in ("models", "logs")),
)
"""All that agent and keeper open, but for the credential and what it is good for, without which there is no worker."""
KEEPERS_OWN = "exit.log"
"""The one file without which the end of what lives isn't known."""


def spoil(path: Path, kind: str) -> None:
    """Put something else in the place of a file, as a task can."""
    if os.path.lexists(path):
        path.rename(path.parent / f"{path.name}.moved")
    SPOILERS[kind](path)


async def until_up(coordinator: FakeCoordinator, attempt_id: str = A) -> None:
    """It runs, and its keeper has written that down."""
    await coordinator.until_state(attempt_id, "running")
    await until(lambda: coordinator.log(attempt_id) == b"up\n", what="the first line")


async def kill_keeper(agent: RunningAgent) -> None:
    pid = keeper_pid(agent.config.state_dir)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: (found := find_process(pid)) is None or not found.alive, what="the keeper's death")


def groups() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every file with every kind, four at a time, none of them below another; each kind puts others together."""
    for turn, kind in enumerate(kind for kind in SPOILERS if kind not in {"dangling", "missing"}):
        made: list[list[str]] = [[KEEPERS_OWN]]
        for name in (*FILES[turn::7], *(name for start in range(7) if start != turn for name in FILES[start::7])):
            if name != KEEPERS_OWN:
                fitting = (
                    group for group in made[1:] if len(group) < 4 and not any(_nested(name, one) for one in group)
                )
                group = next(fitting, None)
                if group is None:
                    made.append([name])
                else:
                    group.append(name)
        yield from ((kind, tuple(group)) for group in made)


def _nested(one: str, other: str) -> bool:
    first, second = Path(one), Path(other)
    return first.is_relative_to(second) or second.is_relative_to(first)


@pytest.mark.parametrize(
    ("kind", "names"), groups(), ids=lambda one: one if isinstance(one, str) else "+".join(one).replace(A, "A")
)
async def test_new_work_goes_on(
    coordinator: FakeCoordinator, start_agent: StartAgent, names: tuple[str, ...], kind: str
) -> None:
    agent = await start_agent()
    coordinator.assign(A, "sh", "-c", "echo up; exec sleep 86399")
    await until_up(coordinator)
    await agent.crash()
    await kill_keeper(agent)
    for name in names:
        spoil(agent.config.state_dir / name, kind)
    await start_agent()
    coordinator.assign(B, "sh", "-c", "echo new")
    await coordinator.until_state(B, "succeeded")
    await until(lambda: B in coordinator.forgotten, what="its log")
    assert coordinator.log(B) == b"new\n"
    if KEEPERS_OWN in names:  # nobody alive knows which process led it
        assert (await coordinator.until_state(A, "failed")).exit_known is False
        return
    await coordinator.until_state(A, "running")
    coordinator.want(A, Mode.STOP)
    await coordinator.until_state(A, "killed")


@pytest.mark.parametrize("kind", SPOILERS)
async def test_all_of_them_at_once_while_the_agent_lives(
    coordinator: FakeCoordinator, start_agent: StartAgent, kind: str
) -> None:
    agent = await start_agent()
    coordinator.assign(A, "sh", "-c", "echo up; exec sleep 86399")
    await until_up(coordinator)
    for name in reversed(FILES):
        spoil(agent.config.state_dir / name, kind)
    await kill_keeper(agent)
    coordinator.assign(B, "sh", "-c", "echo new")
    await coordinator.until_state(B, "succeeded")
    await until(lambda: B in coordinator.forgotten, what="its log")
    assert coordinator.log(B) == b"new\n"
    assert coordinator.state(A) == "running", coordinator.observed[A]
    coordinator.want(A, Mode.STOP)
    await coordinator.until_state(A, "killed")


async def test_every_file_of_the_folder_is_on_the_list(coordinator: FakeCoordinator, start_agent: StartAgent) -> None:
    agent = await start_agent()
    coordinator.assign(A, "sh", "-c", "echo up; exec sleep 86399")
    await until_up(coordinator)
    folder = agent.config.state_dir
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert found - set(FILES) <= {"credential.json", "coordinator.json"}


@pytest.mark.parametrize("kind", [kind for kind in SPOILERS if kind not in {"missing", "forbidden"}])
async def test_a_spoilt_credential_is_refused_in_words(start_agent: StartAgent, kind: str) -> None:
    agent = await start_agent()
    await agent.end()
    path = agent.config.state_dir / "credential.json"
    path.unlink()
    SPOILERS[kind](path)
    if path.is_file() and not path.is_symlink():
        path.chmod(0o600)
    again = await start_agent(wait=False)
    assert again.task is not None
    with pytest.raises(PrivateFileError, match=r"credential\.json (is|can't be read)"):
        await again.task


# --- forgeries ---------------------------------------------------------------------------------------------------------


def forged(attempt_id: str) -> str:
    return json.dumps(
        {
            "kind": "exited", "attempt_id": attempt_id, "pid": 1, "exit_code": 0, "signal": None, "exit_known": True,
            "error": None, "at_ms": 1, "started_at_ms": 1, "user_s": 0.0, "system_s": 0.0, "max_rss_mb": 0.0,
            "oom_kill": False, "leftovers": 0, "proof": True,
        }
    )  # fmt: skip


async def test_a_forged_end_is_noticed_while_an_agent_lives(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    agent = await start_agent()
    for name in (A, B):
        coordinator.assign(name, "sh", "-c", 'trap "" TERM; echo up; while :; do sleep 0.1; done')
        await until_up(coordinator, name)
    log = agent.config.state_dir / "exit.log"
    with log.open("a") as file:
        file.write(forged(A) + "\n" + forged(B) + "\t" + "0" * 32 + "\n")
    await kill_keeper(agent)
    await until(lambda: keeper_pid(agent.config.state_dir), what="another keeper")
    await until(lambda: any("were written by no keeper" in line for line in agent.said), what="a word")
    coordinator.want(A, Mode.STOP, grace_ms=0)
    coordinator.want(B, Mode.STOP, grace_ms=0)
    for name in (A, B):
        await coordinator.until_state(name, "killed")
        assert "succeeded" not in coordinator.history[name]
    assert any("2 lines of exit.log were written by no keeper" in line for line in agent.said)
    assert len(list(agent.config.state_dir.glob("exit.log.damaged-*"))) == 1


async def test_an_end_that_a_keeper_wrote_is_believed_by_the_next(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    """Also through a life of the agent in between: the key comes with the keeper's hello."""
    coordinator.forgets = False
    agent = await start_agent()
    coordinator.assign(A, "sh", "-c", "exit 3")
    await coordinator.until_state(A, "failed")
    await agent.crash()
    agent = await start_agent()
    await until(lambda: len(coordinator.registers) == 2)
    await kill_keeper(agent)
    await until(lambda: keeper_pid(agent.config.state_dir), what="another keeper")
    await agent.crash()
    await start_agent()
    await until(lambda: len(coordinator.registers) == 3)
    observed = coordinator.registers[-1].observed
    assert [(one.exit_code, one.error) for one in observed] == [(3, "exit code 3")]
    assert not list(agent.config.state_dir.glob("exit.log.damaged-*"))


async def test_who_only_listens_in_the_keepers_place_is_not_believed(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    agent = await start_agent()
    coordinator.assign(A, "sh", "-c", "echo up; exec sleep 86399")
    await until_up(coordinator)
    folder = agent.config.state_dir
    hello = {"kind": "hello", "version": "1.0", "pid": 1, "boot_id": "", "started_ms": 0, "live": []}
    lies = json.dumps({**hello, "exits": [json.loads(forged(A))]}) + "\n"
    impostor = socket.socket(socket.AF_UNIX)
    impostor.bind(str(folder / "fresh.sock"))
    impostor.listen()
    callers: list[socket.socket] = []

    def lie() -> None:
        with suppress(OSError):
            while True:
                callers.append(impostor.accept()[0])
                callers[-1].sendall(lies.encode())

    threading.Thread(target=lie, daemon=True).start()
    (folder / "fresh.sock").rename(folder / "keeper.sock")
    await kill_keeper(agent)
    coordinator.assign(B, "true")
    await coordinator.until_state(B, "succeeded")
    impostor.close()
    assert callers
    for caller in callers:
        caller.close()
    assert coordinator.state(A) == "running"


async def test_a_task_is_not_let_in_by_its_keeper(coordinator: FakeCoordinator, start_agent: StartAgent) -> None:
    """It could start, end and forget what belongs to others."""
    agent = await start_agent()
    sock = agent.config.state_dir / "keeper.sock"
    script = (
        'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);print("heard", len(s.recv(100)))'
    )
    for name, command in (
        (f"plain-{A}", ("python3", "-c", script, str(sock))),
        (f"scrubbed-{A}", ("env", "-i", "/usr/bin/setsid", "-f", "/usr/bin/env", "python3", "-c", script, str(sock))),
    ):
        coordinator.assign(name, *command)
        await coordinator.until_state(name, "succeeded")
        if name.startswith("plain"):  # its log may arrive after its end
            await until(lambda name=name: b"heard 0" in coordinator.log(name), what="what the task printed")  # type: ignore[misc]
    assert "is no agent, and was not let in" in (agent.config.state_dir / "keeper.log").read_text()


async def test_a_socket_and_a_log_that_were_taken_away_come_back(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    agent = await start_agent()
    coordinator.assign(A, "sh", "-c", "echo up; exec sleep 86399")
    await until_up(coordinator)
    before = keeper_pid(agent.config.state_dir)
    for name in ("keeper.sock", "exit.log"):
        (agent.config.state_dir / name).unlink()
    await until(lambda: all((agent.config.state_dir / name).exists() for name in ("keeper.sock", "exit.log")), 15)
    await agent.crash()
    await start_agent()
    await coordinator.until_state(A, "running")
    assert keeper_pid(agent.config.state_dir) == before
