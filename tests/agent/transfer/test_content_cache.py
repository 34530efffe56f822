"""The trees of a worker: fetched once for all who want them, whole or not at all, and told to the coordinator."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opsconsole_agent.transfer.content_cache import ContentCache
from opsconsole_agent.transfer.fetcher import ContentAway, Fetcher
from opsconsole_protocol.content.error import DiskFull
from opsconsole_protocol.error import LimitExceeded, NotFound, ProtocolError, Unavailable
from opsconsole_protocol.host.content.incoming import Incoming
from opsconsole_protocol.host.content.store import ContentStore, StoredTree
from opsconsole_protocol.host.transfer_thread import TransferThreads
from opsconsole_protocol.ids import AttemptId, ContentId
from opsconsole_protocol.link import Contents
from tests.agent.transfer.tree import Peer, make_tree, random_bytes
from tests.waiting import until

A, B = AttemptId("j0b0000000.0.0.aaaa"), AttemptId("j0b0000000.1.0.bbbb")
MIB = 1 << 20


class Waiting:
    """Who waits for a tree, and what it was told."""

    def __init__(self) -> None:
        self.begun = False
        self.done = 0
        self.lines: list[str] = []

    def begin(self) -> None:
        self.begun = True

    def progress(self, done: int) -> None:
        self.done = max(self.done, done)

    def tell(self, text: str) -> None:
        self.lines.append(text)


class Bench:
    """A worker's cache, and a peer that has trees."""

    def __init__(self, folder: Path, bytes_max: int = 1 << 30, away_max_s: float = 0.0) -> None:
        self.peer = Peer()
        self.told: list[Contents] = []
        self.is_connected = True
        self.store = ContentStore(folder / "content", bytes_max)
        fetcher = Fetcher(self.peer.move, TransferThreads(2), lambda: self.is_connected, away_max_s=away_max_s)
        self.cache = ContentCache(self.store, fetcher, self.told.append)

    async def obtain(self, content_id: ContentId, attempt_id: AttemptId = A) -> tuple[StoredTree, Waiting]:
        waiting = Waiting()
        return await self.cache.obtain(content_id, attempt_id, waiting), waiting


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.peer.may_go_on.set()
    await made.cache.close()


async def test_a_tree_is_fetched_once_and_told(bench: Bench, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "src", data_csv="1,2", sub__model_bin=random_bytes(9 * MIB))
    bench.peer.add(tmp_path / "src")
    bench.cache.introduce()
    found, waiting = await bench.obtain(tree.content_id)
    assert (found.path / "data.csv").read_text() == "1,2"
    assert (waiting.begun, waiting.done) == (True, tree.size_bytes)
    again, other = await bench.obtain(tree.content_id, B)
    assert again.path == found.path
    assert not other.begun
    assert len(bench.peer.asked) == 1
    assert bench.peer.asked[0].attempt_id == A
    assert bench.told == [Contents(whole=True), Contents(whole=False, added=(tree.content_id,))]


async def test_all_who_want_the_same_tree_wait_for_one_fetch(bench: Bench, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "src", a_bin=random_bytes(5 * MIB))
    bench.peer.add(tmp_path / "src")
    bench.peer.may_go_on.clear()
    both = [asyncio.create_task(bench.obtain(tree.content_id, one)) for one in (A, B)]
    await until(lambda: bool(bench.peer.asked))
    bench.peer.may_go_on.set()
    for _, waiting in await asyncio.gather(*both):
        assert waiting.begun
        assert waiting.done == tree.size_bytes
    assert len(bench.peer.asked) == 1


async def test_a_fetch_goes_on_while_somebody_waits_and_ends_with_the_last(bench: Bench, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "src", a_bin=random_bytes(5 * MIB))
    bench.peer.add(tmp_path / "src")
    bench.peer.may_go_on.clear()
    first, second = [asyncio.create_task(bench.obtain(tree.content_id, one)) for one in (A, B)]
    await until(lambda: bool(bench.peer.asked))
    first.cancel()
    await asyncio.wait([first])
    second.cancel()
    third = asyncio.create_task(bench.obtain(tree.content_id, B))
    await asyncio.wait([second])
    assert not bench.store.has(tree.content_id)
    bench.peer.may_go_on.set()
    found, _ = await third
    assert (found.path / "a.bin").stat().st_size == 5 * MIB


