"""How a person's invitation becomes a credential of their own, saved for the next time.

The secret is made here and written down before it is first used, so that a trade whose answer got lost is repeated with
this secret and not with a new one. A credential that works is replaced only by one that was accepted.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import msgspec

from opsconsole import saved_coordinator
from opsconsole.connection import Connection
from opsconsole.saved_coordinator import SavedCoordinator
from opsconsole.target import Target
from opsconsole_protocol.trust.invitation import Invitation
from opsconsole_protocol.trust.secret import SECRET_BYTES, new_secret


async def redeem(invitation: Invitation, say: Callable[[str], None] = lambda _: None) -> Target:
    """Trade an invitation for a credential, unless that was done before, and return the target to use from now on.

    `say` is told, in one line, under which name the coordinator is saved. Raises what `Connection.open` raises, and
    PrivateFileError.
    """
    one = saved_coordinator.load(invitation.url)
    if one is None or one.invitation_id != invitation.invitation_id:
        one = await _trade(invitation)
        later = (
            "what commands use from now on"
            if saved_coordinator.offer_default(one.name)
            else f"`opsconsole coordinator use {one.name}` makes it the default"
        )
        say(f"this coordinator is kept as {one.name}: {later}")
    return Target(one.url, one.secret, one.certificate_hash)


async def _trade(invitation: Invitation) -> SavedCoordinator:
    pending = saved_coordinator.load_pending(invitation.url)
    if pending is None or pending.invitation_id != invitation.invitation_id:
        pending = SavedCoordinator(
            url=invitation.url,
            certificate_hash=invitation.certificate_hash,
            invitation_id=invitation.invitation_id,
            secret=new_secret(secrets.token_bytes(SECRET_BYTES)),
        )
        saved_coordinator.save_pending(pending)
    target = Target(invitation.url, pending.secret, invitation.certificate_hash, invitation.token)
    connection = await Connection.open(target)
    welcome = connection.welcome
    await connection.close()
    former = saved_coordinator.load(invitation.url)
    name = former.name if former is not None and former.name else saved_coordinator.free_name(welcome.coordinator)
    accepted = msgspec.structs.replace(pending, name=name, actor=welcome.actor, role=welcome.role)
    saved_coordinator.save(accepted)
    saved_coordinator.remove_pending(accepted.url)
    return accepted
