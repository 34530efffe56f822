"""Open a stream by a grant, at either end of it."""

import threading
from collections.abc import Callable

from opsconsole_protocol.host.stream.conversation import Conversation
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.host.stream.initiator import Initiator
from opsconsole_protocol.host.stream.responder import Responder
from opsconsole_protocol.host.stream.signaller import Signaller
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.stream.ladder import Experience
from opsconsole_protocol.stream.message import PeerKind, StreamGrant


def open_stream(
    grant: StreamGrant,
    signaller: Signaller,
    home: Home,
    *,
    tell: Callable[[str], None],
    cancel: threading.Event,
    experience: Experience | None = None,
) -> Stream:
    """The stream of this grant, to whose other end `signaller` speaks; where that is the coordinator, it isn't used.

    `tell` gets a line for each way that is tried: which and why, or why not. `experience` gets the ways that didn't work.
    Raises NoWay, StreamLost where the link to the coordinator is lost, StreamStopped where it has ended the stream, or
    StreamCancelled soon after `cancel` is set. Until the stream is closed, `signaller` is asked whether it has to end.
    """
    speaks = None if grant.peer is PeerKind.COORDINATOR else signaller
    with Conversation(speaks, cancel) as conversation:
        if grant.is_initiator:
            found = experience or Experience()
            stream = Initiator(grant, conversation, home, tell=tell, cancel=cancel, experience=found).open()
        else:
            stream = Responder(grant, conversation, home, tell=tell, cancel=cancel).open()
        return conversation.keep(stream)
