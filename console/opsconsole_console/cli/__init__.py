"""The command line. `main` is what the `opsconsole` script runs.

Each verb lives in a file of its own, which imports what is heavy only when the verb runs: `--help` is fast.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import importlib
import io
import os
import sys
from collections.abc import Sequence

from opsconsole_console.cli import console
from opsconsole_console.cli.ignored_option import check_ignored, verb_of
from opsconsole_console.cli.interruption import Terminated
from opsconsole_console.cli.output import put, say
from opsconsole_console.cli.parser import USAGE, Group, Parser, VerbParser, add_common
from opsconsole_console.cli.secret_argument import hide
from opsconsole_console.cli.verb import VERBS
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError

FAILED = 1
INTERRUPTED = 130
TERMINATED = 143
BROKEN_PIPE = 141

_DESCRIPTION = """\
The operations console for people with GPU boxes: workers, jobs and logs from the keyboard.

Without a command it opens the console in this terminal, with a coordinator and a worker of its own, or on the
coordinator that already runs here.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    It is 0 when done, 1 when it failed, 2 for wrong usage, 130 interrupted, 143 terminated, or the task's own.
    """
    words, command = _split(list(sys.argv[1:] if argv is None else argv))
    if argv is None:
        hide(words)
        atexit.register(gc.freeze)  # Python looks for garbage once more at its end, which took longer than many a verb
    _never_fail_to_encode()
    parser = build_parser(words)
    try:
        args = parser.parse_args(words)
    except SystemExit as end:
        return _flushed(end.code if isinstance(end.code, int) else USAGE)
    args.command = command
    try:
        if not getattr(args, "takes_bytes", False):
            _check_text((*words, *(command or ())))
        check_ignored(args, verb_of(words, parser))
        _check_command(args)
        return _flushed(args.run(args))
    except SystemExit as end:  # a verb that parses words of its own has said what is wrong
        return _flushed(end.code if isinstance(end.code, int) else USAGE)
    except KeyboardInterrupt as end:
        return TERMINATED if isinstance(end, Terminated) else INTERRUPTED
    except BrokenPipeError:
        return _closed_pipe()
    except OpsconsoleError as error:
        return _complain(args, error.message, USAGE if isinstance(error, InvalidRequest) else FAILED)
    except UnicodeEncodeError as error:
        return _complain(args, f"{_near(error)} is not UTF-8, so it can't be sent: use another name for it", USAGE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(args, f"{where}{error.strerror or error}", FAILED)
    except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours is one line too
        return _complain(args, f"internal error, please report it ({type(error).__name__}: {error})", FAILED)


def build_parser(words: Sequence[str]) -> Parser:
    """The parser for these words, which end before `--`. Verbs that aren't among them are only named."""
    parser = Parser(prog="opsconsole", description=_DESCRIPTION)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    add_common(parser, default=None)
    console.add_arguments(parser)
    parser.set_defaults(run=console.open_console, debug=False)
    group = Group(parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=VerbParser))
    wanted = {VERBS[word].module for word in words if word in VERBS}
    added: set[str] = set()
    for name, verb in VERBS.items():
        module = verb.module
        if module not in wanted:
            group.stub(name)
        elif module not in added:
            added.add(module)
            importlib.import_module(f"opsconsole_console.cli.{module}").add(group)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when asked: reading package metadata takes longer than all of the parser."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        from importlib.metadata import version

        put(f"opsconsole {version('opsconsole')}")
        parser.exit()


def _split(words: list[str]) -> tuple[list[str], list[str] | None]:
    """What is ours, and the command behind the first `--`, word for word."""
    if "--" not in words:
        return words, None
    place = words.index("--")
    return words[:place], words[place + 1 :]


def _never_fail_to_encode() -> None:
    """Signs that this locale can't say become question marks: a list with one odd name in it is still a list."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _check_text(words: Sequence[str]) -> None:
    """Bytes that are no text reach us as lone surrogates, which nothing behind us could send or store."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"{word[:60]!r} is not UTF-8: write it in UTF-8, or use another name") from None


def _near(error: UnicodeEncodeError) -> str:
    """What stands around the sign that can't be sent."""
    return repr(error.object[max(0, error.start - 30) : error.end + 10])


def _check_command(args: argparse.Namespace) -> None:
    if args.command is not None and not getattr(args, "takes_command", False):
        raise InvalidRequest("a command after -- goes with submit, run, clone, exec or template set")


def _complain(args: argparse.Namespace, message: str, code: int) -> int:
    if args.debug:
        import traceback

        traceback.print_exc()
    try:
        say(f"opsconsole: {message}")
    except BrokenPipeError:
        return _closed_pipe()
    return code


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _closed_pipe()
    return code


def _closed_pipe() -> int:
    """Whoever read our output has left. Python would complain once more at its end, so there is nothing left to flush."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(descriptor, stream.fileno())
        except (OSError, ValueError):
            continue  # no file behind it: a test's capture, or closed already
    os.close(descriptor)
    return BROKEN_PIPE
