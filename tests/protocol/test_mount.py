"""Which folder of a worker an input is in, by whichever name people give it."""

from typing import Any

import pytest

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.mount import (
    ALIASES_MAX,
    MOUNTS_MAX,
    Mount,
    check_mounts,
    find_mount,
    knows_mounts,
    mounts_of,
    place_input,
)

PROPERTIES: dict[str, Any] = {
    "io_paths": {"input": "/mnt/vast/inputs", "output": "/mnt/vast/outputs", "filesystem": "vast"},
    "mounts": [
        {"label": "vast", "path": "/mnt/vast", "aliases": ["/Volumes/vast"]},
        {"label": "lab", "path": "/mnt/lab", "writable": True, "aliases": ["/Volumes/lab", "/Volumes/vast/lab"]},
    ],
}
MOUNTS = mounts_of(PROPERTIES)


def test_all_mounts_of_a_worker_those_of_its_io_paths_first() -> None:
    assert [(one.label, one.path, one.writable) for one in MOUNTS] == [
        ("input", "/mnt/vast/inputs", True),
        ("output", "/mnt/vast/outputs", False),
        ("vast", "/mnt/vast", False),
        ("lab", "/mnt/lab", True),
    ]
    assert knows_mounts(PROPERTIES)
    assert not knows_mounts({"io_paths": {}})
    assert find_mount(MOUNTS, "lab") == MOUNTS[3]
    assert find_mount(MOUNTS, "la") is None


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"io_paths": None, "mounts": "x"},
        {"io_paths": [1], "mounts": {"label": "a"}},
        {"io_paths": {"input": 7, "output": ""}, "mounts": [1, None, {"label": "a"}, {"label": "", "path": "/"}]},
        {
            "mounts": [
                {"label": "a:b", "path": "/a"},
                {"label": "a", "path": "relative"},
                {"label": "input", "path": "/"},
            ]
        },
    ],
)
def test_properties_that_say_nothing_of_use(properties: dict[str, Any]) -> None:
    assert mounts_of(properties) == ()


@pytest.mark.parametrize(
    ("name", "label", "below"),
    [
        ("a.csv", "input", "a.csv"),
        ("a b:c.csv", "input", "a b:c.csv"),
        ("nolabel:c.csv", "input", "nolabel:c.csv"),
        ("lab:a.csv", "lab", "a.csv"),
        ("lab:runs/7/a.csv", "lab", "runs/7/a.csv"),
        ("lab:/runs//7/./a.csv", "lab", "runs/7/a.csv"),
        ("lab:a:b", "lab", "a:b"),
        ("input:sub/a.csv", "input", "sub/a.csv"),
        ("/mnt/lab/a.csv", "lab", "a.csv"),
        ("/mnt/vast/inputs/a.csv", "input", "a.csv"),
        ("/mnt/vast/inputs2/a.csv", "vast", "inputs2/a.csv"),
        ("/mnt/vast/x/a.csv", "vast", "x/a.csv"),
        ("/Volumes/lab/x/a.csv", "lab", "x/a.csv"),
        ("/Volumes/vast/a.csv", "vast", "a.csv"),
        ("/Volumes/vast/lab/a.csv", "lab", "a.csv"),
        ("/Volumes/vast/labour/a.csv", "vast", "labour/a.csv"),
    ],
)
def test_the_longest_prefix_wins(name: str, label: str, below: str) -> None:
    mount, path = place_input(MOUNTS, name)
    assert (mount.label, path) == (label, below)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "the file name is empty"),
        ("sub/a.csv", "contains a folder"),
        ("lbb:sub/a.csv", "this worker has no mount 'lbb', which are input (/mnt/vast/inputs), output"),
        ("lab:", "is a folder, not a file"),
        ("lab:.", "is a folder, not a file"),
        ("lab:../a", "leads out of its folder"),
        ("lab:a/../../b", "leads out of its folder"),
        ("/mnt/lab/../../etc/passwd", "leads out of its folder"),
        ("/mnt/lab", "is below none of this worker's folders"),
        ("/mnt/lab/", "is a folder, not a file"),
        ("/mnt/labour/a", "is below none of this worker's folders"),
        ("/etc/passwd", "is below none of this worker's folders"),
        ("lab:a\0b", "contains a NUL character"),
        ("lab:" + "x" * 256, "has a part of more than 255 bytes"),
        ("lab:\ud800", "is not valid Unicode"),
        ("/mnt/lab/" + "x" * 1_000_000, "has a part of more than 255 bytes"),
    ],
)
def test_names_that_no_file_can_have(name: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        place_input(MOUNTS, name)
    assert reason in refused.value.message
    assert len(refused.value.message) < 400


def test_a_worker_without_folders() -> None:
    with pytest.raises(InvalidRequest, match="no input path: give its agent one"):
        place_input((), "a.csv")
    with pytest.raises(InvalidRequest, match="below none of this worker's folders, it has none"):
        place_input((), "/a.csv")


def test_the_whole_disk_may_be_a_mount() -> None:
    mount = Mount(label="all", path="/")
    assert place_input((mount,), "/etc/passwd") == (mount, "etc/passwd")


@pytest.mark.parametrize(
    ("mounts", "reason"),
    [
        ([Mount(label="a", path="/a"), Mount(label="a", path="/b")], "two mounts are called 'a'"),
        ([Mount(label="input", path="/a")], "belongs to --input-path"),
        ([Mount(label="output", path="/a")], "belongs to --output-path"),
        ([Mount(label="a:b", path="/a")], "can't be a mount's label"),
        ([Mount(label="", path="/a")], "can't be a mount's label"),
        ([Mount(label="a/b", path="/a")], "can't be a mount's label"),
        ([Mount(label="a", path="a")], "is not a whole path"),
        ([Mount(label="a", path="/a/../b")], "is not a whole path"),
        ([Mount(label="a", path="/a", aliases=("Volumes",))], "alias 'Volumes' is not a whole path"),
        ([Mount(label="a", path="/\udcff")], "is not valid Unicode"),
        ([Mount(label="a", path="/a", aliases=("/b",) * (ALIASES_MAX + 1))], "more than 32 aliases"),
        ([Mount(label=f"a{number}", path="/a") for number in range(MOUNTS_MAX + 1)], "33 mounts are too many"),
        ([Mount(label=f"a{number}", path=f"/{'a' * 3_000}") for number in range(3)], "longer than 8192 bytes"),
    ],
)
def test_mounts_that_a_worker_cant_have(mounts: list[Mount], reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_mounts(mounts)
    assert reason in refused.value.message


def test_mounts_that_a_worker_can_have() -> None:
    check_mounts([Mount(label="a", path="/a"), Mount(label="b.c-d", path="/a", aliases=("/Volumes/a",))])
