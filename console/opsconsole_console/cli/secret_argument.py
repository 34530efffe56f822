"""Secrets on the command line and in the environment are taken out of what other processes can read of this one.

`/proc/PID/cmdline` is everybody's to read, and a task may read the environment of the agent that it runs under. Both
are this process's own memory: once Python has its copies, the secrets there are written over, in place, so that `ps`
shows as many `x`. Until then they can be seen; a secret in a file never can.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

FLAGS = ("--token", "--join")
ADDRESS_FLAGS = ("--connect",)
"""Secret where the value is a join line: behind its last dot."""
_DATASET_URL = re.compile(r"(?:^|=)((?:https?|s3)://.*)", re.DOTALL)
"""Alone, or behind an option or a dataset's name."""
SHORTEST = 8
"""A shorter value is no secret of ours, and would be found inside other words, too."""
VARIABLES = ("OPSCONSOLE_TOKEN", "OPSCONSOLE_JOIN")
_MEMORY, _STATUS = "/proc/self/mem", "/proc/self/stat"
_ARGUMENTS, _ENVIRONMENT = (47, 48), (49, 50)
"""Fields of `stat`, from 0: where arguments and environment begin and end."""


def secrets_in(words: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """The values to hide."""
    found = [environ[name] for name in VARIABLES if environ.get(name)]
    for place, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if not equals:
            value = words[place + 1] if place + 1 < len(words) else ""
        if flag in FLAGS:
            found.append(value)
        elif flag in ADDRESS_FLAGS and "." in value.partition("#")[2]:
            found.append(value.rpartition(".")[2].rstrip("'\" "))
        if (url := _DATASET_URL.search(word)) is not None:
            found += _secrets_of_url(url[1])
    return [one for one in found if len(one) >= SHORTEST]


def _secrets_of_url(url: str) -> list[str]:
    """User and password, and the query, by which a URL may be signed."""
    rest = url.partition("://")[2]
    user, at, _ = rest.partition("/")[0].rpartition("@")
    return [part for part in (user if at else "", rest.partition("?")[2]) if part]


def hide(words: Sequence[str]) -> None:
    """Write over the secrets of this process's arguments and environment, where the system lets it."""
    secrets = secrets_in(words, os.environ)
    if not secrets:
        return
    try:
        fields = Path(_STATUS).read_bytes().rpartition(b")")[2].split()
        # The first two fields are gone with the name, which may hold anything.
        spans = [(int(fields[first - 2]), int(fields[last - 2])) for first, last in (_ARGUMENTS, _ENVIRONMENT)]
        memory = os.open(_MEMORY, os.O_RDWR | os.O_CLOEXEC)
        try:
            for begin, end in spans:
                _overwrite(memory, begin, end, [os.fsencode(one) for one in secrets])
        finally:
            os.close(memory)
    except (OSError, IndexError, ValueError):
        return  # no such files on this system, or not for us: then it is as it was


def _overwrite(memory: int, begin: int, end: int, secrets: list[bytes]) -> None:
    text = os.pread(memory, end - begin, begin)
    for secret in secrets:
        place = text.find(secret)
        while place >= 0:
            os.pwrite(memory, b"x" * len(secret), begin + place)
            place = text.find(secret, place + len(secret))
