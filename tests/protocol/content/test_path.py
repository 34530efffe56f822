"""Which paths a tree may have: a table of attacks."""

import pytest

from opsconsole_protocol.content.manifest import EMPTY_DIGEST, Entry, EntryKind, Manifest
from opsconsole_protocol.content.path import check_path, check_target, shown, tree_order
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError, ProtocolError


def file(path: bytes) -> Entry:
    return Entry(path, EntryKind.FILE, 0o644, 0, EMPTY_DIGEST)


ATTACKS = {
    "empty": b"",
    "absolute": b"/etc/passwd",
    "up": b"../../etc/passwd",
    "up in the middle": b"a/../../etc/passwd",
    "up at the end": b"a/..",
    "only up": b"..",
    "here": b".",
    "here in the middle": b"a/./b",
    "two slashes": b"a//b",
    "slash at the end": b"a/",
    "NUL": b"a\0b",
    "only NUL": b"\0",
    "10,000 characters": b"a/" * 4_999 + b"bb",
    "one long name": b"a" * 256,
    "deep": b"/".join([b"a"] * 129),
}
FINE = [
    b"a", b"a b", b"it's \"quoted\"", b"new\nline", b"\xff\xfe", b"...", b"..a", b"a..", b"a/..b", b"-rf", b"~", b"a\\b", b"C:",
    "größe/名".encode(), b"a" * 255, b"/".join([b"a"] * 128), b"\x1b[31m",
]  # fmt: skip


@pytest.mark.parametrize("path", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_refused_in_one_short_line(path: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_path(path)
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 400
    with pytest.raises(OpsconsoleError):
        Manifest.make([file(path)])


@pytest.mark.parametrize("path", FINE, ids=repr)
def test_an_odd_name_is_a_name(path: bytes) -> None:
    check_path(path)
    manifest = Manifest.make([file(path)])
    assert Manifest.decode(manifest.encode()).entries == manifest.entries


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (b"a", b"/etc/passwd"), (b"a", b""), (b"a", b".."), (b"a", b"../a"), (b"d/a", b"../../etc"), (b"a", b"d/../../etc"),
        (b"d/a", b"x/.."), (b"a", b"b\0c"), (b"a", b"x" * 5_000), (b"d/a", b"./../../x"), (b"a", b"//x"), (b"a", b"./.."),
    ],
)  # fmt: skip
def test_a_symlink_that_may_lead_out_is_refused(path: bytes, target: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"leads out of the tree|has a target"):
        check_target(path, target)


@pytest.mark.parametrize(
    ("path", "target"),
    [(b"a", b"b"), (b"d/a", b"../b"), (b"d/e/a", b"../../b/c"), (b"d/a", b".."), (b"a", b"./b//c/.")],
)
def test_a_symlink_that_stays_inside_is_taken(path: bytes, target: bytes) -> None:
    check_target(path, target)


@pytest.mark.parametrize(
    "entries",
    [
        [file(b"a"), file(b"a/b")],
        [file(b"a"), file(b"a/b/c")],
        [Entry(b"a", EntryKind.SYMLINK, 0o777, target=b"b"), file(b"a/b")],
        [file(b"a"), file(b"a")],
        [file(b"a"), Entry(b"a", EntryKind.FOLDER, 0o755)],
        [Entry(b"a", EntryKind.FOLDER, 0o755), Entry(b"a", EntryKind.SYMLINK, 0o777, target=b"b")],
    ],
)
def test_nothing_lies_below_a_file_or_a_symlink_and_nothing_is_there_twice(entries: list[Entry]) -> None:
    with pytest.raises(InvalidRequest):
        Manifest.make(entries)


def test_all_that_lies_below_a_folder_follows_it() -> None:
    paths = [b"a", b"a/b", b"a/b/c", b"a-b", b"a.b", b"a0"]
    assert sorted(set(paths), key=tree_order) == paths


def test_a_long_path_is_shown_cut_and_on_one_line() -> None:
    assert shown(b"a\nb" * 500).isprintable()
    assert len(shown(b"\xff" * 5_000)) < 400


def test_a_refusal_of_a_peers_manifest_is_a_protocol_error() -> None:
    good = Manifest.make([file(b"ab")]).encode()
    with pytest.raises(ProtocolError, match="can't be taken"):
        Manifest.decode(good.replace(b"ab", b".."))
