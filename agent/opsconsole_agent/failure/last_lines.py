"""What an attempt printed last, as lines that may be shown: no control characters, and no value of its secrets."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import quote

LAST_BYTES_MAX = 64 * 1024
"""Of each of stdout and stderr: what is looked at to find out why an attempt failed."""
PRINTED_LINES_MAX = 400
PRINTED_LINE_CHARACTERS_MAX = 1_000
SECRET_CHARACTERS_MIN = 3
"""Of a variable whose name says that it is a secret: a shorter value stands in too many words."""
VALUE_CHARACTERS_MIN = 8
"""Of any other variable of the job, which may be a secret too."""

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASS|PWD|CREDENTIAL|AUTH|(?:^|_)(?:API)?_?KEY|PRIVATE|COOKIE|DSN", re.IGNORECASE
)
_NO_SECRETS = frozenset({"PWD", "OLDPWD"})
"""Variables that every shell has, and whose names only look like a password's."""
_ESCAPE = re.compile(
    r"[\x1b\x80-\x9f](?:(?<=\x1b)(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?))?"
)
_USER_IN_URL = re.compile(r"://[^\s/@:]*:[^\s/@]+@")
_TOKEN_PROOF = re.compile(r"\.[0-9a-f]{64}\b")
"""What makes the token of an attempt one, behind the attempt's id."""
_LINE_END = re.compile(r"[\n\r\v\f\x85\u2028\u2029]+")


class Tail(NamedTuple):
    """The last bytes of one source, at most LAST_BYTES_MAX; `at_ms`: when something was written to it last."""

    data: bytes = b""
    at_ms: int = 0


class Printed(NamedTuple):
    """What an attempt printed last. `secrets`: variables of its environment whose values no error may show, by name."""

    stderr: Tail = Tail()
    stdout: Tail = Tail()
    secrets: Mapping[str, str] = {}


NOTHING = Printed()


def secret_variables(own: Mapping[str, str], job: Mapping[str, str]) -> dict[str, str]:
    """What may not be shown of a task's environment: secrets of the agent's `own`, and all of the `job`'s that is long enough."""
    named = {name: value for name, value in {**own, **job}.items() if _names_secret(name)}
    found = {name: value for name, value in named.items() if len(value) >= SECRET_CHARACTERS_MIN}
    return found | {name: value for name, value in job.items() if len(value) >= VALUE_CHARACTERS_MIN}


def _names_secret(name: str) -> bool:
    return name not in _NO_SECRETS and _SECRET_NAME.search(name) is not None


def last_lines(tail: Tail, secrets: Mapping[str, str]) -> list[str]:
    """The last lines, the newest last. Where there was more before them, a line that may have been cut off is left out."""
    ended = tail.data.decode(errors="replace").split("\n")
    if len(tail.data) >= LAST_BYTES_MAX:
        del ended[0]
    text = _ESCAPE.sub("", "\n".join(ended[-PRINTED_LINES_MAX:]))
    lines = _LINE_END.split(masked(text, secrets))
    return [_visible(line[:PRINTED_LINE_CHARACTERS_MAX]) for line in lines[-PRINTED_LINES_MAX:]]


def masked(text: str, secrets: Mapping[str, str]) -> str:
    """The text with the name of each secret variable in place of its value."""
    values = sorted(
        ((form, name) for name, value in secrets.items() for form in _forms(name, value)),
        key=lambda one: -len(one[0]),
    )
    for form, name in values:
        text = text.replace(form, f"${name}")
    return _TOKEN_PROOF.sub(".…", _USER_IN_URL.sub("://…@", text))


def _forms(name: str, value: str) -> Iterable[str]:
    """How a value may be printed: as it is, as Python quotes it, in a URL; and each line of one that has several."""
    least = SECRET_CHARACTERS_MIN if _names_secret(name) else VALUE_CHARACTERS_MIN
    parts = {value, *(part for part in value.splitlines() if len(part) >= VALUE_CHARACTERS_MIN)}
    forms = {form for part in parts for form in (part, repr(part)[1:-1], quote(part, safe=""))}
    return (form for form in forms if form.strip() and len(form) >= least)


def _visible(line: str) -> str:
    shown = line.replace("\t", "    ").rstrip()
    return shown if shown.isprintable() else "".join(one for one in shown if one.isprintable())
