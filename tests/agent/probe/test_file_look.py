"""Files below a folder as they are looked at: nothing outside is ever touched."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_agent.probe import file_child
from opsconsole_agent.probe.file_look import FileLook, FilePlace
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.file_listing import FileEntry, FileKind, FilePage, FileQuery, FileSort, PartQuery, mode_words
from opsconsole_protocol.host.content.arriving import INCOMING_PREFIX
from opsconsole_protocol.stream.message import FileRoot, RootKind

ROOT = FileRoot(kind=RootKind.MOUNT, mount="lab")
LOOK = FileLook()


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A mount with something in it, and something beside it."""
    folder = tmp_path / "lab"
    (folder / "runs" / "7").mkdir(parents=True)
    (folder / "b.txt").write_text("bb")
    (folder / "a.txt").write_text("a")
    (folder / "runs" / "7" / "Model.pt").write_bytes(bytes(1_000))
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    return folder


def listed(lab: Path, folder: bytes = b"", look: FileLook = LOOK, **query: object) -> FilePage:
    return look.list_files(FilePlace(str(lab)), FileQuery(root=ROOT, folder=folder, **query))  # type: ignore[arg-type]


def names(page: FilePage) -> list[bytes]:
    return [entry.name for entry in page.entries]


def refused(lab: Path, folder: bytes) -> OpsconsoleError:
    with pytest.raises(OpsconsoleError) as error:
        listed(lab, folder)
    return error.value


# --- folders ---------------------------------------------------------------------------------------------------


def test_a_folder(lab: Path) -> None:
    os.utime(lab / "a.txt", ns=(0, 1_700_000_000_123_456_789))
    (lab / "a.txt").chmod(0o640)
    page = listed(lab)
    assert names(page) == [b"runs", b"a.txt", b"b.txt"]
    assert page.entries[1] == FileEntry(b"a.txt", FileKind.FILE, 1, 1_700_000_000_123, 0o640)
    assert page.entries[0].kind is FileKind.FOLDER
    assert (page.total, page.more, page.truncated, page.path) == (3, False, False, str(lab))
    assert listed(lab, b"runs/7").path == f"{lab}/runs/7"


def test_what_is_only_arriving_is_not_there_yet(lab: Path) -> None:
    assert os.fsencode(file_child._INCOMING_PREFIX) == INCOMING_PREFIX
    half = lab / "runs" / f"{file_child._INCOMING_PREFIX}7486"
    half.mkdir()
    (half / "b.txt").write_text("h")
    assert names(listed(lab, b"runs")) == [b"7"]
    assert names(listed(lab, pattern="b.txt")) == [b"b.txt"]


@pytest.mark.parametrize(
    ("sort", "descending", "expected"),
    [
        (FileSort.NAME, False, [b"runs", b"a.txt", b"b.txt"]),
        (FileSort.NAME, True, [b"runs", b"b.txt", b"a.txt"]),
        (FileSort.SIZE, False, [b"runs", b"a.txt", b"b.txt"]),
        (FileSort.SIZE, True, [b"b.txt", b"a.txt", b"runs"]),
        (FileSort.TIME, False, [b"b.txt", b"runs", b"a.txt"]),
        (FileSort.TIME, True, [b"a.txt", b"runs", b"b.txt"]),
    ],
)
def test_orders(lab: Path, sort: FileSort, descending: bool, expected: list[bytes]) -> None:
    for name, at_s in (("b.txt", 1), ("runs", 2), ("a.txt", 3)):
        os.utime(lab / name, (at_s, at_s))
    assert names(listed(lab, sort=sort, descending=descending)) == expected


def test_pages(lab: Path) -> None:
    for number in range(25):
        (lab / "runs" / f"{number:02}").touch()
    seen: list[bytes] = []
    while True:
        page = listed(lab, b"runs", offset=len(seen), limit=10)
        seen += names(page)
        assert page.total == 26
        if not page.more:
            break
    assert seen == [b"7", *(b"%02d" % number for number in range(25))]
    assert listed(lab, b"runs", offset=26, limit=10).entries == ()


