"""Every test of the core ends with nothing unexpected sent and every invariant true."""

from collections.abc import Iterator

import pytest

from tests.coordinator.core.world import World


@pytest.fixture
def world() -> Iterator[World]:
    """A fleet without workers or jobs; checked at the end."""
    made = World()
    yield made
    made.check()
