"""The lab of each test."""

from collections.abc import AsyncIterator

import pytest

from tests.agent.keeper_lab import KeeperLab, keeper_lab


@pytest.fixture(name="empty_lab")
async def _empty_lab() -> AsyncIterator[KeeperLab]:
    """Nothing runs in it yet."""
    async with keeper_lab() as one:
        yield one


@pytest.fixture(name="lab")
async def _lab(empty_lab: KeeperLab) -> KeeperLab:
    """A keeper runs in it, and we are connected."""
    return await empty_lab.connect()
