"""Packets between the coordinator and its transfer process that are none."""

from collections.abc import Callable

import msgspec
import pytest

from opsconsole_coordinator.transfer.message import decode_from_coordinator, decode_from_process
from opsconsole_protocol.error import ProtocolError


@pytest.mark.parametrize("decode", [decode_from_coordinator, decode_from_process])
def test_a_refusal_is_one_short_line_whatever_it_quotes(decode: Callable[[bytes], object]) -> None:
    with pytest.raises(ProtocolError) as refused:
        decode(msgspec.msgpack.encode({"type": "a\n\nb" * 1_000}))
    assert "\n" not in refused.value.message
    assert len(refused.value.message) < 400
