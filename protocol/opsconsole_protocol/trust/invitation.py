"""The join line: where the coordinator is, how to recognise it, and a secret that lets somebody in once.

    wss://host:7373#<certificate hash>.<id>.<secret>        64 hexadecimal digits, 8 and 52 characters
    ws://127.0.0.1:7373#-.<id>.<secret>                     on loopback there is no certificate

Each part has a fixed length, so that a line that was cut is told from one with a wrong secret.
"""

import re
from dataclasses import dataclass, field
from typing import NewType

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import ALPHABET
from opsconsole_protocol.trust.address import InvalidAddress, normal_url
from opsconsole_protocol.trust.secret import SECRET_LENGTH, is_hash, is_secret

InvitationId = NewType("InvitationId", str)

INVITATION_HEADER = "Opsconsole-Invitation"
"""The header with `<id>.<secret>`, sent beside the credential that the invitation is traded for."""
INVITATION_ID_LENGTH = 8
_INVITATION_ID = re.compile(f"[{ALPHABET}]{{{INVITATION_ID_LENGTH}}}")
_QUOTES = "'\"`‘’“”"
_AGAIN = "copy it again in one piece, or make a new one with `opsconsole invite`"


class InvalidJoinLine(InvalidRequest):
    """A text that is no join line; the message never holds its secret."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a join line says. `certificate_hash` is None on loopback without TLS."""

    url: str
    certificate_hash: str | None
    invitation_id: InvitationId
    secret: str = field(repr=False)

    def format(self) -> str:
        """The join line."""
        return f"{self.url}#{self.certificate_hash or '-'}.{self.token}"

    @property
    def token(self) -> str:
        """`<id>.<secret>`: what is shown to the coordinator."""
        return f"{self.invitation_id}.{self.secret}"


@dataclass(frozen=True, slots=True)
class Address:
    """What `--connect` names: a coordinator, its certificate's hash if given, the invitation if it was a join line."""

    url: str
    certificate_hash: str | None = None
    invitation: Invitation | None = None


def parse_join_line(text: str) -> Invitation:
    """Read a join line; white space and quotes around it do no harm. Raises InvalidJoinLine or InvalidAddress."""
    line = _stripped(text)
    if not line:
        raise InvalidJoinLine("the join line is empty: `opsconsole invite` on the coordinator prints one")
    address, sign, fragment = line.partition("#")
    url = normal_url(address)
    if not sign:
        raise InvalidJoinLine(f"the join line ends after the address: {_AGAIN}")
    parts = fragment.lower().split(".")
    if len(parts) != 3:
        wrong = "is cut short" if len(parts) < 3 else "has too many parts"
        raise InvalidJoinLine(f"the join line {wrong} (<certificate hash>.<id>.<secret> stands behind the #): {_AGAIN}")
    certificate_hash, invitation_id, secret = parts
    _check_token(invitation_id, secret)
    return Invitation(url, _certificate_hash(url, certificate_hash), InvitationId(invitation_id), secret)


def parse_url(text: str) -> Address:
    """Read what `--connect` takes: `host:7373`, `ws://…`, `wss://…`, `wss://…#<certificate hash>` or a join line.

    Raises InvalidAddress or InvalidJoinLine.
    """
    line = _stripped(text)
    address, sign, fragment = line.partition("#")
    if "." in fragment:
        invitation = parse_join_line(line)
        return Address(invitation.url, invitation.certificate_hash, invitation)
    url = normal_url(address)
    return Address(url, _certificate_hash(url, fragment.lower()) if sign else None)


def split_token(text: str) -> tuple[InvitationId, str] | None:
    """Invitation id and secret from `<id>.<secret>`, or None where the text doesn't have that form."""
    invitation_id, _, secret = text.partition(".")
    if _INVITATION_ID.fullmatch(invitation_id) is None or not is_secret(secret):
        return None
    return InvitationId(invitation_id), secret


def _stripped(text: str) -> str:
    line = text.strip().strip(_QUOTES).strip()
    if "--join" in line or line.startswith("opsconsole "):
        raise InvalidJoinLine("this is the whole command: paste only what stands in quotes behind --join")
    if len(line.split()) > 1:
        raise InvalidJoinLine(f"there is a space or a line break inside (wrapped when it was copied?): {_AGAIN}")
    if any(quote in line for quote in _QUOTES):
        raise InvalidJoinLine(f"there is a quote inside: {_AGAIN}")
    return line


def _certificate_hash(url: str, text: str) -> str | None:
    secure = url.startswith("wss://")
    if text in ("", "-"):
        if secure:
            raise InvalidJoinLine(f"the certificate hash behind the # is missing, and wss:// needs one: {_AGAIN}")
        return None
    if not is_hash(text):
        raise InvalidJoinLine(
            f"the certificate hash behind the # is not 64 hexadecimal digits, but {len(text)} characters: {_AGAIN}"
        )
    if not secure:
        raise InvalidAddress(f"a certificate hash means TLS, and ws:// has none: write wss{url.removeprefix('ws')}")
    return text


def _check_token(invitation_id: str, secret: str) -> None:
    if _INVITATION_ID.fullmatch(invitation_id) is None:
        raise InvalidJoinLine(
            f"the invitation's id in the join line is not {INVITATION_ID_LENGTH} letters and digits: {_AGAIN}"
        )
    if len(secret) != SECRET_LENGTH:
        raise InvalidJoinLine(f"the secret at the end has {len(secret)} of {SECRET_LENGTH} characters: {_AGAIN}")
    if not is_secret(secret):
        raise InvalidJoinLine(f"the secret at the end has a character that no secret holds: {_AGAIN}")
