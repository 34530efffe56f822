"""Commands as they come over the socket: one JSON object a line, checked before anything is done."""

import re
from json import JSONDecoder

from opsconsole_agent.keeper.connection import LINE_BYTES_MAX
from opsconsole_agent.keeper.fault import Refused
from opsconsole_agent.keeper.launch import Launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opsconsole_agent.keeper.launch import User

Fields = dict[str, object]
_decode = JSONDecoder().decode
ACTIONS = ("freeze", "thaw", "term", "kill")
_ATTEMPT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def parse(line: bytes | None) -> Fields:
    """The fields of a line (None: it was too long); raises Refused, without quoting what may be a secret."""
    if line is None:
        raise Refused("too_long", f"a command is at most {LINE_BYTES_MAX} bytes long")
    try:
        fields = _decode(line.decode())
    except (ValueError, RecursionError):
        raise Refused("malformed", "a command is one JSON object on one line") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("kind"), str):
        raise Refused("malformed", "a command is a JSON object with a kind")
    return fields


def request_number(fields: Fields) -> int | None:
    """The number that the reply is to carry; raises Refused."""
    number = fields.get("n")
    if number is None or (isinstance(number, int) and not isinstance(number, bool)):
        return number
    raise Refused("malformed", "n is a whole number")


def attempt_id_of(fields: "Mapping[str, object]") -> str:
    """Raises Refused."""
    return _attempt_id(fields.get("attempt_id"))


def _attempt_id(value: object) -> str:
    if isinstance(value, str) and _ATTEMPT_ID.fullmatch(value):
        return value
    raise Refused("malformed", "attempt_id is 1 to 128 letters, digits, dots, dashes and underscores")


def attempt_ids_of(fields: Fields) -> list[str]:
    """Raises Refused."""
    value = fields.get("attempt_ids")
    if not isinstance(value, list):
        raise Refused("malformed", "attempt_ids is a list")
    return [_attempt_id(item) for item in value]


def launch_of(fields: Fields, user: "User | None" = None) -> Launch:
    """Raises Refused."""
    argv = fields.get("argv")
    if not isinstance(argv, list) or not argv or not _all_strings(argv):
        raise Refused("malformed", "argv is a list of at least one string")
    env = fields.get("env")
    if not isinstance(env, dict) or not _all_strings(env.values()):  # its keys are, in JSON
        raise Refused("malformed", "env is an object of strings")
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


def user_of(fields: Fields) -> "User":
    """Whom a program is to run as: uid, gid, groups. Raises Refused."""
    user = fields.get("user")
    groups = user.get("groups") if isinstance(user, dict) else None
    if isinstance(user, dict) and isinstance(groups, list):
        return _id(user.get("uid")), _id(user.get("gid")), [_id(group) for group in groups]
    raise Refused("malformed", "user is an object with uid, gid and groups")


def _id(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise Refused("malformed", "uid, gid and groups are whole numbers, at least 0")


def paths_of(fields: Fields) -> list[str]:
    """Absolute paths, none where an older agent names none; raises Refused."""
    value = fields.get("paths") or []
    if isinstance(value, list) and all(isinstance(path, str) and path.startswith("/") for path in value):
        return value
    raise Refused("malformed", "paths is a list of absolute paths")


def _all_strings(values: "Iterable[object]") -> bool:
    """Environments are long and starts are many: join looks at the types ten times faster than a loop here."""
    try:
        "".join(values)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def _path(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if isinstance(value, str) and value.startswith("/"):
        return value
    raise Refused("malformed", f"{name} is an absolute path")


def action_of(fields: Fields) -> str:
    """Raises Refused."""
    value = fields.get("action")
    if isinstance(value, str) and value in ACTIONS:
        return value
    raise Refused("malformed", f"action is one of {', '.join(ACTIONS)}")


def whole_number(fields: Fields, name: str) -> int | None:
    """A number that may be absent, at least 0; raises Refused."""
    value = fields.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise Refused("malformed", f"{name} is a whole number, at least 0")
