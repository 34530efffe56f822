"""What people had of the fleet, day by day, as it is stored."""

import msgspec

DAY_MS = 86_400_000
REMEMBERED_DAYS = 56
"""What was had before these days weighs next to nothing, and isn't read from the store."""


class UsageDay(msgspec.Struct, kw_only=True):
    """What a person had in a project on a day. `day` counts from the beginning of 1970, UTC."""

    day: int
    project: str
    person: str
    gpu_ms: float = 0.0
    """GPUs times milliseconds."""
    cpu_ms: float = 0.0
    """CPUs times milliseconds that were asked for; a task that asked for none counts as one CPU."""
    weight_ms: float = 0.0
    """What a task weighs times milliseconds."""
    task_ms: float = 0.0
    tasks: int = 0
    """How many attempts ended."""
    until_ms: int = 0
    """Up to when it was added up."""
