"""What a person types to leave a shell, and all that looks like it and isn't."""

import pytest

from opsconsole.session.escape import Escape


@pytest.mark.parametrize(
    ("typed", "passed", "leaves"),
    [
        (b"~.", b"", True),
        (b"ls\r~.rest", b"ls\r", True),
        (b"ls\n~.", b"ls\n", True),
        (b"a~.", b"a~.", False),
        (b"\r~~.", b"\r~.", False),
        (b"\r~~\r~.", b"\r~\r", True),
        (b"\r~/bin/x\r", b"\r~/bin/x\r", False),
        (b"\r~\r~.", b"\r~\r", True),
        (b"\xff\x00\x1b[A", b"\xff\x00\x1b[A", False),
    ],
)
def test_only_enter_tilde_dot_leaves(typed: bytes, passed: bytes, leaves: bool) -> None:
    whole = Escape()
    assert (whole.take(typed), whole.is_typed) == (passed, leaves)
    cut = Escape()
    found = b""
    for place in range(len(typed)):
        if not cut.is_typed:
            found += cut.take(typed[place : place + 1])
    assert (found, cut.is_typed) == (passed, leaves)
