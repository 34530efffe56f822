"""A town of hosts in network namespaces: every host a cable's length from one router, which can be made to drop packets.

The router forgets packets without a word, as broken networks do: no reset, no lost carrier, and in one direction only
where that is wanted. It needs root and iproute2, and nothing else of the machine: it leaves the machine's own network
alone.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_NET = "10.213"


class Impossible(Exception):
    """Why there are no namespaces here."""


class Town:
    """Hosts by name; `address` says where each is. `close` takes all of it down."""

    def __init__(self, *hosts: str) -> None:
        """Build it; raises Impossible."""
        if os.geteuid() != 0:
            raise Impossible("network namespaces need root")
        if shutil.which("ip") is None:
            raise Impossible("network namespaces need iproute2 (apt-get install iproute2)")
        _sweep()
        self._mark = f"oc{os.getpid()}"
        self._names = ["router", *hosts]
        self._blocked: list[tuple[str, ...]] = []
        try:
            self._build(hosts)
        except Impossible:
            self.close()
            raise

    def address(self, host: str) -> str:
        """A host's address."""
        return f"{_NET}.{self._names.index(host)}.2"

    def command(self, host: str) -> tuple[str, ...]:
        """What to put before a command that is to run on a host."""
        return ("ip", "netns", "exec", self._space(host))

    @contextlib.contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """This thread, and threads and processes that it starts, are on a host."""
        with Path("/proc/thread-self/ns/net").open() as before, Path(f"/run/netns/{self._space(host)}").open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    def run(self, host: str, *words: str) -> None:
        """Run a command on a host; raises Impossible if it fails."""
        _run(*self.command(host), *words)

    # --- partitions ------------------------------------------------------------------------------------------------

    def drop(self, source: str, sink: str) -> None:
        """From now on no packet of one host reaches the other; the other way round all do."""
        rule = ("from", self.address(source), "to", self.address(sink), "blackhole")
        self._in("router", "rule", "add", *rule)
        self._blocked.append(rule)

    def part(self, one: str, other: str) -> None:
        """No packet passes between two hosts."""
        self.drop(one, other)
        self.drop(other, one)

    def heal(self) -> None:
        """Everything passes again."""
        while self._blocked:
            self._in("router", "rule", "del", *self._blocked.pop())

    # --- building --------------------------------------------------------------------------------------------------

    def _build(self, hosts: tuple[str, ...]) -> None:
        for name in self._names:
            self._ip("netns", "add", self._space(name))
            self._in(name, "link", "set", "lo", "up")
        for number, host in enumerate(hosts, 1):
            space, router = self._space(host), self._space("router")
            self._ip(
                "link", "add", "cable", "netns", space, "type", "veth", "peer", "name", f"to{number}", "netns", router
            )
            self._in(host, "addr", "add", f"{_NET}.{number}.2/24", "dev", "cable")
            self._in("router", "addr", "add", f"{_NET}.{number}.1/24", "dev", f"to{number}")
            self._in(host, "link", "set", "cable", "up")
            self._in("router", "link", "set", f"to{number}", "up")
            self._in(host, "route", "add", "default", "via", f"{_NET}.{number}.1")
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        self.run("router", "sh", "-c", forward)

    def close(self) -> None:
        """Take it down; what runs in it loses its network."""
        for name in self._names:
            if Path(f"/run/netns/{self._space(name)}").exists():
                self._ip("netns", "del", self._space(name))

    def _space(self, name: str) -> str:
        return f"{self._mark}-{name}"

    def _in(self, name: str, *words: str) -> None:
        self._ip("-n", self._space(name), *words)

    def _ip(self, *words: str) -> None:
        _run("ip", *words)


def _sweep() -> None:
    """Take down what a run that was killed has left."""
    for path in Path("/run/netns").glob("oc*-*"):
        pid = path.name.removeprefix("oc").partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            _run("ip", "netns", "del", path.name)


def _run(*words: str) -> None:
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Impossible(f"{' '.join(words)}: {done.stderr.strip()}")


def _enter(descriptor: int) -> None:
    """Python has setns only from 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        raise Impossible(f"a namespace can't be entered: {os.strerror(ctypes.get_errno())}")
