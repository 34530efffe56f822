"""From parsed arguments to a connected client."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from opsconsole_console.cli.interruption import run
from opsconsole_console.cli.output import say
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole.target import TargetSource

T = TypeVar("T")

_REPORT_S = 10.0
"""Between two lines about a connection that is tried again."""
RECONNECT_S = 60.0
"""How long a waiting command tries to get a lost coordinator back: a restart takes seconds."""


def with_client(
    args: argparse.Namespace, work: Callable[[Client], Coroutine[Any, Any, T]], *, retry_for_s: float = 0.0
) -> T:
    """Connect, do `work`, close, and return what it gives. `retry_for_s`: for how long a lost connection is tried again.

    Raises OpsconsoleError.
    """

    async def connected() -> T:
        async with await open_client(args, retry_for_s=retry_for_s) as client:
            return await work(client)

    return run(connected())


async def open_client(args: argparse.Namespace, *, retry_for_s: float = 0.0) -> Client:
    """A client of the coordinator that arguments, environment, config or data folder name."""
    from opsconsole.client import Client

    reported: dict[str, float] = {}

    def on_retry(message: str) -> None:
        now_s = time.monotonic()
        if message not in reported and now_s - max(reported.values(), default=-_REPORT_S) >= _REPORT_S:
            reported[message] = now_s  # a message may count the seconds, and so be another one each time
            say(f"opsconsole: {message}: trying for {retry_for_s:g} s to get it back")

    return await Client.open(await target_source(args), retry_for_s=retry_for_s, on_retry=on_retry)


async def target_source(args: argparse.Namespace) -> TargetSource:
    """What finds the coordinator; an invitation in `--connect` is traded here for a credential of one's own."""
    from opsconsole.resolver import resolve
    from opsconsole_console.boot.composition import configured_data_dir

    token = read_token(args)
    if args.connect is not None:
        if "#" in args.connect:
            from opsconsole.redemption import redeem
            from opsconsole_protocol.trust.invitation import parse_url

            invitation = parse_url(args.connect).invitation
            if invitation is not None:
                return await redeem(invitation, lambda line: say(f"opsconsole: {line}"))
        return resolve(args.connect, token)
    data_dir = args.data_dir
    if data_dir is None and not os.environ.get("OPSCONSOLE_URL"):
        data_dir = configured_data_dir(args.data_dir, args.config)
    return lambda: resolve(None, token, None, data_dir)


def read_token(args: argparse.Namespace) -> str | None:
    """The token from --token or --token-file, or None where neither is given."""
    if args.token is not None and args.token_file is not None:
        raise InvalidRequest("--token and --token-file are two ways to say one thing: give one of them")
    if args.token_file is None:
        return args.token or None
    return read_line_of(args.token_file)


def read_line_of(path: Path) -> str:
    """The first line of a file that holds a secret. Raises InvalidRequest."""
    try:
        text = path.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidRequest(f"{path} can't be read: {reason}") from None
    if not text:
        raise InvalidRequest(f"{path} is empty: put the token there")
    return text.splitlines()[0].strip()
