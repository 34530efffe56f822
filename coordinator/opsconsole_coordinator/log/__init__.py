"""Logs of attempts: stored as they come, read as lines by page."""

from opsconsole_coordinator.log.page import LogReadError
from opsconsole_coordinator.log.scan import LogQueryError
from opsconsole_coordinator.log.store import AppendResult, LogKey, LogStore, Outcome

__all__ = ["AppendResult", "LogKey", "LogQueryError", "LogReadError", "LogStore", "Outcome"]
