"""How the console stands with its coordinator, as a plain value."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

ConnectionState: TypeAlias = Literal["connecting", "connected", "lost"]


@dataclass(frozen=True)
class Contact:
    """`text` says with whom the console is connected, or why it isn't; `role` is what its token may do, `actor` its name.

    Where the connection is lost, `retry_ms` is the time to the next attempt and `silent_ms` how long nothing had been
    heard before.
    """

    state: ConnectionState
    text: str = ""
    role: str = ""
    actor: str = ""
    retry_ms: int = 0
    silent_ms: int = 0
