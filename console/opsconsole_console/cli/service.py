"""`opsconsole service install | uninstall | show | status  coordinator | agent`: started at boot, kept going."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_console.cli.option import add_action, add_json
from opsconsole_console.cli.output import put, put_json, say
from opsconsole_console.cli.parser import Group, VerbParser, add_common
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound

if TYPE_CHECKING:
    from opsconsole_agent.runtime import AgentConfig
    from opsconsole_console.systemd.systemctl import Systemd
    from opsconsole_console.systemd.unit import Kind, Unit

_ACTIONS = {
    "install": "write its unit, start it now and at every boot",
    "uninstall": "stop it and remove its unit; tasks, data and credentials stay",
    "show": "print the unit that `install` would write, and change nothing",
    "status": "say whether it runs",
}
_KINDS = ("coordinator", "agent")


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb(
        "service", service,
        epilog="What follows are the options of `serve` or `agent`: `opsconsole service install agent --join LINE`.\n"
        "An invitation is put into the agent's state folder, never into the unit.",
    )  # fmt: skip
    add_action(parser, _ACTIONS)
    parser.add_argument("kind", choices=_KINDS, metavar="WHAT", help=" | ".join(_KINDS))
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="OPTIONS", help="of serve or agent")


def service(args: argparse.Namespace) -> int:
    """`opsconsole service ACTION WHAT`."""
    from opsconsole_console.systemd.systemctl import Systemd

    inner = _parser(args.action, args.kind).parse_args(args.options)
    if inner.run_as is not None:
        _use_home_of(inner.run_as)
    is_system = inner.system or (os.geteuid() == 0 and not inner.user)
    if inner.run_as is not None and not is_system:
        raise InvalidRequest("--as goes with a service of the whole machine: add --system, as root")
    systemd = Systemd(is_system)
    match args.action:
        case "install":
            return _install(args.kind, inner, systemd)
        case "uninstall":
            path = systemd.uninstall(_name(args.kind, inner))
            say(f"stopped, and {path} removed; data, credentials and tasks stay")
            return 0
        case "show":
            put(*_unit(args.kind, inner, is_system=is_system).text().splitlines())
            return 0
        case _:
            return _status(_name(args.kind, inner), systemd, as_json=inner.json)


def _parser(action: str, kind: str) -> VerbParser:
    """For what stands behind `service ACTION WHAT`."""
    from opsconsole_console.cli.agent import add_agent_options
    from opsconsole_console.cli.serve import add_serve_options

    parser = VerbParser(prog=f"opsconsole service {action} {kind}", description=f"{_ACTIONS[action]}.".capitalize())
    group = parser.add_argument_group("service")
    where = group.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="a service of yours (the default unless you are root)")
    where.add_argument("--system", action="store_true", help="a service of the machine (the default for root)")
    group.add_argument("--as", dest="run_as", metavar="USER", help="the user that a service of the machine runs as")
    group.add_argument("--service-name", metavar="N", help=f"what systemd calls it; else opsconsole-{kind}")
    if action == "status":
        add_json(group, "one JSON object")
    add_common(parser, default=None)
    parser.set_defaults(json=False)
    if kind == "agent":
        add_agent_options(parser)
    else:
        add_serve_options(parser)
    return parser


def _name(kind: Kind, inner: argparse.Namespace) -> str:
    name: str = inner.service_name or f"opsconsole-{kind}"
    if not name or not all(sign.isascii() and (sign.isalnum() or sign in "-_.") for sign in name):
        raise InvalidRequest(f"{name[:60]!r} can't be a service's name: use letters, digits, - and _")
    return name


def _use_home_of(user: str) -> None:
    """Default folders are those of the user that the service will run as."""
    import pwd

    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise InvalidRequest(f"there is no user {user[:60]!r} on this machine") from None
    if os.geteuid() not in (0, entry.pw_uid):
        raise InvalidRequest("only root can install a service that runs as another user")
    os.environ["HOME"] = entry.pw_dir
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        os.environ.pop(name, None)


def _unit(kind: Kind, inner: argparse.Namespace, *, is_system: bool) -> Unit:
    from opsconsole_console.systemd.unit import Unit

    words = _agent_words(inner) if kind == "agent" else _coordinator_words(inner)
    return Unit(kind, _name(kind, inner), [*_program(), *words], inner.run_as, is_system)


def _program() -> list[str]:
    """How this very program is started."""
    script = Path(sys.argv[0]).absolute()
    if script.name == "opsconsole" and os.access(script, os.X_OK):
        return [str(script)]
    return [sys.executable, "-m", "opsconsole_console"]


def _coordinator_words(inner: argparse.Namespace) -> list[str]:
    from opsconsole_console.boot.composition import resolve_data_dir
    from opsconsole_console.cli.serve import SERVE_OPTIONS

    words = ["serve", "--data-dir", str(resolve_data_dir(inner.data_dir, inner.config))]
    for option in SERVE_OPTIONS:
        if (value := getattr(inner, option)) is not None:
            words += [f"--{option}", value]
    return words + _config_words(inner)


def _agent_words(inner: argparse.Namespace) -> list[str]:
    from opsconsole_console.boot.config import load_config
    from opsconsole_console.cli.agent import state_dir, worker_arguments

    worker = load_config(inner.config).worker
    words = ["agent", "--state-dir", str(state_dir(inner.state_dir, worker.state_dir, inner.name or worker.name))]
    for option in ("name", "project", "run_as"):
        if (value := getattr(inner, option)) is not None:
            words += [f"--{option.replace('_', '-')}", value]
    for option in ("input_path", "output_path"):
        if (value := getattr(inner, option)) is not None:
            setattr(inner, option, str(Path(value).expanduser().absolute()))
    inner.mount = [_whole_mount(text) for text in inner.mount]
    words += ["--stop-tasks"] if inner.stop_tasks else []
    words += worker_arguments(inner)
    if inner.data_dir is not None:
        words += ["--data-dir", str(inner.data_dir.expanduser().absolute())]
    return words


def _whole_mount(text: str) -> str:
    """`LABEL=PATH` with the whole path: the service starts elsewhere."""
    from opsconsole_agent.probe.mount_point import parse_mount

    mount = parse_mount(text)
    return f"{mount.label}={mount.path}{':rw' if mount.writable else ''}"


def _config_words(inner: argparse.Namespace) -> list[str]:
    return [] if inner.config is None else ["--config", str(inner.config.expanduser().absolute())]


def _install(kind: Kind, inner: argparse.Namespace, systemd: Systemd) -> int:
    unit = _unit(kind, inner, is_system=systemd.is_system)
    systemd.check()
    systemd.stop(unit.name)
    if kind == "agent":
        _prepare_agent(inner)
    else:
        _prepare_coordinator(inner)
    path = systemd.install(unit)
    own = "" if systemd.is_system else "--user "
    say(f"{unit.name} is started, now and at every boot; its unit is {path}")
    say(f"what it says: journalctl {own}-u {unit.name} -f")
    if (word := systemd.linger()) is not None:
        say(word)
    return 0


def _prepare_coordinator(inner: argparse.Namespace) -> None:
    from opsconsole.endpoint import is_running
    from opsconsole_console.cli.serve import make_config

    config = make_config(inner)
    if is_running(config.data_dir):
        raise Conflict(f"a coordinator runs on {config.data_dir}: stop it first, the service takes its place")


def _prepare_agent(inner: argparse.Namespace) -> None:
    """Put what it joins into its state folder, where it finds it at every start."""
    from opsconsole_agent.probe.io_path import check
    from opsconsole_agent.state.credential import StateLock
    from opsconsole_agent.state.membership import Membership, save_membership
    from opsconsole_console.cli.agent import make_config

    try:
        config: AgentConfig = make_config(inner)
    except NotFound:
        raise InvalidRequest(
            "which coordinator? Add --join LINE, with the line that `opsconsole invite` prints there"
        ) from None
    if problems := check(config.io):
        raise InvalidRequest("; ".join(problems))
    with StateLock(config.state_dir):
        if config.remember:
            save_membership(config.state_dir, Membership(config.url, config.certificate_hash, config.token or None))
    if inner.run_as is not None:
        _give_to(inner.run_as, config.state_dir)


def _give_to(user: str, folder: Path) -> None:
    """A folder that root just made, and what is in it."""
    import shutil

    for path in (folder, *folder.iterdir()):
        if not path.is_symlink():
            shutil.chown(path, user)


def _status(name: str, systemd: Systemd, *, as_json: bool) -> int:
    found = systemd.status(name)
    if as_json:
        put_json(found)
    elif found["state"] == "not-found":
        say(f"there is no service {name}: `opsconsole service install` makes one")
    else:
        put(f"{name}  {found['state']}  pid {found['pid'] or '-'}  restarts {found['restarts']}  {found['unit']}")
    return 0 if found["state"] == "active" else 1
