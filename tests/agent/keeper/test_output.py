"""What a task does to its own output loses no line of it (hard use 7).

The kind: a task holds its output and may do with it whatever a program can: open it anew and cut it, remove it, rename
it. What is written is what its file has in the end, byte for byte.
"""

import errno
import fcntl
import os
import resource
import time
from pathlib import Path

import pytest

from opsconsole_agent.keeper import output as output_module
from opsconsole_agent.keeper.output import Output, Pump
from tests.agent.keeper_lab import KeeperLab, proc
from tests.waiting import until

pytestmark = pytest.mark.process

CASES = {
    "cut": "echo one; : > /dev/stdout; echo two; echo three > /dev/stdout; echo four",
    "tee": "exec 2>&1; echo one; echo two | tee /dev/stderr > /dev/null; (echo three; echo four) | tee /dev/fd/2 > /dev/null",
    "python": 'echo one; python3 -c \'print("two", file=open("/dev/stdout", "w"))\'; echo three > /proc/self/fd/1; echo four',
    "both": "exec 2>&1; echo one; echo two > /dev/stderr; echo three >> /dev/stdout; echo four > /dev/stderr",
    "truncate": "echo one; truncate -s 0 /dev/stdout 2>/dev/null; printf 'two\\nthree\\n'; sleep 0.05; echo four",
}
"""Each writes one, two, three, four; also the ways that would cut a file."""


@pytest.mark.parametrize("case", CASES)
async def test_output_that_is_opened_anew_is_not_cut(lab: KeeperLab, case: str) -> None:
    await lab.run(case, "/bin/sh", "-c", CASES[case])
    assert lab.output(case) == "one\ntwo\nthree\nfour\n"


async def test_stderr_too(lab: KeeperLab) -> None:
    await lab.run(
        "err", "/bin/sh", "-c", "echo a >&2; echo b > /dev/stderr; echo c | tee /dev/stderr >/dev/null; echo d >&2"
    )
    assert (lab.folder / "err.err").read_text() == "a\nb\nc\nd\n"


@pytest.mark.parametrize("deed", ["rm {}", "mv {} {}.old", "rm {}; echo forged > {}", "rm {}; mkdir {}"])
async def test_a_file_that_loses_its_name_keeps_its_lines(lab: KeeperLab, deed: str) -> None:
    path = lab.folder / "named.out"
    script = f"echo one; sleep 0.1; {deed.format(path, path)}; echo two; sleep 0.1; echo three"
    await lab.run("named", "/bin/sh", "-c", script)
    assert hard_link(lab, "named").read_text() == "one\ntwo\nthree\n"


async def test_a_file_removed_before_its_first_line(lab: KeeperLab) -> None:
    await lab.run("early", "/bin/sh", "-c", f"rm {lab.folder}/early.out; echo one; echo two")
    assert hard_link(lab, "early").read_text() == "one\ntwo\n"


async def test_what_follows_a_cut_stands_at_its_place(lab: KeeperLab) -> None:
    path = lab.folder / "short.out"
    attempt = await lab.shell("short", "echo one; while [ ! -e go ]; do sleep 0.01; done; echo two")
    await until(lambda: path.read_bytes() == b"one\n")
    os.truncate(path, 0)
    (lab.folder / "go").touch()
    await lab.ended(attempt)
    assert path.read_bytes() == b"\0\0\0\0two\n"


async def test_a_silent_task_leaves_no_second_name(lab: KeeperLab) -> None:
    await lab.run("silent", "true")
    assert not (lab.state_dir / "logs").exists()


async def test_output_goes_on_under_the_next_keeper(lab: KeeperLab) -> None:
    script = "echo one; while [ ! -e go ]; do echo tick; sleep 0.01; done; echo last"
    attempt = await lab.shell("long", script)
    await until(lambda: lab.output("long").startswith("one\n"))
    await lab.kill_keeper_and_wait()
    seen = lab.output("long").count("tick")
    await until(lambda: lab.output("long").count("tick") > seen)
    (lab.folder / "go").touch()
    await lab.ended(attempt)
    text = lab.output("long")
    assert text.startswith("one\ntick\n")
    assert text.endswith("tick\nlast\n")
    assert set(text.split()) == {"one", "tick", "last"}


