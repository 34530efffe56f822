"""Options that several verbs share, each defined once, and how the values of options are read."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.quantity import duration_ms

T = TypeVar("T")
Options = argparse.ArgumentParser | argparse._ArgumentGroup  # noqa: SLF001 - argparse has no public name for it


def add_job(parser: Options, *, or_task: bool = False, many: bool = False) -> None:
    """ID, or `ids` of several: a job, or also one task of it."""
    text = "a job, its first characters, or JOB/task-N" if or_task else "a job, or its first characters"
    if many:
        parser.add_argument("ids", nargs="+", metavar="ID", help=text)
    else:
        parser.add_argument("id", metavar="ID", help=text)


def add_tasks(parser: Options, *, many: bool) -> None:
    """ID, or `ids` of several: jobs, or some of their tasks."""
    text = "a job, its first characters, or some of its tasks: JOB/3, JOB/3-7, JOB/failed, JOB/lr=0.1"
    parser.add_argument("ids" if many else "id", nargs="+" if many else None, metavar="ID", help=text)


def add_action(parser: argparse.ArgumentParser, actions: Mapping[str, str], *, or_none: bool = False) -> None:
    """ACTION, one of several, each with a line below the options."""
    parser.add_argument("action", nargs="?" if or_none else None, choices=tuple(actions), metavar="ACTION",
                        help=" | ".join(actions))  # fmt: skip
    width = max(map(len, actions)) + 2
    lines = "\n".join(f"  {action:{width}}{what}" for action, what in actions.items())
    parser.epilog = f"{lines}\n\n{parser.epilog}" if parser.epilog else lines


def add_json(parser: Options, what: str = "one JSON object a line") -> None:
    """Output for programs."""
    parser.add_argument("--json", action="store_true", help=what)


def add_limit(parser: Options, default: int) -> None:
    """How many rows a list has at most."""
    parser.add_argument(
        "-n", "--limit", metavar="N", type=at_least(1), default=default, help="at most so many (%(default)s)"
    )


def add_slots(parser: Options) -> None:
    """How many tasks a worker runs at a time."""
    parser.add_argument(
        "--max-concurrent-jobs", metavar="N", type=at_least(1), help="tasks at a time (one per GPU, else 1)"
    )


def add_raw(parser: Options) -> None:
    """How a log is printed to a terminal."""
    parser.add_argument(
        "--raw",
        action="store_true",
        help="print to a terminal, too, exactly what the task printed, not its text and colours only",
    )


def typed(read: Callable[[str], T]) -> Callable[[str], T]:
    """`read` for use as `type=`: what it says about a bad value is what the user sees."""

    def convert(text: str) -> T:
        try:
            return read(text)
        except InvalidRequest as error:
            raise argparse.ArgumentTypeError(error.message) from None

    return convert


def key_value(text: str) -> tuple[str, str]:
    """`K=V`, cut at the first sign."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return key, value


def at_least(lowest: int) -> Callable[[str], int]:
    """A whole number from `lowest` on."""

    def convert(text: str) -> int:
        number = whole(text)
        if number < lowest:
            raise argparse.ArgumentTypeError(f"{number} is too small: it is at least {lowest}")
        return number

    return convert


def whole(text: str) -> int:
    """A whole number that can be sent."""
    from opsconsole_protocol.bound import WHOLE_MAX

    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number") from None
    if abs(number) > WHOLE_MAX:
        raise argparse.ArgumentTypeError(f"{text[:40]} is too {'large' if number > 0 else 'small'}")
    return number


def milliseconds(text: str) -> int:
    """A duration, as milliseconds."""
    return typed(duration_ms)(text)


def moment_ms(text: str) -> int:
    """A point in time in Unix milliseconds: `10m` ago, an ISO date and time, or Unix seconds. Raises InvalidRequest."""
    import datetime as dt

    if re.fullmatch(r"[0-9]{9,15}(\.[0-9]{1,9})?", text):
        return round(float(text) * 1000)
    try:
        return time.time_ns() // 1_000_000 - duration_ms(text)
    except InvalidRequest:
        pass
    try:
        return round(dt.datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{text[:60]!r} is no time: write 10m for ten minutes ago, or 2026-01-31T12:00") from None
