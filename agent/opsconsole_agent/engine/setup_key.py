"""Which setups are the same, and whether what one has made is good for other code than that which it was made for."""

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from opsconsole_protocol.content.manifest import Entry

_LOCK_FILES = (
    "uv.lock", "pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt", "requirements*.in", "constraints*.txt",
    "poetry.lock", "pdm.lock", "pixi.lock", "pixi.toml", "Pipfile", "Pipfile.lock", ".python-version",
    "environment*.yml", "environment*.yaml", "conda-lock.yml", "package.json", "package-lock.json", "npm-shrinkwrap.json",
    "yarn.lock", "pnpm-lock.yaml", "Cargo.lock", "go.sum", "Gemfile.lock", "renv.lock", "Manifest.toml",
)  # fmt: skip
"""The files by which tools know what to install, anywhere in the code; and text files in a folder `requirements`."""
_READ_BYTES_MAX = 1 << 20
_FILES_MAX = 20_000


class Binding(StrEnum):
    """What a made environment is good for."""

    NONE = "any code"
    CODE = "the same code"
    """It holds a copy of the code that it was made for."""
    FOLDER = "one attempt"
    """It leads to the folder of the attempt that it was made for."""


def is_lock_file(path: bytes) -> bool:
    """Whether this file of a bundle says what is to be installed."""
    folder, _, name = os.fsdecode(path).rpartition("/")
    in_requirements = folder.rpartition("/")[2] == "requirements" and name.endswith((".txt", ".in"))
    return in_requirements or any(fnmatchcase(name, pattern) for pattern in _LOCK_FILES)


def holds_code(path: bytes) -> bool:
    """Whether what a setup wrote at this path of the code may depend on the code: not what tools lock, nor what Python caches."""
    return not is_lock_file(path) and b"__pycache__" not in path.split(b"/")


def setup_key(line: str, entries: Iterable[Entry], python: str, user: int) -> str:
    """What setups have in common that make the same: the line, the lock files, the Python there, and whose it is."""
    locks = sorted((entry.path.hex(), entry.digest.hex()) for entry in entries if is_lock_file(entry.path))
    return hashlib.sha256(json.dumps([line, locks, python, user]).encode()).hexdigest()


def python_of(search_path: str) -> str:
    """What tells the Python that a shell would find from another one; empty where there is none. It isn't run."""
    found = shutil.which("python3", path=search_path) or shutil.which("python", path=search_path)
    if found is None:
        return ""
    try:
        real = os.path.realpath(found, strict=True)
        seen = os.stat(real)  # noqa: PTH116
    except OSError:
        return ""
    return f"{real} {seen.st_size} {seen.st_mtime_ns}"


def binding(environment: Path, bundle_path: str) -> Binding:
    """Whether Python packages in an environment are, or lead to, what lies in the folder `bundle_path`. Blocks."""
    found = Binding.NONE
    for number, path in enumerate(_python_notes(environment)):
        if number >= _FILES_MAX:
            return Binding.FOLDER  # nobody knows
        text = _read(path)
        if path.name == "direct_url.json":
            found = max(found, binding_of_origin(text, bundle_path), key=list(Binding).index)
        elif os.fsencode(bundle_path) in text:
            found = Binding.FOLDER
    return found


def _python_notes(environment: Path) -> Iterable[Path]:
    """The files in which packages say where they come from, and those that lead to code elsewhere."""
    for packages in environment.glob("lib*/python*/site-packages"):
        for pattern in ("*.pth", "*.egg-link", "__editable__*.py", "*.dist-info/direct_url.json"):
            yield from packages.glob(pattern)


class _DirInfo(msgspec.Struct):
    editable: bool = False


class _DirectUrl(msgspec.Struct):
    """PEP 610."""

    url: str = ""
    dir_info: _DirInfo | None = None


def binding_of_origin(text: bytes, bundle_path: str) -> Binding:
    """What a package is good for that came from where `text`, its `direct_url.json`, says."""
    try:
        origin = msgspec.json.decode(text, type=_DirectUrl)
        url = urlsplit(origin.url)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Binding.NONE
    path = unquote(url.path).rstrip("/")
    if url.scheme != "file" or not f"{path}/".startswith(f"{bundle_path}/"):
        return Binding.NONE
    return Binding.FOLDER if origin.dir_info is not None and origin.dir_info.editable else Binding.CODE


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return os.read(descriptor, _READ_BYTES_MAX)
        finally:
            os.close(descriptor)
    return b""
