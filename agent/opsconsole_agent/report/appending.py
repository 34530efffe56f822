"""Lines are added to an attempt's report in one write each time, as long as there is room in it."""

import os

from opsconsole_agent.keeper import state_file
from opsconsole_protocol.report import REPORT_BYTES_MAX

_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT


def append(path: str, data: bytes) -> bool:
    """Add whole lines. Returns False, with nothing added, where the report would get too long. Raises OSError."""
    descriptor = state_file.open_file(path, _APPENDING)
    try:
        if os.fstat(descriptor).st_size + len(data) > REPORT_BYTES_MAX:
            return False
        state_file.write_all(descriptor, data)
    finally:
        os.close(descriptor)
    return True
