"""What a coordinator leaves in its data folder for the programs of the same user to find it by."""

LOCK_FILE = "lock"
"""Locked (flock) while a coordinator runs on the folder: the truth about whether one does."""

ENDPOINT_FILE = "endpoint.json"
"""An `endpoint.Endpoint`."""

TOKEN_FILE = "operator.token"  # noqa: S105 - a file name
