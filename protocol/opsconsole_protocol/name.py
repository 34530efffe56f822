"""What may be the name of a worker, a person, a project or a tag. Two names must not look alike to a person.

Characters that are invisible, that turn the direction of writing or that end a line make one name look like another, or a
name look like a sentence of ours. No name may look like a worker's id: in `--worker`, which takes either, a name would else
stand for another worker.
"""

import re
import unicodedata

from opsconsole_protocol.bound import NAME_CHARACTERS_MAX
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import ALPHABET

WORKER_ID_PREFIX = "worker-"
WORKER_ID_LENGTH = 8
"""Characters behind the prefix."""
RESERVED = frozenset({"admin", "all", "coordinator", "everybody", "local", "operator", "root", "system", "viewer"})
"""Names that no person may have: in the list of who did what they mean somebody else, or nobody."""

_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_VARIATIONS = range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)
_WORKER_ID = re.compile(f"{WORKER_ID_PREFIX}[{ALPHABET}]{{{WORKER_ID_LENGTH}}}")


def is_worker_id(text: str) -> bool:
    """Whether `text` has the shape of a worker's id: `worker-` and eight letters and digits."""
    return _WORKER_ID.fullmatch(text) is not None


def check_name(text: str, what: str) -> str:
    """`text`, if it can be `what` (such as `a worker's name`). Raises InvalidRequest that says what is wrong with it."""
    if not text or len(text) > NAME_CHARACTERS_MAX:
        raise InvalidRequest(f"{what} has 1 to {NAME_CHARACTERS_MAX} characters, not {len(text)}")
    for sign in text:
        if not _is_seen(sign):
            raise InvalidRequest(f"{what} holds a sign that nobody sees (U+{ord(sign):04X}): leave it out")
    if text != text.strip(" "):
        raise InvalidRequest(f"{what} begins or ends with a space: leave it out")
    return text


def check_worker_name(text: str, worker_id: str = "") -> str:
    """`text`, if the worker with this id may be called so. Raises InvalidRequest."""
    check_name(text, "a worker's name")
    if is_worker_id(text) and text != worker_id:
        raise InvalidRequest(f"a worker can't be called {text}: that is how ids look; choose another --name")
    return text


def check_person_name(text: str) -> str:
    """`text`, if a person may be called so. Raises InvalidRequest."""
    check_name(text, "a person's name")
    if text.casefold() in RESERVED or text.casefold().startswith("worker ") or is_worker_id(text):
        raise InvalidRequest(f"nobody can be called {text}: that means somebody else here; choose another name")
    return text


def printable(text: str) -> str:
    """Somebody else's text for a line of ours: a space for what can't be printed."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _is_seen(sign: str) -> bool:
    if sign.isascii():
        return sign.isprintable()
    category = unicodedata.category(sign)
    is_other_space = category == "Zs"
    is_variation = any(ord(sign) in part for part in _VARIATIONS)
    return not (category in _UNSEEN_CATEGORIES or is_other_space or is_variation or sign in _UNSEEN)
