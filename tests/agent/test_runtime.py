"""A whole agent with a real keeper and real processes, against a coordinator in memory."""

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from opsconsole_agent.core.intent import Intent
from opsconsole_agent.probe.file_stability import RECHECK_MS
from opsconsole_agent.probe.io_path import WorkerIOConfig
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol import link
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Mode, Want
from tests.agent.conftest import StartAgent, processes_below
from tests.agent.core.script import make_launch
from tests.agent.fake_coordinator import FakeCoordinator
from tests.waiting import until

pytestmark = pytest.mark.process
PYTHON = sys.executable
SLEEP = ("sleep", "1000")


def pid_of(coordinator: FakeCoordinator, attempt_id: str) -> int:
    """The process id that a task printed as its first word; 0 while it hasn't."""
    words = coordinator.log(attempt_id).split()
    return int(words[0]) if words else 0


def lives(pid: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


def keeper_pid(state_dir: Path) -> int:
    """The keeper of this folder."""
    for pid in processes_below(state_dir):
        with suppress(OSError):
            if b"keeper/main.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return 0


# --- a task's life ---------------------------------------------------------------------------------------------------


async def test_a_task_runs_and_its_log_arrives(coordinator: FakeCoordinator, start_agent: StartAgent) -> None:
    agent = await start_agent()
    coordinator.assign("a", "sh", "-c", "echo hello; echo oops >&2; exit 3")
    observed = await coordinator.until_state("a", "failed")
    assert (observed.exit_code, observed.error) == (3, "exit code 3")
    assert observed.started_at_ms is not None
    assert observed.finished_at_ms is not None
    assert observed.finished_at_ms >= observed.started_at_ms
    await until(lambda: coordinator.forgotten == ["a"])
    assert (coordinator.log("a"), coordinator.log("a", "stderr")) == (b"hello\n", b"oops\n")
    await until(lambda: not (agent.config.state_dir / "attempts" / "a" / "spec.json").exists())


async def test_a_long_log_arrives_whole_before_the_task_is_forgotten(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    await start_agent()
    script = "for i in range(300_000): print(f'line {i}')"
    coordinator.assign("a", PYTHON, "-c", script, environment={"PYTHONUNBUFFERED": ""})
    await coordinator.until_state("a", "succeeded")
    await until(lambda: coordinator.forgotten == ["a"], 30)
    assert coordinator.log("a") == b"".join(b"line %d\n" % number for number in range(300_000))


async def test_lines_come_while_the_task_runs(coordinator: FakeCoordinator, start_agent: StartAgent) -> None:
    await start_agent()
    coordinator.assign("a", PYTHON, "-c", "import time; print('first'); time.sleep(1000)")
    await until(lambda: coordinator.log("a") == b"first\n")
    assert coordinator.state("a") == "running"


async def test_a_command_that_is_not_there_fails_in_words(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    await start_agent()
    coordinator.assign("a", "no-such-command-anywhere")
    observed = await coordinator.until_state("a", "failed")
    assert (observed.error, observed.exit_code) == ("command not found: no-such-command-anywhere", 127)
    coordinator.assign("b", "true", workdir="/no/such/folder")
    observed = await coordinator.until_state("b", "failed")
    assert observed.error.startswith("the working folder /no/such/folder is not on this worker")


async def test_a_task_is_told_who_and_where_it_is(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    io = WorkerIOConfig(tmp_path / "in", tmp_path / "out")
    for folder in (io.input_path, io.output_path):
        assert folder is not None
        folder.mkdir()
    (tmp_path / "in" / "data.csv").write_text("1,2\n")
    agent = await start_agent(io=io)
    script = (
        "echo $OPSCONSOLE_TASK_ID $IRIS_WORKER_ID $OPSCONSOLE_PORT_HTTP; pwd;"
        "cat $OPSCONSOLE_INPUT_FILE; echo done > $OPSCONSOLE_OUTPUT_PATH/models/best.txt"
    )
    coordinator.assign("a", "sh", "-c", script, inputs=("data.csv",), ports=("http",))
    observed = await coordinator.until_state("a", "succeeded", "failed")
    await until(lambda: coordinator.forgotten == ["a"])
    words, cwd, data = coordinator.log("a").decode().splitlines()
    worker_id = coordinator.registers[0].worker_id
    assert words == f"j0b0000000/task-0 {worker_id} {observed.ports['http']}"
    assert cwd == str(agent.config.state_dir / "attempts" / "a" / "work")
    assert data == "1,2"
    assert observed.output_path == str(tmp_path / "out" / "jobs" / "j0b0000000")
    assert (Path(observed.output_path) / "models" / "best.txt").read_text() == "done\n"


async def test_a_retry_finds_what_was_left_and_no_two_that_live_write_to_one_folder(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    """Checkpoints were lost with each retry, and results of sweeps lay in `attempts/5.0.aemm` (hard use 21)."""
    (tmp_path / "out").mkdir()
    await start_agent(io=WorkerIOConfig(None, tmp_path / "out"))
    job = tmp_path / "out" / "jobs" / "j0b0000000"
    paths = []
    launches: dict[str, dict[str, Any]] = {
        "j0b0000000.0.0.aaaa": {},
        "j0b0000000.0.1.bbbb": {"attempt": 1, "follows": True},
        "j0b0000000.0.2.cccc": {"attempt": 2},
        "j0b0000000.3.0.dddd": {"num_tasks": 4, "task_index": 3},
    }
    for attempt_id, launch in launches.items():
        coordinator.assign(attempt_id, "sh", "-c", 'echo x >> "$OPSCONSOLE_OUTPUT_PATH/models/ck"', **launch)
        observed = await coordinator.until_state(attempt_id, "succeeded")
        assert observed.output_path is not None
        paths.append(Path(observed.output_path))
        assert {path.name for path in paths[-1].iterdir()} >= {"models", "logs"}
    assert paths == [job, job, job / "attempts" / "0.2.cccc", job / "task-3"]
    assert [(path / "models" / "ck").read_text() for path in paths[1:]] == ["x\nx\n", "x\n", "x\n"]


async def test_an_input_that_is_missing_fails_before_the_start(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    await start_agent(io=WorkerIOConfig(tmp_path / "in", None))
    coordinator.assign("a", "true", inputs=("../secret",))
    observed = await coordinator.until_state("a", "failed")
    assert "leads out of the input folder" in observed.error
    assert observed.started_at_ms is None


async def test_a_fresh_file_is_found_once_it_is_at_rest_and_folders_are_answered(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    """Hard use 17, 18."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "half.npy").write_text("12")
    await start_agent(io=WorkerIOConfig(tmp_path / "in", None))
    for number, path in enumerate((tmp_path / "in", tmp_path / "nowhere", "~"), 10):
        coordinator.send(link.InputFile(check_id=number, filename=str(path), kind=link.QuestionKind.FOLDER))
    coordinator.send(link.InputFile(check_id=1, filename="half.npy"))
    await until(lambda: len(coordinator.others) == 4)
    answers: dict[int, Any] = {getattr(answer, "check_id", 0): answer for answer in coordinator.others}
    assert [isinstance(answers[number], link.FileExists) for number in (10, 11, 12)] == [True, False, True]
    assert answers[11].reason == "there is no such folder on this worker"
    assert (answers[1].reason, answers[1].again_ms) == ("was written a moment ago, 2 B", RECHECK_MS)
    (tmp_path / "in" / "half.npy").write_text("1234")
    coordinator.send(link.InputFile(check_id=2, filename="half.npy"))
    await until(lambda: len(coordinator.others) == 5)
    last = coordinator.others[-1]
    assert isinstance(last, link.FileNotFound)
    assert last.reason == "is still growing, 4 B"


async def test_input_file_is_answered(coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "data.csv").write_text("1,2\n")
    os.utime(tmp_path / "in" / "data.csv", (1_700_000_000, 1_700_000_000))
    await start_agent(io=WorkerIOConfig(tmp_path / "in", None))
    coordinator.send(link.InputFile(check_id=1, filename="data.csv"))
    coordinator.send(link.InputFile(check_id=2, filename="other.csv"))
    await until(lambda: len(coordinator.others) == 2)
    answers = {type(answer): answer for answer in coordinator.others}
    found = answers[link.FileExists]
    assert found == link.FileExists(check_id=1, path=str(tmp_path / "in" / "data.csv"), size_bytes=4)
    missing = answers[link.FileNotFound]
    assert isinstance(missing, link.FileNotFound)
    assert (missing.check_id, "not found" in missing.reason) == (2, True)


# --- slots, pauses, stops --------------------------------------------------------------------------------------------


async def test_two_slots_are_two_slots(coordinator: FakeCoordinator, start_agent: StartAgent) -> None:
    await start_agent()
    for name in ("a", "b", "c"):
        coordinator.assign(name, *SLEEP)
    waiting = await coordinator.until_state("c", "assigned")
    assert waiting.reason == "waiting for a slot: max_concurrent_jobs is 2"
    await coordinator.until_state("b", "running")
    coordinator.want("a", Mode.STOP, "cancelled by ana")
    await coordinator.until_state("c", "running")
    assert coordinator.state("a") == "killed"


async def test_pause_stops_the_very_process_and_resume_lets_it_go_on(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    await start_agent()
    script = "import os, time\nfor i in range(10**9): print(os.getpid(), i); time.sleep(0.01)"
    coordinator.assign("a", PYTHON, "-c", script)
    await until(lambda: pid_of(coordinator, "a"))
    coordinator.want("a", Mode.PAUSE, "paused by ana")
    observed = await coordinator.until_state("a", "paused")
    assert observed.reason == "paused by ana"
    log = tmp_path / "state" / "attempts" / "a" / "stdout"
    size = log.stat().st_size
    await asyncio.sleep(0.3)  # long enough for thirty lines
    assert log.stat().st_size == size
    coordinator.want("a", Mode.RUN)
    await coordinator.until_state("a", "running")
    await until(lambda: log.stat().st_size > size)
    assert coordinator.history["a"][-3:] == ["running", "paused", "running"]
    assert len({line.split()[0] for line in log.read_bytes().splitlines()[:-1]}) == 1


@pytest.mark.parametrize("paused", [False, True])
async def test_cancel_gives_a_task_time_to_end_well(
    coordinator: FakeCoordinator, start_agent: StartAgent, paused: bool
) -> None:
    await start_agent()
    coordinator.assign("a", "sh", "-c", "trap 'echo saved; exit 0' TERM; echo ready; while true; do sleep 0.05; done")
    await until(lambda: coordinator.log("a") == b"ready\n")
    if paused:
        coordinator.want("a", Mode.PAUSE)
        await coordinator.until_state("a", "paused")
    coordinator.want("a", Mode.STOP, "cancelled by ana", grace_ms=20_000)
    observed = await coordinator.until_state("a", "killed")
    assert (observed.error, observed.exit_code) == ("cancelled by ana", 0)
    await until(lambda: coordinator.log("a") == b"ready\nsaved\n")


async def test_cancel_kills_what_does_not_listen_and_all_its_children(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    await start_agent()
    script = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pid = os.fork()\nif pid: print(os.getpid(), pid)\nwhile True: time.sleep(1)"
    )
    coordinator.assign("a", PYTHON, "-c", script)
    await until(lambda: len(coordinator.log("a").split()) == 2)
    pids = [int(word) for word in coordinator.log("a").split()]
    began_s = time.monotonic()
    coordinator.want("a", Mode.STOP, "cancelled by ana", grace_ms=500)
    observed = await coordinator.until_state("a", "killed")
    assert time.monotonic() - began_s >= 0.5
    assert observed.signal == signal.SIGKILL
    assert not any(lives(pid) for pid in pids)


async def test_a_time_out_ends_a_task(coordinator: FakeCoordinator, start_agent: StartAgent) -> None:
    await start_agent()
    coordinator.assign("a", *SLEEP, timeout_ms=300)
    observed = await coordinator.until_state("a", "failed")
    assert observed.error == "timed out after 300ms"


async def test_a_fence_stops_a_task_that_nobody_watches(coordinator: FakeCoordinator, start_agent: StartAgent) -> None:
    await start_agent()
    coordinator.assign("a", *SLEEP, fence_after_ms=1_000)
    await coordinator.until_state("a", "running")
    await coordinator.close()
    await asyncio.sleep(1.2)
    await coordinator.open()
    observed = await coordinator.until_state("a", "worker_failed")
    assert observed.error == "stopped by its own fence: no contact with the coordinator for 1s"


# --- what goes away and comes back -----------------------------------------------------------------------------------


async def test_a_lost_connection_costs_neither_a_task_nor_a_line(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    await start_agent()
    script = "import time\nfor i in range(200): print(i); time.sleep(0.01)"
    coordinator.assign("a", PYTHON, "-c", script)
    for number in range(1, 4):
        await until(lambda: len(coordinator.log("a").split()) > 20 * number)  # noqa: B023
        coordinator.drop()
        await until(lambda: len(coordinator.registers) == number + 1)  # noqa: B023
    await coordinator.until_state("a", "succeeded")
    await until(lambda: coordinator.forgotten == ["a"])
    assert coordinator.log("a").split() == [b"%d" % number for number in range(200)]
    assert coordinator.history["a"] == ["running", "succeeded"]


async def test_a_coordinator_that_falls_silent_is_dropped_and_dialled_again(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    agent = await start_agent()
    coordinator.acks = False
    await until(lambda: len(coordinator.registers) == 2)
    assert any("has not answered for" in line for line in agent.said)


async def test_a_restarted_agent_adopts_what_lives_and_reports_what_ended_meanwhile(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent()
    coordinator.assign("long", "sh", "-c", "echo $$; exec sleep 1000")
    coordinator.assign("short", "sh", "-c", f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo end; exit 7")
    await until(lambda: pid_of(coordinator, "long"))
    await coordinator.until_state("short", "running")
    pid = pid_of(coordinator, "long")
    await agent.crash()
    (tmp_path / "go").touch()
    await until(lambda: (tmp_path / "state" / "attempts" / "short" / "stdout").read_bytes() == b"end\n")
    await start_agent()
    observed = await coordinator.until_state("short", "failed")
    assert (observed.exit_code, observed.exit_known) == (7, True)
    assert coordinator.history["long"] == ["running"]
    assert lives(pid)
    coordinator.want("long", Mode.STOP, "cancelled by ana")
    await coordinator.until_state("long", "killed")
    await until(lambda: sorted(coordinator.forgotten) == ["long", "short"])
    assert coordinator.log("short") == b"end\n"
    assert coordinator.log("long") == b"%d\n" % pid


async def test_a_dead_keeper_costs_an_exit_code_and_says_so(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    agent = await start_agent()
    coordinator.assign("a", "sh", "-c", "echo $$; exec sleep 1000")
    await until(lambda: pid_of(coordinator, "a"))
    os.kill(keeper_pid(agent.config.state_dir), signal.SIGKILL)
    await until(lambda: keeper_pid(agent.config.state_dir), what="a new keeper")
    coordinator.assign("b", "true")
    await coordinator.until_state("b", "succeeded")
    assert coordinator.state("a") == "running"
    os.kill(pid_of(coordinator, "a"), signal.SIGKILL)
    observed = await coordinator.until_state("a", "failed")
    assert not observed.exit_known
    assert observed.error.startswith("exit code unknown: ")


async def test_what_is_unwanted_after_a_reconnection_is_stopped_unless_adopting(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    await start_agent()
    coordinator.assign("a", *SLEEP)
    await coordinator.until_state("a", "running")
    coordinator.desired.clear()
    coordinator.adopting = True
    coordinator.drop()
    await until(lambda: len(coordinator.registers) == 2 and coordinator.is_connected)
    coordinator.assign("b", "true")
    await coordinator.until_state("b", "succeeded")
    assert coordinator.state("a") == "running"
    coordinator.adopting = False
    coordinator.desired.clear()
    coordinator.drop()
    observed = await coordinator.until_state("a", "killed")
    assert observed.reason == "the coordinator no longer wants it"


async def test_the_highest_sequence_of_a_store_is_remembered(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    agent = await start_agent()
    coordinator.store_seq = 77
    mark = agent.config.state_dir / "store.json"
    await until(lambda: mark.exists() and json.loads(mark.read_text())["store_seq"] == 77)
    await agent.end()
    await until(lambda: not coordinator.is_connected)
    await start_agent()
    assert (coordinator.registers[-1].store_id, coordinator.registers[-1].store_seq) == ("store", 77)


# --- joining and leaving ---------------------------------------------------------------------------------------------


async def test_it_introduces_itself_and_presents_its_invitation_once(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    await start_agent(tags=("fast", "rack=3"), properties={"sleap_version": "1.4", "cpu_model": "ours"})
    await until(lambda: coordinator.heartbeats)  # it knows that it was taken
    coordinator.drop()
    await until(lambda: len(coordinator.registers) == 2)
    first, second = coordinator.registers
    assert (first.name, first.tags, first.max_concurrent_jobs) == ("worker", ("fast", "rack=3"), 2)
    assert first.run_id == second.run_id
    assert first.properties["sleap_version"] == "1.4"
    assert first.properties["cpu_model"] == "ours", "the user's word wins (hard use 40)"
    assert first.properties["io_paths"] == {"input": None, "output": None, "filesystem": "local"}
    measured = {"hostname", "cpu_count", "memory_mb", "os", "python_version", "max_concurrent_jobs", "gpu_count"}
    assert measured <= first.properties.keys()
    one, two = coordinator.headers
    assert one["Opsconsole-Worker"] == first.worker_id
    assert one["Authorization"].startswith("Bearer ")
    assert (one.get("Opsconsole-Invitation"), two.get("Opsconsole-Invitation")) == ("invited.secret", None)
    assert one["Authorization"] == two["Authorization"]


async def test_heartbeats_carry_host_and_usage(coordinator: FakeCoordinator, start_agent: StartAgent) -> None:
    await start_agent()
    coordinator.assign("a", *SLEEP)
    await until(lambda: any("a" in one.usage for one in coordinator.heartbeats))
    last = coordinator.heartbeats[-1]
    assert last.usage["a"].process_count == 1
    assert last.host.memory_used_mb > 0
    assert last.gpus == ()


@pytest.mark.parametrize("status", [401, 403, 409, 426])
async def test_a_refusal_for_good_ends_it_with_one_line(
    coordinator: FakeCoordinator, start_agent: StartAgent, status: int
) -> None:
    coordinator.refusal = (status, "this invitation was used already: ask for a new one")
    with pytest.raises(Exception, match="this invitation was used already: ask for a new one") as caught:
        await start_agent()
    assert "\n" not in str(caught.value)


async def test_a_no_to_the_registration_ends_it_too(coordinator: FakeCoordinator, start_agent: StartAgent) -> None:
    for code in ("unauthenticated", "conflict", "version", "invalid"):
        coordinator.last_words = link.PeerError(code=code, message="there is a worker named worker already")
        with pytest.raises(Exception, match="there is a worker named worker already"):
            await start_agent()


async def test_a_revoked_worker_ends_and_its_tasks_go_on(coordinator: FakeCoordinator, start_agent: StartAgent) -> None:
    agent = await start_agent()
    coordinator.assign("a", *SLEEP)
    await coordinator.until_state("a", "running")
    coordinator.refusal = (401, "this worker was revoked")
    coordinator.drop()
    assert agent.task is not None
    with pytest.raises(Exception, match="this worker was revoked"):
        await asyncio.wait_for(agent.task, 20)
    assert len(processes_below(agent.config.state_dir / "attempts")) == 1


async def test_a_coordinator_that_is_not_there_yet_is_waited_for_with_one_line(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    await coordinator.close()
    agent = await start_agent(wait=False)
    await until(lambda: len(agent.said) == 2)
    coordinator.refusal = (503, "it is starting")
    await coordinator.open()
    await until(lambda: len(coordinator.headers) >= 3, 20)
    coordinator.refusal = None
    await coordinator.until_connected()
    await until(lambda: len(agent.said) == 4)
    assert agent.said[0].startswith("I/O paths: ")
    assert "nothing listens on" in agent.said[1]
    assert "it is starting" in agent.said[2]
    assert agent.said[3] == f"connected to {coordinator.url}"


async def test_an_agent_that_is_told_to_stop_leaves_its_tasks_running(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    agent = await start_agent()
    coordinator.assign("a", "sh", "-c", "echo $$; exec sleep 1000")
    await until(lambda: pid_of(coordinator, "a"))
    await agent.end()
    assert lives(pid_of(coordinator, "a"))
    assert any("1 task goes on" in line for line in agent.said)


async def test_an_attempt_of_another_engine_is_told_in_a_line_and_reported_as_it_was(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    intent = Intent(attempt_id=AttemptId("a"), launch=make_launch(gpu_ids=("GPU-1",)), engine="slurm", released=True)
    StateFolder(tmp_path / "state").write_intent(intent)
    coordinator.assign("a", "true")
    agent = await start_agent()
    (line,) = [line for line in agent.said if "slurm" in line]
    assert line.startswith(
        "a was started by the engine slurm, which this agent doesn't have: it is left as it is until"
    )
    assert coordinator.state("a") == "running"
    coordinator.want("a", Mode.STOP)
    coordinator.assign("b", "true")
    await coordinator.until_state("b", "succeeded")
    assert coordinator.state("a") == "running"
    await until(
        lambda: StateFolder(tmp_path / "state").load()[0] == (intent,), what="what an agent with that engine finds"
    )


async def test_an_agent_that_stops_its_tasks_reports_them(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    agent = await start_agent(stop_tasks=True)
    coordinator.assign("a", "sh", "-c", "echo $$; exec sleep 1000")
    await until(lambda: pid_of(coordinator, "a"))
    await agent.end()
    assert not lives(pid_of(coordinator, "a"))
    observed = coordinator.observed["a"]
    assert (observed.state, observed.error) == ("killed", "its agent was told to stop its tasks")


async def test_bad_io_paths_are_one_line_at_the_start(start_agent: StartAgent, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"input path .* does not exist: create it, or change --input-path"):
        await start_agent(io=WorkerIOConfig(tmp_path / "nowhere", None))


async def test_a_second_agent_on_one_state_folder_is_refused(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    await start_agent()
    second = await start_agent(wait=False)
    assert second.task is not None
    with pytest.raises(Exception, match="another agent runs with this state folder"):
        await asyncio.wait_for(second.task, 20)
    assert len(coordinator.registers) == 1


async def test_an_attempt_id_that_would_leave_its_folder_is_refused(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    await start_agent()
    coordinator.assign("../../evil", "true")
    await until(lambda: coordinator.others)
    error = coordinator.others[0]
    assert isinstance(error, link.PeerError)
    assert "is not an attempt id" in error.message
    assert not (tmp_path / "evil").exists()


async def test_a_damaged_spec_is_a_failed_attempt(coordinator: FakeCoordinator, start_agent: StartAgent) -> None:
    agent = await start_agent()
    coordinator.assign("a", "sh", "-c", "exec sleep 1000")
    coordinator.assign("b", "true", want=Want(mode=Mode.PAUSE))
    await coordinator.until_state("a", "running")
    await coordinator.until_state("b", "assigned")
    await agent.end()
    for name in ("a", "b"):
        (agent.config.state_dir / "attempts" / name / "spec.json").write_text("{")
    await start_agent()
    observed = await coordinator.until_state("b", "failed")
    assert "unreadable" in observed.error
    assert coordinator.state("a") == "running"
    coordinator.want("a", Mode.STOP)
    await coordinator.until_state("a", "killed")


async def test_a_stopped_keeper_is_told_with_the_next_heartbeat(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    """The worker stayed available and its tasks assigned, for ever and without a word (hard use 61)."""
    coordinator.heartbeat_ms = 200
    agent = await start_agent()
    pid = keeper_pid(agent.config.state_dir)
    os.kill(pid, signal.SIGSTOP)
    try:
        await until(lambda: coordinator.heartbeats and coordinator.heartbeats[-1].troubles, 20, "a trouble")
    finally:
        os.kill(pid, signal.SIGCONT)
    (trouble,) = coordinator.heartbeats[-1].troubles
    assert (trouble.code, trouble.blocks) == ("keeper_silent", True)
    assert trouble.text == f"its keeper is stopped: `kill -CONT {pid}` on the worker lets it go on"
    await until(lambda: not coordinator.heartbeats[-1].troubles, 20, "the end of it")


async def test_an_agent_says_where_it_reads_and_writes(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    agent = await start_agent(io=WorkerIOConfig(None, tmp_path / "out"))
    assert f"I/O paths: input none, output {tmp_path / 'out'} (local)" in agent.said
