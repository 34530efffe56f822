"""Hosts behind routers of their own that let nobody in, as at home, and a STUN server for those who want to find each other.

Needs root, iproute2 and nftables.
"""

import contextlib
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from aioice import stun

from tests.chaos.namespace import Impossible, Town

_HOME_NET = "192.168.1"
_RULES = """table ip home {
  chain out {
    type nat hook postrouting priority 100;
    oifname "cable" masquerade
  }
  chain in {
    type filter hook input priority 0;
    iifname "cable" ct state new drop
  }
  chain through {
    type filter hook forward priority 0;
    iifname "cable" ct state new drop
  }
}
"""


class NatTown(Town):
    """A town in which some hosts live behind a router: `gpu-a` behind `home-gpu-a`, all with addresses of the same private net."""

    def __init__(self, *hosts: str, homes: tuple[str, ...], rules: Path) -> None:
        """Build it; raises Impossible. `rules`: where the routers' rules are written."""
        if shutil.which("nft") is None:
            raise Impossible("routers of homes need nftables (apt-get install nftables)")
        super().__init__(*hosts, *(f"home-{name}" for name in homes))
        rules.write_text(_RULES)
        try:
            for number, name in enumerate(homes, 2):
                self._add_home(name, f"{_HOME_NET}.{number}", rules)
        except Impossible:
            self.close()
            raise

    def _add_home(self, name: str, address: str, rules: Path) -> None:
        router = f"home-{name}"
        self._names.append(name)
        self._ip("netns", "add", self._space(name))
        self._in(name, "link", "set", "lo", "up")
        self._ip(
            "link", "add", "cable", "netns", self._space(name), "type", "veth",
            "peer", "name", "inside", "netns", self._space(router),
        )  # fmt: skip
        self._in(name, "addr", "add", f"{address}/24", "dev", "cable")
        self._in(router, "addr", "add", f"{_HOME_NET}.1/24", "dev", "inside")
        self._in(name, "link", "set", "cable", "up")
        self._in(router, "link", "set", "inside", "up")
        self._in(name, "route", "add", "default", "via", f"{_HOME_NET}.1")
        self.run(router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self.run(router, "nft", "-f", str(rules))


@contextlib.contextmanager
def stun_server(address: str) -> Iterator[str]:
    """Tell whoever asks from where the question came; yields the URL. It runs in the namespace of who calls this."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 0))
        thread = threading.Thread(target=_answer, args=(server,))
        thread.start()
        try:
            yield f"stun:{address}:{server.getsockname()[1]}"
        finally:
            server.sendto(b"", server.getsockname())
            thread.join()


def _answer(server: socket.socket) -> None:
    while True:
        data, asker = server.recvfrom(2_000)
        if not data:
            return
        with contextlib.suppress(ValueError):
            question = stun.parse_message(data)
            answer = stun.Message(
                message_method=stun.Method.BINDING,
                message_class=stun.Class.RESPONSE,
                transaction_id=question.transaction_id,
            )
            answer.attributes["XOR-MAPPED-ADDRESS"] = asker
            server.sendto(bytes(answer), asker)
