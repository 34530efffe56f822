"""A terminal that nobody reads (a hung ssh, Ctrl-S) stops the screen and nothing else."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.process.lab import OPSCONSOLE, Lab, words
from tests.waiting import until_sync

UNREAD_S = 20.0
STILL_S = 3.0


class Unread:
    """A console on a pty of our own, which is read only when asked to."""

    def __init__(self, lab: Lab, *arguments: str) -> None:
        self._controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
        self.process = subprocess.Popen(
            (*OPSCONSOLE, *arguments), stdin=terminal, stdout=terminal, stderr=terminal,
            env=lab.environ | {"TERM": "xterm-256color"}, cwd=lab.folder, start_new_session=True,
        )  # fmt: skip
        os.close(terminal)

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._controller, keys)

    def waiting(self) -> int:
        """Bytes that nobody has read."""
        size = fcntl.ioctl(self._controller, termios.FIONREAD, b"\0" * 4)
        return int(struct.unpack("i", size)[0])

    def drain(self) -> bytes:
        """Read what there is."""
        read = b""
        with suppress(OSError):  # the other end is gone
            while self.waiting():
                read += os.read(self._controller, 65536)
        return read

    def until_shown(self, text: bytes) -> None:
        """Read until a text has come."""
        read = bytearray()

        def look() -> bool:
            read.extend(self.drain())
            return text in read

        until_sync(look, 30, f"{text!r} on the screen")

    def until_full(self) -> int:
        """Wait until nothing more goes in, although the screen would change; how much is in."""
        since, last = time.monotonic(), self.waiting()
        deadline = since + 30
        while time.monotonic() - since < STILL_S:
            assert time.monotonic() < deadline, "the terminal never fills"
            time.sleep(0.05)
            if (now := self.waiting()) != last:
                since, last = time.monotonic(), now
        return last

    def close(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait(10)
        os.close(self._controller)


@contextmanager
def unread(lab: Lab, *arguments: str) -> Iterator[Unread]:
    console = Unread(lab, *arguments)
    try:
        yield console
    finally:
        console.close()


def test_a_terminal_that_nobody_reads_silences_nobody(lab: Lab) -> None:
    with unread(lab, "--listen", "127.0.0.1:0", "--no-agent") as console:
        lab.wait((lab.data_dir / "endpoint.json").exists, "the coordinator")
        for name in ("gpu-a", "gpu-b"):
            lab.agent(name)
        busy = lab.give("i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done")
        lab.wait_state(busy, "running")

        console.until_shown(b"gpu-b")
        console.press(b"l")  # a log that never rests keeps the screen busy
        full = console.until_full()
        assert full > 1000

        began, finished = time.monotonic(), 0
        while time.monotonic() - began < UNREAD_S:
            for name in ("gpu-a", "gpu-b"):
                assert lab.worker(name)["connection"] == "connected"
            asked = time.monotonic()
            worker = ("gpu-a", "gpu-b")[finished % 2]
            done = lab.run("submit", "-q", "--follow", "--worker", worker, *words("sleep 0.5; echo alive"))
            assert done.stdout == "alive\n"
            assert time.monotonic() - asked < 10
            finished += 1
        assert finished >= 2
        assert console.waiting() == full, "somebody has read"
        assert lab.state(busy) == "running"

        # Whoever reads again finds a console that is up to date, and leaves as ever.
        lab.act("cancel", busy)
        lab.wait_state(busy, "killed")
        console.until_shown(b"killed")
        console.press(b"q")
        console.until_shown(b"It would be missed by")
        console.press(b"y")
        until_sync(lambda: console.drain() is not None and console.process.poll() is not None, 30, "its end")
        assert console.process.returncode == 0
        assert lab.said("gpu-a").count("connected to") == 1
