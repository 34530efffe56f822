"""The coordinator of a data folder: where the folder is, where the coordinator listens, and whether it runs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.host.data_folder import LOCK_FILE
from opsconsole_protocol.host.endpoint import Endpoint
from opsconsole_protocol.host.private_file import read_private


class EndpointError(OpsconsoleError):
    """An endpoint file that can't be understood."""

    code = "endpoint"


def read_endpoint(path: Path) -> Endpoint | None:
    """The endpoint in the file at `path`, or None if there is no such file. Raises EndpointError or PrivateFileError."""
    text = read_private(path)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Endpoint)
    except (msgspec.DecodeError, RecursionError) as error:
        raise EndpointError(
            f"{path} is damaged ({str(error)[:200]}): restart the coordinator, which writes it anew"
        ) from None


def default_data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The data folder that is used when none is named: OPSCONSOLE_DATA_DIR, or else the user's own."""
    environ = os.environ if environ is None else environ
    if named := environ.get("OPSCONSOLE_DATA_DIR"):
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("opsconsole", appauthor=False))


def is_running(data_dir: Path) -> bool:
    """Whether a coordinator runs on this data folder. Raises OSError where its lock can't be opened."""
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
