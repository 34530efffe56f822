"""What a job brings along: hashed, sent where it is lacking, offered where it is too large."""

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opsconsole.client import Client
from opsconsole.transfer import history, pending
from opsconsole.transfer.packing import Packed, note, pack, provisional
from opsconsole.transfer.row import TransferKind, TransferPhase
from opsconsole.transfer.this_host import this_host
from opsconsole.transfer.wish import Wishes
from opsconsole_protocol.content.error import ContentChanged
from opsconsole_protocol.error import InvalidRequest, LimitExceeded, NotFound, OpsconsoleError
from opsconsole_protocol.host.content.scan import scan
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.stream.message import KeepContent
from tests.client.fake_server import FakeServer
from tests.client.transfer.far_end import FarEnd

JOB = JobId("aaaaaaaaaa")


@pytest.fixture
async def client(server: FakeServer) -> AsyncIterator[Client]:
    async with await Client.open(server.target) as client:
        yield client


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    (folder / "code" / "lib").mkdir(parents=True)
    (folder / "code" / "train.py").write_text("print()")
    (folder / "code" / "lib" / "run.sh").write_text("echo")
    (folder / "code" / "lib" / "run.sh").chmod(0o755)
    (folder / "data.csv").write_text("1,2,3")
    (folder / "images").mkdir()
    (folder / "images" / "a.png").write_bytes(b"png")
    return folder


async def packed(client: Client, wishes: Wishes) -> tuple[Packed, list[str]]:
    said: list[str] = []
    return await pack(client, wishes, tell=said.append), said


async def test_the_second_time_nothing_is_sent(client: Client, far: FarEnd, here: Path) -> None:
    wishes = Wishes(uploads=("data.csv", "images:pictures"), bundle=Path("code"), cwd=here)
    first, said = await packed(client, wishes)
    assert said == [
        "bundle 2 files 11 B (11 B sent)",
        "upload data.csv, 5 B (5 B sent)",
        "upload pictures/, 1 file, 3 B (3 B sent)",
    ]
    assert [one.name for one in first.uploads] == ["data.csv", "pictures"]
    assert [one.is_folder for one in first.uploads] == [False, True]
    assert first.bundle is not None
    assert (first.bundle.folder, first.bundle.commit, first.bundle.files) == ("code", "", 2)
    trees = [(first.bundle.content_id, first.bundle.files), *((one.content_id, one.files) for one in first.uploads)]
    for content_id, files in trees:
        assert scan(far.store.open(content_id).path).files == files
    again, said = await packed(client, wishes)
    assert again == first
    assert [line.rpartition(" (")[2] for line in said] == ["nothing to send)"] * 3
    assert [purpose.content_id for purpose, _, _ in far.asked if isinstance(purpose, KeepContent)] == [
        first.bundle.content_id, *(one.content_id for one in first.uploads)
    ]  # fmt: skip
    assert [row.kind for row in history.read(9)] == [TransferKind.UPLOAD] * 3


async def test_an_upload_that_fails_is_listed_with_the_reason(client: Client, far: FarEnd, here: Path) -> None:
    far.store = ContentStore(here / "small", 4)
    with pytest.raises(LimitExceeded, match="the other end stopped: "):
        await packed(client, Wishes(uploads=("data.csv",), cwd=here))
    [row] = history.read(9)
    assert (row.phase, row.title) == (TransferPhase.FAILED, "data.csv")
    assert row.error.startswith("the other end stopped: the tree has ")


async def test_a_file_is_a_tree_with_one_entry_of_the_uploads_name(client: Client, far: FarEnd, here: Path) -> None:
    found, _ = await packed(client, Wishes(uploads=("data.csv:points.csv",), cwd=here))
    tree = far.store.open(found.uploads[0].content_id).path
    assert (tree / "points.csv").read_text() == "1,2,3"


async def test_what_the_coordinator_doesnt_take_is_offered_from_here(client: Client, far: FarEnd, here: Path) -> None:
    far.keep_bytes_max = 4
    wishes = Wishes(uploads=("data.csv",), fetches=("models/*:out",), cwd=here)
    found, said = await packed(client, wishes)
    (upload,) = found.uploads
    assert said == ["upload data.csv, 5 B (goes to the worker once it is known)"]
    assert (upload.host, upload.host_id) == this_host()
    assert far.asked == []
    written = await note(client, JOB, found, wishes, found.put_into(JobSpec(command=("true",))), said.append)
    (offer,) = pending.offers("store")
    (fetch,) = pending.fetches("store", JOB)
    assert written == [offer, fetch]
    assert (offer.path, offer.name, offer.job_ids) == (os.fsencode(here / "data.csv"), "data.csv", (JOB,))
    assert (fetch.pattern, fetch.folder) == ("models/*", os.fsencode(here / "out"))
    clone = JobId("bbbbbbbbbb")
    await note(client, clone, Packed(), Wishes(), found.put_into(JobSpec(command=("true",))), said.append)
    assert pending.offers()[0].job_ids == (JOB, clone)
    pending.release(offer, JOB)
    assert pending.offers()[0].job_ids == (clone,)
    pending.release(offer, clone)
    assert pending.offers() == []
    assert await note(client, clone, Packed(), Wishes(), found.put_into(JobSpec(command=("true",))), said.append) == []
    (line,) = said[1:]
    assert line.startswith("data.csv isn't offered from here any more: ")


