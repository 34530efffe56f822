"""The operator's token on the coordinator's own machine: a file that only its owner can read."""

import secrets
from pathlib import Path

from opsconsole_protocol.host.data_folder import TOKEN_FILE
from opsconsole_protocol.host.private_file import PrivateFileError, read_private, write_private
from opsconsole_protocol.trust.secret import SECRET_BYTES, is_secret, new_secret


def token_path(data_dir: Path) -> Path:
    """Where the token is."""
    return data_dir / TOKEN_FILE


def ensure_token(data_dir: Path) -> str:
    """The token of this data folder, made on the first call. Raises PrivateFileError."""
    token = read_token(data_dir)
    if token is None:
        token = new_secret(secrets.token_bytes(SECRET_BYTES))
        write_private(token_path(data_dir), token + "\n")
    return token


def read_token(data_dir: Path) -> str | None:
    """The token, or None if there is none yet. Raises PrivateFileError if others may read it or it is damaged."""
    path = token_path(data_dir)
    text = read_private(path)
    if text is None:
        return None
    if not is_secret(text.strip()):
        raise PrivateFileError(
            f"{path} holds no token: remove it, and the coordinator makes a new one at its next start"
        )
    return text.strip()
