"""`opsconsole run -- CMD`: one job here and now, its code and streams as if it had been run directly."""

import contextlib
import os
import pty
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.process.lab import OPSCONSOLE, Lab, words


def gone(lab: Lab) -> bool:
    """Whether nothing of a run is left: no process, and no folder."""
    runs = Path(lab.environ["HOME"]) / ".local/state/opsconsole/run"
    return not lab.left() and not list(runs.glob("*"))


def test_its_code_and_streams_are_the_commands_own(lab: Lab) -> None:
    done = lab.run(
        "run", *words("echo out; echo err >&2; pwd; echo $COLOUR; exit 7"), code=7, environ={"COLOUR": "red"}
    )
    assert done.stdout.splitlines() == ["out", str(lab.folder), "red"]
    assert done.stderr.splitlines()[0] == "err"
    assert len(done.stderr.splitlines()) == 2, done.stderr
    assert "exit code 7" in done.stderr
    assert gone(lab)


def test_success_says_nothing_of_its_own(lab: Lab) -> None:
    done = lab.run("run", "--tasks", "2", *words('printf "task $OPSCONSOLE_TASK_INDEX\n"'))
    assert sorted(line[-6:] for line in done.stdout.splitlines()) == ["task 0", "task 1"]
    assert done.stderr == ""
    assert gone(lab)


@pytest.mark.parametrize(("script", "code"), [("kill -TERM $$", 143), ("kill -KILL $$", 137)])
def test_a_signals_end_is_told_as_shells_do(lab: Lab, script: str, code: int) -> None:
    lab.run("run", *words(script), code=code)


def test_what_can_not_be_run_is_one_line(lab: Lab) -> None:
    missing = lab.run("run", "--", "no-such-program", code=None)
    assert missing.returncode != 0
    assert "no-such-program" in missing.stderr
    assert len(missing.stderr.splitlines()) == 1, missing.stderr
    assert lab.run("run", code=2).stderr.count("\n") == 1
    assert "GPU" in lab.run("run", "--gpus", "9", "--", "true", code=1).stderr
    assert gone(lab)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_ends_the_job_and_leaves_nothing(lab: Lab, number: int, code: int) -> None:
    script = "trap 'echo bye; exit 0' TERM; setsid sleep 300 & echo up; while :; do sleep 0.05; done"
    run, out = lab.follow("run", "run", *words(script))
    lab.wait(lambda: "up\n" in out.read_text(), "the task")
    run.send_signal(number)
    assert lab.wait_ended(run) == code
    assert "bye\n" in out.read_text()
    assert gone(lab)


def test_a_second_interruption_kills(lab: Lab) -> None:
    run, out = lab.follow(
        "run", "run", "--grace", "300s", *words("trap '' TERM INT; echo up; while :; do sleep 0.05; done")
    )
    lab.wait(lambda: "up\n" in out.read_text(), "the task")
    run.send_signal(signal.SIGINT)
    lab.wait(lambda: "once more to kill" in out.read_text(), "the cancellation")
    run.send_signal(signal.SIGINT)
    assert lab.wait_ended(run) == 130
    assert gone(lab)


def test_when_it_is_killed_its_job_dies_too(lab: Lab) -> None:
    run, out = lab.follow("run", "run", "--grace", "0.2s", *words("setsid sleep 300 & echo up; sleep 300"))
    lab.wait(lambda: "up\n" in out.read_text(), "the task")
    run.kill()
    run.wait(10)
    lab.wait(lambda: gone(lab), "everything to be gone")


def test_it_needs_no_terminal_and_no_coordinator_and_disturbs_none(lab: Lab) -> None:
    lab.serve()
    running = {process.pid for process in lab.left()}
    assert lab.run("run", *words("echo hi"), environ={"NO_COLOR": "1", "TERM": "dumb"}).stdout == "hi\n"
    assert {process.pid for process in lab.left()} == running
    assert lab.ask(lambda client: client.jobs()) == []


def test_stdin_is_given_to_the_command(lab: Lab) -> None:
    """Hard use 35: a pipe, a file that is partly read, a named pipe; none and several tasks read nothing."""
    run = [*OPSCONSOLE, "run"]

    def out(*command: str, script: str, **how: Any) -> str:
        shell = f"{script.replace('RUN', shlex.join([*run, *command]))}"
        done: subprocess.CompletedProcess[str] = subprocess.run(
            ["bash", "-c", shell],
            capture_output=True,
            text=True,
            env=lab.environ,
            cwd=lab.folder,
            timeout=60,
            check=True,
            **how,
        )
        return done.stdout

    assert out("--", "cat", script="echo hello | RUN") == "hello\n"
    (lab.folder / "in.txt").write_text("one\ntwo\nthree\n")
    assert out("--", "cat", script="{ read first; RUN; } < in.txt") == "two\nthree\n"
    assert out("--", "cat", script="mkfifo p; (echo late > p) & RUN < p") == "late\n"
    assert out("--", "cat", script="RUN < /dev/null") == ""
    assert out("--", "cat", script="RUN <&-") == ""
    assert out("--tasks", "2", "--", "cat", script="echo hello | RUN") == ""
    assert out("--", "head", "-c", "3", script="yes | RUN") == "y\ny"
    assert gone(lab)


def test_a_terminal_is_given_to_the_command_and_gets_its_text_and_colours_only(lab: Lab) -> None:
    """Hard use 4, 35: what is typed reaches the command; what it prints can't ask or change the terminal."""
    script = r"""read line; printf '\033]0;title\007\033[2J\033[6n\033[31mgot %s\033[>4;2m\n' "$line" """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*OPSCONSOLE, "run", "--", "bash", "-c", script], stdin=theirs, stdout=theirs, stderr=theirs, env=lab.environ,
        cwd=lab.folder, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, b"typed\n")
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while data := os.read(ours, 4096):
            shown += data
    os.close(ours)
    assert process.wait(60) == 0
    assert shown == b"typed\r\n\x1b[31mgot typed\x1b[0m\r\n"
    assert gone(lab)
