"""`opsconsole template set NAME [options] -- CMD`: a named command with typed parameters."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from opsconsole_console.cli.named_template import find_template
from opsconsole_console.cli.output import put
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.api.template import DEFAULTS, KINDS, check_template, read_value
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from opsconsole.client import Client


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb(
        "template", template,
        usage="opsconsole template set NAME [--param NAME[:TYPE][=DEFAULT]…] -- CMD [ARG…]\n"
        "       opsconsole template show NAME",
        epilog="Parameters stand in braces in the command: -- python train.py --lr {lr}. A type is str, int, float,\n"
        "bool, or choices: optimizer:adam|sgd=adam. Without a default a parameter must be given with --set.",
    )  # fmt: skip
    parser.set_defaults(takes_command=True)
    parser.add_argument("action", choices=("set", "show"), metavar="ACTION", help="set | show")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--param", metavar="P", action="append", default=[], help="a parameter: lr:float=0.1; repeatable"
    )
    parser.add_argument("--description", metavar="TEXT", default="", help="what it is for")
    parser.add_argument(
        "--default", metavar="OPTION=V", action="append", default=[],
        help=f"a default for an option of submit: gpus=1; one of {', '.join(DEFAULTS)}",
    )  # fmt: skip


def template(args: argparse.Namespace) -> int:
    """`opsconsole template set | show`."""
    if args.action == "set":
        row = make_template(args)

        async def store(client: Client) -> str:
            return await client.set_template(row)

        put(with_client(args, store) or f"{args.name} is set")
        return 0
    if args.command is not None:
        raise InvalidRequest("`template show` takes no command: to change it, use `template set`")
    if args.param or args.description or args.default:
        raise InvalidRequest("`template show` takes nothing but a name: to change it, use `template set`")

    async def find(client: Client) -> TemplateRow:
        return await find_template(client, args.name)

    _put_template(with_client(args, find))
    return 0


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
        kind, choices = "str", tuple(kind.split("|"))
    elif kind and kind not in KINDS:
        raise InvalidRequest(
            f"--param {name[:60]}: {kind[:60]!r} is no type, use {', '.join(KINDS)} or choices as in a|b|c"
        )
    bare = Parameter(name=name, kind=kind or "str", choices=choices, required=not equals)
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

    put(f"{row.name}  {row.description}".rstrip())
    put(f"  {shlex.join(row.command)}")
    for one in row.parameters:
        about = "|".join(str(choice) for choice in one.choices) or one.kind
        given = f" = {one.default}" if one.default is not None else " (must be given)" if one.required else ""
        put(f"  {{{one.name}}}: {about}{given}{'  ' + one.help if one.help else ''}")
    for name, value in row.defaults.items():
        put(f"  --{name.replace('_', '-')} {value}")
