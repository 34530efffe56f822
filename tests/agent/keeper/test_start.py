"""Starting and ending, told as it was."""

import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from opsconsole_agent.keeper.process import MARK, find_process
from opsconsole_agent.keeper_client.message import User
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from tests.agent.keeper_lab import KeeperLab, alive
from tests.waiting import until

pytestmark = pytest.mark.process


async def test_an_exit_code_is_reported(lab: KeeperLab) -> None:
    ended = await lab.run("seven", "/bin/sh", "-c", "exit 7")
    assert (ended.exit_code, ended.signal, ended.error, ended.exit_known) == (7, None, None, True)
    assert ended.proof
    assert ended.leftovers == 0
    assert ended.oom_kill is False
    assert ended.started_at_ms is not None
    assert ended.started_at_ms <= ended.at_ms


async def test_a_signal_is_reported(lab: KeeperLab) -> None:
    ended = await lab.run("killed", "/bin/sh", "-c", "kill -TERM $$")
    assert (ended.exit_code, ended.signal) == (None, signal.SIGTERM)


async def test_what_was_used_is_reported(lab: KeeperLab) -> None:
    ended = await lab.run("busy", "/bin/sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
    assert ended.user_s > 0.01
    assert ended.max_rss_mb > 0.5


async def test_the_start_names_the_process(lab: KeeperLab) -> None:
    attempt_id = await lab.start("sleeper", "sleep", "60")
    started = lab.started(attempt_id)
    process = find_process(started.pid)
    assert process is not None
    assert process.start_time == started.start_time
    assert process.session == started.pid
    assert await lab.client.pids() == {attempt_id: [started.pid]}
    await lab.client.kill(attempt_id)
    assert (await lab.ended(attempt_id)).signal == signal.SIGKILL


async def test_start_times_are_the_kernels(lab: KeeperLab) -> None:
    for number in range(30):  # some of them fall on the edge of a clock tick
        started = lab.started(await lab.start(f"s{number}", "sleep", "60"))
        process = find_process(started.pid)
        assert process is not None
        assert process.start_time == started.start_time
    for number in range(30):
        await lab.client.kill(lab.id(f"s{number}"))
    for number in range(30):
        await lab.ended(lab.id(f"s{number}"))


async def test_output_is_appended_to_private_files(lab: KeeperLab) -> None:
    (lab.folder / "two.out").write_text("before\n")
    await lab.run("two", "/bin/sh", "-c", "echo out; echo err >&2")
    assert lab.output("two") == "before\nout\n"
    errors = lab.folder / "two.err"
    assert errors.read_text() == "err\n"
    assert stat.S_IMODE(errors.stat().st_mode) == 0o600


async def test_both_outputs_may_share_a_file(lab: KeeperLab) -> None:
    path = str(lab.folder / "both")
    command = lab.command("both", "/bin/sh", "-c", "echo out; echo err >&2")
    await lab.client.start(type(command)(command.attempt_id, command.argv, command.cwd, command.env, path, path))
    await lab.ended(command.attempt_id)
    assert (lab.folder / "both").read_text() == "out\nerr\n"


async def test_the_environment_is_exactly_what_was_asked_for_and_the_mark(lab: KeeperLab) -> None:
    await lab.client.start(lab.command("env", "/usr/bin/env", env={"A": "1", MARK: "somebody else's"}))
    await lab.ended(lab.id("env"))
    assert sorted(lab.output("env").split()) == ["A=1", f"{MARK}={lab.id('env')}"]


async def test_standard_input_is_empty_and_signals_are_default(lab: KeeperLab) -> None:
    await lab.run("in", "/bin/sh", "-c", "cat; grep -E '^Sig(Blk|Ign)' /proc/self/status")
    own_of_the_c_library = 0b11 << 31
    masks = [int(line.split()[1], 16) & ~own_of_the_c_library for line in lab.output("in").splitlines()]
    assert masks == [0, 0]


async def test_standard_input_can_be_another_process_s_own(lab: KeeperLab) -> None:
    """Hard use 35: what `run` reads is read by its command."""
    reader, writer = os.pipe()
    os.write(writer, b"handed on\n")
    os.close(writer)
    command = replace(lab.command("given", "/bin/cat"), stdin=f"/proc/{os.getpid()}/fd/{reader}")
    await lab.client.start(command)
    await lab.ended(lab.id("given"))
    os.close(reader)
    assert lab.output("given") == "handed on\n"


async def test_nothing_of_the_keeper_is_inherited(lab: KeeperLab) -> None:
    await lab.run("fds", "/bin/sh", "-c", "ls /proc/$$/fd; umask")
    before = os.umask(0o22)
    os.umask(before)
    assert lab.output("fds").split() == ["0", "1", "2", f"{before:04o}"]


async def test_programs_are_found_on_the_path_that_was_given(lab: KeeperLab) -> None:
    own = lab.folder / "bin"
    own.mkdir()
    (own / "greet").write_text("#!/bin/sh\necho hello\n")
    (own / "greet").chmod(0o755)
    await lab.client.start(lab.command("greet", "greet", env={"PATH": f"/nowhere:{own}"}))
    assert (await lab.ended(lab.id("greet"))).exit_code == 0
    assert lab.output("greet") == "hello\n"


async def test_a_relative_program_and_a_script_without_interpreter_line_run(lab: KeeperLab) -> None:
    (lab.folder / "plain").write_text('echo "plain $1"\n')
    (lab.folder / "plain").chmod(0o755)
    assert (await lab.run("plain", "./plain", "one")).exit_code == 0
    assert lab.output("plain") == "plain one\n"


async def test_what_is_missing_is_named(lab: KeeperLab) -> None:
    async def error(name: str, *argv: str, cwd: Path | None = None) -> str | None:
        await lab.client.start(lab.command(name, *argv, cwd=cwd))
        ended = await lab.ended(lab.id(name))
        assert (ended.pid, ended.exit_code, ended.signal, ended.exit_known) == (None, None, None, True)
        causes.append(ended.cause)
        return ended.error

    causes: list[str] = []
    (lab.folder / "data").write_text("x")
    (lab.folder / "script").write_text("#!/no/such/shell\n")
    (lab.folder / "script").chmod(0o755)
    assert await error("e1", "no-such-program") == "command not found: no-such-program"
    assert await error("e2", "./none") == "command not found: ./none"
    assert await error("e3", "./data") == "permission denied: ./data is not executable"
    assert causes == [EndCause.COMMAND_NOT_FOUND, EndCause.COMMAND_NOT_FOUND, EndCause.PERMISSION_DENIED]
    assert await error("e4", "./") == "./ is a folder, not a program"
    assert await error("e5", "true", cwd=lab.folder / "gone") == f"working folder not found: {lab.folder}/gone"
    assert await error("e6", "true", cwd=lab.folder / "data") == (
        f"can't enter the working folder {lab.folder}/data: Not a directory"
    )
    assert await error("e7", "./script") == "can't start ./script: the interpreter that ./script names does not exist"
    assert await error("e8", "") == "the command's name is empty"
    assert "longer than this system allows" in (await error("e9", "true", "x" * 200_000) or "")
    assert set(causes[3:]) == {EndCause.NOT_STARTED}
    command = lab.command("e10", "true")
    nowhere = str(lab.folder / "no" / "out")
    await lab.client.start(type(command)(command.attempt_id, command.argv, command.cwd, {}, nowhere, nowhere))
    assert (await lab.ended(lab.id("e10"))).error == f"can't write the output to {nowhere}: No such file or directory"


async def test_a_secret_in_a_bad_environment_is_not_repeated(lab: KeeperLab) -> None:
    await lab.client.start(lab.command("nul", "true", env={"TOKEN": "hunter2\0"}))
    error = (await lab.ended(lab.id("nul"))).error or ""
    assert "null character" in error
    assert "hunter2" not in error


async def test_names_that_are_not_utf8_arrive(lab: KeeperLab) -> None:
    odd = os.fsdecode(b"caf\xe9")
    await lab.client.start(lab.command("odd", "/bin/sh", "-c", 'printf %s "$0$ODD"', odd, env={"ODD": odd}))
    await lab.ended(lab.id("odd"))
    assert (lab.folder / "odd.out").read_bytes() == b"caf\xe9" * 2


async def test_an_attempt_starts_once(lab: KeeperLab) -> None:
    attempt_id = await lab.start("once", "true")
    with pytest.raises(Conflict, match="was started before"):
        await lab.client.start(lab.command("once", "true"))
    await lab.ended(attempt_id)
    with pytest.raises(Conflict, match="was started before"):
        await lab.client.start(lab.command("once", "true"))


async def test_impossible_requests_are_refused(lab: KeeperLab) -> None:
    command = lab.command("bad", "true")
    with pytest.raises(InvalidRequest, match="stdout is an absolute path"):
        await lab.client.start(type(command)(command.attempt_id, ["true"], "/", {}, "out", "/tmp/err"))
    with pytest.raises(InvalidRequest, match="at least one"):
        await lab.client.start(type(command)(command.attempt_id, [], "/", {}, "/tmp/out", "/tmp/err"))
    with pytest.raises(NotFound):
        await lab.client.kill(lab.id("never"))
    await lab.run("over", "true")
    with pytest.raises(Conflict, match="has ended"):
        await lab.client.freeze(lab.id("over"))


async def test_many_at_once_all_end(lab: KeeperLab) -> None:
    names = [f"n{number}" for number in range(200)]
    starts = [lab.client.start(lab.command(name, "true")) for name in names]
    for start in starts:
        await start
    for name in names:
        assert (await lab.ended(lab.id(name))).exit_code == 0
    lab.client.forget([lab.id(name) for name in names])
    await lab.disconnect()
    await lab.connect()
    assert lab.hello is not None
    assert lab.hello.exits == []


async def test_term_is_an_ordinary_end(lab: KeeperLab) -> None:
    attempt_id = await lab.shell("polite", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done")
    await until(lambda: lab.output("polite") == "up\n")
    assert await lab.client.term(attempt_id) >= 1
    assert (await lab.ended(attempt_id)).exit_code == 3
    assert lab.output("polite") == "up\nbye\n"
    assert not alive(lab.started(attempt_id).pid)


# --- as somebody else (hard use 58) ---------------------------------------------------------------------------------------


@pytest.fixture
def nobody() -> User:
    if os.geteuid() != 0:
        pytest.skip("only root can start programs as others")
    return User(65534, 65534, [65534])


async def test_a_program_of_another_user_has_nothing_of_ours(lab: KeeperLab, nobody: User) -> None:
    script = (
        "id -u; id -g; id -G; grep -E '^(CapEff|CapPrm|CapBnd|Uid|Gid|SigIgn|SigBlk)' /proc/self/status; "
        "ls /proc/self/fd; echo anew > /dev/stdout; ulimit -n"
    )
    command = replace(lab.command("else", "/bin/sh", "-c", script, cwd=Path("/")), user=nobody)
    await lab.client.start(command)
    assert (await lab.ended(command.attempt_id)).exit_code == 0
    said = lab.output("else")
    assert said.startswith("65534\n65534\n65534\n")
    assert "anew" in said
    status = dict(line.split(":\t") for line in said.splitlines() if ":\t" in line)
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"65534"}
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["SigBlk"], 16) == 0
    ignored = {number for number in signal.valid_signals() if int(status["SigIgn"], 16) >> (number - 1) & 1}
    assert not ignored, "it would be deaf to what we ignore"
    assert [line for line in said.splitlines() if line in ("4", "5", "6", "7")] == [], "only 0, 1, 2, and that of ls"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"argv": ["true", "a\0b"]}, "null character"),
        ({"env": {"A": "\0"}}, "null character"),
        ({"argv": ["/etc/passwd"]}, "not executable"),
        ({"cwd": "/root"}, "can't enter the working folder /root as user 65534: Permission denied"),
        ({"stdin": "/etc/shadow"}, "Permission denied"),
    ],
)
async def test_what_can_not_start_as_another_user_says_why(
    lab: KeeperLab, nobody: User, change: dict[str, Any], words: str
) -> None:
    command = replace(lab.command("else", "true", cwd=Path("/")), user=nobody, **change)
    await lab.client.start(command)
    ended = await lab.ended(command.attempt_id)
    assert (ended.pid, ended.exit_known) == (None, True)
    assert words in (ended.error or "")
