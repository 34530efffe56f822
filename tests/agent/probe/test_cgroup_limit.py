"""Limits by control group, versions 1 and 2, on made-up hierarchies."""

from pathlib import Path

import pytest

from opsconsole_agent.probe.cgroup_limit import CgroupLimit, MemoryLimit

MIB = 1 << 20
NO_LIMIT_V1 = "9223372036854771712"


class Hierarchy:
    """A made-up /proc/self and a folder per control group mount."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.proc = folder / "proc"
        self.proc.mkdir()
        self.lines: list[str] = []
        self.mounts: list[str] = []

    def mount(self, name: str, kind: str, options: str, root: str = "/") -> None:
        self.mounts.append(f"30 1 0:1 {root} {self.folder / name} rw - {kind} cgroup {options}")

    def write(self, path: str, **files: str) -> None:
        group = self.folder / path
        group.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (group / name.replace("__", ".")).write_text(f"{text}\n", encoding="ascii")

    def cgroup(self, *membership: str) -> CgroupLimit:
        (self.proc / "cgroup").write_text("".join(f"{line}\n" for line in membership), encoding="ascii")
        (self.proc / "mountinfo").write_text("".join(f"{line}\n" for line in self.mounts), encoding="utf-8")
        return CgroupLimit(self.proc)


@pytest.fixture
def hierarchy(tmp_path: Path) -> Hierarchy:
    return Hierarchy(tmp_path)


def test_version_2_the_tightest_limit_on_the_way_up_counts(hierarchy: Hierarchy) -> None:
    hierarchy.mount("v2", "cgroup2", "rw")
    hierarchy.write("v2/slice", memory__max=str(100 * MIB), memory__current=str(60 * MIB), cpu__max="150000 100000")
    stat = f"anon 5\ninactive_file {20 * MIB}"
    hierarchy.write("v2/slice", memory__stat=stat)
    hierarchy.write("v2/slice/job", memory__max="max", memory__current=str(MIB), cpu__max="max 100000")
    cgroup = hierarchy.cgroup("0::/slice/job")
    assert cgroup.memory() == MemoryLimit(100 * MIB, 40 * MIB)
    assert cgroup.cpus() == 1.5
    hierarchy.write("v2/slice/job", memory__max=str(50 * MIB))
    assert cgroup.memory() == MemoryLimit(50 * MIB, MIB)
    hierarchy.write("v2/slice", memory__max=str(40 * MIB))
    assert cgroup.memory() == MemoryLimit(40 * MIB, 40 * MIB)


def test_version_1(hierarchy: Hierarchy) -> None:
    hierarchy.mount("memory", "cgroup", "rw,memory")
    hierarchy.mount("cpu", "cgroup", "rw,cpu,cpuacct")
    hierarchy.write("memory", memory__limit_in_bytes=NO_LIMIT_V1)
    hierarchy.write("memory/job", memory__limit_in_bytes=str(8 * MIB), memory__usage_in_bytes=str(7 * MIB))
    hierarchy.write("memory/job", memory__stat=f"inactive_file 1\ntotal_inactive_file {3 * MIB}")
    hierarchy.write("cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    hierarchy.write("cpu/job", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    cgroup = hierarchy.cgroup("4:memory:/job", "2:cpu,cpuacct:/job", "1:name=systemd:/")
    assert cgroup.memory() == MemoryLimit(8 * MIB, 4 * MIB)
    assert cgroup.cpus() == 2.0


def test_both_versions_at_once(hierarchy: Hierarchy) -> None:
    hierarchy.mount("unified", "cgroup2", "rw")
    hierarchy.mount("memory", "cgroup", "rw,memory")
    hierarchy.write("unified")
    hierarchy.write("memory", memory__limit_in_bytes=str(9 * MIB))
    cgroup = hierarchy.cgroup("4:memory:/", "0::/")
    assert cgroup.memory() == MemoryLimit(9 * MIB, 0)
    assert cgroup.cpus() is None


def test_in_a_container_our_own_group_is_what_is_mounted(hierarchy: Hierarchy) -> None:
    hierarchy.mount("v2", "cgroup2", "rw", root="/docker/abc")
    hierarchy.write("v2", memory__max=str(5 * MIB))
    hierarchy.write("v2/inner", memory__max=str(4 * MIB))
    assert hierarchy.cgroup("0::/docker/abc").memory() == MemoryLimit(5 * MIB, 0)
    assert hierarchy.cgroup("0::/docker/abc/inner").memory() == MemoryLimit(4 * MIB, 0)
    assert hierarchy.cgroup("0::/docker/abcdef").memory() == MemoryLimit(5 * MIB, 0)
    assert hierarchy.cgroup("0::/../../elsewhere").memory() == MemoryLimit(5 * MIB, 0)


@pytest.mark.parametrize("text", ["max", NO_LIMIT_V1, "", "nonsense"])
def test_no_limit(hierarchy: Hierarchy, text: str) -> None:
    hierarchy.mount("v2", "cgroup2", "rw")
    hierarchy.write("v2", memory__max=text, cpu__max=text)
    cgroup = hierarchy.cgroup("0::/", "nonsense")
    assert cgroup.memory() is None
    if not text.isdigit():
        assert cgroup.cpus() is None


def test_without_any(tmp_path: Path) -> None:
    cgroup = CgroupLimit(tmp_path)
    assert (cgroup.memory(), cgroup.cpus()) == (None, None)


def test_this_machine_can_be_read() -> None:
    limit = CgroupLimit().memory()
    assert limit is None or limit.limit > 0
