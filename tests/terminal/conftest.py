"""Terminal tests get a lab and terminals in it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process.lab import Lab, lab
from tests.terminal.tmux import Terminal

Open = Callable[..., Terminal]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/terminal" in item.nodeid:
            item.add_marker(pytest.mark.terminal)


@pytest.fixture(name="lab")
def _lab(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        yield made


@pytest.fixture
def terminal(lab: Lab) -> Iterator[Open]:
    """Open terminals: `terminal(width, height)`."""
    opened: list[Terminal] = []

    def make(width: int = 160, height: int = 45) -> Terminal:
        folder = lab.folder / f"tmux-{len(opened)}"
        folder.mkdir()
        opened.append(Terminal(folder, width, height))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
