"""Trees to send."""

import os
import random
from pathlib import Path

import pytest

from opsconsole_protocol.content.digest import CHUNK_BYTES


@pytest.fixture
def odd_tree(tmp_path: Path) -> Path:
    """A folder with all that a transfer has to keep: odd names, modes, symlinks, holes, large and empty files."""
    top = tmp_path / "odd"
    noise = random.Random(1)  # noqa: S311
    for name in (b"a file", b'it\'s "quoted"', b"new\nline", b"\xff\xfe", "größe".encode(), b"-rf", b"a" * 255):
        path = Path(os.fsdecode(os.fsencode(top) + b"/names/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise.randbytes(100))
    (top / "empty").touch(0o640)
    (top / "empty folder").mkdir(0o750)
    (top / "run").write_bytes(b"#!/bin/sh\n")
    (top / "run").chmod(0o755)
    (top / "secret").write_bytes(b"x")
    (top / "secret").chmod(0o400)
    (top / "names" / "link").symlink_to("../run")
    (top / "dangling").symlink_to("nowhere")
    (top / "one chunk").write_bytes(noise.randbytes(CHUNK_BYTES))
    (top / "large").write_bytes(noise.randbytes(2 * CHUNK_BYTES + 1))
    with (top / "holes").open("wb") as file:
        file.truncate(5 * CHUNK_BYTES + 7)
        file.seek(2 * CHUNK_BYTES)
        file.write(noise.randbytes(1_000))
    (top / "closed").mkdir()
    (top / "closed" / "in it").write_bytes(b"y")
    (top / "closed").chmod(0o555)
    return top
