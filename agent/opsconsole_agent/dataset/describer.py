"""Describes datasets: asks a process of its own, which is killed where it takes too long or too much."""

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from opsconsole_agent.dataset.limit import Limits
from opsconsole_agent.probe.child_call import ChildCall
from opsconsole_agent.probe.file_child import UserIds
from opsconsole_agent.probe.file_look import FilePlace
from opsconsole_protocol.dataset import (
    BrokenDataset,
    DatasetDescription,
    DatasetFault,
    check_url,
    is_url,
    shown_url,
)
from opsconsole_protocol.error import LimitExceeded, Unavailable, from_code

PROGRAM = Path(__file__).with_name("child.py")
LIMITS = Limits()
START_LIMITS = Limits(budget_s=30.0, timeout_s=60.0)
"""Before a task starts, more is worth reading: it will run for longer."""
ACCESS = re.compile(r"AWS_|HF_|HTTPS?_PROXY$|https?_proxy$|NO_PROXY$|no_proxy$")
"""Names of variables that say how object stores and the hub are reached, and as whom."""


class Describer:
    """Describes datasets, as `user` where tasks run as another one than the agent."""

    def __init__(self, user: UserIds | None = None, *, limits: Limits = LIMITS, program: Path = PROGRAM) -> None:
        self._user = user
        self._limits = limits
        self._program = program

    def describe_at(self, place: FilePlace, path: bytes) -> DatasetDescription:
        """What is at a path below `place`. Raises BrokenDataset, OpsconsoleError; blocks."""
        below = path.decode("utf-8", "surrogateescape")
        whole = "/".join(part for part in (place.start, below) if part)
        shown = "/".join(part for part in (place.path.rstrip("/"), below) if part) or "/"
        return self._call([place.base, place.strict, whole, place.also], "", place.base, _printable(shown))

    def describe_url(self, url: str, environment: Mapping[str, str] | None = None) -> DatasetDescription:
        """What is at a URL, as this machine reaches it. Raises BrokenDataset, OpsconsoleError; blocks.

        `environment`: of a task; what says in it how object stores and the hub are reached counts before our own.
        """
        check_url(url)
        access = {name: value for name, value in (environment or {}).items() if ACCESS.match(name)}
        return self._call(None, url, shown_url(url), shown_url(url), access)

    def _call(
        self,
        place: list[object] | None,
        url: str,
        hangs_on: str,
        shown: str,
        access: Mapping[str, str] = MappingProxyType({}),
    ) -> DatasetDescription:
        request = [self._user, place, url, msgspec.to_builtins(self._limits), dict(access)]
        deadline = time.monotonic() + self._limits.timeout_s
        try:
            result = ChildCall(self._program, request, hangs_on, with_packages=True).result(deadline)
        except TimeoutError:
            raise Unavailable(
                f"{shown} could not be described within {self._limits.timeout_s:g} s: does its mount or server hang?"
            ) from None
        except OSError:
            raise LimitExceeded(
                f"{shown} is too much for its reader, which broke down: it is damaged, or needs too much memory"
            ) from None
        if "refused" in result:
            raise from_code(*result["refused"])
        if "fault" in result:
            raise BrokenDataset(msgspec.convert(result["fault"], DatasetFault))
        return msgspec.convert(result["description"], DatasetDescription)


def describe(path_or_url: str, limits: Limits = LIMITS) -> DatasetDescription:
    """What a dataset on this machine is, or at a URL. Raises BrokenDataset, OpsconsoleError; blocks."""
    describer = Describer(limits=limits)
    if is_url(path_or_url):
        return describer.describe_url(path_or_url)
    whole = os.path.abspath(os.path.expanduser(path_or_url))  # noqa: PTH100, PTH111 – links are followed by the child
    return describer.describe_at(FilePlace("/"), os.fsencode(whole.lstrip("/")))


def _printable(text: str) -> str:
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in shown)
