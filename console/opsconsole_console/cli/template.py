"""`opsconsole template set | show | history | sync | from-job | remove`: named commands with typed parameters."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from opsconsole_console.cli.option import add_action, add_json
from opsconsole_console.cli.output import put, put_json, put_table
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_console.model.template import change_words, parameter_words
from opsconsole_protocol.api import Parameter, TemplateChange, TemplateRow
from opsconsole_protocol.api.parameter import CHOICE, KINDS, TEXT_KIND, kind_of, read_value
from opsconsole_protocol.api.template import check_template
from opsconsole_protocol.api.template_default import DEFAULTS
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from opsconsole.client import Client

_ACTIONS = {
    "set": "NAME -- CMD…: create a template, or a new version of it",
    "show": "NAME or NAME@N: what it is, or was in version N",
    "history": "NAME: all its versions, and what each changed",
    "sync": "DIR: have the templates of a folder's TOML files, all or none",
    "from-job": "JOB NAME: make a template of a job that succeeded",
    "remove": "NAME: remove a template; jobs keep the version that they were made from",
}
_OPTIONS = {
    "param": ("set",), "default": ("set",), "description": ("set", "from-job"), "parameter": ("from-job",),
    "project": ("sync",), "dry_run": ("sync",), "remove": ("sync",), "json": ("show", "history", "sync"),
    "new": ("from-job",),
}  # fmt: skip
"""Which options belong to which actions."""


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb(
        "template", template,
        usage="opsconsole template set NAME [--param NAME[:TYPE][=DEFAULT]…] -- CMD [ARG…]\n"
        "       opsconsole template show NAME[@N] | history NAME | remove NAME\n"
        "       opsconsole template sync DIR [--project P] [--dry-run] [--remove]\n"
        "       opsconsole template from-job JOB NAME [--parameter NAME[:TYPE][=VALUE]…]",
        epilog="Parameters stand in braces in the command: -- python train.py --lr {lr}. A type is "
        f"{', '.join(KINDS)},\nor choices: optimizer:adam|sgd=adam. Without a default a parameter must be given with --set.",
    )  # fmt: skip
    parser.set_defaults(takes_command=True)
    add_action(parser, _ACTIONS)
    parser.add_argument("name", metavar="NAME", help="the template; with sync the folder, with from-job the job")
    parser.add_argument("new", nargs="?", metavar="NEW", help="with from-job: what the template is to be called")
    parser.add_argument(
        "--param", metavar="P", action="append", default=[], help="a parameter: lr:float=0.1; repeatable"
    )
    parser.add_argument("--description", metavar="TEXT", default="", help="what it is for")
    parser.add_argument(
        "--default", metavar="OPTION=V", action="append", default=[],
        help=f"a default for an option of submit: gpus=1; one of {', '.join(DEFAULTS)}",
    )  # fmt: skip
    parser.add_argument(
        "--parameter", metavar="P", action="append", default=[],
        help="from-job: a value of the command that becomes a parameter: lr (what follows --lr), lr=0.1; repeatable",
    )  # fmt: skip
    parser.add_argument("--project", metavar="P", help="sync: whose templates they are (default)")
    parser.add_argument("--dry-run", action="store_true", help="sync: only say what would change")
    parser.add_argument(
        "--remove", action="store_true", help="sync: remove the project's others that came from a folder"
    )
    add_json(parser, "show, history, sync: one JSON object a line")


def template(args: argparse.Namespace) -> int:
    """`opsconsole template`."""
    _check_options(args)
    actions = {
        "set": _set, "show": _show, "history": _history, "sync": _sync, "from-job": _from_job, "remove": _remove
    }  # fmt: skip
    actions[args.action](args)
    return 0


def _check_options(args: argparse.Namespace) -> None:
    if args.command is not None and args.action != "set":
        raise InvalidRequest(f"`template {args.action}` takes no command: to change a template, use `template set`")
    for option, actions in _OPTIONS.items():
        if getattr(args, option) and args.action not in actions:
            said = args.new if option == "new" else f"--{option.replace('_', '-')}"
            raise InvalidRequest(f"{said} goes with `template {'`, `template '.join(actions)}`")


def _set(args: argparse.Namespace) -> None:
    row = make_template(args)

    async def store(client: Client) -> str:
        return await client.set_template(row)

    put(with_client(args, store) or f"{args.name} is set")


def _show(args: argparse.Namespace) -> None:
    async def find(client: Client) -> TemplateRow:
        return await client.template(args.name)

    row = with_client(args, find)
    if args.json:
        put_json(row)
    else:
        _put_template(row)


def _history(args: argparse.Namespace) -> None:
    async def find(client: Client) -> list[TemplateRow]:
        return await client.template_history(args.name)

    rows = with_client(args, find)
    if args.json:
        put_json(*rows)
        return
    import datetime as dt

    before = [*rows[1:], None]
    cells = (
        (
            f"@{row.version}", dt.datetime.fromtimestamp(row.created_at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M"),
            row.created_by, "; ".join(change_words(row, older)),
        )
        for row, older in zip(rows, before, strict=True)
    )  # fmt: skip
    put_table(("VERSION", "SINCE", "BY", "CHANGED"), cells)


def _sync(args: argparse.Namespace) -> None:
    async def sync(client: Client) -> list[TemplateChange]:
        return await client.sync_templates(
            args.name, args.project or "default", remove=args.remove, dry_run=args.dry_run
        )

    changes = with_client(args, sync)
    if args.json:
        put_json(*changes)
        return
    for change in changes:
        put(
            f"{change.name}@{change.version}  {'would be ' if args.dry_run and change.change != 'unchanged' else ''}{change.change}"
        )
    if not changes:
        put(f"{args.name} has no template, so nothing changes")


def _from_job(args: argparse.Namespace) -> None:
    if args.new is None:
        raise InvalidRequest("say what the template is to be called: opsconsole template from-job JOB NAME")

    async def make(client: Client) -> TemplateRow:
        return await client.template_from_job(args.name, args.new, args.parameter, description=args.description)

    _put_template(with_client(args, make))


def _remove(args: argparse.Namespace) -> None:
    async def remove(client: Client) -> str:
        return await client.remove_template(args.name)

    put(with_client(args, remove))


def make_template(args: argparse.Namespace) -> TemplateRow:
    """The template that the arguments describe. Raises InvalidRequest."""
    if not args.command:
        raise InvalidRequest("there is no command: give it after --, with its parameters in braces")
    parameters = [read_parameter(text) for text in args.param]
    names = [parameter.name for parameter in parameters]
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequest(f"--param {name} is given twice")
    row = TemplateRow(
        name=args.name,
        command=tuple(args.command),
        parameters=tuple(parameters),
        description=args.description,
        defaults=_defaults(args.default),
    )
    check_template(row)
    return row


def read_parameter(text: str) -> Parameter:
    """`lr`, `lr:float`, `lr:float=0.1`, `optimizer:adam|sgd=adam`. Raises InvalidRequest."""
    declared, equals, default = text.partition("=")
    name, _, kind = declared.partition(":")
    if not name.isidentifier():
        raise InvalidRequest(f"--param {text[:60]!r}: write NAME, NAME:TYPE or NAME:TYPE=DEFAULT")
    choices: tuple[Any, ...] = ()
    if "|" in kind:
        kind, choices = TEXT_KIND, tuple(kind.split("|"))
    elif kind == CHOICE:
        raise InvalidRequest(f"--param {name[:60]}: write its choices, as in {name[:60]}:a|b|c")
    try:
        kind = kind_of(kind or TEXT_KIND)
    except InvalidRequest as error:
        raise InvalidRequest(f"--param {name[:60]}: {error.message}, or choices as in a|b|c") from None
    bare = Parameter(name=name, kind=kind, choices=choices, required=not equals)
    if not equals:
        return bare
    return Parameter(name=name, kind=bare.kind, choices=choices, required=False, default=read_value(bare, default))


def _defaults(words: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.replace("-", "_")
        if not equals or name not in DEFAULTS:
            raise InvalidRequest(f"--default {word!r}: write OPTION=VALUE, OPTION one of {', '.join(DEFAULTS)}")
        found[name] = value
    return found


def _put_template(row: TemplateRow) -> None:
    import shlex

    put(f"{row.label}  {row.description}".rstrip())
    put(f"  {shlex.join(row.command)}")
    for one in row.parameters:
        put(f"  {{{one.name}}}: {parameter_words(one)}")
    for name, value in row.defaults.items():
        put(f"  --{name.replace('_', '-')} {value}")
    origin = f"synced for project {row.synced}" if row.synced else ""
    if origin := "; ".join(filter(None, (origin, f"made from job {row.made_from}" if row.made_from else ""))):
        put(f"  {origin}")
