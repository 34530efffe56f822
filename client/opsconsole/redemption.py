"""How a person's invitation becomes a credential of their own, kept for the next time.

The secret is made here and written down before it is first used, so a trade whose answer got lost is repeated with
the same one. A credential that works is replaced only by one that was accepted.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec

from opsconsole.target import Target
from opsconsole_protocol.host.private_file import read_record, write_record
from opsconsole_protocol.trust.invitation import Invitation
from opsconsole_protocol.trust.secret import SECRET_BYTES, new_secret


class Redemption(msgspec.Struct, frozen=True, kw_only=True):
    """A credential for one coordinator and the invitation that it was made for."""

    url: str
    certificate_hash: str | None
    invitation_id: str
    secret: str
    name: str = ""
    """What the user calls the coordinator."""
    actor: str = ""
    role: str = ""
    """Who the user is there, as of the trade."""

    def __repr__(self) -> str:
        return f"Redemption({self.url}, {self.invitation_id})"


def load(url: str) -> Redemption | None:
    """The accepted credential for the coordinator at `url`, if there is one. Raises PrivateFileError."""
    return _read(_path(url))


def load_all() -> list[Redemption]:
    """Every accepted credential. Raises PrivateFileError."""
    found = [_read(path) for path in sorted(folder().glob("*.json"))]
    return [one for one in found if one is not None]


def save(one: Redemption) -> None:
    """Write it down for its coordinator. Raises PrivateFileError."""
    write_record(_path(one.url), one)


def remove(url: str) -> None:
    """Forget the credential for the coordinator at `url`."""
    _path(url).unlink(missing_ok=True)


async def redeem(invitation: Invitation, say: Callable[[str], None] = lambda _: None) -> Target:
    """Trade an invitation for a credential, unless that was done before; the target to use from now on.

    `say` is told, in one line, under which name the coordinator is kept. Raises what `Connection.open` raises, and PrivateFileError.
    """
    known = load(invitation.url)
    if known is None or known.invitation_id != invitation.invitation_id:
        from opsconsole import saved

        known = await _trade(invitation)
        is_default = saved.offer(known.name)
        later = (
            "what commands use from now on"
            if is_default
            else f"`opsconsole coordinator use {known.name}` makes it the default"
        )
        say(f"this coordinator is kept as {known.name}: {later}")
    return Target(known.url, known.secret, known.certificate_hash)


async def _trade(invitation: Invitation) -> Redemption:
    from opsconsole import saved
    from opsconsole.connection import Connection

    pending_path = _path(invitation.url).with_suffix(".pending")
    pending = _read(pending_path)
    if pending is None or pending.invitation_id != invitation.invitation_id:
        pending = Redemption(
            url=invitation.url,
            certificate_hash=invitation.certificate_hash,
            invitation_id=invitation.invitation_id,
            secret=new_secret(secrets.token_bytes(SECRET_BYTES)),
        )
        write_record(pending_path, pending)
    target = Target(invitation.url, pending.secret, invitation.certificate_hash, invitation.token)
    connection = await Connection.open(target)
    welcome = connection.welcome
    await connection.close()
    former = load(invitation.url)
    name = former.name if former is not None and former.name else saved.free_name(welcome.coordinator)
    accepted = msgspec.structs.replace(pending, name=name, actor=welcome.actor, role=welcome.role)
    save(accepted)
    pending_path.unlink(missing_ok=True)
    return accepted


def folder() -> Path:
    """Where credentials are kept."""
    import platformdirs

    return Path(platformdirs.user_state_dir("opsconsole", appauthor=False)) / "operator"


def _path(url: str) -> Path:
    return folder() / (re.sub(r"[^a-z0-9.-]+", "_", url.partition("://")[2]) + ".json")


def _read(path: Path) -> Redemption | None:
    return read_record(path, Redemption, "remove it and connect with a new invitation")
