"""The house of each test."""

from collections.abc import AsyncIterator

import pytest

from tests.agent.keeper.house import House, house


@pytest.fixture(name="empty_house")
async def _empty_house() -> AsyncIterator[House]:
    """Nothing runs in it yet."""
    async with house() as one:
        yield one


@pytest.fixture(name="home")
async def _home(empty_house: House) -> House:
    """A keeper runs in it, and we are connected."""
    return await empty_house.connect()
