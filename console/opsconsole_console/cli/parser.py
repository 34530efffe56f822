"""How words on the command line are understood: one parser per verb, errors in one line, common options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from opsconsole_console.cli.verb import VERBS
from opsconsole_protocol.error import InvalidRequest

T = TypeVar("T")
Verb = Callable[[argparse.Namespace], int]
"""What a verb does: takes the parsed arguments, returns the exit code."""

USAGE = 2


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that says where to read on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs["allow_abbrev"] = False  # an abbreviation in a script breaks when a later version adds a flag
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments: "):
            extra = message.partition(": ")[2]
            hint = "a command goes after --" if not extra.startswith("-") else f"see {self.prog} --help"
            message = f"unknown argument {extra.split()[0]!r}: {hint}"
        elif unknown := re.match(r"argument COMMAND: invalid choice: '(.*)' \(choose", message):
            message = _no_command(unknown[1], self.prog)
        self.exit(USAGE, f"{self.prog}: {message}\n")


class VerbParser(Parser):
    """A verb's own parser, which complains itself: its caller would name the wrong --help."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, extra = super().parse_known_args(args, namespace)
        if extra:
            self.error(f"unrecognized arguments: {' '.join(extra)}")
        return found, extra


def _no_command(word: str, prog: str) -> str:
    import difflib

    near = difflib.get_close_matches(word, VERBS, 1)
    return f"there is no command {word!r}: {f'did you mean {near[0]}?' if near else f'see {prog} --help'}"


class Group:
    """Where a module hangs its verbs."""

    def __init__(self, subparsers: argparse._SubParsersAction[Parser]) -> None:
        self._subparsers = subparsers

    def verb(self, name: str, run: Verb, **options: Any) -> Parser:
        """A parser for one verb, with the options that all verbs share."""
        help_ = VERBS[name][1]
        options.setdefault("description", help_[0].upper() + help_[1:] + ".")
        parser = self._subparsers.add_parser(name, help=help_, **options)
        parser.set_defaults(run=run)
        add_common(parser, default=argparse.SUPPRESS)
        return parser

    def stub(self, name: str) -> None:
        """Only what the list of verbs shows."""
        self._subparsers.add_parser(name, help=VERBS[name][1], add_help=False)


def add_common(parser: argparse.ArgumentParser, default: Any) -> None:
    """Which coordinator to talk to, and how to complain."""
    group = parser.add_argument_group("coordinator")
    group.add_argument(
        "--connect",
        metavar="URL|NAME",
        default=default,
        help="use the coordinator at an address, or a saved one by its name (OPSCONSOLE_URL)",
    )
    group.add_argument("--token", metavar="T", default=default, help="the token to show it (OPSCONSOLE_TOKEN)")
    group.add_argument("--token-file", metavar="FILE", type=Path, default=default, help="a file with the token")
    group.add_argument(
        "--data-dir", metavar="DIR", type=Path, default=default, help="the coordinator's folder (OPSCONSOLE_DATA_DIR)"
    )
    group.add_argument("--config", metavar="FILE", type=Path, default=default, help="instead of the user's config.toml")
    parser.add_argument("--debug", action="store_true", default=default, help="show tracebacks")


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
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if number < lowest:
            raise argparse.ArgumentTypeError(f"{number} is too small: it is at least {lowest}")
        return number

    return convert


def milliseconds(text: str) -> int:
    """A duration, as milliseconds."""
    from opsconsole_protocol.quantity import duration_ms

    return typed(duration_ms)(text)
