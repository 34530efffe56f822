"""Messages to bytes and back: round trips, golden frames that stay readable for ever, and whatever a peer may send."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol import api, codec, link
from opsconsole_protocol.api.codec import client_codec, server_codec
from opsconsole_protocol.codec import BATCH_BYTES_MAX, Codec
from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.link import LogChunk, decode_frame, encode_frame
from opsconsole_protocol.link.codec import agent_codec, coordinator_codec
from opsconsole_protocol.log import Source
from tests.protocol import sample, strategy
from tests.protocol.refusal import may_refuse

GOLDEN = Path(__file__).parent / "golden"
SIDES: dict[str, Codec[Any]] = {
    "agent": coordinator_codec(),
    "coordinator": agent_codec(),
    "client": server_codec(),
    "server": client_codec(),
}
KINDS = {
    "agent": strategy.AGENT_MESSAGES,
    "coordinator": strategy.COORDINATOR_MESSAGES,
    "client": strategy.CLIENT_MESSAGES,
    "server": strategy.SERVER_MESSAGES,
}
EVERY = [(side, kind) for side, kinds in KINDS.items() for kind in kinds]


def decoder_of(name: str) -> Codec[Any]:
    return SIDES[name.split("_", 1)[0]]


# --- golden frames -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(sample.SAMPLES))
def test_golden_frames_stay_readable(name: str) -> None:
    frame = (GOLDEN / f"{name}.msgpack").read_bytes()
    assert decoder_of(name).decode(frame) == [sample.SAMPLES[name]]


def test_every_golden_frame_is_listed() -> None:
    assert {path.stem for path in GOLDEN.glob("*.msgpack")} == set(sample.SAMPLES)


@pytest.mark.parametrize(("side", "kind"), EVERY)
def test_every_message_has_a_golden_frame(side: str, kind: type) -> None:
    assert any(name.startswith(f"{side}_") and type(one) is kind for name, one in sample.SAMPLES.items())


def test_every_tagged_message_is_one_that_some_side_takes() -> None:
    """A kind that was forgotten in its side's union would be refused by every peer."""
    known = {*strategy.AGENT_MESSAGES, *strategy.COORDINATOR_MESSAGES, *strategy.REQUESTS, *strategy.ANSWERS}
    tagged = {
        kind for base in (link.Message, api.Request, api.Answered) for kind in base.__subclasses__() if _has_tag(kind)
    }
    assert tagged == known


def _has_tag(kind: type[msgspec.Struct]) -> bool:
    return kind.__struct_config__.tag is not None


def test_every_request_and_answer_has_a_golden_frame() -> None:
    calls = {type(one.request) for one in sample.SAMPLES.values() if isinstance(one, api.Call)}
    answers = {type(one.answer) for one in sample.SAMPLES.values() if isinstance(one, api.Answer)}
    assert calls == set(strategy.REQUESTS)
    assert answers == set(strategy.ANSWERS)


def test_golden_frames_hold_every_field() -> None:
    """A field at its default wouldn't be in the frame, and its name could change unnoticed."""
    seen: dict[type, set[str]] = {}
    for one in sample.SAMPLES.values():
        _note_fields(one, seen)
    for kind, fields in seen.items():
        assert issubclass(kind, msgspec.Struct)
        missing = {field.name for field in msgspec.structs.fields(kind)} - fields
        assert not missing, f"no sample of {kind.__name__} sets {missing}"


def _note_fields(value: Any, seen: dict[type, set[str]]) -> None:
    if isinstance(value, msgspec.Struct):
        fields = seen.setdefault(type(value), set())
        for field in msgspec.structs.fields(value):
            found = getattr(value, field.name)
            default = field.default_factory() if callable(field.default_factory) else field.default
            if found != default or field.required:
                fields.add(field.name)
            _note_fields(found, seen)
    elif isinstance(value, (tuple, list)):
        for one in value:
            _note_fields(one, seen)
    elif isinstance(value, dict):
        for one in value.values():
            _note_fields(one, seen)


# --- round trips ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "kind"), EVERY)
def test_round_trips(side: str, kind: type) -> None:
    decoder = SIDES[side]

    @given(strategy.of_type(kind))
    def check(message: msgspec.Struct) -> None:
        assert decoder.decode(decoder.encode([message])) == [message]

    check()


def test_a_frame_holds_a_batch() -> None:
    batch = list(sample.AGENT.values())
    assert coordinator_codec().decode(agent_codec().encode(batch)) == batch
    assert coordinator_codec().decode(agent_codec().encode([])) == []


