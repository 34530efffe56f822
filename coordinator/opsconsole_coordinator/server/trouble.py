"""What keeps the coordinator from working as it should, in one line: for `opsconsole health`, `/health` and `/metrics`."""

from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.log_service import LogService
from opsconsole_coordinator.server.stream_api import StreamApi


def trouble_of(commit_loop: CommitLoop, log_service: LogService, streams: StreamApi) -> str:
    """Why changes of state, logs or files can't be stored at the moment; empty when all is well."""
    return commit_loop.trouble or log_service.trouble or streams.trouble
