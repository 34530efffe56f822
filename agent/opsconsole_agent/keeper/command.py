"""Commands as they come over the socket: one JSON object a line, checked before anything is done."""

import re
import signal
from collections.abc import Iterable, Mapping
from json import JSONDecoder

from opsconsole_agent.keeper.connection import LINE_BYTES_MAX
from opsconsole_agent.keeper.launch import Launch, UserIds
from opsconsole_agent.keeper.refusal import Refusal

Fields = dict[str, object]
_decode = JSONDecoder().decode
ACTIONS = ("freeze", "thaw", "term", "kill")
_ATTEMPT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def parse(line: bytes | None) -> Fields:
    """Return the fields of a line; None stands for one that was too long. Raises Refusal, which quotes nothing of it."""
    if line is None:
        raise Refusal("too_long", f"a command is at most {LINE_BYTES_MAX} bytes long")
    try:
        fields = _decode(line.decode())
    except (ValueError, RecursionError):
        raise Refusal("malformed", "a command is one JSON object on one line") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("kind"), str):
        raise Refusal("malformed", "a command is a JSON object with a kind")
    return fields


def request_number(fields: Fields) -> int | None:
    """Return the number that the reply has to carry, None for no reply. Raises Refusal."""
    number = fields.get("n")
    if number is None or (isinstance(number, int) and not isinstance(number, bool)):
        return number
    raise Refusal("malformed", "n is a whole number")


def attempt_id_of(fields: Mapping[str, object]) -> str:
    """Return the attempt that a command is about. Raises Refusal."""
    return _attempt_id(fields.get("attempt_id"))


def _attempt_id(value: object) -> str:
    if isinstance(value, str) and _ATTEMPT_ID.fullmatch(value):
        return value
    raise Refusal("malformed", "attempt_id is 1 to 128 letters, digits, dots, dashes and underscores")


def guest_of(fields: Fields) -> str:
    """Return the id of a program within an attempt. Raises Refusal."""
    value = fields.get("guest")
    if isinstance(value, str) and _ATTEMPT_ID.fullmatch(value):
        return value
    raise Refusal("malformed", "guest is 1 to 128 letters, digits, dots, dashes and underscores")


def signal_of(fields: Fields) -> int:
    """Return the number of a signal. Raises Refusal."""
    value = whole_number(fields, "signal")
    if value in signal.valid_signals():
        return int(value)
    raise Refusal("malformed", "signal is the number of a signal")


def attempt_ids_of(fields: Fields) -> list[str]:
    """Return the attempts that a command is about. Raises Refusal."""
    value = fields.get("attempt_ids")
    if not isinstance(value, list):
        raise Refusal("malformed", "attempt_ids is a list")
    return [_attempt_id(item) for item in value]


def launch_of(fields: Fields, user: UserIds | None = None) -> Launch:
    """Return the program that a command wants started, as `user` or as us. Raises Refusal."""
    argv = fields.get("argv")
    if not isinstance(argv, list) or not argv or not _all_strings(argv):
        raise Refusal("malformed", "argv is a list of at least one string")
    env = fields.get("env")
    if not isinstance(env, dict) or not _all_strings(env.values()):  # its keys are, in JSON
        raise Refusal("malformed", "env is an object of strings")
    return Launch(
        attempt_id_of(fields),
        argv,
        _path(fields, "cwd"),
        env,
        _path(fields, "stdout"),
        _path(fields, "stderr"),
        _path(fields, "stdin") if "stdin" in fields else "/dev/null",
        user,
    )


def user_of(fields: Fields) -> UserIds:
    """Return the user whom a program has to run as. Raises Refusal."""
    user = fields.get("user")
    groups = user.get("groups") if isinstance(user, dict) else None
    if isinstance(user, dict) and isinstance(groups, list):
        return _id(user.get("uid")), _id(user.get("gid")), [_id(group) for group in groups]
    raise Refusal("malformed", "user is an object with uid, gid and groups")


def _id(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise Refusal("malformed", "uid, gid and groups are whole numbers, at least 0")


def paths_of(fields: Fields) -> list[str]:
    """Return the absolute paths in a command, or none in that of an older agent. Raises Refusal."""
    value = fields.get("paths") or []
    if isinstance(value, list) and all(isinstance(path, str) and path.startswith("/") for path in value):
        return value
    raise Refusal("malformed", "paths is a list of absolute paths")


def _all_strings(values: Iterable[object]) -> bool:
    """Whether all are strings. Environments are long and starts are many: join is ten times faster than a loop."""
    try:
        "".join(values)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def _path(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if isinstance(value, str) and value.startswith("/"):
        return value
    raise Refusal("malformed", f"{name} is an absolute path")


def action_of(fields: Fields) -> str:
    """Return what to do to an attempt: one of ACTIONS. Raises Refusal."""
    value = fields.get("action")
    if isinstance(value, str) and value in ACTIONS:
        return value
    raise Refusal("malformed", f"action is one of {', '.join(ACTIONS)}")


def whole_number(fields: Fields, name: str) -> int | None:
    """Return a number of at least 0, or None where it is absent. Raises Refusal."""
    value = fields.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise Refusal("malformed", f"{name} is a whole number, at least 0")
