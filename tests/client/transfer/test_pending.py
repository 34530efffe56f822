"""What outlives a process."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from opsconsole.transfer import pending
from opsconsole.transfer.pending import PendingFetch, PendingGet, PendingOffer
from opsconsole.transfer.user_folder import record_folder
from opsconsole_protocol.error import LimitExceeded, NotFound
from opsconsole_protocol.ids import ContentId, JobId
from opsconsole_protocol.stream.message import FileRoot, RootKind

JOB = JobId("aaaaaaaaaa")


def offer(sign: str = "1", store: str = "s", at_ms: int = 1) -> PendingOffer:
    return PendingOffer(
        store_id=store, content_id=ContentId(sign * 64), path=b"/a/\xff", name="a", is_folder=False, size_bytes=1, files=1,
        job_ids=(JOB,), created_at_ms=at_ms,
    )  # fmt: skip


def fetch(pattern: str = "m", job: JobId = JOB) -> PendingFetch:
    return PendingFetch(store_id="s", job_id=job, pattern=pattern, folder=b"/b")


def test_it_is_there_until_it_is_removed() -> None:
    later, first, elsewhere = offer("2", at_ms=2), offer("1"), offer(store="t")
    for one in (later, first, elsewhere, fetch(), fetch("n"), fetch(job=JobId("bbbbbbbbbb"))):
        pending.save(one)
    assert pending.offers("s") == [first, later]
    assert len(pending.offers()) == 3
    assert {one.pattern for one in pending.fetches("s", JOB)} == {"m", "n"}
    assert pending.find(first.id[:6]) == first
    pending.remove(first)
    assert not pending.exists(first)
    with pytest.raises(NotFound, match="no transfer called"):
        pending.find(first.id)
    with pytest.raises(NotFound, match="no transfer called ''"):
        pending.find("")


def test_an_offer_for_two_jobs_is_one_offer() -> None:
    pending.save(offer())
    pending.save(
        PendingOffer(**{**{name: getattr(offer(), name) for name in offer().__struct_fields__}, "job_ids": ("b",)})
    )
    assert [one.job_ids for one in pending.offers()] == [(JOB, "b")]


def test_a_damaged_record_hides_no_other() -> None:
    pending.save(offer())
    (record_folder() / "offers" / "bad.json").write_text("{")
    (record_folder() / "offers" / "bad.json").chmod(0o600)
    assert pending.offers() == [offer()]


def test_nobody_collects_them_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "PENDING_MAX", 1)
    pending.save(offer("1"))
    pending.save(offer("1"))
    with pytest.raises(LimitExceeded, match="see `opsconsole transfers`"):
        pending.save(offer("2"))


def test_one_process_at_a_time_has_its_hands_on_it(tmp_path: Path) -> None:
    one = offer()
    with pending.claimed(one) as is_mine:
        assert not is_mine, "it was never written down"
    pending.save(one)
    program = (
        "from opsconsole.transfer import pending; from opsconsole.transfer.pending import *\n"
        "with pending.claimed(pending.offers()[0]) as mine: print(mine)"
    )

    def elsewhere() -> str:
        done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)
        return done.stdout.strip()

    with pending.claimed(one) as is_mine:
        assert is_mine
        assert elsewhere() == "False"
    assert elsewhere() == "True"
    with pending.claimed(one):
        pending.remove(one)
    assert list((record_folder() / "offers").iterdir()) == []


def a_get(**fields: object) -> PendingGet:
    return PendingGet(**{"store_id": "s", "job": JOB, "patterns": ("m/*",), "folder": b"/b/\xff", **fields})  # type: ignore[arg-type]


def test_what_is_being_got_is_there_while_it_is_and_only_then() -> None:
    one = a_get()
    with pending.kept(one):
        assert pending.gets("s") == [one]
        assert pending.interrupted() == []  # somebody is at it
        with pending.kept(a_get()):  # the same once more
            assert pending.gets("s") == [one]
        assert pending.gets("s") == [one]
    assert pending.gets() == []
    assert list((record_folder() / "gets").iterdir()) == []


def test_what_a_killed_process_was_getting_is_found(tmp_path: Path) -> None:
    """A `get` that was killed was in no list, and so nobody could go on with it there."""
    root = FileRoot(kind=RootKind.MOUNT, mount="lab")
    one = a_get(job="", worker="gpu-a", root=root, below=b"x")
    script = (
        "import os, sys, msgspec\nfrom opsconsole.transfer import pending\n"
        "with pending.kept(msgspec.json.decode(sys.argv[1], type=pending.PendingGet)):\n    os._exit(9)\n"
    )
    words = [sys.executable, "-c", script, msgspec.json.encode(one).decode()]
    assert subprocess.run(words, check=False).returncode == 9
    assert pending.interrupted("s") == [one]
    assert pending.find(one.id) == one
    assert (one.of, one.what) == ("gpu-a:lab/x", "m/*")
    pending.remove(one)
    assert pending.interrupted() == []


def test_a_get_goes_on_though_nothing_can_be_written_down() -> None:
    record_folder().parent.mkdir(parents=True)
    record_folder().touch()
    with pending.kept(a_get()):
        assert pending.gets() == []
