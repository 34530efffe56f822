"""`opsconsole notify test`: a test notice through each rule of config.toml, from here."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from opsconsole_console.cli.output import put, say
from opsconsole_console.cli.parser import Group

if TYPE_CHECKING:
    from opsconsole_coordinator.notice.rule import NoticeRule


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("notify", notify)
    parser.add_argument(
        "action", choices=("test",), metavar="ACTION", help="test: send a test notice through each rule"
    )


def notify(args: argparse.Namespace) -> int:
    """Send a test notice through each rule, and say what came of it. Exit code 1 where one failed."""
    import asyncio

    from opsconsole_console.boot.composition import notice_rules
    from opsconsole_console.boot.config import config_path, load_config

    config = load_config(args.config)
    rules = notice_rules(config)
    if not rules:
        say(f"no [[notify]] in {config_path(args.config)}: nobody is told anything")
        return 0
    return asyncio.run(_test(rules, config.coordinator.name))


async def _test(rules: tuple[NoticeRule, ...], name: str | None) -> int:
    import asyncio
    import secrets
    import time
    from socket import gethostname

    from opsconsole_coordinator.notice.rule import trial
    from opsconsole_coordinator.server.notice_channel import NotDelivered, deliver, label

    notice = trial(name or gethostname(), secrets.token_hex(8), time.time_ns() // 1_000_000)
    results = await asyncio.gather(*(deliver(rule.channel, notice) for rule in rules), return_exceptions=True)
    code = 0
    for number, (rule, result) in enumerate(zip(rules, results, strict=True), 1):
        if isinstance(result, NotDelivered):
            code = 1
            put(f"{number}: {label(rule.channel)}: {result}")
        elif isinstance(result, BaseException):
            raise result
        else:
            put(f"{number}: {label(rule.channel)}: delivered")
    return code