def test_names_that_are_no_text(lab: Path) -> None:
    odd = [b"\xff\xfe", b"new\nline", b" ", b"a'b\"c", "\u202egnp.exe".encode(), b"\x1b[2J", b"x" * 255]
    for name in odd:
        Path(os.fsdecode(os.path.join(os.fsencode(lab), b"runs", name))).touch()  # noqa: PTH118
    assert set(names(listed(lab, b"runs"))) == {b"7", *odd}
    Path(os.fsdecode(os.fsencode(lab) + b"/\xffdir")).mkdir()
    page = listed(lab, b"\xffdir")
    assert (page.entries, page.path) == ((), f"{lab}/\ufffddir")


def test_an_empty_folder(lab: Path) -> None:
    (lab / "none").mkdir()
    assert listed(lab, b"none") == FilePage(path=f"{lab}/none")


def test_a_page_of_long_names_ends_earlier_and_goes_on(lab: Path) -> None:
    for number in range(999):
        (lab / "runs" / f"{number:03}{'é' * 126}").touch()
    first = listed(lab, b"runs", limit=1_000)
    assert first.more
    rest = listed(lab, b"runs", limit=1_000, offset=len(first.entries))
    assert not rest.more
    assert len(set(names(first) + names(rest))) == 1_000


def test_a_folder_that_is_too_large_is_listed_as_far_as_there_is_time(lab: Path) -> None:
    for number in range(2_000):
        (lab / "runs" / str(number)).touch()
    page = listed(lab, b"runs", FileLook(budget_s=0.0), limit=10)
    assert page.truncated
    assert 0 < page.total < 2_000
    assert len(page.entries) == 10


