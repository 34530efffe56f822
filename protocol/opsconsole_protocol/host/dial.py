"""Open a websocket to a coordinator: the one place from which agents and clients connect.

What is heavy is imported on the first call.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.trust.address import InvalidAddress, host_of, normal_url
from opsconsole_protocol.trust.proof_request import NoHttp
from opsconsole_protocol.trust.refusal import NOT_OURS, Refused, Unproven, WrongCertificate
from opsconsole_protocol.trust.secret import is_hash

__all__ = ["Refused", "Unproven", "Unreachable", "WrongCertificate", "dial"]

if TYPE_CHECKING:
    import ssl

    from websockets.asyncio.client import ClientConnection


class Unreachable(Unavailable):
    """No websocket came about; trying again may help."""


async def dial(
    url: str,
    *,
    path: str,
    certificate_hash: str | None = None,
    headers: Mapping[str, str],
    secrets: Sequence[str] = (),
    max_size: int,
    open_timeout_s: float = 10.0,
    ping_interval_s: float | None = 20.0,
    ping_timeout_s: float | None = 60.0,
    close_timeout_s: float = 3.0,
) -> ClientConnection:
    """Connect to `path` of the coordinator at `url`, sending `headers`. A message of more than `max_size` bytes ends the connection.

    With a certificate hash (the SHA-256 of its DER form) the server must show exactly that certificate. It is checked before
    the request is written, so the token in `headers` reaches nobody else. Without one, wss:// trusts what the system trusts.
    Over ws:// the server first proves that it knows one of `secrets`, the tokens and invitations in `headers`, since on
    loopback anybody may listen on a port. Redirects are refused. Pings keep a NAT's entry alive and end a dead connection at
    last; how soon a peer counts as silent is for the caller to decide.

    Raises InvalidAddress, WrongCertificate, Unproven, Refused or Unreachable.
    """
    import ssl

    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException

    from opsconsole_protocol.host.checked_connection import checked

    url = normal_url(url)
    secure = url.startswith("wss://")
    if certificate_hash is not None and not (secure and is_hash(certificate_hash)):
        raise InvalidAddress("a certificate hash is 64 hexadecimal digits, and goes with wss://")
    options: dict[str, Any] = {"ssl": _tls_context(pinned=certificate_hash is not None)} if secure else {}
    try:
        return await connect(
            url + path,
            create_connection=checked(url, certificate_hash, () if secure else tuple(secrets)),
            additional_headers=dict(headers),
            compression=None,
            proxy=None,
            max_size=max_size,
            open_timeout=open_timeout_s,
            ping_interval=ping_interval_s,
            ping_timeout=ping_timeout_s,
            close_timeout=close_timeout_s,
            logger=_quiet_logger(),
            happy_eyeballs_delay=0.25,
            **options,
        )
    except ssl.SSLCertVerificationError as error:
        raise WrongCertificate(
            f"the certificate of {url} is not trusted here ({error.verify_message}): "
            "use a join line from `opsconsole invite`, which names the certificate"
        ) from None
    except OSError as error:
        raise Unreachable(failure_text(url, error, open_timeout_s)) from None
    except (WebSocketException, EOFError, NoHttp):
        hint = NOT_OURS if secure else f"{NOT_OURS}, or it speaks TLS: try wss{url.removeprefix('ws')}"
        raise Unreachable(f"{url} doesn't open a websocket: {hint}") from None


@cache
def _tls_context(*, pinned: bool) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context() if not pinned else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if pinned:
        # The hash says who the server is; names and dates in the certificate add nothing. TLS still proves that the
        # server holds the certificate's key.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


@cache
def _quiet_logger() -> Any:
    """A logger without debug output, in which websockets writes out headers and frames, secrets among them."""
    import logging

    logger = logging.getLogger("opsconsole_protocol.host.dial")
    logger.setLevel(logging.INFO)
    return logger


def failure_text(url: str, error: OSError, open_timeout_s: float) -> str:
    """Why no connection to `url` came about, in one line that says what to do."""
    import ssl

    if isinstance(error, TimeoutError):
        return f"{url} doesn't answer within {open_timeout_s:g} s: check the address and the firewalls in between"
    if isinstance(error, socket.gaierror):
        return f"the name {host_of(url)!r} is not known here: check its spelling, or use the IP address"
    if isinstance(error, ssl.SSLError):
        return f"{url} doesn't complete the TLS handshake ({error.reason or 'closed'}): {NOT_OURS}, or not on this port"
    number = error.errno
    if number is None and (match := re.search(r"\[Errno (\d+)\]", str(error))):
        number = int(match[1])  # asyncio packs the failures of several addresses into one text
    if number == errno.ECONNREFUSED:
        return f"nothing listens on {url}: start the coordinator (`opsconsole serve`), or check the address"
    if isinstance(error, ConnectionError):
        doubt = "speaks no TLS" if url.startswith("wss://") else "speaks TLS (wss://)"
        return f"{url} closed the connection: {NOT_OURS}, or {doubt}, or is just stopping"
    reason = os.strerror(number) if number is not None else "unknown network error"
    return f"{url} can't be reached ({reason}): check the address and the network"
