"""Every test of the core ends with nothing else: what it asked of its host was expected."""

from collections.abc import Iterator

import pytest

from tests.agent.core.script import Script


@pytest.fixture(autouse=True)
def _and_nothing_else() -> Iterator[None]:
    Script.made.clear()
    yield
    for script in Script.made:
        script.nothing_else()
