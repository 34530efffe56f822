"""Process tests get a lab of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.lab import Lab, lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/process" in item.nodeid:
            item.add_marker(pytest.mark.process)


@pytest.fixture(name="lab")
def _lab(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A coordinator and the worker `gpu-a` with four slots, for tests of a module that leave both as they were."""
    with lab(tmp_path_factory.mktemp("house")) as made:
        made.serve()
        made.agent("gpu-a", slots=4)
        yield made
