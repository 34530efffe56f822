"""Options that a verb would ignore are refused: `run --connect wss://lab` would run here, not there."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from opsconsole_console.cli.verb import COMMON, VERBS
from opsconsole_protocol.error import InvalidRequest


def check_ignored(args: argparse.Namespace, verb: str | None) -> None:
    """Raise InvalidRequest for the first option that this verb would ignore."""
    if args.connect is not None and args.data_dir is not None:
        raise InvalidRequest("--connect and --data-dir both say which coordinator: give one of them")
    is_invitation = (
        args.connect is not None and "." in args.connect.partition("#")[2]
    )  # else it is a certificate's hash
    if is_invitation and (args.token or args.token_file):
        raise InvalidRequest("--connect with an invitation has its token: leave out --token")
    if verb is None:
        return
    for option in COMMON:
        if option not in VERBS[verb].uses and getattr(args, option, None) is not None:
            if (verb, option) == ("serve", "connect"):
                raise InvalidRequest(
                    "serve starts a coordinator: --connect goes without it, as `opsconsole --connect URL`"
                )
            raise InvalidRequest(f"{_flag(option)} means nothing to `opsconsole {verb}`: {VERBS[verb].why}")
    for rule in args.rules:
        if not getattr(args, rule.option) or bool(getattr(args, rule.other)) is rule.is_needed:
            continue
        if rule.is_needed:
            raise InvalidRequest(f"{rule.why}: add it, or leave {_flag(rule.option)} out")
        raise InvalidRequest(f"{_flag(rule.option)} and {_flag(rule.other)} exclude each other: {rule.why}")


def verb_of(words: Sequence[str], parser: argparse.ArgumentParser) -> str | None:
    """The verb among the words. Raises InvalidRequest where the console's own options stand before one."""
    known = {option: action for action in parser._actions for option in action.option_strings}  # noqa: SLF001
    place, seen = 0, ""
    while place < len(words):
        word = words[place]
        if not word.startswith("-"):
            break
        action = known.get(word.partition("=")[0])
        if action is None:
            return None
        if action.dest not in (*COMMON, "debug", "help", "version"):
            seen = seen or word.partition("=")[0]
        place += 2 if action.nargs != 0 and "=" not in word else 1
    if place >= len(words) or words[place] not in VERBS:
        return None
    if seen:
        verb = words[place]
        raise InvalidRequest(
            f"{seen} before a command means nothing: see `opsconsole {verb} --help` for what {verb} takes"
        )
    return words[place]


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"
