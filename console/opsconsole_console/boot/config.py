"""`config.toml`: what is the same every time. Flags beat the environment, the environment beats this file.

Every key stands in `config.example.toml`, which ships, and in docs/configuration.md. A key that isn't known is an
error that names the nearest one, with file and line: a typing error must not be a setting that silently does nothing.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from opsconsole_protocol.bound import NAME_CHARACTERS_MAX, WHOLE_MAX
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.link.from_agent import KEEP_DAYS_MAX, SLOTS_MAX
from opsconsole_protocol.requirement import NUMBERS
from opsconsole_protocol.stream.message import ICE_SERVERS_MAX

CONFIG_FILE = "config.toml"
EXAMPLE_FILE = Path(__file__).with_name("config.example.toml")

Scalar = str | int | float | bool
NOTIFY_MAX = 100
RELAY_STREAMS_MAX = 10_000
"""Each has a thread of its own."""


class ConfigError(InvalidRequest):
    """A configuration that can't be used; says where and what to write instead."""


class WorkerIo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[worker.io]`: where a worker reads inputs and writes outputs, and the label of the filesystem they are on."""

    input_path: str | None = None
    output_path: str | None = None
    filesystem: str | None = None


class WorkerMount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[worker.mounts.LABEL]`: a further folder of a worker, and the paths under which other machines see it."""

    path: Annotated[str, Meta(min_length=1)]
    writable: bool = False
    aliases: tuple[str, ...] = ()


class Worker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[worker]`: what `opsconsole agent` is, and what the console's own worker is."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)] | None = None
    tags: tuple[str, ...] = ()
    max_concurrent_jobs: Annotated[int, Meta(ge=1, le=SLOTS_MAX)] | None = None
    state_dir: str | None = None
    keep_attempt_days: Annotated[float, Meta(ge=0, le=KEEP_DAYS_MAX)] | None = None
    keep_output_days: Annotated[float, Meta(ge=0, le=KEEP_DAYS_MAX)] | None = None
    cache_bytes: Annotated[int, Meta(ge=0)] | None = None
    job_output_bytes: Annotated[int, Meta(ge=0)] = 0
    stop_tasks: bool = False
    run_as: Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)] | None = None
    project: str | None = None
    properties: dict[str, Scalar | list[Scalar]] = {}
    io: WorkerIo = WorkerIo()
    mounts: dict[str, WorkerMount] = {}


class IceServerEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of `coordinator.ice_servers`: a STUN or TURN server."""

    url: Annotated[str, Meta(pattern=r"^(stun|stuns|turn|turns):[^\s]+$", max_length=NAME_CHARACTERS_MAX)]
    username: Annotated[str, Meta(max_length=NAME_CHARACTERS_MAX)] = ""
    credential: Annotated[str, Meta(max_length=NAME_CHARACTERS_MAX)] = ""


class Coordinator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[coordinator]`: what `opsconsole serve` and the console's own coordinator are."""

    listen: str | None = None
    tls: Literal["auto", "on"] | None = None
    advertise: str | None = None
    name: str | None = None
    data_dir: str | None = None
    local_role: Literal["viewer", "operator", "admin"] | None = None
    keep_finished_days: Annotated[float, Meta(ge=0)] | None = None
    keep_log_gb: Annotated[float, Meta(ge=0)] | None = None
    max_task_log_mb: Annotated[int, Meta(ge=1)] | None = None
    keep_store_gb: Annotated[float, Meta(ge=0)] | None = None
    keep_upload_gb: Annotated[float, Meta(ge=0)] | None = None
    keep_content_gb: Annotated[float, Meta(ge=0)] | None = None
    relay: bool = True
    relay_streams: Annotated[int, Meta(ge=1, le=RELAY_STREAMS_MAX)] | None = None
    relay_mb_s: Annotated[int, Meta(ge=0, le=WHOLE_MAX)] = 0
    ice_servers: Annotated[tuple[IceServerEntry, ...], Meta(max_length=ICE_SERVERS_MAX)] = ()


class Console(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[console]`: how the terminal app looks and behaves. `keys` maps ids of bindings to keys."""

    agent: bool = True
    read_only: bool = False
    theme: str | None = None
    notify: Literal["none", "bell", "osc9"] = "none"
    notify_on: Annotated[tuple[Literal["failure", "end", "wait"], ...], Meta(min_length=1)] = ("failure",)
    notify_wait_longer_than: str | None = None
    notify_whose: Literal["all", "mine"] = "all"
    keys: dict[str, str] = {}


class Notify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[notify]]`: whom the coordinator tells of what, by a webhook or by a command."""

    person: Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)] | None = None
    project: Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)] | None = None
    on: Annotated[tuple[Literal["end", "failure", "wait", "attention"], ...], Meta(min_length=1)] = ("failure",)
    wait_longer_than: str | None = None
    webhook: str | None = None
    secret_file: str | None = None
    secret_env: Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    command: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    worker: Worker = Worker()
    coordinator: Coordinator = Coordinator()
    console: Console = Console()
    notify: Annotated[tuple[Notify, ...], Meta(max_length=NOTIFY_MAX)] = ()


