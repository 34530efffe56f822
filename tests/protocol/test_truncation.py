"""Whatever an honest agent has to say passes the coordinator's edge (hard use 47, 59): it is cut, never refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol import link
from opsconsole_protocol.bound import GPU_USERS_MAX
from opsconsole_protocol.link.codec import agent_codec, coordinator_codec
from opsconsole_protocol.truncation import truncated

LONG = "/x" * 4_000
USERS = tuple(link.GpuUser(pid=pid, name=LONG) for pid in range(500))


@pytest.mark.parametrize(
    "message",
    [
        link.Heartbeat(at_ms=1, troubles=(link.Trouble(code="disk_full", text=LONG),) * 100),
        link.Heartbeat(at_ms=1, gpus=(link.Gpu(index=0, uuid="u", name=LONG, message=LONG, processes=USERS),)),
        link.Heartbeat(at_ms=1, gpu_message=LONG),
        link.FileNotFound(check_id=1, reason=LONG),
    ],
)
def test_what_is_too_long_is_cut(message: msgspec.Struct) -> None:
    [told] = coordinator_codec().decode(agent_codec().encode([truncated(message)]))
    assert told == truncated(message)


def test_as_much_is_kept_as_fits() -> None:
    gpu = link.Gpu(index=0, uuid="u", name="A100", processes=USERS)
    [kept] = truncated(link.Heartbeat(at_ms=1, gpus=(gpu,))).gpus or ()
    assert len(kept.processes) == GPU_USERS_MAX
    assert kept.processes[0].name.endswith("…")


@given(st.text(max_size=100), st.integers(0, 5))
def test_what_fits_is_the_same(text: str, count: int) -> None:
    message = link.Heartbeat(at_ms=1, gpu_message=text, troubles=(link.Trouble(code="x", text=text),) * count)
    assert truncated(message) is message
