"""How much is done to describe a dataset, and the clock that says when it is enough."""

import time

import msgspec

DATASET_LINE_BYTES_MAX = 16 * 1024 * 1024
"""Of one line, one row or one value of a JSON list."""
DATASET_FILES_MAX = 10_000
MEMORY_BYTES_MAX = 3 << 30
SPOOL_BYTES_MAX = 1 << 30
SIDE_FILE_BYTES_MAX = 16 * 1024 * 1024
"""Of a file that says what the others are, such as state.json."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one description may cost."""

    budget_s: float = 8.0
    """For how long files are read; of what is left then, nothing is said."""
    timeout_s: float = 20.0
    """After that the process is killed: a mount or a server hangs."""
    memory_bytes_max: int = MEMORY_BYTES_MAX
    """Of addresses, of which a process uses a part."""
    spool_bytes_max: int = SPOOL_BYTES_MAX
    """Of a file from a server that can't send parts, kept on disk for as long as it is looked at."""
    rows: int = 20
    """First rows that are shown."""


class Budget:
    """Counts down."""

    def __init__(self, seconds: float) -> None:
        self._end_s = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether it is time to stop reading."""
        return time.monotonic() > self._end_s
