"""What all requests have in common."""

import msgspec

IDS_MAX = 10_000
"""Of one request."""


class Request(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of everything that can be asked."""
