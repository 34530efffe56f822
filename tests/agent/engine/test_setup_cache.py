"""What setups have made: found again, used by several, removed when nobody needs it."""

import os
from pathlib import Path

import pytest

from opsconsole_agent.engine.setup_cache import MadeSetup, SetupCache, SetupRecord
from opsconsole_protocol.ids import AttemptId, ContentId

A, B = AttemptId("j0b0000000.0.0.aaaa"), AttemptId("j0b0000000.1.0.bbbb")
CODE, OTHER = ContentId("ab" * 32), ContentId("cd" * 32)


@pytest.fixture
def cache(tmp_path: Path) -> SetupCache:
    return SetupCache(tmp_path / "setups", 1 << 20)


def make(cache: SetupCache, key: str, attempt_id: AttemptId = A, *, size: int = 1, **good_for: str) -> MadeSetup:
    """A finished one."""
    made = cache.begin(attempt_id, SetupRecord(key=key))
    (made.environment / "file").write_bytes(os.urandom(size))
    return cache.keep(made, SetupRecord(key=key, **good_for))  # type: ignore[arg-type]


def test_what_is_finished_is_found_by_its_key(cache: SetupCache) -> None:
    made = make(cache, "one")
    found = cache.find("one", CODE, B)
    assert found is not None
    assert found.environment == made.environment
    assert (found.environment / "file").exists()
    assert cache.find("two", CODE, B) is None


def test_what_holds_code_is_for_that_code_alone(cache: SetupCache) -> None:
    make(cache, "one", content_id=CODE)
    assert cache.find("one", CODE, B) is not None
    assert cache.find("one", OTHER, B) is None
    assert cache.find("one", None, B) is None


def test_what_is_not_finished_is_never_found_and_goes_with_its_attempt(cache: SetupCache) -> None:
    made = cache.begin(A, SetupRecord(key="one"))
    assert cache.find("one", CODE, B) is None
    cache.release(A)
    assert not made.folder.exists()


def test_the_longest_unused_goes_first_and_what_is_in_use_stays(cache: SetupCache) -> None:
    old, new, used = (make(cache, key, AttemptId(f"{A}{key}"), size=300_000) for key in ("old", "new", "used"))
    for number, made in enumerate((old, used, new)):
        os.utime(made.folder / "record.json", (number, number))
    for made in (old, new):
        cache.release(AttemptId(f"{A}{made.record.key}"))
    make(cache, "fourth", size=300_000)
    assert [made.folder.exists() for made in (old, new, used)] == [False, True, True]
    make(cache, "fifth", size=300_000)
    assert [made.folder.exists() for made in (old, new, used)] == [False, False, True]


def test_after_a_restart_only_known_attempts_use_something(cache: SetupCache, tmp_path: Path) -> None:
    kept = make(cache, "kept")
    half = cache.begin(B, SetupRecord(key="half"))
    again = SetupCache(tmp_path / "setups", 0)
    again.trim()
    assert kept.folder.exists(), "it is in use"
    again.recover({A})
    assert not half.folder.exists()
    again.trim()
    assert kept.folder.exists()
    again.recover(set())
    again.trim()
    assert not kept.folder.exists()


def test_a_spoilt_record_is_no_record(cache: SetupCache) -> None:
    made = make(cache, "one")
    (made.folder / "record.json").write_text("{")
    assert cache.find("one", CODE, B) is None


def test_what_no_attempt_uses_can_be_cleaned_up(cache: SetupCache) -> None:
    made = make(cache, "one", size=5_000)
    name = f"setups/{made.folder.name}"
    assert cache.look(1 << 50) == cache.remove({name}) == []
    cache.release(A)
    (found,) = cache.look(1 << 50)
    assert (found.name, found.path) == (name, str(made.folder))
    assert found.bytes >= 5_000
    assert cache.look(found.at_ms) == []
    assert cache.remove({name, "content/x"}) == [found]
    assert not made.folder.exists()
