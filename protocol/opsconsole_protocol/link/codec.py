"""The codecs of the two ends of the link."""

from opsconsole_protocol.codec import Codec
from opsconsole_protocol.link.from_agent import AgentMessage
from opsconsole_protocol.link.from_coordinator import CoordinatorMessage


def agent_codec() -> Codec[CoordinatorMessage]:
    """What an agent uses."""
    return Codec(CoordinatorMessage)


def coordinator_codec() -> Codec[AgentMessage]:
    """What the coordinator uses towards agents."""
    return Codec(AgentMessage)