async def test_a_task_is_not_ended_by_the_death_of_its_keeper(lab: KeeperLab) -> None:
    """More is written than the pipe holds while nobody is there: it waits, and all of it arrives."""
    script = 'echo up; while [ ! -e go ]; do sleep 0.01; done; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "line $i of a good many"; done; touch written; exec sleep 600'
    attempt = await lab.shell("full", script)
    pid = lab.started(attempt).pid
    await until(lambda: lab.output("full") == "up\n")
    await lab.disconnect()
    lab.kill_keeper()
    (lab.folder / "go").touch()
    await until(lambda: waits_for_room(pid))
    await lab.connect()
    await until(lambda: lab.output("full").endswith("line 3000 of a good many\n"))
    assert lab.output("full").count("\n") == 3001
    await lab.client.kill(attempt)
    assert (await lab.ended(attempt)).exit_known is False


async def test_programs_get_the_usual_number_of_descriptors(lab: KeeperLab) -> None:
    own = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    await lab.run("limit", "/bin/sh", "-c", "ulimit -n")
    assert int(lab.output("limit")) == own


class TestOneOutput:
    """Without any process."""

    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def test_a_full_disk_stops_nobody_and_the_log_says_what_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        output = Output.make("a", str(Path("out").absolute()))
        os.write(output.writer, b"before\n")
        output.move()
        room = os.splice

        def full(source: int, target: int, count: int, **places: int) -> int:
            if target == output.file:
                raise OSError(errno.ENOSPC, "No space left on device")
            return room(source, target, count, **places)

        monkeypatch.setattr(os, "splice", full)
        clock = [100.0]
        monkeypatch.setattr(time, "monotonic", lambda: clock[0])
        os.write(output.writer, b"lost\n")
        output.move()
        clock[0] += 1
        output.move()
        assert pending(output.reader) == 5  # room may come back
        clock[0] += 2
        output.move()
        assert pending(output.reader) == 0
        monkeypatch.setattr(os, "splice", room)
        os.write(output.writer, b"after\n")
        output.finish()
        said = "\nopsconsole: 5 bytes are missing here: the disk of this worker was full\n"
        assert Path("out").read_text() == f"before\n{said}after\n"

    def test_without_descriptors_there_is_still_the_file(self) -> None:
        output = Output.make_plain(str(Path("out").absolute()))
        os.write(output.writer, b"x")
        output.close_writer()
        pump = Pump(no_call, no_call)
        pump.add(output)
        assert pump.due_s is None
        pump.finish([output])
        assert Path("out").read_bytes() == b"x"

    def test_a_quiet_one_costs_no_turns(self) -> None:
        watched: list[int] = []
        pump = Pump(watched.append, watched.remove)
        output = Output.make("a", str(Path("out").absolute()))
        pump.add(output)
        for _ in range(20):
            pump.tick(time.monotonic() + 1)
        assert (watched, pump.due_s) == ([output.reader], None)
        os.write(output.writer, b"x")
        assert pump.readable(output.reader)
        assert Path("out").read_bytes() == b"x"
        assert watched == []
        assert pump.due_s is not None
        pump.finish([output])
        assert not pump.readable(output.reader)

    def test_a_busy_pipe_is_made_wide(self) -> None:
        output = Output.make("a", str(Path("out").absolute()))
        os.write(output.writer, bytes(20_000))
        output.move()
        assert fcntl.fcntl(output.reader, fcntl.F_GETPIPE_SZ) > 65_536
        output.finish()


def no_call(_: int) -> None:
    raise AssertionError("nothing to watch")


def pending(reader: int) -> int:
    """Bytes in a pipe."""
    return int.from_bytes(fcntl.ioctl(reader, 0x541B, bytes(4)), "little")


def hard_link(lab: KeeperLab, name: str) -> Path:
    """The second name of an attempt's stdout."""
    return lab.state_dir / output_module.HARD_LINK_FOLDER / f"{lab.id(name)}.{name}.out"


def waits_for_room(pid: int) -> bool:
    """Whether the process sleeps in a write to a pipe."""
    return "pipe" in proc(pid, "wchan") or proc(pid, "syscall").startswith("1 ")
