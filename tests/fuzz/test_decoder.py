"""Whatever comes, a decoder gives a value or its own error; and what it is made for it takes."""

import pytest
from hypothesis import HealthCheck, given, settings

from opsconsole_protocol.error import OpsconsoleError
from tests.fuzz.decoder import Decoder, decoders
from tests.fuzz.mutation import BOMBS, REPEATABLE, anything

EVERY = pytest.mark.parametrize("decoder", decoders(), ids=lambda decoder: decoder.name)


def feed(decoder: Decoder, data: bytes) -> None:
    refusal: Exception | None = None
    try:
        decoder.feed(data)
    except decoder.refusals as error:
        refusal = error
    if isinstance(refusal, OpsconsoleError):
        assert "\n" not in refusal.message, "a refusal is one line"
        assert len(refusal.message) < 1_000 + len(data), "it may quote, and no more"


@EVERY
def test_it_takes_a_sample(decoder: Decoder) -> None:
    decoder.feed(decoder.samples[0])


@EVERY
def test_no_bomb_goes_off(decoder: Decoder) -> None:
    for bomb in BOMBS:
        feed(decoder, bomb)


@EVERY
def test_anything_is_a_value_or_its_own_refusal(decoder: Decoder) -> None:
    @settings(REPEATABLE, suppress_health_check=[HealthCheck.data_too_large])
    @given(anything(decoder.samples))
    def check(data: bytes) -> None:
        feed(decoder, data)

    check()
