"""The error tree: what travels is a code and one line."""

import pytest

from opsconsole_protocol import error
from opsconsole_protocol.error import OpsconsoleError, from_code

CONCRETE = [
    one for one in vars(error).values() if isinstance(one, type) and issubclass(one, OpsconsoleError)
]  # fmt: skip


@pytest.mark.parametrize("kind", CONCRETE)
def test_every_error_comes_back_from_its_code(kind: type[OpsconsoleError]) -> None:
    back = from_code(kind.code, "what to do")
    assert type(back) is kind
    assert back.message == str(back) == "what to do"


def test_an_unknown_code_is_still_an_error_for_people() -> None:
    assert type(from_code("from the future", "text")) is OpsconsoleError


def test_codes_are_unique() -> None:
    assert len({kind.code for kind in CONCRETE}) == len(CONCRETE)
