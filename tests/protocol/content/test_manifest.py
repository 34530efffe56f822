"""Manifests: one way to write each tree, and bounds."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.content import manifest as module
from opsconsole_protocol.content.digest import CHUNK_BYTES, chunk_digest, file_digest
from opsconsole_protocol.content.manifest import EMPTY_DIGEST, ENTRIES_MAX, Entry, EntryKind, Manifest
from opsconsole_protocol.error import InvalidRequest, LimitExceeded, OpsconsoleError, ProtocolError

FILE, FOLDER, SYMLINK = EntryKind.FILE, EntryKind.FOLDER, EntryKind.SYMLINK
SOME = chunk_digest(b"x")


def test_the_order_in_which_entries_are_given_does_not_matter() -> None:
    entries = [
        Entry(b"a/b", FILE, 0o644, 1, SOME), Entry(b"a", FOLDER, 0o700), Entry(b"a-b", SYMLINK, 0o777, target=b"a/b"),
    ]  # fmt: skip
    one, two = Manifest.make(entries), Manifest.make(reversed(entries))
    assert one.content_id == two.content_id
    assert [entry.path for entry in one.entries] == [b"a", b"a/b", b"a-b"]
    assert (one.size_bytes, one.files) == (1, 1)


def test_folders_that_are_not_named_are_added() -> None:
    manifest = Manifest.make([Entry(b"a/b/c", FILE, 0o644, 1, SOME), Entry(b"a/b/d", FILE, 0o644, 1, SOME)])
    assert [(entry.path, entry.kind) for entry in manifest.entries] == [
        (b"a", FOLDER), (b"a/b", FOLDER), (b"a/b/c", FILE), (b"a/b/d", FILE),
    ]  # fmt: skip


def test_an_empty_tree_is_a_tree() -> None:
    empty = Manifest.make([])
    assert Manifest.decode(empty.encode()).content_id == empty.content_id
    assert (empty.size_bytes, empty.files) == (0, 0)


names = st.binary(min_size=1, max_size=6).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
files = st.dictionaries(st.lists(names, min_size=1, max_size=4).map(b"/".join), st.binary(max_size=3), max_size=8)


@given(files)
def test_what_is_written_is_read(tree: dict[bytes, bytes]) -> None:
    entries = [Entry(path, FILE, 0o644, len(data), chunk_digest(data)) for path, data in tree.items()]
    try:
        manifest = Manifest.make(entries)
    except InvalidRequest:
        assert any(other.startswith(path + b"/") for path in tree for other in tree)
        return
    again = Manifest.decode(manifest.encode())
    assert again.entries == manifest.entries
    assert again.content_id == manifest.content_id
    assert {entry.path for entry in manifest.entries if entry.kind is FILE} == set(tree)


@pytest.mark.parametrize(
    "entry",
    [
        Entry(b"a", FILE, 0o644, 1, b"short"),
        Entry(b"a", FILE, 0o644, 1, EMPTY_DIGEST),
        Entry(b"a", FILE, 0o644, 0, SOME),
        Entry(b"a", FILE, 0o644, 1, SOME, b"target"),
        Entry(b"a", FILE, 0o4755, 1, SOME),
        Entry(b"a", FILE, -1, 1, SOME),
        Entry(b"a", FILE, 0o644, -1, SOME),
        Entry(b"a", FILE, 0o644, module.FILE_BYTES_MAX + 1, SOME),
        Entry(b"a", FOLDER, 0o755, 1),
        Entry(b"a", FOLDER, 0o755, 0, SOME),
        Entry(b"a", FOLDER, 0o755, target=b"b"),
        Entry(b"a", SYMLINK, 0o777, 5, target=b"b"),
        Entry(b"a", SYMLINK, 0o777),
    ],
)
def test_an_entry_that_cannot_be_is_refused_by_both_sides(entry: Entry) -> None:
    with pytest.raises(OpsconsoleError):
        Manifest.make([entry])
    with pytest.raises(ProtocolError) as refused:
        Manifest.decode(msgspec.msgpack.encode([1, [entry]]))
    assert refused.value.message.isprintable()


def test_a_manifest_that_is_written_another_way_is_refused() -> None:
    good = Manifest.make([Entry(b"a", FILE, 0o644, 1, SOME), Entry(b"b", FILE, 0o644, 1, SOME)])
    plain = msgspec.msgpack.decode(good.encode())
    assert msgspec.msgpack.encode(plain) == good.encode()
    version, entries = plain
    for other in (
        [2, entries], [version, entries[::-1]], [version, entries, 1], [version, [*entries, entries[0]]],
        [version, [[*entries[0], b""]]], [version, [entries[0][:3]]], {"version": 1}, [True, entries], [1.0, entries],
    ):  # fmt: skip
        with pytest.raises(ProtocolError):
            Manifest.decode(msgspec.msgpack.encode(other))
    with pytest.raises(ProtocolError):
        Manifest.decode(good.encode() + b"\0")
    wide = good.encode().replace(b"\x96", b"\xdc\x00\x06", 1)  # the same list, its length in two bytes
    with pytest.raises(ProtocolError, match="one way"):
        Manifest.decode(wide)


def test_a_million_entries_are_refused_before_they_are_read() -> None:
    one = msgspec.msgpack.encode(Entry(b"a", FILE, 0o644, 1, SOME))
    hostile = b"\x92\x01\xdd" + (1_000_000).to_bytes(4, "big") + one * 1_000_000
    with pytest.raises(ProtocolError, match="length <= 500000"):
        Manifest.decode(hostile)
    with pytest.raises(ProtocolError, match="length <= 500000"):
        Manifest.decode(hostile[:1_000])  # it is its head that is refused
    with pytest.raises(LimitExceeded, match="archive"):
        Manifest.make(Entry(b"%d" % number, FILE, 0o644, 1, SOME) for number in range(ENTRIES_MAX + 1))


def test_bounds_of_all_bytes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry(b"%d" % number, FILE, 0o644, module.FILE_BYTES_MAX, SOME) for number in range(17)]
    with pytest.raises(LimitExceeded):
        Manifest.make(entries)
    monkeypatch.setattr(module, "MANIFEST_BYTES_MAX", 100)
    with pytest.raises(LimitExceeded, match="archive"):
        Manifest.make(entries[:10])
    with pytest.raises(ProtocolError):
        Manifest.decode(b"x" * 101)


def test_the_hash_of_a_list_of_hashes_is_not_that_of_a_file() -> None:
    """Else a file that holds the hashes of another's chunks could be taken for it."""
    leaves = [chunk_digest(b"a"), chunk_digest(b"b")]
    assert file_digest(leaves) != chunk_digest(b"".join(leaves))
    assert file_digest([SOME]) == SOME


@pytest.mark.parametrize(
    ("size", "is_large", "chunks"),
    [(0, False, 1), (1, False, 1), (CHUNK_BYTES, False, 1), (CHUNK_BYTES + 1, True, 2), (2 * CHUNK_BYTES, True, 2)],
)
def test_how_many_chunks_a_file_has(size: int, is_large: bool, chunks: int) -> None:
    entry = Entry(b"a", FILE, 0o644, size, SOME)
    assert (entry.is_large, entry.chunks) == (is_large, chunks)
