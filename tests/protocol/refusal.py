"""What may come of input that can be anything: a value, or an error of one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from opsconsole_protocol.error import OpsconsoleError


@contextmanager
def may_refuse(kind: type[OpsconsoleError]) -> Iterator[None]:
    """Lets an error of this kind pass, if its message is one short line."""
    refusal = None
    try:
        yield
    except kind as error:
        refusal = error.message
    if refusal is not None:
        assert "\n" not in refusal
        assert len(refusal) < 400
