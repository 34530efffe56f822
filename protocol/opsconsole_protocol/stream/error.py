"""What goes wrong with streams."""

from opsconsole_protocol.error import Unavailable


class StreamLost(Unavailable):
    """The stream has ended before its work was done; on another one it can go on where it was."""

    code = "stream_lost"


class StreamStopped(Unavailable):
    """The coordinator has ended the stream, and says why: on another one it can't go on."""

    code = "stream_stopped"


class NoWay(Unavailable):
    """No way leads to the other end, or not the one that was asked for."""

    code = "no_way"


class StreamCancelled(Unavailable):
    """Somebody has cancelled the transfer."""

    code = "cancelled"