def test_only_what_is_regular_is_a_file(lab: Path) -> None:
    os.mkfifo(lab / "runs/fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(lab / "runs/socket"))
        entries = listed(lab, b"runs").entries
    assert {entry.name: entry.kind for entry in entries} == {
        b"7": FileKind.FOLDER, b"fifo": FileKind.OTHER, b"socket": FileKind.OTHER
    }  # fmt: skip
    assert [mode_words(one.kind, one.mode, one.special)[0] for one in entries] == ["d", "p", "s"]


# --- links, and ways out -----------------------------------------------------------------------------------------


def test_links(lab: Path, tmp_path: Path) -> None:
    for name, target in {
        "to-folder": "runs",
        "to-file": "a.txt",
        "whole": str(lab / "runs"),
        "around": "runs/7/../../a.txt",
        "nowhere": "gone",
        "circle": "circle",
        "out": "../secret",
        "whole-out": str(tmp_path / "secret"),
        "up": "..",
        "slash": "/",
    }.items():
        (lab / name).symlink_to(target)
    leads = {entry.name.decode(): entry.leads_to for entry in listed(lab).entries if entry.kind is FileKind.LINK}
    assert leads == {
        "to-folder": FileKind.FOLDER, "to-file": FileKind.FILE, "whole": FileKind.FOLDER, "around": FileKind.FILE,
        "nowhere": None, "circle": None, "out": None, "whole-out": None, "up": None, "slash": None,
    }  # fmt: skip
    assert names(listed(lab, b"to-folder/7")) == names(listed(lab, b"whole/7")) == [b"Model.pt"]
    assert read(lab, b"around") == b"a"


def test_a_mount_that_is_itself_a_link(lab: Path, tmp_path: Path) -> None:
    (tmp_path / "seen-as").symlink_to("lab")
    (lab / "whole").symlink_to(lab / "runs")
    (lab / "as-seen").symlink_to(tmp_path / "seen-as" / "runs")
    for name in (b"whole", b"as-seen"):
        assert names(listed(tmp_path / "seen-as", name)) == [b"7"]


@pytest.mark.parametrize(
    "path",
    [
        b"..", b"../secret", b"runs/../../secret", b"/", b"/etc", b"runs/", b"runs//7", b".", b"./runs", b"a\0b",
        b"x/" * 2_100 + b"x",
    ],
)  # fmt: skip
def test_paths_that_lead_nowhere_below(lab: Path, path: bytes) -> None:
    for error in (refused(lab, path), not_read(lab, path)):
        assert isinstance(error, InvalidRequest)
        assert "is no path below its folder: leave out .. and begin without /" in error.message
        assert "\n" not in error.message


@pytest.mark.parametrize("link", ["../secret", "{tmp}/secret", "/", "..", "/proc/self/root", "runs/../../secret"])
def test_links_that_lead_out(lab: Path, tmp_path: Path, link: str) -> None:
    (lab / "out").symlink_to(link.format(tmp=tmp_path))
    for path in (b"out", b"out/key", b"out/secret/key", b"out/etc/passwd"):
        for error in (refused(lab, path), not_read(lab, path)):
            assert "is a link that leads out of its folder" in error.message


def test_a_link_in_circles(lab: Path) -> None:
    (lab / "one").symlink_to("two")
    (lab / "two").symlink_to("one")
    assert "leads in circles" in refused(lab, b"one").message


def test_strict_parts_may_not_be_links(lab: Path, tmp_path: Path) -> None:
    query = FileQuery(root=ROOT)
    assert names(LOOK.list_files(FilePlace(str(lab), ("runs", "7")), query)) == [b"Model.pt"]
    (lab / "runs" / "8").symlink_to("7")
    (lab / "out").symlink_to(tmp_path / "secret")
    for strict in (("runs", "8"), ("out",), ("gone",), ("a.txt",)):
        with pytest.raises(NotFound, match=r"the folder is not there \(any more\)"):
            LOOK.list_files(FilePlace(str(lab), strict), query)


def test_nothing_leads_out_of_strict_parts(lab: Path) -> None:
    (lab / "runs" / "up").symlink_to("../a.txt")
    (lab / "runs" / "in").symlink_to(lab / "runs" / "7")
    place = FilePlace(str(lab), ("runs",))
    with pytest.raises(Conflict, match="up is a link that leads out"):
        LOOK.read_part(place, PartQuery(root=ROOT, path=b"up"))
    assert names(LOOK.list_files(place, FileQuery(root=ROOT, folder=b"in"))) == [b"Model.pt"]


def test_links_may_lead_into_one_other_folder(lab: Path, tmp_path: Path) -> None:
    trees = tmp_path / "trees"
    (trees / "one" / "below").mkdir(parents=True)
    (trees / "one" / "data.csv").write_text("1,2")
    (trees / "one" / "up").symlink_to("../../secret/key")
    (trees / "one" / "over").symlink_to("below/../data.csv")
    (lab / "data").symlink_to(trees / "one")
    (lab / "file").symlink_to(trees / "one" / "data.csv")
    (lab / "secret").symlink_to(tmp_path / "secret")
    place = FilePlace(str(lab), also=str(trees))
    entries = {entry.name: entry for entry in LOOK.list_files(place, FileQuery(root=ROOT)).entries}
    assert (entries[b"data"].leads_to, entries[b"secret"].leads_to) == (FileKind.FOLDER, None)
    assert (entries[b"file"].leads_to, entries[b"file"].size) == (FileKind.FILE, 3)
    assert names(LOOK.list_files(place, FileQuery(root=ROOT, folder=b"data"))) == [
        b"below",
        b"data.csv",
        b"over",
        b"up",
    ]
    for path in (b"file", b"data/data.csv", b"data/over"):
        assert LOOK.read_part(place, PartQuery(root=ROOT, path=path)).data == b"1,2"
    for path in (b"data/up", b"secret/key"):
        with pytest.raises(Conflict, match="leads out of its folder"):
            LOOK.read_part(place, PartQuery(root=ROOT, path=path))
    with pytest.raises(Conflict, match="leads out of its folder"):
        LOOK.read_part(FilePlace(str(lab)), PartQuery(root=ROOT, path=b"file"))


def test_a_start_below(lab: Path) -> None:
    place = FilePlace(str(lab), (), "runs")
    assert names(LOOK.list_files(place, FileQuery(root=ROOT))) == [b"7"]
    assert names(LOOK.list_files(place, FileQuery(root=ROOT, folder=b"7"))) == [b"Model.pt"]
    assert place.path == f"{lab}/runs"


def test_what_is_not_there(lab: Path) -> None:
    assert refused(lab, b"gone").message == "gone is not there (any more)"
    assert refused(lab, b"a.txt/x").message == "x is not there (any more)"
    assert refused(lab, b"a.txt").message == "a.txt is a file, not a folder"
    assert refused(lab, b"x" * 300).message.endswith("has a name that no file can have")
    assert refused(lab, b"a\nb").message == "a\ufffdb is not there (any more)"
    assert isinstance(refused(lab / "gone", b""), NotFound)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_as_another_user(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    for above in tmp_path.parents[:-1]:
        if above.stat().st_uid == os.geteuid() and above.name.startswith(("pytest", "popen")):
            above.chmod(0o711)
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    (folder / "a").touch()
    look = FileLook((65534, 65534, []))
    with pytest.raises(Conflict, match=r"can't be read by the worker \(Permission denied\)"):
        look.list_files(FilePlace(str(folder)), FileQuery(root=ROOT))
    folder.chmod(0o755)
    assert names(look.list_files(FilePlace(str(folder)), FileQuery(root=ROOT))) == [b"a"]


# --- search ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("model", [b"runs/7/Model.pt"]),
        ("*.PT", [b"runs/7/Model.pt"]),
        ("*.txt", [b"a.txt", b"b.txt"]),
        ("runs/*/m*", [b"runs/7/Model.pt"]),
        ("7/mod", [b"runs/7/Model.pt"]),
        ("[ab].txt", [b"a.txt", b"b.txt"]),
        ("7", [b"runs/7"]),
        ("nothing", []),
        ("(a+)+$", []),
    ],
)
def test_a_search(lab: Path, pattern: str, found: list[bytes]) -> None:
    page = listed(lab, pattern=pattern)
    assert (names(page), page.total, page.truncated) == (found, len(found), False)


