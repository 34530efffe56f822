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
from tests.agent.keeper.house import House
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
async def test_output_that_is_opened_anew_is_not_cut(home: House, case: str) -> None:
    await home.run(case, "/bin/sh", "-c", CASES[case])
    assert home.output(case) == "one\ntwo\nthree\nfour\n"


async def test_stderr_too(home: House) -> None:
    await home.run(
        "err", "/bin/sh", "-c", "echo a >&2; echo b > /dev/stderr; echo c | tee /dev/stderr >/dev/null; echo d >&2"
    )
    assert (home.folder / "err.err").read_text() == "a\nb\nc\nd\n"


@pytest.mark.parametrize("deed", ["rm {}", "mv {} {}.old", "rm {}; echo forged > {}", "rm {}; mkdir {}"])
async def test_a_file_that_loses_its_name_keeps_its_lines(home: House, deed: str) -> None:
    path = home.folder / "named.out"
    script = f"echo one; sleep 0.1; {deed.format(path, path)}; echo two; sleep 0.1; echo three"
    await home.run("named", "/bin/sh", "-c", script)
    assert kept(home, "named").read_text() == "one\ntwo\nthree\n"


async def test_a_file_removed_before_its_first_line(home: House) -> None:
    await home.run("early", "/bin/sh", "-c", f"rm {home.folder}/early.out; echo one; echo two")
    assert kept(home, "early").read_text() == "one\ntwo\n"


async def test_what_follows_a_cut_stands_at_its_place(home: House) -> None:
    path = home.folder / "short.out"
    attempt = await home.shell("short", "echo one; while [ ! -e go ]; do sleep 0.01; done; echo two")
    await until(lambda: path.read_bytes() == b"one\n")
    os.truncate(path, 0)
    (home.folder / "go").touch()
    await home.ended(attempt)
    assert path.read_bytes() == b"\0\0\0\0two\n"


async def test_a_silent_task_leaves_no_second_name(home: House) -> None:
    await home.run("silent", "true")
    assert not (home.state_dir / "logs").exists()


async def test_output_goes_on_under_the_next_keeper(home: House) -> None:
    script = "echo one; while [ ! -e go ]; do echo tick; sleep 0.01; done; echo last"
    attempt = await home.shell("long", script)
    await until(lambda: home.output("long").startswith("one\n"))
    await home.kill_keeper_and_wait()
    seen = home.output("long").count("tick")
    await until(lambda: home.output("long").count("tick") > seen)
    (home.folder / "go").touch()
    await home.ended(attempt)
    text = home.output("long")
    assert text.startswith("one\ntick\n")
    assert text.endswith("tick\nlast\n")
    assert set(text.split()) == {"one", "tick", "last"}


async def test_a_task_is_not_ended_by_the_death_of_its_keeper(home: House) -> None:
    """More is written than the pipe holds while nobody is there: it waits, and all of it arrives."""
    script = 'echo up; while [ ! -e go ]; do sleep 0.01; done; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "line $i of a good many"; done; touch written; exec sleep 600'
    attempt = await home.shell("full", script)
    pid = home.started(attempt).pid
    await until(lambda: home.output("full") == "up\n")
    await home.disconnect()
    home.kill_keeper()
    (home.folder / "go").touch()
    await until(lambda: Path(f"/proc/{pid}/wchan").read_text() != "" and waits_for_room(pid))
    await home.connect()
    await until(lambda: home.output("full").endswith("line 3000 of a good many\n"))
    assert home.output("full").count("\n") == 3001
    await home.link.kill(attempt)
    assert (await home.ended(attempt)).exit_known is False


async def test_programs_get_the_usual_number_of_descriptors(home: House) -> None:
    own = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    await home.run("limit", "/bin/sh", "-c", "ulimit -n")
    assert int(home.output("limit")) == own


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
        output.hand_over()
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


def kept(home: House, name: str) -> Path:
    """The second name of an attempt's stdout."""
    return home.state_dir / output_module.KEPT_FOLDER / f"{home.id(name)}.{name}.out"


def waits_for_room(pid: int) -> bool:
    """Whether the process sleeps in a write to a pipe."""
    return "pipe" in Path(f"/proc/{pid}/wchan").read_text() or Path(f"/proc/{pid}/syscall").read_text().startswith("1 ")