def config_path(named: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """Where the file is: as named by --config, by OPSCONSOLE_CONFIG, or in the user's config folder."""
    environ = os.environ if environ is None else environ
    if named is not None:
        return named.expanduser().absolute()
    if text := environ.get("OPSCONSOLE_CONFIG"):
        return Path(text).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_config_dir("opsconsole", appauthor=False)) / CONFIG_FILE


def load_config(named: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration, which is all defaults where there is no file and none was named. Raises ConfigError."""
    path = config_path(named, environ)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        environ = os.environ if environ is None else environ
        if named is not None or environ.get("OPSCONSOLE_CONFIG"):
            raise ConfigError(f"{path} doesn't exist: `opsconsole config example` prints one to start from") from None
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{path} can't be read: {reason}") from None
    return parse_config(text, str(path))


def parse_config(text: str, where: str = CONFIG_FILE) -> Config:
    """Read a configuration from text. Raises ConfigError with file and line."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: {_spoken(str(error))}") from None
    _check_keys(tree, Config, (), text, where)
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        keys = tuple(re.findall(r"[A-Za-z_]\w*", path))
        raise ConfigError(f"{_place(text, keys, where)}: {_name(keys)}: {reason}") from None
    for name, value in config.worker.properties.items():
        if name in NUMBERS and type(value) not in {int, float}:
            keys = ("worker", "properties", name)
            raise ConfigError(f"{_place(text, keys, where)}: {_name(keys)} is a number, and {value!r} is none")
    return config


def keys_of(kind: type[msgspec.Struct], prefix: str = "") -> list[str]:
    """Every key that the file can have, dotted: `worker.io.input_path`."""
    found: list[str] = []
    for field in msgspec.structs.fields(kind):
        section = _table_of(field.type) if not prefix else field.type
        if _is_section(section):
            found += keys_of(section, f"{prefix}{field.encode_name}.")
        else:
            found.append(prefix + field.encode_name)
    return found


def _check_keys(
    tree: Mapping[str, Any], kind: type[msgspec.Struct], section: tuple[str, ...], text: str, where: str
) -> None:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in tree.items():
        if key not in fields:
            raise ConfigError(f"{_place(text, (*section, key), where)}: {_unknown(key, section, fields)}")
        inner = _table_of(fields[key])
        if isinstance(value, list) and inner is not fields[key]:
            for entry in value:
                if isinstance(entry, Mapping):
                    _check_keys(entry, inner, (*section, key), text, where)
        elif _is_section(inner) and isinstance(value, Mapping):
            _check_keys(value, inner, (*section, key), text, where)


def _unknown(key: str, section: tuple[str, ...], fields: Mapping[str, Any]) -> str:
    here = f"[{'.'.join(section)}] has no key {key!r}" if section else f"there is no section [{key}]"
    if near := difflib.get_close_matches(key, fields, 1):
        return f"{here}: did you mean {near[0]!r}?"
    elsewhere = [known for known in keys_of(Config) if known.rpartition(".")[2] == key]
    if elsewhere:
        return f"{here}: it belongs into [{elsewhere[0].rpartition('.')[0]}]"
    return f"{here}: it has {', '.join(fields)}"


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _table_of(kind: Any) -> Any:
    """What each of a list of tables is; any other kind as it is."""
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    entries = get_args(bare)
    return entries[0] if get_origin(bare) is tuple and _is_section(entries[0]) else kind


def _place(text: str, keys: tuple[str, ...], where: str) -> str:
    """`file line N`, where the key can be found by looking for it."""
    section: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\[?\s*([\w.\- ]+?)\s*\]", line):
            section = tuple(part.strip() for part in header[1].split("."))
            if keys and section == keys:
                return f"{where} line {number}"
        elif key := re.match(r"\s*([\w.\-]+)\s*=", line):
            found = (*section, *key[1].split("."))
            if keys and found[: len(keys)] == keys:
                return f"{where} line {number}"
    return where


def _name(keys: tuple[str, ...]) -> str:
    return f"[{'.'.join(keys[:-1])}] {keys[-1]}" if len(keys) > 1 else f"[{keys[0]}]" if keys else "the file"


def _spoken(error: str) -> str:
    """`line 3: invalid value` from what tomllib says."""
    match = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", error)
    return f"line {match[2]}: {match[1]}" if match else error
