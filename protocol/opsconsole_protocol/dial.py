"""Open a websocket to a coordinator: the one place from which agents and clients connect.

This is a shell: it owns sockets, unlike the rest of this package. What is heavy is imported on the first call.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from opsconsole_protocol.address import InvalidAddress, host_of, normal_url
from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.secret import is_hash

if TYPE_CHECKING:
    import ssl

    from websockets.asyncio.client import ClientConnection
    from websockets.http11 import Response

_TEMPORARY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_HINTS = {
    401: "the token is not valid there, get a new one with `opsconsole invite`",
    403: "the token doesn't reach that far",
    404: "what answers there is not an opsconsole coordinator of this version",
    429: "too many attempts, wait a minute and try again",
    503: "it is starting or stopping, try again",
}
_NOT_OURS = "what answers there is not an opsconsole coordinator"


class WrongCertificate(OpsconsoleError):
    """The server is not the one that is named; nothing of ours was sent to it."""

    code = "wrong_certificate"


class Refused(OpsconsoleError):
    """The server answered the opening request with an HTTP status instead of a websocket.

    `status` is that status, `reason` the one line that the server gave, and `temporary` whether trying again may help.
    """

    code = "refused"

    def __init__(self, url: str, status: int, reason: str) -> None:
        super().__init__(f"{url} refused ({status}): {reason}")
        self.status = status
        self.reason = reason
        self.temporary = status in _TEMPORARY_STATUS


class Unreachable(Unavailable):
    """No websocket came about; trying again may help."""


async def dial(
    url: str,
    *,
    path: str,
    certificate_hash: str | None = None,
    headers: Mapping[str, str],
    max_size: int,
    open_timeout_s: float = 10.0,
    ping_interval_s: float | None = 20.0,
    ping_timeout_s: float | None = 60.0,
    close_timeout_s: float = 3.0,
) -> ClientConnection:
    """Connect to `path` of the coordinator at `url`, sending `headers`; a message past `max_size` bytes ends it.

    With a certificate hash (the SHA-256 of its DER form) the server must show exactly that certificate, which is
    checked before the request is written, so the token in `headers` reaches nobody else. Without one, wss:// trusts
    what the system trusts. Redirects are refused. The pings keep a NAT's entry alive and end a dead connection at
    last; how soon a peer counts as silent is the application's to decide.

    Raises InvalidAddress, WrongCertificate, Refused or Unreachable.
    """
    import ssl

    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException

    url = normal_url(url)
    secure = url.startswith("wss://")
    if certificate_hash is not None and not (secure and is_hash(certificate_hash)):
        raise InvalidAddress("a certificate hash is 64 hexadecimal digits, and goes with wss://")
    options: dict[str, Any] = {"ssl": _tls_context(pinned=certificate_hash is not None)} if secure else {}
    try:
        return await connect(
            url + path,
            create_connection=_connection_class(url, certificate_hash),
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
        raise Unreachable(_what_failed(url, error, open_timeout_s)) from None
    except (WebSocketException, EOFError):
        hint = _NOT_OURS if secure else f"{_NOT_OURS}, or it speaks TLS: try wss{url.removeprefix('ws')}"
        raise Unreachable(f"{url} doesn't open a websocket: {hint}") from None


def _connection_class(url: str, certificate_hash: str | None) -> type[ClientConnection]:
    """A connection that checks the certificate before it sends its request, and takes no other answer than a yes."""
    import hashlib
    import hmac

    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import InvalidStatus

    class CheckedConnection(ClientConnection):
        async def handshake(self, *args: Any, **kwargs: Any) -> None:
            # TLS stands, nothing is written yet. Raising any earlier, in connection_made, would go unnoticed.
            if certificate_hash is not None:
                shown = self.transport.get_extra_info("ssl_object").getpeercert(True)
                if not hmac.compare_digest(hashlib.sha256(shown).hexdigest(), certificate_hash):
                    self.transport.abort()
                    raise WrongCertificate(
                        f"{url} shows another certificate than the one you were given: it is not that coordinator, "
                        "or was set up anew; if you know why, ask for a new line with `opsconsole invite`"
                    )
            try:
                await super().handshake(*args, **kwargs)
            except InvalidStatus as error:
                # Raised here, websockets doesn't see a redirect that it would follow, token in hand.
                raise Refused(url, error.response.status_code, _reason(error.response)) from None

    return CheckedConnection


def _reason(response: Response) -> str:
    """The server's one line, made safe for a terminal, or what the status means."""
    is_text = response.headers.get("Content-Type", "").startswith("text/plain")
    lines = bytes(response.body or b"").decode(errors="replace").strip().splitlines() if is_text else []
    said = "".join(sign for sign in lines[0][:300] if sign.isprintable()).strip() if lines else ""
    return said or _HINTS.get(response.status_code, _NOT_OURS)


@cache
def _tls_context(*, pinned: bool) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context() if not pinned else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if pinned:
        # The hash says who it is; names and dates in the certificate say nothing more. TLS still proves that the
        # server holds the certificate's key.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


@cache
def _quiet_logger() -> Any:
    """A logger that never reaches debug: there, websockets writes headers and frames out, secrets among them."""
    import logging

    logger = logging.getLogger("opsconsole_protocol.dial")
    logger.setLevel(logging.INFO)
    return logger


def _what_failed(url: str, error: OSError, open_timeout_s: float) -> str:
    import ssl

    if isinstance(error, TimeoutError):
        return f"{url} doesn't answer within {open_timeout_s:g} s: check the address and the firewalls in between"
    if isinstance(error, socket.gaierror):
        return f"the name {host_of(url)!r} is not known here: check its spelling, or use the IP address"
    if isinstance(error, ssl.SSLError):
        return (
            f"{url} doesn't complete the TLS handshake ({error.reason or 'closed'}): {_NOT_OURS}, or not on this port"
        )
    number = error.errno
    if number is None and (match := re.search(r"\[Errno (\d+)\]", str(error))):
        number = int(match[1])  # asyncio packs the failures of several addresses into one text
    if number == errno.ECONNREFUSED:
        return f"nothing listens on {url}: start the coordinator (`opsconsole serve`), or check the address"
    if isinstance(error, ConnectionError):
        doubt = "speaks no TLS" if url.startswith("wss://") else "speaks TLS (wss://)"
        return f"{url} closed the connection: {_NOT_OURS}, or {doubt}, or is just stopping"
    reason = os.strerror(number) if number is not None else "unknown network error"
    return f"{url} can't be reached ({reason}): check the address and the network"
