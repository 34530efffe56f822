"""What the preparation of an attempt says of itself: the source `build` of its log, to which a setup writes as well."""

import logging
import os

from opsconsole_agent.keeper import state_file

_log = logging.getLogger(__name__)


class BuildLog:
    """Adds lines to the file at `path`. Not while a program writes there: the keeper counts what it has written itself."""

    def __init__(self, path: str) -> None:
        self.path = path

    def say(self, text: str) -> None:
        """Add a line. Where there is no room for it, the preparation goes on without."""
        line = f"opsconsole: {' '.join(text.splitlines())}\n".encode(errors="replace")
        try:
            descriptor, _ = state_file.open_or_renew(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                state_file.write_all(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            _log.warning("%s can't be written: %s", self.path, error.strerror)
