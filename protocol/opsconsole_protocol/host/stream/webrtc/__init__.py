"""Streams through the NATs of both ends, by whichever WebRTC engine is there."""

from opsconsole_protocol.host.stream.webrtc.engine import engine_fault, engine_names
from opsconsole_protocol.host.stream.webrtc.opening import open_webrtc

__all__ = ["engine_fault", "engine_names", "open_webrtc"]
