"""What is given and would mean nothing is refused: `run --connect wss://lab` would run here, not there."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from opsconsole_protocol.error import InvalidRequest

COMMON = ("connect", "token", "token_file", "data_dir", "config")
"""The options that every verb's parser knows; which of them a verb uses is said here."""

_USED: dict[str, tuple[str, ...]] = {
    "run": (),
    "serve": ("data_dir", "config"),
    "service": (),
    "coordinators": (),
    "coordinator": (),
    "config": ("config",),
}
"""Of verbs that don't use all; `serve --connect` has a sentence of its own."""

_WHY = {
    "run": "a run has a coordinator of its own, here",
    "serve": "it is the coordinator",
    "service": "options stand after the kind, as in `opsconsole service install agent --connect URL`",
    "coordinators": "they are kept on this machine",
    "coordinator": "they are kept on this machine",
    "config": "it is about the file",
}

_PAIRS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "submit": (
        ("dry_run", "wait", "a dry run submits nothing that could be waited for"),
        ("dry_run", "follow", "a dry run submits nothing that could be followed"),
    ),
    "clone": (
        ("dry_run", "wait", "a dry run submits nothing that could be waited for"),
        ("dry_run", "follow", "a dry run submits nothing that could be followed"),
    ),
    "logs": (("json", "raw", "JSON says what was printed as it is"),),
    "agent": (
        ("join", "token", "the join line holds a token"),
        ("join", "token_file", "the join line holds a token"),
        ("join", "data_dir", "the join line says where to go"),
    ),
}
"""Two options of a verb of which the second would be ignored beside the first."""

_NEEDS: dict[str, tuple[tuple[str, tuple[str, ...], str], ...]] = {
    "submit": (("raw", ("follow",), "--raw is about the log that --follow prints"),),
    "clone": (("raw", ("follow",), "--raw is about the log that --follow prints"),),
}
"""An option that means something only beside one of others."""


def check_scope(args: argparse.Namespace, verb: str | None) -> None:
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
    used = _USED.get(verb, COMMON)
    for option in COMMON:
        if option not in used and getattr(args, option, None) is not None:
            if (verb, option) == ("serve", "connect"):
                raise InvalidRequest(
                    "serve starts a coordinator: --connect goes without it, as `opsconsole --connect URL`"
                )
            raise InvalidRequest(f"{_flag(option)} means nothing to `opsconsole {verb}`: {_WHY[verb]}")
    for first, second, why in _PAIRS.get(verb, ()):
        if getattr(args, first) and getattr(args, second):
            raise InvalidRequest(f"{_flag(first)} and {_flag(second)} exclude each other: {why}")
    for option, others, why in _NEEDS.get(verb, ()):
        if getattr(args, option) and not any(getattr(args, other) for other in others):
            raise InvalidRequest(f"{why}: add it, or leave {_flag(option)} out")


def verb_of(words: Sequence[str], parser: argparse.ArgumentParser, verbs: Sequence[str]) -> str | None:
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
    if place >= len(words) or words[place] not in verbs:
        return None
    if seen:
        verb = words[place]
        raise InvalidRequest(
            f"{seen} before a command means nothing: see `opsconsole {verb} --help` for what {verb} takes"
        )
    return words[place]


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"
