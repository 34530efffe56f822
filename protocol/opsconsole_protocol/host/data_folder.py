"""The files in a coordinator's data folder by which other programs of its user find it."""

LOCK_FILE = "lock"
"""Locked (flock) while a coordinator runs on the folder: whether it is locked says whether one runs."""

ENDPOINT_FILE = "endpoint.json"
"""Holds an `endpoint.Endpoint` as JSON."""

TOKEN_FILE = "operator.token"  # noqa: S105 - a file name
