"""The messages between agent and keeper, one JSON object a line, as the agent sees them; `keeper.service` has the rules."""

import json
from typing import Final, TypeVar

import msgspec

from opsconsole_protocol.error import VersionMismatch
from opsconsole_protocol.ids import AttemptId

PROTOCOL_MAJOR: Final = 1

T = TypeVar("T")


class User(msgspec.Struct, frozen=True):
    """The user that a program runs as."""

    uid: int
    gid: int
    groups: list[int]

    @property
    def ids(self) -> tuple[int, int, list[int]]:
        """uid, gid and groups."""
        return self.uid, self.gid, self.groups


class StartCommand(msgspec.Struct, frozen=True):
    """Start an attempt. `env` is complete, as nothing is inherited; paths are absolute; output is appended to the files.

    `stdin` is opened when it starts. `user` None: it runs as the keeper's user.
    """

    attempt_id: AttemptId
    argv: list[str]
    cwd: str
    env: dict[str, str]
    stdout: str
    stderr: str
    stdin: str = "/dev/null"
    user: User | None = None


class JoinCommand(msgspec.Struct, frozen=True):
    """Run a program within a live attempt, in the attempt's environment with `env` added to it.

    `guest` is its id. The three files exist, pipes as a rule; with `terminal`, `stdin` is one that stands for all three.
    """

    attempt_id: AttemptId
    guest: str
    argv: list[str]
    cwd: str
    env: dict[str, str]
    stdin: str
    stdout: str
    stderr: str
    terminal: bool
    user: User | None = None


class LiveAttempt(msgspec.Struct, frozen=True):
    """A live attempt in the hello. `ending`: its leader has ended, and what it left is being ended.

    `exit_known` is False for one adopted from a keeper that died, as its exit code will not be known.
    """

    attempt_id: AttemptId
    pid: int
    start_time: int
    started_at_ms: int
    frozen: bool
    ending: bool
    exit_known: bool


class AttemptStarted(msgspec.Struct, frozen=True, tag_field="kind", tag="started"):
    """An attempt has started. `start_time` is in clock ticks since boot; with pid and boot id it identifies the leader."""

    attempt_id: AttemptId
    pid: int
    start_time: int
    at_ms: int


class AttemptExited(msgspec.Struct, frozen=True, tag_field="kind", tag="exited"):
    """An attempt has ended, and nothing of it lives.

    One of `exit_code`, `signal` and `error` is set. With `exit_known` an `error` means that it never became a process,
    without, that how it ended can't be known. `at_ms` is when its leader ended. Times and memory are those of the
    processes that were reaped. `oom_kill` is None when that can't be told. `leftovers` is the number of processes that
    outlived the leader and were ended; `outlived` names some of them as `PID NAME`. `proof` is False where a process was
    left that may be this attempt's or another's, or that has become another user's. `cause`: why it never became a process
    (`command_not_found`, `permission_denied`, `not_started`) or was lost (`host_restarted`), as a code; empty otherwise.
    """

    attempt_id: AttemptId
    pid: int | None
    exit_code: int | None
    signal: int | None
    exit_known: bool
    error: str | None
    at_ms: int
    started_at_ms: int | None
    user_s: float
    system_s: float
    max_rss_mb: float
    oom_kill: bool | None
    leftovers: int
    proof: bool
    outlived: list[str] = []
    cause: str = ""


class AttemptFrozen(msgspec.Struct, frozen=True, tag_field="kind", tag="frozen"):
    """An attempt was frozen: no process of it runs."""

    attempt_id: AttemptId
    at_ms: int


class AttemptThawed(msgspec.Struct, frozen=True, tag_field="kind", tag="thawed"):
    """A frozen attempt runs again."""

    attempt_id: AttemptId
    at_ms: int


class GuestExited(msgspec.Struct, frozen=True, tag_field="kind", tag="guest_exited"):
    """A program that was run within an attempt has exited. `ending`: so is its attempt, or has been told to."""

    guest: str
    exit_code: int | None
    signal: int | None
    ending: bool


class KeeperHello(msgspec.Struct, frozen=True, tag_field="kind", tag="hello"):
    """The first message on every connection: all live attempts, and all exits that aren't forgotten.

    `key`: the key of its log, for the next keeper; the client stores it and removes it from the event. `notes`: what it
    found damaged when it started, a sentence each.
    """

    version: str
    pid: int
    boot_id: str
    started_ms: int
    live: list[LiveAttempt]
    exits: list[AttemptExited]
    key: str = ""
    notes: list[str] = []


class KeeperLost(msgspec.Struct, frozen=True):
    """The connection is gone. Unless `final`, a hello follows, from the same keeper or a new one."""

    reason: str
    final: bool = False


class Replaced(msgspec.Struct, frozen=True, tag_field="kind", tag="replaced"):
    """Another agent has taken this keeper over."""


class Reply(msgspec.Struct, frozen=True, tag_field="kind", tag="reply"):
    """A command was carried out; which field is set depends on the command."""

    re: int
    processes: int | None = None
    forgotten: int | None = None
    found: bool | None = None
    pids: dict[AttemptId, list[int]] | None = None


class ErrorReply(msgspec.Struct, frozen=True, tag_field="kind", tag="error"):
    """A command was refused."""

    re: int | None
    code: str
    text: str


KeeperEvent = KeeperHello | AttemptStarted | AttemptExited | AttemptFrozen | AttemptThawed | GuestExited | KeeperLost
KeeperMessage = (
    KeeperHello
    | AttemptStarted
    | AttemptExited
    | AttemptFrozen
    | AttemptThawed
    | GuestExited
    | Replaced
    | Reply
    | ErrorReply
)

_decoder: msgspec.json.Decoder[KeeperMessage] = msgspec.json.Decoder(KeeperMessage)
_kind_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KINDS = {
    b'"hello"', b'"started"', b'"exited"', b'"frozen"', b'"thawed"', b'"replaced"', b'"reply"', b'"error"',
    b'"guest_exited"',
}  # fmt: skip


class _Head(msgspec.Struct):
    """What a hello of every version has."""

    version: str = "0"
    pid: int = 0


_head_decoder = msgspec.json.Decoder(_Head)


def check_version(line: bytes) -> None:
    """Raise VersionMismatch for the hello of a keeper whose protocol we don't speak."""
    head = _decoded(_head_decoder, line)
    if head.version.partition(".")[0] != str(PROTOCOL_MAJOR):
        raise VersionMismatch(
            f"the running keeper speaks protocol {head.version}, this agent {PROTOCOL_MAJOR}.x: "
            f"let its tasks end under the agent that started it, then end process {head.pid} and try again"
        )


def decode(line: bytes) -> KeeperMessage | None:
    """Return the message on a line, or None for a kind that only a newer keeper knows. Raises msgspec.DecodeError."""
    try:
        return _decoded(_decoder, line)
    except msgspec.ValidationError:
        kind = _decoded(_kind_decoder, line).get("kind")
        if kind is not None and bytes(kind) not in _KINDS:
            return None
        raise


def _decoded(decoder: msgspec.json.Decoder[T], line: bytes) -> T:
    """Decode a line. Raises msgspec.DecodeError, whatever is wrong with it."""
    try:
        return decoder.decode(line)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None


def encode(kind: str, fields: dict[str, object]) -> bytes:
    """Return a command as a line."""
    command = {"kind": kind, **fields}
    try:
        return msgspec.json.encode(command) + b"\n"
    except UnicodeEncodeError:  # names that aren't UTF-8 travel as lone surrogates, as os.fsdecode makes them
        return json.dumps(command).encode() + b"\n"
