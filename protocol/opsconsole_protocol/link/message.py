"""What every message of the link has in common, and the one that both sides send."""

import msgspec

from opsconsole_protocol.bound import Label, Text


class Message(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of everything on the link: of messages and of their parts.

    A message has a tag and stands in the union of its side (`from_agent.py`, `from_coordinator.py`): a new kind is a class
    in that module and a member of that union.
    """


class PeerError(Message, frozen=True, kw_only=True, tag="error"):
    """Why a message was refused, or why the connection is closed now."""

    code: Label
    message: Text
