"""The codecs of the two ends of the link. Each encodes any message and decodes those of the other end."""

from opsconsole_protocol.codec import Codec
from opsconsole_protocol.link.from_agent import AgentMessage
from opsconsole_protocol.link.from_coordinator import CoordinatorMessage


def agent_codec() -> Codec[CoordinatorMessage]:
    """The codec of an agent."""
    return Codec(CoordinatorMessage)


def coordinator_codec() -> Codec[AgentMessage]:
    """The codec of the coordinator towards agents."""
    return Codec(AgentMessage)
