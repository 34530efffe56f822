"""Chaos tests are process tests with a lab of their own."""

import pytest

from tests.process.conftest import _lab

__all__ = ["_lab"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/chaos" in item.nodeid:
            item.add_marker(pytest.mark.process)
