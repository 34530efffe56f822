"""Nothing outside a folder is touched, whatever others do in it meanwhile."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound, OpsconsoleError
from opsconsole_protocol.host.content.beneath import Beneath
from tests.protocol.content.test_path import ATTACKS


@pytest.fixture
def beneath(tmp_path: Path) -> Iterator[Beneath]:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").write_bytes(b"inside")
    (top / "link").symlink_to("../outside")
    (top / "a" / "file link").symlink_to("../../outside/secret")
    with Beneath(top) as one:
        yield one


def test_a_file_inside_is_opened(beneath: Beneath) -> None:
    descriptor = beneath.open_file(b"a/b/file")
    assert os.read(descriptor, 10) == b"inside"
    os.close(descriptor)
    assert beneath.names(b"a/b") == [b"file"]
    assert beneath.status(b"a/c") is None
    assert beneath.status(b"c/d") is None


@pytest.mark.parametrize(
    "path",
    [path for name, path in ATTACKS.items() if name != "empty"],
    ids=[name for name in ATTACKS if name != "empty"],
)
def test_a_path_that_leads_out_is_refused_everywhere(beneath: Beneath, path: bytes) -> None:
    for use in (
        beneath.open_file,
        beneath.open_to_write,
        beneath.create,
        beneath.folder,
        beneath.make_folder,
        beneath.remove,
    ):
        with pytest.raises(OpsconsoleError):
            use(path)


@pytest.mark.parametrize("path", [b"link/secret", b"link", b"a/file link", b"a/b/file/x", b"link/new"])
def test_symlinks_are_not_followed(beneath: Beneath, path: bytes, tmp_path: Path) -> None:
    for use in (beneath.open_file, beneath.open_to_write):
        with pytest.raises((Conflict, NotFound)):
            use(path)
    with pytest.raises((Conflict, FileExistsError)):
        beneath.create(path)
    assert [one.name for one in (tmp_path / "outside").iterdir()] == ["secret"]


def test_a_symlink_is_removed_and_not_what_it_leads_to(beneath: Beneath, tmp_path: Path) -> None:
    beneath.remove(b"link")
    beneath.remove(b"a")
    beneath.remove(b"nothing")
    assert (tmp_path / "outside" / "secret").read_bytes() == b"secret"
    assert list((tmp_path / "top").iterdir()) == []


def test_what_is_no_file_is_neither_waited_for_nor_opened(beneath: Beneath, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "top" / "fifo")
    for use in (beneath.open_file, beneath.open_to_write):
        with pytest.raises(Conflict):
            use(b"fifo")
        with pytest.raises((Conflict, OSError)):
            use(b"a")


def test_a_name_that_the_disk_does_not_take_is_refused(beneath: Beneath) -> None:
    with pytest.raises(InvalidRequest):
        beneath.open_file(b"a" * 256)


def test_a_symlink_raced_in_is_not_followed(beneath: Beneath, tmp_path: Path) -> None:
    """A folder is swapped for a symlink, over and over: what is read is from inside, or nothing is."""
    top = tmp_path / "top"
    (top / "spare").symlink_to("../outside")
    (tmp_path / "outside" / "b").mkdir()
    (tmp_path / "outside" / "b" / "file").write_bytes(b"outside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (top / "a").rename(top / "away")
            (top / "spare").rename(top / "a")
            (top / "a").rename(top / "spare")
            (top / "away").rename(top / "a")

    thread = threading.Thread(target=swap)
    thread.start()
    seen = {"inside": 0, "refused": 0}
    try:
        for _ in range(100_000):
            with Beneath(top) as fresh:
                try:
                    descriptor = fresh.open_file(b"a/b/file")
                except (Conflict, NotFound):
                    seen["refused"] += 1
                else:
                    assert os.read(descriptor, 10) == b"inside"
                    os.close(descriptor)
                    seen["inside"] += 1
            if min(seen.values()) >= 50:
                break
    finally:
        stop.set()
        thread.join()
    assert min(seen.values()) >= 1


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with Beneath(tmp_path) as beneath:
        beneath.folder(b"a/b")
        beneath.below(b"a").close()
        with pytest.raises(NotFound):
            beneath.folder(b"a/c")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