def test_unknown_fields_are_skipped_so_that_newer_peers_can_add_some() -> None:
    frame = msgspec.msgpack.encode([{"type": "observe", "exchange": 1, "new": {"a": [1]}}])
    assert agent_codec().decode(frame) == [link.Observe(exchange=1)]


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (b"", "can't be decoded"),
        (b"\xc1", "can't be decoded"),
        (b"\x91", "can't be decoded"),
        (msgspec.msgpack.encode({"type": "observe"}), "wrong shape: Expected `array`"),
        (msgspec.msgpack.encode([{"exchange": 1}]), "wrong shape"),
        (msgspec.msgpack.encode([{"type": "obey"}]), "Invalid value 'obey'"),
        (msgspec.msgpack.encode([{"type": "observe"}]), "missing required field `exchange`"),
        (msgspec.msgpack.encode([{"type": "observe", "exchange": "1"}]), "Expected `int`, got `str`"),
        (msgspec.msgpack.encode([{"type": "observe", "exchange": 7}]) + b"\0", "trailing"),
        (msgspec.msgpack.encode([{"type": "x\n" * 100_000}]), "wrong shape"),
    ],
)
def test_a_refusal_is_one_short_line(frame: bytes, words: str) -> None:
    with pytest.raises(ProtocolError) as error:
        agent_codec().decode(frame)
    assert words in error.value.message
    assert "\n" not in error.value.message
    assert len(error.value.message) < 400


def test_an_oversized_frame_is_not_even_looked_at() -> None:
    with pytest.raises(ProtocolError, match="over the limit"):
        agent_codec().decode(b"\x91" + bytes(BATCH_BYTES_MAX))


def test_deep_nesting_is_a_protocol_error() -> None:
    deep = b"\x91\x82\xa4type\xafupdate_metadata\xaaproperties\x81\xa1a" + b"\x91" * 100_000 + b"\xc0"
    with pytest.raises(ProtocolError):
        coordinator_codec().decode(deep)


@pytest.mark.parametrize("side", sorted(SIDES))
def test_one_direction_does_not_take_the_messages_of_the_other(side: str) -> None:
    both = ("agent_error", "coordinator_error", "agent_stream_signal", "coordinator_stream_signal")
    for name, message in sample.SAMPLES.items():
        if not name.startswith((f"{side}_", *both)):
            with pytest.raises(ProtocolError):
                SIDES[side].decode(SIDES[side].encode([message]))


@pytest.mark.parametrize("side", sorted(SIDES))
@given(data=st.binary(max_size=200))
def test_any_bytes_decode_or_are_a_protocol_error(side: str, data: bytes) -> None:
    for frame in (data, b"\x91" + data, b"\x91\x82\xa4type" + data):
        with may_refuse(ProtocolError):
            SIDES[side].decode(frame)


FRAMES = [(name.split("_", 1)[0], SIDES["agent"].encode([one])) for name, one in sample.SAMPLES.items()]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A valid frame with some bytes changed, removed or added."""
    side, frame = draw(st.sampled_from(FRAMES))
    broken = bytearray(frame)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(broken) - 1)) if broken else 0
        match draw(st.sampled_from(["set", "cut", "add"])):
            case "set" if broken:
                broken[place] = draw(st.integers(0, 255))
            case "cut" if broken:
                del broken[place : place + draw(st.integers(1, 9))]
            case _:
                broken[place:place] = draw(st.binary(min_size=1, max_size=5))
    return side, bytes(broken)


@given(damaged())
def test_a_damaged_frame_decodes_to_valid_messages_or_is_a_protocol_error(case: tuple[str, bytes]) -> None:
    side, frame = case
    with may_refuse(ProtocolError):
        found = SIDES[side].decode(frame)
        assert SIDES[side].decode(SIDES[side].encode(found)) == found or "nan" in repr(found)


@given(st.recursive(st.integers(0, 9) | st.dictionaries(st.integers(0, 9), st.integers(0, 9)), st.lists))
def test_odd_keys_among_free_properties_are_a_protocol_error_at_worst(key: Any) -> None:
    raw = msgspec.msgpack.encode(key)
    frame = b"\x91\x82\xa4type\xafupdate_metadata\xaaproperties\x81\xa1a\x81" + raw + b"\x01"
    with may_refuse(ProtocolError):
        coordinator_codec().decode(frame)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_log_frame_or_a_protocol_error(data: bytes) -> None:
    for frame in (data, b"\x01\x01" + data):
        with may_refuse(ProtocolError):
            decode_frame(frame)


def test_batches_and_log_frames_are_told_apart_by_their_first_byte() -> None:
    for count in (0, 1, 15, 16, 70_000):
        assert codec.is_batch(agent_codec().encode([link.MetadataUpdated()] * count))
    assert not codec.is_batch(encode_frame(LogChunk("a", Source.STDOUT, 0, 0, b"x")))
    assert not codec.is_batch(b"")
