"""How words on the command line are understood: one parser per verb, errors in one line, common options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from opsconsole_console.cli.verb import COMMON, VERBS

Run = Callable[[argparse.Namespace], int]
"""What a verb does: it takes the parsed arguments and returns the exit code."""

USAGE = 2


class Rule(NamedTuple):
    """Two options, by name, of which the first says nothing beside the second or, where `is_needed`, without it."""

    option: str
    other: str
    why: str
    is_needed: bool = False


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that says where to read on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs["allow_abbrev"] = False  # an abbreviation in a script breaks when a later version adds a flag
        super().__init__(*args, **kwargs)
        self._rules: list[Rule] = []
        self.set_defaults(rules=self._rules)

    def rule(self, option: str, other: str, why: str, *, is_needed: bool = False) -> None:
        """Have `check_ignored` refuse an option that would be ignored. Options are called as attributes of the arguments."""
        self._rules.append(Rule(option, other, why, is_needed))

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The arguments; complains of those that it doesn't know."""
        found, extra = self.parse_known_args(args, namespace)
        self.check_known(extra)
        return found

    def check_known(self, extra: list[str]) -> None:
        """Complain of words that no option or argument takes."""
        if extra:
            hint = f"see {self.prog} --help" if extra[0].startswith("-") else "a command goes after --"
            self.error(f"unknown argument {extra[0]!r}: {hint}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Complain in plain words of what is none of an option's choices; of the verbs `error` knows more."""
        if action.choices is None or value in action.choices or action.nargs == argparse.PARSER:
            super()._check_value(action, value)
            return
        raise argparse.ArgumentError(action, f"{str(value)!r} is none of {', '.join(map(str, action.choices))}")

    def error(self, message: str) -> NoReturn:
        if unknown := re.match(r"argument COMMAND: invalid choice: '(.*)' \(choose", message):
            message = _no_command(unknown[1], self.prog)
        self.exit(USAGE, f"{self.prog}: {message}\n")


class VerbParser(Parser):
    """A verb's own parser, which complains itself: its caller would name the wrong --help. Options may stand between its arguments."""

    _is_at_it = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._is_at_it or any(one.nargs == argparse.REMAINDER for one in self._get_positional_actions()):
            return super().parse_known_args(args, namespace)
        self._is_at_it = True  # what follows calls this
        try:
            found, extra = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_at_it = False
        self.check_known(extra)
        return found, extra


def _no_command(word: str, prog: str) -> str:
    import difflib

    near = difflib.get_close_matches(word, VERBS, 1)
    return f"there is no command {word!r}: {f'did you mean {near[0]}?' if near else f'see {prog} --help'}"


class Group:
    """Where a module hangs its verbs."""

    def __init__(self, subparsers: argparse._SubParsersAction[Parser]) -> None:
        self._subparsers = subparsers

    def verb(self, name: str, run: Run, **options: Any) -> Parser:
        """A parser for one verb, with the options that all verbs share."""
        help_ = VERBS[name].help
        options.setdefault("description", help_[0].upper() + help_[1:] + ".")
        parser = self._subparsers.add_parser(name, help=help_, **options)
        parser.set_defaults(run=run)
        add_common(parser, argparse.SUPPRESS, VERBS[name].uses)
        return parser

    def stub(self, name: str) -> None:
        """Only what the list of verbs shows."""
        self._subparsers.add_parser(name, help=VERBS[name].help, add_help=False)


def add_common(parser: argparse.ArgumentParser, default: Any, uses: Collection[str] = COMMON) -> None:
    """Which coordinator to talk to, and how to complain. Options that the verb doesn't use are known, and not shown."""
    group = parser.add_argument_group("coordinator")
    for option, metavar, read, text in _COMMON_OPTIONS:
        shown = text if option.replace("-", "_") in uses else argparse.SUPPRESS
        group.add_argument(f"--{option}", metavar=metavar, type=read, default=default, help=shown)
    parser.add_argument("--debug", action="store_true", default=default, help="show tracebacks")


_COMMON_OPTIONS: tuple[tuple[str, str, Callable[[str], str | Path], str], ...] = (
    ("connect", "URL|NAME", str, "use the coordinator at an address, or a saved one by its name (OPSCONSOLE_URL)"),
    ("token", "T", str, "the token for it (OPSCONSOLE_TOKEN)"),
    ("token-file", "FILE", Path, "a file with the token"),
    ("data-dir", "DIR", Path, "the coordinator's folder (OPSCONSOLE_DATA_DIR)"),
    ("config", "FILE", Path, "the configuration, instead of the user's config.toml"),
)
