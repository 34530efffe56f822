"""What every message of the link has in common, and the one that both sides send."""

import msgspec

from opsconsole_protocol.bound import Label, Text


class Message(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of everything on the link: a message, or a part of one. A message has a tag and stands in a union of its side
    (`from_agent.py`, `from_coordinator.py`), which is where a new kind is added."""


class PeerError(Message, frozen=True, kw_only=True, tag="error"):
    """The last thing said before closing, or the answer to a message that couldn't be taken."""

    code: Label
    message: Text
