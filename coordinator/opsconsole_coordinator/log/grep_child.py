"""The process that searches for one pattern: standard library only, run by itself.

Each message on stdin is a u32 length and JSON: first the pattern, then lists of lines. A list is answered on stdout with
one digit a line, 1 where the pattern is found. Ends with its stdin.
"""

import json
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any


def messages() -> Iterator[Any]:
    """What comes on stdin."""
    while len(size := sys.stdin.buffer.read(4)) == 4:
        yield json.loads(sys.stdin.buffer.read(int.from_bytes(size, "big")))


def main() -> None:
    """Answer until stdin ends."""
    warnings.simplefilter("ignore")
    incoming = messages()
    search = re.compile(next(incoming)).search
    for lines in incoming:
        sys.stdout.buffer.write(b"".join(b"0" if search(line) is None else b"1" for line in lines))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
