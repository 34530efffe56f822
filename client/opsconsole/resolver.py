"""Finds the coordinator that is meant: by arguments, the environment, the saved coordinators or the data folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from opsconsole import saved_coordinator
from opsconsole.endpoint import default_data_dir, is_running, read_endpoint
from opsconsole.target import Target
from opsconsole_protocol.error import InvalidRequest, NotFound, Unauthenticated
from opsconsole_protocol.host.data_folder import ENDPOINT_FILE, TOKEN_FILE
from opsconsole_protocol.host.private_file import read_private
from opsconsole_protocol.trust.invitation import parse_url


def resolve(
    url: str | None = None,
    token: str | None = None,
    certificate_hash: str | None = None,
    data_dir: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Target:
    """The coordinator that is meant, and a token for it.

    Arguments count first, then OPSCONSOLE_URL and OPSCONSOLE_TOKEN, then the default among the saved coordinators, then the
    data folder. `url` is an address or the name of a saved coordinator. It is no join line: `redemption.redeem` trades that
    first. Raises NotFound, Unauthenticated, InvalidRequest, EndpointError or PrivateFileError.
    """
    environ = os.environ if environ is None else environ
    if url is None and data_dir is None:
        url = environ.get("OPSCONSOLE_URL") or None
    token = token or environ.get("OPSCONSOLE_TOKEN") or None
    if url is None and data_dir is None and not environ.get("OPSCONSOLE_DATA_DIR"):
        url = default_url(environ)
    if url is None:
        return _target_of_data_dir(Path(data_dir or default_data_dir(environ)), token)
    return _target_of_url(url, token, certificate_hash, environ)


def default_url(environ: Mapping[str, str] | None = None) -> str | None:
    """The address of the saved coordinator that is used when none is named; None: this machine's own.

    A default that nobody chose (it was just the first one) doesn't count while a coordinator runs on this machine.
    Raises PrivateFileError.
    """
    default = saved_coordinator.read_default()
    if default is None or default.name == saved_coordinator.LOCAL:
        return None
    if not default.chosen and is_running(default_data_dir(environ)):
        return None
    one = saved_coordinator.find(default.name)
    return None if one is None else one.url


def _target_of_url(url: str, token: str | None, certificate_hash: str | None, environ: Mapping[str, str]) -> Target:
    if url == saved_coordinator.LOCAL:
        return _target_of_data_dir(default_data_dir(environ), token)
    named = saved_coordinator.find(url)
    address = parse_url(url if named is None else named.url)
    if address.invitation is not None:
        raise InvalidRequest("this is an invitation: use it once with `opsconsole --connect`, later the address alone")
    certificate_hash = certificate_hash or address.certificate_hash
    if token is not None:
        return Target(address.url, token, certificate_hash)
    known = saved_coordinator.load(address.url)
    if known is not None:
        return Target(address.url, known.secret, certificate_hash or known.certificate_hash)
    local = _target_of_data_dir_or_none(default_data_dir(environ))
    if local is not None and local.url == address.url:
        return local
    raise Unauthenticated(
        f"there is no token for {address.url}: set OPSCONSOLE_TOKEN, or connect once with the line that "
        "`opsconsole invite --role operator` prints there"
    )


def _target_of_data_dir_or_none(data_dir: Path) -> Target | None:
    return _target_of_data_dir(data_dir, None) if (data_dir / ENDPOINT_FILE).exists() else None


def _target_of_data_dir(data_dir: Path, token: str | None) -> Target:
    endpoint = read_endpoint(data_dir / ENDPOINT_FILE)
    if endpoint is None:
        raise NotFound(
            f"no coordinator runs on {data_dir}: start `opsconsole` or `opsconsole serve`, or name one with --connect"
        )
    token = token or (read_private(data_dir / TOKEN_FILE) or "").strip()
    if not token:
        raise Unauthenticated(f"{data_dir / TOKEN_FILE} is missing: restart the coordinator, or set OPSCONSOLE_TOKEN")
    return Target(endpoint.url, token, endpoint.certificate_hash)
