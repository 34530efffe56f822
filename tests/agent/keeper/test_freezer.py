"""Where cgroups are made, read off the kernel's own tables."""

from pathlib import Path

import pytest

from opsconsole_agent.keeper import freezer
from opsconsole_agent.keeper.freezer import Cgroup, CgroupRemoval, Freezer

HYBRID_MOUNTS = """\
25 22 0:21 / /sys/fs/cgroup ro - tmpfs tmpfs rw
26 25 0:22 / {root}/v1/freezer rw,relatime shared:9 - cgroup cgroup rw,freezer
27 25 0:23 / {root}/v1/memory rw,relatime - cgroup cgroup rw,memory
28 25 0:24 / {root}/v2 rw,relatime - cgroup2 cgroup2 rw
broken line
"""


@pytest.fixture(name="tables")
def _tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The kernel's tables, as the test sets them."""
    tables = {
        "/proc/self/mountinfo": HYBRID_MOUNTS.format(root=tmp_path),
        "membership": "12:freezer:/user\n3:memory:/other\n0::/slice/agent\n",
    }
    real = freezer._read

    def read(path: str) -> str:
        if path.startswith("/proc/") and path.endswith("/cgroup"):
            return tables["membership"]
        return tables[path] if path in tables else real(path)

    monkeypatch.setattr(freezer, "_read", read)
    return tables


def test_version_two_is_preferred(tables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "v1/freezer/user").mkdir(parents=True)
    (tmp_path / "v2/slice/agent").mkdir(parents=True)
    found = freezer.find_freezer()
    assert found is not None
    assert (found._folder, found._version) == (str(tmp_path / "v2/slice/agent"), 2)
    assert found.movable(1)
    tables["membership"] = "0::/slice/container\n"
    assert not found.movable(1)


def test_version_one_serves_where_two_is_not_there(tables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "v1/freezer/user").mkdir(parents=True)
    found = freezer.find_freezer()
    assert found is not None
    assert (found._folder, found._version) == (str(tmp_path / "v1/freezer/user"), 1)


def test_nothing_is_found_without_a_folder_or_a_table(tables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert freezer.find_freezer() is None

    def forbidden(path: str) -> str:
        raise PermissionError(path)

    monkeypatch.setattr(freezer, "_read", forbidden)
    assert freezer.find_freezer() is None


def test_a_cgroup_that_cannot_freeze_is_not_used(tmp_path: Path) -> None:
    assert Freezer(str(tmp_path), "/", 2).cgroup("a") is None
    assert list(tmp_path.iterdir()) == []
    assert Freezer(str(tmp_path / "gone"), "/", 2).cgroup("a") is None


def test_a_busy_cgroup_is_removed_later(tmp_path: Path) -> None:
    busy = tmp_path / "busy"
    (busy / "process").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    removal = CgroupRemoval()
    removal.add(Cgroup(str(tmp_path / "empty"), 2), 10.0)
    assert removal.due_s is None
    assert not (tmp_path / "empty").exists()

    removal.add(Cgroup(str(busy), 2), 10.0)
    first = removal.due_s
    assert first is not None
    assert first > 10.0
    removal.retry(first)
    second = removal.due_s
    assert second is not None
    assert second - first > first - 10.0
    (busy / "process").rmdir()
    removal.retry(first)
    assert busy.exists(), "not before it is due"
    removal.retry(second)
    assert not busy.exists()
    assert removal.due_s is None


def test_a_cgroup_that_is_gone_troubles_nobody(tmp_path: Path) -> None:
    gone = Cgroup(str(tmp_path / "gone"), 2)
    assert gone.pids() == set()
    assert not gone.add(1)
    assert not gone.freeze()
    gone.thaw()
    assert gone.remove()
    assert freezer.reopen_cgroup(gone.path) is None
