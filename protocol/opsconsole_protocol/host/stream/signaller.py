"""How the two ends of a stream reach each other before it stands, and how they hear that it is to end."""

from typing import Protocol


class Signaller(Protocol):
    """Carries signals between the two ends of one stream, over the links that they have to the coordinator. It blocks."""

    def send(self, body: bytes) -> None:
        """Tell the other end. Raises StreamLost when the stream is over."""

    def receive(self, timeout_s: float) -> bytes | None:
        """What the other end tells, or None after `timeout_s`.

        Raises StreamLost when nothing is heard any more, and StreamStopped when the coordinator has ended the stream.
        """
