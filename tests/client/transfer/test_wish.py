"""How people write what goes along and what comes back."""

import os
from pathlib import Path

import pytest

from opsconsole.transfer.wish import WishedFetch, WishedUpload, Wishes, written_fetch
from opsconsole_protocol.error import InvalidRequest, NotFound


@pytest.fixture
def wishes(tmp_path: Path) -> Wishes:
    for name in ("data.csv", "odd:name"):
        (tmp_path / name).touch()
    (tmp_path / "images").mkdir()
    return Wishes(cwd=tmp_path)


@pytest.mark.parametrize(
    ("text", "path", "name"),
    [
        ("data.csv", "data.csv", "data.csv"),
        ("./images/", "images", "images"),
        ("data.csv:points", "data.csv", "points"),
        ("odd:name", "odd:name", "odd:name"),
        ("odd:name:even", "odd:name", "even"),
        ("data.csv:", "data.csv", "data.csv"),
    ],
)
def test_an_upload_is_a_path_and_perhaps_a_name(wishes: Wishes, text: str, path: str, name: str) -> None:
    assert wishes.upload(text) == WishedUpload(wishes.cwd / path, name)


@pytest.mark.parametrize("text", ["none", "none:x", "data.csv:..", "data.csv:a/b", "data.csv:" + "x" * 300, ":x:"])
def test_an_upload_that_cant_be_meant(wishes: Wishes, text: str) -> None:
    with pytest.raises((InvalidRequest, NotFound), match="--upload"):
        wishes.upload(text)


@pytest.mark.parametrize(
    ("text", "pattern", "folder"),
    [
        ("models/*", "models/*", "."),
        ("models/*:out", "models/*", "out"),
        ("a:/abs", "a", "/abs"),
        ("[a:b]*:x/../y", "[a:b]*", "y"),
        ("a:/abs:odd/x", "a", "/abs:odd/x"),
    ],
)
def test_a_fetch_is_a_pattern_and_perhaps_a_folder(wishes: Wishes, text: str, pattern: str, folder: str) -> None:
    assert wishes.fetch(text) == WishedFetch(pattern, wishes.cwd / folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/etc/passwd",
        "../x",
        ":out",
        "a" * 5_000,
        "x:/etc/passwd",
        "x:data.csv/below",
        "x:" + "y" * 5_000,
        "x:nowhere",
    ],
    ids=lambda text: text[:20],
)
def test_a_fetch_that_cant_be_meant(wishes: Wishes, text: str) -> None:
    """Nor come there. What is told is about that option, and no longer than a person reads."""
    (wishes.cwd / "nowhere").symlink_to("gone")
    with pytest.raises(InvalidRequest, match="--fetch") as refused:
        wishes.fetch(text)
    assert "--to" not in refused.value.message
    assert len(refused.value.message) < 400


@pytest.mark.parametrize("folder", ["out", "/x:y/z", "/a:/b"])
def test_a_fetch_is_written_as_it_is_read(wishes: Wishes, folder: str) -> None:
    fetch = WishedFetch("a[:]*.b", wishes.cwd / folder)
    assert Wishes(cwd=Path("/")).fetch(written_fetch(*fetch)) == fetch


@pytest.mark.parametrize(
    ("name", "said"),
    [(os.fsdecode(b"odd\xff"), "give it another name with --upload PATH:NAME"), ("/", "whole machine")],
)
def test_an_upload_whose_name_no_task_could_have(wishes: Wishes, name: str, said: str) -> None:
    if name != "/":
        (wishes.cwd / name).touch()
        assert wishes.upload(f"{name}:even").name == "even"
    with pytest.raises(InvalidRequest, match=said):
        wishes.upload(name)


@pytest.mark.parametrize(
    "text", ["x" * 10_000, "data.csv:" + "x" * 10_000, "x/" * 5_000], ids=["a name", "another name", "a path"]
)
def test_a_long_upload_is_cut_in_its_error(wishes: Wishes, text: str) -> None:
    with pytest.raises((InvalidRequest, NotFound)) as refused:
        wishes.upload(text)
    assert len(refused.value.message) < 400
