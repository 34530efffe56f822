"""Where the coordinator of a data folder listens, as it wrote it down when it started."""

from __future__ import annotations

from pathlib import Path

import msgspec

from opsconsole_protocol.endpoint import Endpoint
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.private_file import read_private


class EndpointError(OpsconsoleError):
    """An endpoint file that can't be understood."""

    code = "endpoint"


def read_endpoint(path: Path) -> Endpoint | None:
    """The endpoint written down at `path`, or None if there is none. Raises EndpointError or PrivateFileError."""
    text = read_private(path)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Endpoint)
    except (msgspec.DecodeError, RecursionError) as error:
        raise EndpointError(
            f"{path} is damaged ({str(error)[:200]}): restart the coordinator, which writes it anew"
        ) from None
