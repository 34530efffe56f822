"""Log frames: round trips, golden frames that stay readable for ever, and whatever else a peer may send."""

import struct
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.codec import is_batch
from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.link import (
    PAYLOAD_BYTES_MAX,
    LogChunk,
    decode_frame,
    encode_frame,
)
from opsconsole_protocol.link.frame import FRAME_KINDS, Frame
from opsconsole_protocol.log import Source

GOLDEN = Path(__file__).parent / "golden"

# One entry a frame that has ever been sent by a release. Add; never change or remove.
GOLDEN_CHUNKS = {
    "log_v1_stdout": LogChunk("7k3m9q2w4t.0.0.ab12", Source.STDOUT, 0, 1_700_000_000_000, b"epoch 1\n"),
    "log_v1_stderr": LogChunk("7k3m9q2w4t.3.1.zz00", Source.STDERR, 2**40 + 7, 1_700_000_000_001, b"\r 10%\r 20%"),
    "log_v1_build": LogChunk("b", Source.BUILD, 1, 0, bytes(range(256))),
    "log_v1_error": LogChunk("é" * 100, Source.ERROR, 2**62, 2**62, b"\xff"),
    "log_v1_report": LogChunk("7k3m9q2w4t.0.0.ab12", Source.REPORT, 7, 1_700_000_000_000, b'{"note": "halved"}\n'),
}

chunks = st.builds(
    LogChunk,
    attempt_id=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    source=st.sampled_from(Source),
    offset=st.integers(0, 2**62),
    at_ms=st.integers(0, 2**63 - 1),
    data=st.binary(min_size=1, max_size=2000),
)


@pytest.mark.parametrize("name", sorted(GOLDEN_CHUNKS))
def test_golden_frames_stay_readable(name: str) -> None:
    frame = (GOLDEN / f"{name}.bin").read_bytes()
    assert decode_frame(frame) == GOLDEN_CHUNKS[name]


@pytest.mark.parametrize("name", sorted(GOLDEN_CHUNKS))
def test_golden_frames_are_still_what_is_written(name: str) -> None:
    assert encode_frame(GOLDEN_CHUNKS[name]) == (GOLDEN / f"{name}.bin").read_bytes()


def test_every_kind_of_frame_has_a_code_of_its_own_and_is_no_batch() -> None:
    assert set(FRAME_KINDS.values()) == set(get_args(Frame) or (Frame,)), "two kinds have one code"
    assert not any(is_batch(bytes((kind.VERSION, kind.KIND))) for kind in FRAME_KINDS.values())


def test_every_golden_frame_is_listed() -> None:
    assert {path.stem for path in GOLDEN.glob("log_*.bin")} == set(GOLDEN_CHUNKS)


@given(chunks)
def test_round_trip(chunk: LogChunk) -> None:
    frame = encode_frame(chunk)
    assert decode_frame(frame) == chunk
    assert decode_frame(memoryview(frame)) == chunk
    assert not is_batch(frame)


def test_the_largest_frame() -> None:
    chunk = LogChunk("x" * 255, Source.BUILD, 2**63 - 1 - PAYLOAD_BYTES_MAX, 0, b"\0" * PAYLOAD_BYTES_MAX)
    frame = encode_frame(chunk)
    assert len(frame) == LogChunk.BYTES_MAX
    assert decode_frame(frame) == chunk


@given(st.binary(max_size=400))
def test_noise_is_a_typed_error(noise: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_frame(noise)
    assert "\n" not in str(caught.value)


@given(chunks, st.data())
def test_a_damaged_frame_decodes_to_a_lawful_chunk_or_fails_typed(chunk: LogChunk, data: st.DataObject) -> None:
    frame = bytearray(encode_frame(chunk))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode_frame(bytes(frame))
    except ProtocolError:
        return
    assert encode_frame(decoded) == bytes(frame)


@given(chunks, st.data())
def test_a_cut_or_padded_frame_is_refused(chunk: LogChunk, data: st.DataObject) -> None:
    frame = encode_frame(chunk)
    with pytest.raises(ProtocolError):
        decode_frame(frame[: data.draw(st.integers(0, len(frame) - 1))])
    with pytest.raises(ProtocolError):
        decode_frame(frame + b"x")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [(0, 2, "version 2"), (1, 9, "kind 9"), (2, 5, "source 5"), (3, 0, "names its attempt"), (24, 0xFF, "UTF-8")],
)
def test_the_error_names_what_is_wrong(place: int, value: int, words: str) -> None:
    frame = bytearray(encode_frame(LogChunk("abc", Source.STDOUT, 0, 0, b"data")))
    frame[place] = value
    with pytest.raises(ProtocolError, match=words):
        decode_frame(frame)


def test_offsets_and_times_stay_in_range() -> None:
    header = struct.pack(">BBBBQqI", 1, 1, 0, 1, 2**63, 0, 1)
    with pytest.raises(ProtocolError, match="offset"):
        decode_frame(header + b"a" + b"x")
    header = struct.pack(">BBBBQqI", 1, 1, 0, 1, 0, -1, 1)
    with pytest.raises(ProtocolError, match="time"):
        decode_frame(header + b"a" + b"x")


@pytest.mark.parametrize(
    "chunk",
    [
        LogChunk("", Source.STDOUT, 0, 0, b"x"),
        LogChunk("a" * 256, Source.STDOUT, 0, 0, b"x"),
        LogChunk("a", Source.STDOUT, 0, 0, b""),
        LogChunk("a", Source.STDOUT, 0, 0, b"x" * (PAYLOAD_BYTES_MAX + 1)),
        LogChunk("a", Source.STDOUT, -1, 0, b"x"),
        LogChunk("a", Source.STDOUT, 2**63 - 1, 0, b"x"),
        LogChunk("a", Source.STDOUT, 0, -1, b"x"),
    ],
)
def test_what_does_not_fit_is_not_encoded(chunk: LogChunk) -> None:
    with pytest.raises(ProtocolError):
        encode_frame(chunk)
