"""The names that an input may have, and every kind that no file can have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.input_name import NAME_BYTES_MAX, check_input
from opsconsole_protocol.mount import Mount, missing_folder, mounts_of, place_input

LAB = Mount(label="lab", path="/mnt/lab", aliases=("/Volumes/lab",))
MOUNTS = (*mounts_of({"io_paths": {"input": "/in", "output": "/out"}}), LAB)


@pytest.mark.parametrize(
    "name",
    [
        "a.csv", "a b.csv", ".hidden", "a:b.csv", "lab:a.csv", "lab:runs/7/a.csv", "lab:runs/a:b", "/Volumes/lab/a.csv", "/mnt/lab/a\\b",
        "/a", "ümlaut.csv", "lab:…/ü", "-n", "…", "..a", "/mnt/..a/b", "x" * NAME_BYTES_MAX, f"/{'x' * NAME_BYTES_MAX}/a",
    ],
)  # fmt: skip
def test_names_that_a_file_can_have(name: str) -> None:
    check_input(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "the file name is empty"),
        (".", "is a folder, not a file"),
        ("..", "leads out of the input folder"),
        ("./a.csv", "contains a folder: name a file of the worker's input folder, LABEL:PATH below a mount, or a whole path"),
        ("runs/a.csv", "contains a folder"),
        ("../a.csv", "leads out of the input folder"),
        ("a\\b", "contains a folder"),
        ("..\\a", "leads out of the input folder"),
        ("C:\\data\\a.csv", "contains a folder"),
        ("a\0b", "contains a NUL character"),
        ("x" * 256, "is longer than 255 bytes"),
        ("\udcff", "is not valid Unicode"),
        ("/", "is a folder, not a file"),
        ("//", "is a folder, not a file"),
        ("/mnt/lab/", "is a folder, not a file"),
        ("/mnt/lab/..", "leads out of its folder"),
        ("/mnt/lab/../../etc/passwd", "leads out of its folder"),
        ("/../etc/passwd", "leads out of its folder"),
        ("//mnt/lab/a", "has parts that mean nothing: write '/mnt/lab/a'"),
        ("/mnt/./lab/a", "has parts that mean nothing: write '/mnt/lab/a'"),
        ("/mnt/lab/.", "has parts that mean nothing: write '/mnt/lab'"),
        ("/mnt/a\0b", "contains a NUL character"),
        (f"/mnt/{'x' * 256}", "has a part of more than 255 bytes"),
        ("/mnt/\udcff", "is not valid Unicode"),
        ("lab:../a", "leads out of its folder"),
        ("lab:a/../../b", "leads out of its folder"),
        ("lab:/a", "has parts that mean nothing: write 'lab:a'"),
        ("lab:a//b", "has parts that mean nothing: write 'lab:a/b'"),
        ("lab:a/", "is a folder, not a file"),
        ("lab:/", "is a folder, not a file"),
        ("lab:a/b\0", "contains a NUL character"),
        ("not a label:a/b", "contains a folder"),
        (":a/b", "contains a folder"),
    ],
)  # fmt: skip
def test_names_that_no_file_can_have(name: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_input(name)
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


@given(st.text(st.sampled_from("ab:/.\\\0ü\udc80"), max_size=12))
def test_what_passes_is_never_outside_of_the_folder_that_it_is_placed_in(name: str) -> None:
    try:
        check_input(name)
        mount, below = place_input((*MOUNTS, Mount(label="a", path="/a"), Mount(label="b", path="/b/b")), name)
    except InvalidRequest:
        return
    parts = below.split("/")
    assert all(part not in {"", ".", ".."} for part in parts)
    assert not name.startswith("/") or any(name == f"{one}/{below}" for one in (mount.path, *mount.aliases))


@pytest.mark.parametrize(
    ("mounts", "name", "missing"),
    [
        (MOUNTS, "a.csv", ""),
        (MOUNTS, "lab:a/b.csv", ""),
        (MOUNTS, "/Volumes/lab/a.csv", ""),
        (MOUNTS, "/out/jobs/a/model.pt", ""),
        (MOUNTS, "/srv/a.csv", "no folder with '/srv/a.csv'"),
        (MOUNTS, "/mnt/lab", "no folder with '/mnt/lab'"),
        (MOUNTS, "nas:a/b.csv", "no mount nas"),
        (MOUNTS, "nas:b.csv", ""),  # a file of that name may lie in the input folder
        ((LAB,), "nas:b.csv", "no input folder"),
        ((LAB,), "a.csv", "no input folder"),
        ((LAB,), "lab:a.csv", ""),
        ((), "a.csv", "no input folder"),
        ((), "/a.csv", "no folder with '/a.csv'"),
    ],
)
def test_what_a_worker_would_need(mounts: tuple[Mount, ...], name: str, missing: str) -> None:
    assert missing_folder(mounts, name) == missing
