"""What an agent calls itself is checked before it says it (hard use 44)."""

import pytest

from opsconsole_console.cli import build_parser
from opsconsole_console.cli.agent import make_config
from opsconsole_protocol.error import InvalidRequest


def test_a_name_that_the_coordinator_would_not_take_is_refused_in_words() -> None:
    words = ["agent", "--name", "n" * 300, "--connect", "ws://127.0.0.1:1", "--token", "t"]
    with pytest.raises(InvalidRequest, match="the worker's name has 300 characters, at most 200 may: shorten it"):
        make_config(build_parser(words).parse_args(words))
