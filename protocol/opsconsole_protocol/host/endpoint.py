"""Where a running coordinator listens, as other programs of its user read it."""

import msgspec


class Endpoint(msgspec.Struct, frozen=True):
    """A running coordinator, as it writes itself down in its data folder. `certificate_hash` is null without TLS."""

    url: str
    certificate_hash: str | None
    pid: int
    store_id: str
    name: str