async def test_a_fetch_goes_on_for_others_when_the_attempt_that_it_was_for_is_cancelled(
    bench: Bench, tmp_path: Path
) -> None:
    """The coordinator gives a cancelled attempt nothing more."""
    tree = make_tree(tmp_path / "src", a_bin=random_bytes(5 * MIB))
    bench.peer.add(tmp_path / "src")
    bench.peer.cut_after = [MIB]
    bench.peer.may_go_on.clear()
    first, second = [asyncio.create_task(bench.obtain(tree.content_id, one)) for one in (A, B)]
    await until(lambda: bool(bench.peer.asked))
    first.cancel()
    await asyncio.wait([first])
    bench.peer.may_go_on.set()
    found, _ = await second
    assert (found.path / "a.bin").stat().st_size == 5 * MIB
    assert [one.attempt_id for one in bench.peer.asked] == [A, B]


async def test_an_interrupted_fetch_goes_on_where_it_was(bench: Bench, tmp_path: Path) -> None:
    bench.cache = ContentCache(
        bench.store, Fetcher(bench.peer.move, TransferThreads(2), lambda: True, away_max_s=60), bench.told.append
    )
    tree = make_tree(tmp_path / "src", a_bin=random_bytes(16 * MIB), b_txt="b")
    bench.peer.add(tmp_path / "src")
    bench.peer.cut_after = [9 * MIB, 100]
    found, waiting = await bench.obtain(tree.content_id)
    assert (found.path / "a.bin").read_bytes() == (tmp_path / "src" / "a.bin").read_bytes()
    assert len(bench.peer.asked) == 3
    assert bench.peer.sent_bytes <= 9 * MIB, "what had arrived was not sent again"
    assert "cut by the test; trying again" in waiting.lines


async def test_what_a_task_wrote_into_is_fetched_again(bench: Bench, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "src", data_csv="1,2")
    bench.peer.add(tmp_path / "src")
    found, _ = await bench.obtain(tree.content_id)
    path = found.path / "data.csv"
    path.chmod(0o600)
    path.write_text("9,9")
    again, waiting = await bench.obtain(tree.content_id, B)
    assert (again.path / "data.csv").read_text() == "1,2"
    assert any("something was written into the kept tree" in line for line in waiting.lines)
    assert bench.told[-2:] == [
        Contents(whole=False, removed=(tree.content_id,)),
        Contents(whole=False, added=(tree.content_id,)),
    ]


async def test_a_peer_that_lies_is_refused_for_good(bench: Bench, tmp_path: Path) -> None:
    make_tree(tmp_path / "src", data_csv="1,2")
    bench.peer.trees["ab" * 32] = tmp_path / "src"
    with pytest.raises(ProtocolError):
        await bench.obtain(ContentId("ab" * 32))
    assert len(bench.peer.asked) == 1


@pytest.mark.parametrize("refusal", [NotFound("nobody has it"), Unavailable("mbp-7 is not connected")])
async def test_who_is_away_is_waited_for_and_then_given_up(
    bench: Bench, tmp_path: Path, refusal: NotFound | Unavailable
) -> None:
    tree = make_tree(tmp_path / "src", data_csv="1,2")
    bench.peer.add(tmp_path / "src")
    bench.peer.refusals = [refusal] * 2
    bench.is_connected = False  # that is no time of waiting for somebody else
    found, waiting = await bench.obtain(tree.content_id)
    assert found.path.exists()
    assert waiting.lines.count(f"{refusal.message}; trying again") == 1
    bench.store.remove(tree.content_id)
    bench.is_connected = True
    bench.peer.refusals = [refusal]
    with pytest.raises(ContentAway, match=f"can't be had at the moment: {refusal.message}"):
        await bench.obtain(tree.content_id)


