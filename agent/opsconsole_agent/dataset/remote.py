"""Where the files of a dataset are that a URL names, by fsspec: http(s), s3 and the Hugging Face hub.

No text of the libraries reaches anybody: they like to quote a URL with all that is in it.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Any, cast
from urllib.parse import unquote, urlsplit

from opsconsole_agent.dataset.limit import DATASET_FILES_MAX, Limits
from opsconsole_agent.dataset.source import Found, NotInstalled, Refused, Source
from opsconsole_protocol.dataset import INSTALL as _INSTALL
from opsconsole_protocol.dataset import BrokenDataset, shown_url

INSTALL = f"{_INSTALL} in the environment of the agent (or of this command, where no worker is named)"
_BLOCK_BYTES = 1 << 20
_CONNECT_S, _READ_S = 8.0, 12.0
_NOT_FOUND = 404
_MISSING = {"RepositoryNotFoundError", "EntryNotFoundError", "RevisionNotFoundError", "NoSuchBucket", "NoSuchKey"}
_UNREACHABLE = ("ClientConnectorError", "EndpointConnectionError", "ConnectError", "ConnectionError", "gaierror")


def find_there(url: str, limits: Limits) -> Found:
    """What is at a URL. Raises Refused, and whatever the libraries raise: see `words_of`."""
    scheme = url.partition("://")[0].lower()
    try:
        import fsspec
    except ImportError:
        raise NotInstalled("invalid", f"to read {scheme}://, {INSTALL}") from None
    if scheme in {"http", "https"}:
        return _page(_http(fsspec), url, limits)
    if scheme == "s3":
        return _bucket(fsspec, url)
    return _tree(_made(fsspec, "hf"), url.partition("://")[2], shown_url(url))


def _made(fsspec: Any, scheme: str, **options: Any) -> Any:
    try:
        return fsspec.filesystem(scheme, skip_instance_cache=True, **options)
    except ImportError:
        raise NotInstalled("invalid", f"to read {scheme}://, {INSTALL}") from None


def _http(fsspec: Any) -> Any:
    try:
        import aiohttp
    except ImportError:
        raise NotInstalled("invalid", f"to read http://, {INSTALL}") from None
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S)
    return _made(fsspec, "http", client_kwargs={"timeout": timeout, "trust_env": True})


def _page(system: Any, url: str, limits: Limits) -> Found:
    """One file of a web server. Not every server says how large it is, or sends a part of it."""
    facts = system.info(url)
    size = int(facts.get("size") or 0)

    def stream() -> IO[bytes]:
        return _open(system, url, block_size=0)

    def parts() -> IO[bytes]:
        if facts.get("partial") and size:
            return _open(system, url, block_size=_BLOCK_BYTES, size=size)
        return _spooled(stream(), limits.spool_bytes_max)

    name = unquote(urlsplit(url).path.rpartition("/")[2])
    return Found(shown_url(url), [Source(name, size, stream, parts)])


def _bucket(fsspec: Any, url: str) -> Found:
    """What lies in an object store. A key and its secret come with the URL, or as boto finds them; else none is sent."""
    path = url.partition("://")[2]
    user, at, below = path.rpartition("@")
    options: dict[str, Any] = {}
    if at and "/" not in user:
        key, _, secret = user.partition(":")
        options, path = {"key": unquote(key), "secret": unquote(secret)}, below
    elif not _has_credentials():
        options = {"anon": True}
    config = {"connect_timeout": _CONNECT_S, "read_timeout": _READ_S, "retries": {"max_attempts": 1}}
    system = _made(fsspec, "s3", config_kwargs=config, **options)
    return _tree(system, path.partition("?")[0], shown_url(url))


def _has_credentials() -> bool:
    try:
        from botocore.session import Session
    except ImportError:
        raise NotInstalled("invalid", f"to read s3://, {INSTALL}") from None
    return Session().get_credentials() is not None


def _tree(system: Any, path: str, shown: str) -> Found:
    path = path.rstrip("/")
    facts = system.info(path)
    if facts["type"] != "directory":
        return Found(shown, [_object(system, path, path.rpartition("/")[2], facts)])
    sources: list[Source] = []
    top = facts["name"].rstrip("/")
    for _, _, files in system.walk(path, detail=True):
        for found in files.values():
            below = found["name"].removeprefix(f"{top}/").removeprefix(f"{path}/")
            if below and not found["name"].endswith("/"):
                sources.append(_object(system, found["name"], below, found))
        if len(sources) > DATASET_FILES_MAX:
            break
    sources.sort(key=lambda source: source.name)
    return Found(shown, sources[:DATASET_FILES_MAX], is_folder=True, is_cut=len(sources) > DATASET_FILES_MAX)


def _object(system: Any, path: str, name: str, facts: Any) -> Source:
    return Source(name, int(facts.get("size") or 0), _opener(system, path))


def _opener(system: Any, path: str) -> Callable[[], IO[bytes]]:
    return lambda: _open(system, path, block_size=_BLOCK_BYTES)


def _open(system: Any, path: str, **options: Any) -> IO[bytes]:
    return cast("IO[bytes]", system.open(path, "rb", **options))


def _spooled(stream: IO[bytes], bytes_max: int) -> IO[bytes]:
    """The whole file, on disk without a name. Raises Refused."""
    kept = tempfile.TemporaryFile()  # noqa: SIM115 – it is the caller's
    with stream:
        while chunk := stream.read(_BLOCK_BYTES):
            if kept.tell() + len(chunk) > bytes_max:
                kept.close()
                raise Refused(
                    "invalid", "is too large for a server that sends no parts of files: bring the file here first"
                )
            kept.write(chunk)
    kept.seek(0)
    return kept


@contextlib.contextmanager
def words_of(url: str) -> Iterator[None]:
    """Whatever a library raises inside is raised as Refused, in words of ours. Raises BrokenDataset."""
    try:
        yield
    except (Refused, BrokenDataset):
        raise
    except Exception as error:  # noqa: BLE001 – the kinds of five libraries, none of which is known here
        code, text = _reason(error)
        raise Refused(code, f"{shown_url(url)} {text}") from None


def _reason(error: BaseException) -> tuple[str, str]:
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # fsspec says so of whatever a web server answers
    names = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, FileNotFoundError) or names & _MISSING or status == _NOT_FOUND:
        return "not_found", "is not there, or isn't shown to everybody: it may need credentials"
    if status in {401, 403} or isinstance(error, PermissionError) or "NoCredentialsError" in names:
        return "forbidden", "needs credentials, or others than these"
    if isinstance(status, int):
        return "unavailable", f"was refused: the server answered {status}"
    if names & set(_UNREACHABLE):
        return "unavailable", "can't be reached: check the address, and whether the worker has a way there"
    if isinstance(error, TimeoutError):
        return "unavailable", "didn't answer in time"
    detail = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
    return "unavailable", f"can't be read ({detail})"
