"""Dial the coordinator's one port for a stream: to its own store, or to be joined with the other end (relay)."""

import socket
import ssl
import time
from dataclasses import dataclass

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.host.dial import failure_text
from opsconsole_protocol.host.stream.candidates import Candidates, Connected
from opsconsole_protocol.host.stream.greeting import await_commit
from opsconsole_protocol.host.stream.tls import coordinator_context, shows
from opsconsole_protocol.stream import proof
from opsconsole_protocol.stream.error import NoWay
from opsconsole_protocol.stream.message import PeerKind, StreamGrant
from opsconsole_protocol.stream.upgrade import UPGRADE_BYTES_MAX, UpgradeAnswer, format_request, parse_answer
from opsconsole_protocol.trust.address import host_of, normal_url

REACH_S = 5.0
ANSWER_S = 25.0
"""The coordinator waits for the other end, and says so if it doesn't come."""


@dataclass(frozen=True, slots=True)
class Home:
    """The coordinator as it is reached from here. Without a hash, wss:// trusts what the system trusts."""

    url: str
    certificate_hash: str | None = None


def dial(candidates: Candidates, home: Home, grant: StreamGrant) -> None:
    """Dial the coordinator for this end of the stream."""
    candidates.launch("", lambda: _dial(candidates, home, grant))


def _dial(candidates: Candidates, home: Home, grant: StreamGrant) -> Connected:
    url = normal_url(home.url)
    try:
        sock = _connected(candidates, url, home.certificate_hash)
    except ssl.SSLCertVerificationError as error:
        raise NoWay(f"the certificate of {url} is not trusted here ({error.verify_message})") from None
    except OSError as error:
        raise NoWay(failure_text(url, error, REACH_S)) from None
    where = "" if isinstance(sock, ssl.SSLSocket) else proof.where_of(sock.getpeername())
    known = grant.secret, grant.stream_id, where
    sock.sendall(format_request(grant.stream_id, proof.request_proof(*known), host_of(url)))
    answer = _answer(sock, url)
    if not answer.is_open:
        raise NoWay(f"the coordinator refuses ({answer.status}): {answer.text or 'no reason given'}")
    if not proof.is_same(answer.proof, proof.acceptance_proof(*known)):
        raise NoWay(
            f"{url} doesn't prove that it knows this stream: another program than the coordinator listens there"
        )
    if grant.peer is not PeerKind.COORDINATOR and not grant.is_initiator:
        return sock, await_commit(sock, answer.rest)
    return sock, answer.rest


def _connected(candidates: Candidates, url: str, certificate_hash: str | None) -> socket.socket:
    host, port = host_of(url), int(url.rpartition(":")[2])
    sock = socket.create_connection((host, port), REACH_S)
    candidates.hold(sock)
    if not url.startswith("wss://"):
        return sock
    context = coordinator_context(is_pinned=certificate_hash is not None)
    secure = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    candidates.hold(secure)
    secure.do_handshake()
    if certificate_hash is not None and not shows(secure, certificate_hash):
        raise NoWay(f"{url} shows another certificate than it has: it is not that coordinator, or was set up anew")
    return secure


def _answer(sock: socket.socket, url: str) -> UpgradeAnswer:
    """Read the answer to the request for a stream. Raises NoWay or OSError."""
    until = time.monotonic() + ANSWER_S
    data = b""
    try:
        while (answer := parse_answer(data)) is None:
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            sock.settimeout(left_s)
            more = sock.recv(UPGRADE_BYTES_MAX)
            if not more:
                return _broken_off(data, url)
            data += more
    except ProtocolError as error:
        raise NoWay(f"{url} opens no stream ({error.message}): it is no coordinator of this version") from None
    return answer


def _broken_off(data: bytes, url: str) -> UpgradeAnswer:
    """What is there of an answer after which the connection was closed. Raises NoWay or ProtocolError."""
    answer = parse_answer(data, is_whole=True) if data else None
    if answer is None:
        raise NoWay(f"{url} closed the connection without an answer: it is just stopping, or is no coordinator")
    return answer
