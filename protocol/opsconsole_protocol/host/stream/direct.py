"""The direct way: one end listens for a short time, and the other dials all of its addresses at once.

Between machines it is TLS with a certificate that is named by its hash in the signal; on one machine it is plain, over loopback.
"""

import contextlib
import socket
import time
from functools import partial

from opsconsole_protocol.host.stream.candidates import Candidates, Connected
from opsconsole_protocol.host.stream.greeting import Stranger, await_commit, greet
from opsconsole_protocol.host.stream.place import own_addresses
from opsconsole_protocol.host.stream.tls import own_certificate, pinning_context, shows
from opsconsole_protocol.stream.error import NoWay
from opsconsole_protocol.stream.message import StreamGrant
from opsconsole_protocol.stream.signal import Listening

CONNECT_S = 1.0
"""A machine that is reached at all is reached sooner."""
HANDSHAKE_S = 5.0
STAGGER_S = 0.05
"""Between the dialling of one address and the next: the first that works should be the first that was told."""
PROVING_MAX = 8
_LOOPBACK = "127.0.0.1"


def listen(candidates: Candidates, grant: StreamGrant, *, same_machine: bool) -> Listening:
    """Listen for the other end until the try or the grant is over, and return where. Raises NoWay or OSError."""
    addresses = (_LOOPBACK,) if same_machine else own_addresses()
    if not addresses:
        raise NoWay("this machine has no address")
    certificate_hash = "" if same_machine else own_certificate().certificate_hash
    server = _server(same_machine=same_machine)
    until = time.monotonic() + grant.ttl_ms / 1_000
    candidates.launch("", partial(_accept, candidates, server, grant, certificate_hash, until))
    return Listening(addresses=addresses, port=server.getsockname()[1], certificate_hash=certificate_hash)


def dial(candidates: Candidates, grant: StreamGrant, listening: Listening) -> None:
    """Dial where the other end says that it listens, all addresses at about the same time."""
    for index, address in enumerate(listening.addresses):
        where = f"{address} port {listening.port}"
        work = partial(_dial, candidates, grant, address, listening)
        candidates.launch(where, work, after_s=index * STAGGER_S)


def _server(*, same_machine: bool) -> socket.socket:
    if same_machine:
        return socket.create_server((_LOOPBACK, 0))
    with contextlib.suppress(OSError):  # a machine without IPv6
        return socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _accept(
    candidates: Candidates, server: socket.socket, grant: StreamGrant, certificate_hash: str, until: float
) -> Connected:
    """Let every connection prove itself in a thread, so that one which says nothing keeps nobody out. Raises NoWay or OSError."""
    candidates.hold(server)
    while (left_s := until - time.monotonic()) > 0:
        server.settimeout(left_s)
        try:
            sock, _ = server.accept()
        except TimeoutError:
            break
        if candidates.running > PROVING_MAX:
            sock.close()
            continue
        candidates.launch("", partial(_receive, candidates, sock, grant, certificate_hash))
    raise NoWay("nobody came")


def _receive(candidates: Candidates, sock: socket.socket, grant: StreamGrant, certificate_hash: str) -> Connected:
    candidates.hold(sock)
    sock.settimeout(HANDSHAKE_S)
    if certificate_hash:
        sock = own_certificate().context.wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
        candidates.hold(sock)
        sock.do_handshake()
    return _meet(sock, grant, is_dialler=False, certificate_hash=certificate_hash)


def _dial(candidates: Candidates, grant: StreamGrant, address: str, listening: Listening) -> Connected:
    sock = socket.create_connection((address, listening.port), CONNECT_S)
    candidates.hold(sock)
    sock.settimeout(HANDSHAKE_S)
    if listening.certificate_hash:
        sock = pinning_context().wrap_socket(sock, do_handshake_on_connect=False, suppress_ragged_eofs=False)
        candidates.hold(sock)
        sock.do_handshake()
        if not shows(sock, listening.certificate_hash):
            raise NoWay("another machine answers")
    return _meet(sock, grant, is_dialler=True, certificate_hash=listening.certificate_hash)


def _meet(sock: socket.socket, grant: StreamGrant, *, is_dialler: bool, certificate_hash: str) -> Connected:
    try:
        greet(sock, grant, is_dialler=is_dialler, certificate_hash=certificate_hash)
    except Stranger as stranger:
        raise NoWay(str(stranger)) from None
    return sock, b"" if grant.is_initiator else await_commit(sock)
