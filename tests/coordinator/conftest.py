"""A coordinator in the test's own loop."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opsconsole_coordinator.server import commit_loop
from tests.coordinator.server import peer
from tests.coordinator.server.peer import Site


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """A running coordinator with an empty store."""
    monkeypatch.setattr(commit_loop, "RETRY_AFTER_S", 0.02)
    async with peer.site(tmp_path / "data") as running:
        yield running
