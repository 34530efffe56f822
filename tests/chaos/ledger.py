"""What really happened: the lines that tasks wrote themselves, outside of everything that is to be checked."""

from dataclasses import dataclass, field
from pathlib import Path

from opsconsole_protocol.ids import AttemptId
from tests.seen_process import find


@dataclass(frozen=True)
class Start:
    """A process of an attempt began. `peers`: tasks that its worker ran at that moment, besides it."""

    task: str
    attempt: int
    worker: str
    pid: int
    peers: int
    at_ms: int
    lines: int


@dataclass(frozen=True)
class End:
    """It ended by itself."""

    pid: int
    at_ms: int
    code: int


@dataclass
class Ledger:
    """By attempt."""

    starts: dict[AttemptId, list[Start]] = field(default_factory=dict)
    ends: dict[AttemptId, list[End]] = field(default_factory=dict)

    def living(self) -> list[tuple[AttemptId, int]]:
        """Whose process is still there."""
        return [(uid, one.pid) for uid, starts in self.starts.items() for one in starts if is_alive(one, uid)]


def read(path: Path) -> Ledger:
    """All that is written by now."""
    ledger = Ledger()
    for line in path.read_text().splitlines() if path.exists() else ():
        match line.split():
            case ["start", uid, task, attempt, worker, pid, peers, at_ns, lines]:
                at_ms = int(at_ns) // 1_000_000
                start = Start(task, int(attempt), worker, int(pid), int(peers), at_ms, int(lines))
                ledger.starts.setdefault(AttemptId(uid), []).append(start)
            case ["end", uid, pid, at_ns, code]:
                ledger.ends.setdefault(AttemptId(uid), []).append(End(int(pid), int(at_ns) // 1_000_000, int(code)))
            case _:
                raise ValueError(f"the ledger has a strange line: {line!r}")
    return ledger


def is_alive(start: Start, uid: AttemptId) -> bool:
    """Whether this very process lives: its number may be another's by now."""
    process = find(start.pid)
    return process is not None and process.is_alive and process.environ.get("OPSCONSOLE_ATTEMPT_UID") == uid
