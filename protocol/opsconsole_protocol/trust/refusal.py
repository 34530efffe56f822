"""Why a connection to a coordinator fails although somebody answers."""

from opsconsole_protocol.error import OpsconsoleError

_TEMPORARY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
HINTS = {
    401: "the token is not valid there, get a new one with `opsconsole invite`",
    403: "the token doesn't reach that far",
    404: "what answers there is not an opsconsole coordinator of this version",
    429: "too many attempts, wait a minute and try again",
    503: "it is starting or stopping, try again",
}
NOT_OURS = "what answers there is not an opsconsole coordinator"


class WrongCertificate(OpsconsoleError):
    """The server doesn't show the certificate that was named; no secret was sent to it."""

    code = "wrong_certificate"


class Unproven(OpsconsoleError):
    """The program that listens on loopback doesn't prove that it knows our secret; the secret was not sent."""

    code = "unproven"


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


def line_of(status: int, text: str) -> str:
    """The first line of the server's text, safe for a terminal, or else what the status means."""
    lines = text.strip().splitlines()
    said = "".join(sign for sign in lines[0][:300] if sign.isprintable()).strip() if lines else ""
    return said or HINTS.get(status, NOT_OURS)
