"""Following the files that tasks write to, and shipping their bytes to the coordinator."""

from opsconsole_agent.log.follow import LogFollower, NoteFollower
from opsconsole_agent.log.shipper import LogShipper, SettledLog

__all__ = ["LogFollower", "LogShipper", "NoteFollower", "SettledLog"]