def test_a_search_below_a_folder_is_ordered_and_paged(lab: Path) -> None:
    for number in range(5):
        (lab / "runs" / f"{number}.log").write_bytes(bytes(9 - number))
    page = listed(lab, b"runs", pattern=".log", sort=FileSort.SIZE, limit=2)
    assert (names(page), page.more, page.total) == ([b"4.log", b"3.log"], True, 5)
    last = listed(lab, b"runs", pattern=".log", sort=FileSort.SIZE, limit=2, offset=4)
    assert (names(last), last.more) == ([b"0.log"], False)


def test_a_search_enters_no_link(lab: Path, tmp_path: Path) -> None:
    (lab / "out").symlink_to(tmp_path / "secret")
    (lab / "again").symlink_to("runs")
    assert names(listed(lab, pattern="key")) == []
    assert names(listed(lab, pattern="model")) == [b"runs/7/Model.pt"]


def test_a_search_leaves_off_in_time(lab: Path) -> None:
    for number in range(2_000):
        (lab / "runs" / f"{number}.log").touch()
    page = listed(lab, b"", FileLook(budget_s=0.0), pattern=".log")
    assert page.truncated
    assert page.total < 2_000


def test_a_search_has_an_end(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (lab / "runs" / f"{number}.log").touch()
    search = {"sort": "name", "descending": False, "offset": 0, "limit": 100, "budget_s": 60.0}
    monkeypatch.setattr(file_child, "SEARCH_HITS_MAX", 10)
    found = file_child.search_folder(str(lab), (), "", pattern="log", **search)  # type: ignore[arg-type]
    assert (found["total"], found["truncated"]) == (10, True)
    monkeypatch.setattr(file_child, "SEARCH_ENTRIES_MAX", 20)
    found = file_child.search_folder(str(lab), (), "", pattern="nothing", **search)  # type: ignore[arg-type]
    assert (found["total"], found["truncated"]) == (0, True)


# --- files -------------------------------------------------------------------------------------------------------


def read(lab: Path, path: bytes, offset: int = 0, limit: int = 100) -> bytes:
    return LOOK.read_part(FilePlace(str(lab)), PartQuery(root=ROOT, path=path, offset=offset, limit=limit)).data


def not_read(lab: Path, path: bytes) -> OpsconsoleError:
    with pytest.raises(OpsconsoleError) as error:
        read(lab, path)
    return error.value


def test_a_piece_of_a_file(lab: Path) -> None:
    (lab / "data").write_bytes(bytes(range(256)))
    assert read(lab, b"data", 250, 100) == bytes(range(250, 256))
    assert read(lab, b"data", 0, 3) == b"\0\1\2"
    assert read(lab, b"data", 256) == read(lab, b"data", 10**15) == b""
    part = LOOK.read_part(FilePlace(str(lab)), PartQuery(root=ROOT, path=b"data", limit=1))
    assert (part.size, part.path, part.mtime_ms) == (256, f"{lab}/data", (lab / "data").stat().st_mtime_ns // 1_000_000)


def test_a_sparse_file_of_a_terabyte(lab: Path) -> None:
    with (lab / "huge").open("wb") as file:
        file.truncate(1 << 40)
    part = LOOK.read_part(FilePlace(str(lab)), PartQuery(root=ROOT, path=b"huge", offset=(1 << 40) - 2))
    assert (part.data, part.size) == (b"\0\0", 1 << 40)


def test_the_largest_piece(lab: Path) -> None:
    content = os.urandom(300_000)
    (lab / "data").write_bytes(content)
    part = LOOK.read_part(FilePlace(str(lab)), PartQuery(root=ROOT, path=b"data"))
    assert part.data == content[: 256 * 1024]


def test_only_regular_files_are_read(lab: Path) -> None:
    os.mkfifo(lab / "fifo")
    assert not_read(lab, b"fifo").message == "fifo is not a regular file"
    assert not_read(lab, b"runs").message == "runs is a folder, not a file"
    assert not_read(lab, b"").message == "the folder is a folder, not a file"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a device")
def test_no_device_is_opened(lab: Path) -> None:
    os.mknod(lab / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    assert not_read(lab, b"zero").message == "zero is not a regular file"


# --- mounts that hang --------------------------------------------------------------------------------------------


@pytest.fixture
def hanging_program(tmp_path: Path) -> Iterator[Path]:
    """Stands in for what touches a hung mount, for as long as the test lasts."""
    program, marker = tmp_path / "hang.py", tmp_path / "hung"
    program.write_text(
        f"import os, time\nopen({str(tmp_path / 'starts')!r}, 'a').write('x')\n"
        f"while os.path.exists({str(marker)!r}): time.sleep(0.02)\n",
        encoding="utf-8",
    )
    marker.touch()
    yield program
    marker.unlink()


def test_a_mount_that_hangs_is_given_up_on(lab: Path, hanging_program: Path, tmp_path: Path) -> None:
    look = FileLook(timeout_s=0.5, program=hanging_program)
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"did not answer within 0\.5 s \(is the mount hung\?\)"):
            listed(lab, b"", look)
    with pytest.raises(Unavailable):
        look.read_part(FilePlace(str(lab)), PartQuery(root=ROOT, path=b"a.txt"))


def test_a_child_that_fails(lab: Path, tmp_path: Path) -> None:
    program = tmp_path / "broken.py"
    program.write_text("raise SystemExit(3)", encoding="utf-8")
    with pytest.raises(Unavailable, match="could not be looked at: the check itself failed with exit code 3"):
        listed(lab, b"", FileLook(program=program))