async def test_code_that_is_too_large_to_be_kept_is_refused(client: Client, far: FarEnd, here: Path) -> None:
    far.keep_bytes_max = 4
    with pytest.raises(LimitExceeded, match="has 11 B, more than the coordinator keeps"):
        await packed(client, Wishes(bundle=Path("code"), cwd=here))
    with pytest.raises(LimitExceeded, match=r"has 11 B, more than 9 B; the largest: train.py 7 B, lib/run.sh 4 B"):
        await packed(client, Wishes(bundle=Path("code"), bundle_bytes_max=9, cwd=here))


async def test_it_is_said_which_wish_is_next_so_that_a_refusal_is_about_one(
    client: Client, far: FarEnd, here: Path
) -> None:
    (here / "images" / "out.png").symlink_to("../data.csv")
    for name, wishes in (
        ("bundle", Wishes(uploads=("data.csv",), bundle=Path("code"), bundle_bytes_max=3, cwd=here)),
        ("uploads", Wishes(uploads=("data.csv", "images"), bundle=Path("code"), cwd=here)),
    ):
        begun: list[str] = []
        with pytest.raises(OpsconsoleError):
            await pack(client, wishes, tell=lambda line: None, on_wish=begun.append)  # noqa: ARG005
        assert begun[-1] == name


async def test_a_link_that_leads_out_of_the_code_is_refused(client: Client, far: FarEnd, here: Path) -> None:
    (here / "code" / "data").symlink_to("../data.csv")
    with pytest.raises(InvalidRequest, match=r"'data' leads out of the tree, to '../data.csv'"):
        await packed(client, Wishes(bundle=Path("code"), cwd=here))


async def test_a_file_that_changes_while_it_is_sent_is_looked_at_again(
    client: Client, far: FarEnd, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, changes = far.move, iter(("4,5,6", "7,8,9"))

    def change(*args: object, **kwargs: object) -> object:
        text = next(changes, None)
        if text is not None:
            (here / "data.csv").write_text(text)
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("opsconsole_protocol.host.stream.transfer.move", change)
    found, _ = await packed(client, Wishes(uploads=("data.csv",), cwd=here))
    assert (far.store.open(found.uploads[0].content_id).path / "data.csv").read_text() == "7,8,9"


async def test_a_file_that_changes_all_the_time_is_refused(
    client: Client, far: FarEnd, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, numbers = far.move, iter(range(100))

    def change(*args: object, **kwargs: object) -> object:
        (here / "data.csv").write_text(str(next(numbers)))
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("opsconsole_protocol.host.stream.transfer.move", change)
    with pytest.raises(ContentChanged, match=r"data\.csv"):
        await packed(client, Wishes(uploads=("data.csv",), cwd=here))


def commit(folder: Path) -> None:
    for words in (("init", "-q"), ("add", "."), ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x")):
        subprocess.run(("git", *words), cwd=folder, check=True)


async def test_the_commit_is_named(client: Client, far: FarEnd, here: Path) -> None:
    commit(here / "code")
    found, _ = await packed(client, Wishes(bundle=Path("code"), cwd=here))
    assert found.bundle is not None
    assert len(found.bundle.commit) == 40
    assert not found.bundle.dirty


def test_mistakes_are_found_before_anything_is_looked_at(here: Path) -> None:
    found = provisional(Wishes(uploads=("data.csv",), bundle=Path("code"), cwd=here))
    assert found.put_into(JobSpec(command=("true",))).uploads[0].name == "data.csv"
    for wishes, words in (
        (Wishes(uploads=("none",), cwd=here), "there is no file or folder 'none' here"),
        (Wishes(uploads=("data.csv", "images:data.csv"), cwd=here), "two uploads are called 'data.csv'"),
        (Wishes(uploads=("data.csv:a/b",), cwd=here), "contains a folder"),
        (Wishes(bundle=Path("none"), cwd=here), "there is no such folder"),
        (Wishes(fetches=("../x",), cwd=here), "--fetch ../x: the pattern '../x' leads out"),
    ):
        with pytest.raises((InvalidRequest, NotFound), match=words):
            provisional(wishes)
