"""The logs of tasks: the files that tasks write to are followed, and their bytes shipped to the coordinator."""

from opsconsole_agent.log.follower import LogFollower, NoteFollower
from opsconsole_agent.log.shipper import LogShipper, SettledLog

__all__ = ["LogFollower", "LogShipper", "NoteFollower", "SettledLog"]