async def test_a_full_disk_is_said_and_leaves_nothing(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(tmp_path / "src", data_csv="1,2")
    bench.peer.add(tmp_path / "src")

    def full(*_: object) -> None:
        raise DiskFull("the receiving disk is full: make room")

    with monkeypatch.context() as patch:
        patch.setattr(Incoming, "write_files", full)
        with pytest.raises(DiskFull, match="make room"):
            await bench.obtain(tree.content_id)
    assert not bench.store.has(tree.content_id)
    assert (await bench.obtain(tree.content_id))[0].path.exists()


async def test_a_tree_that_is_too_large_for_the_cache_is_refused(tmp_path: Path) -> None:
    small = Bench(tmp_path, bytes_max=1000)
    tree = make_tree(tmp_path / "src", a_bin=random_bytes(2000))
    small.peer.add(tmp_path / "src")
    with pytest.raises(LimitExceeded):
        await small.obtain(tree.content_id)
    await small.cache.close()


async def test_what_a_live_attempt_needs_stays(tmp_path: Path) -> None:
    small = Bench(tmp_path, bytes_max=2500)
    trees = []
    for number in range(3):
        trees.append(make_tree(tmp_path / f"src{number}", a_bin=random_bytes(1000)))
        small.peer.add(tmp_path / f"src{number}")
    await small.obtain(trees[0].content_id, A)
    await small.obtain(trees[1].content_id, B)
    small.cache.release(B)
    await small.obtain(trees[2].content_id, B)
    assert set(small.store.ids()) == {trees[0].content_id, trees[2].content_id}
    small.cache.recover({B})
    assert set(small.store.holders()) == {B}
    await small.cache.close()


async def test_what_nobody_needs_can_be_cleaned_up(bench: Bench, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "src", data_csv="1,2")
    bench.peer.add(tmp_path / "src")
    await bench.obtain(tree.content_id)
    later_ms = 1 << 50
    assert bench.cache.look(later_ms) == []
    assert bench.cache.remove({f"content/{tree.content_id}"}) == []
    bench.cache.release(A)
    (found,) = bench.cache.look(later_ms)
    assert (found.name, found.bytes) == (f"content/{tree.content_id}", tree.size_bytes)
    assert found.path == str(bench.store.path(tree.content_id))
    assert bench.cache.look(found.at_ms) == []
    assert bench.cache.remove({"attempts/x"}) == []
    assert bench.cache.remove({found.name}) == [found]
    assert not bench.store.has(tree.content_id)
    await until(lambda: bench.told[-1] == Contents(whole=False, removed=(tree.content_id,)))


async def test_a_cancelled_attempt_pins_nothing_after_its_release(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(tmp_path / "src", a_txt="a")
    begun, may_pin = threading.Event(), threading.Event()
    pin = bench.store.pin

    def slowly(holder: str, content_id: ContentId) -> None:
        begun.set()
        may_pin.wait(20)
        pin(holder, content_id)

    monkeypatch.setattr(bench.store, "pin", slowly)
    task = asyncio.create_task(bench.obtain(tree.content_id))
    await until(begun.is_set)
    task.cancel()
    released = asyncio.create_task(asyncio.wait([task]))
    asyncio.get_running_loop().call_soon(may_pin.set)
    await released
    bench.cache.release(A)
    assert bench.store.holders() == {}


async def test_what_an_attempt_has_pinned_meanwhile_is_not_cleaned_away(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(tmp_path / "src", a_txt="a")
    bench.peer.add(tmp_path / "src")
    await bench.obtain(tree.content_id)
    bench.cache.release(A)
    unneeded = bench.cache._unneeded()
    monkeypatch.setattr(bench.cache, "_unneeded", lambda: unneeded)  # as it was a moment ago
    found, _ = await bench.obtain(tree.content_id, B)
    assert bench.cache.remove([f"content/{tree.content_id}"]) == []
    assert (found.path / "a.txt").read_text() == "a"
