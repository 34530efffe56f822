"""`python -m tests.protocol.golden` stores the frames of new samples. A frame that is there is never written again."""

from pathlib import Path

from opsconsole_protocol.api.codec import client_codec
from tests.protocol.sample import SAMPLES

FOLDER = Path(__file__).parent


def add_missing() -> list[str]:
    """Write what isn't there yet; the names of what was written."""
    written = []
    for name, message in SAMPLES.items():
        path = FOLDER / f"{name}.msgpack"
        if not path.exists():
            path.write_bytes(client_codec().encode([message]))
            written.append(path.name)
    return written


if __name__ == "__main__":
    for made in add_missing():
        print(made)
