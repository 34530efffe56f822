"""How people write what goes along and what comes back."""

from pathlib import Path

import pytest

from opsconsole.transfer.wish import WishedFetch, WishedUpload, Wishes
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
    ],
)
def test_a_fetch_is_a_pattern_and_perhaps_a_folder(wishes: Wishes, text: str, pattern: str, folder: str) -> None:
    assert wishes.fetch(text) == WishedFetch(pattern, wishes.cwd / folder)


@pytest.mark.parametrize("text", ["", "/etc/passwd", "../x", ":out", "a" * 5_000])
def test_a_fetch_that_cant_be_meant(wishes: Wishes, text: str) -> None:
    with pytest.raises(InvalidRequest, match="--fetch"):
        wishes.fetch(text)
