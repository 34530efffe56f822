"""The store as a whole: files, restarts, disks that fail, threads."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_coordinator.log import AppendResult, LogKey, LogReadError, LogStore, Outcome
from opsconsole_protocol.log import LogQuery
from tests.coordinator.log.oracle import ERR, KEY, OUT, chunk, put_together, read_all


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    one = LogStore(tmp_path / "logs")
    yield one
    one.close()


def path(folder: Path) -> Path:
    return folder / "logs" / KEY.job_id / "0.0.log"


def texts(store: LogStore, key: LogKey = KEY) -> list[str]:
    return [row[2] for row in put_together(read_all(store, LogQuery(), key, ended=True))]


def test_nothing_written_makes_no_file(store: LogStore, tmp_path: Path) -> None:
    assert store.offsets(KEY) == {}
    page = store.read(KEY, LogQuery())
    assert (page.lines, page.end, page.total_lines, page.first_line) == ((), True, 0, 0)
    assert store.read_bytes(KEY, OUT, 0, 10) == b""
    store.seal(KEY)
    store.sync()
    assert store.usage() == {}
    assert not (tmp_path / "logs").exists()


def test_a_cursor_from_before_the_first_byte_goes_on(store: LogStore) -> None:
    cursor = store.read(KEY, LogQuery()).next_cursor
    store.append(KEY, chunk(OUT, 0, b"one\n"))
    assert [line.data for line in store.read(KEY, LogQuery(cursor=cursor)).lines] == ["one"]


def test_results_say_what_became_of_each_chunk(store: LogStore) -> None:
    results = store.append_many(
        [
            (KEY, chunk(OUT, 0, b"one\ntwo")),
            (KEY, chunk(ERR, 0, b"oh\n")),
            (KEY, chunk(OUT, 9, b"gap")),
            (KEY, chunk(OUT, 3, b"\ntwo")),
            (KEY, chunk(OUT, 3, b"\ntwo and a half\nthree\n")),
        ]
    )
    assert results == [
        AppendResult(KEY, OUT, Outcome.STORED, 7, first_line=0, lines=2),
        AppendResult(KEY, ERR, Outcome.STORED, 3, first_line=2, lines=1),
        AppendResult(KEY, OUT, Outcome.GAP, 7),
        AppendResult(KEY, OUT, Outcome.DUPLICATE, 7),
        AppendResult(KEY, OUT, Outcome.STORED, 25, first_line=1, lines=1),
    ]
    assert texts(store) == ["one", "two and a half", "oh", "three"]


def test_one_batch_for_many_logs(store: LogStore) -> None:
    keys = [LogKey("job", index, 1, f"job.{index}.1") for index in range(300)]
    for turn in range(3):
        line = f"line {turn}\n".encode()
        results = store.append_many([(key, chunk(OUT, turn * len(line), line, key=key)) for key in keys])
        assert [result.key for result in results] == keys
        assert {result.durable_offset for result in results} == {(turn + 1) * len(line)}
    assert all(texts(store, key) == ["line 0", "line 1", "line 2"] for key in keys)


def test_few_descriptors_stay_open(tmp_path: Path) -> None:
    store = LogStore(tmp_path, open_files_max=5, known_logs_max=10)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for index in range(60):
        key = LogKey("job", index, 0, f"job.{index}.0")
        store.append(key, chunk(OUT, 0, b"text\n", key=key))
    assert len(os.listdir("/proc/self/fd")) <= before + 5  # noqa: PTH208
    store.sync()
    for index in range(60):
        key = LogKey("job", index, 0, f"job.{index}.0")
        assert store.append(key, chunk(OUT, 0, b"text\nmore\n", key=key)).durable_offset == 10
        assert texts(store, key) == ["text", "more"]
    store.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_usage_and_delete(store: LogStore, tmp_path: Path) -> None:
    other = LogKey("other", 0, 0, "other.0.0")
    store.append(KEY, chunk(OUT, 0, b"x" * 1000))
    store.append(other, chunk(OUT, 0, b"y" * 10, key=other))
    usage = store.usage()
    assert set(usage) == {KEY.job_id, "other"}
    assert usage[KEY.job_id] == path(tmp_path).stat().st_size > 1000
    store.delete(KEY.job_id)
    store.delete("never_was")
    assert set(store.usage()) == {"other"}
    assert store.offsets(KEY) == {}
    assert texts(store, other) == ["y" * 10]
    assert store.append(KEY, chunk(OUT, 0, b"again\n")).durable_offset == 6
    assert texts(store) == ["again"]


@pytest.mark.parametrize("name", ["..", "a/b", "", ".", "a" * 65, "a\0"])
def test_a_job_id_never_leaves_the_folder(store: LogStore, name: str) -> None:
    key = LogKey(name, 0, 0, "id")
    with pytest.raises(ValueError, match="folder"):
        store.append(key, chunk(OUT, 0, b"x", key=key))
    with pytest.raises(ValueError, match="folder"):
        store.delete(name)


def test_sync_writes_through_once(store: LogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    store.append(KEY, chunk(OUT, 0, b"x"))
    store.sync()
    store.sync()
    assert len(synced) == 1
    store.append(KEY, chunk(OUT, 1, b"x"))
    store.seal(KEY)
    store.seal(KEY)
    assert len(synced) == 2


def test_a_sync_that_fails_is_told_and_tried_again(store: LogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    store.append(KEY, chunk(OUT, 0, b"x"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="Input/output"):
            store.sync()
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    store.sync()
    assert len(synced) == 1


def test_a_full_disk_loses_nothing_that_was_acknowledged(store: LogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append(KEY, chunk(OUT, 0, b"one\n"))
    true_writev = os.writev

    def writev(descriptor: int, buffers: list[bytes]) -> int:
        true_writev(descriptor, [b"".join(buffers)[:20]])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", writev)
        results = store.append_many([(KEY, chunk(OUT, 4, b"two\n")), (KEY, chunk(ERR, 0, b"oh\n"))])
    assert [(result.outcome, result.durable_offset) for result in results] == [(Outcome.FAILED, 4), (Outcome.FAILED, 0)]
    assert "No space left" in results[0].error
    assert texts(store) == ["one"]
    assert store.append(KEY, chunk(OUT, 4, b"three\n")).outcome is Outcome.STORED
    assert texts(store) == ["one", "three"]
    store.close()
    assert texts(store) == ["one", "three"]


def test_a_short_write_is_completed(store: LogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    true_writev = os.writev
    monkeypatch.setattr(os, "writev", lambda descriptor, buffers: true_writev(descriptor, [b"".join(buffers)[:20]]))
    assert store.append(KEY, chunk(OUT, 0, b"one\n" * 50)).outcome is Outcome.STORED
    store.close()
    assert texts(store) == ["one"] * 50


def test_a_folder_that_cannot_be_made_fails_the_chunk_only(tmp_path: Path) -> None:
    (tmp_path / "logs").write_bytes(b"a file where the folder should be")
    store = LogStore(tmp_path / "logs")
    result = store.append(KEY, chunk(OUT, 0, b"x"))
    assert result.outcome is Outcome.FAILED
    assert result.error.endswith("Not a directory")
    with pytest.raises(LogReadError, match="can't be read"):
        store.read(KEY, LogQuery())
    store.close()


def test_a_file_removed_behind_our_back_is_filled_again(tmp_path: Path) -> None:
    store = LogStore(tmp_path / "logs", open_files_max=0)
    store.append(KEY, chunk(OUT, 0, b"one\n"))
    path(tmp_path).unlink()
    result = store.append(KEY, chunk(OUT, 4, b"two\n"))
    assert (result.outcome, result.durable_offset) == (Outcome.GAP, 0)
    store.append(KEY, chunk(OUT, 0, b"one\ntwo\n"))
    assert texts(store) == ["one", "two"]
    store.close()


def test_damage_in_the_middle_is_an_error_for_readers_not_a_crash(store: LogStore, tmp_path: Path) -> None:
    for number in range(10):
        store.append(KEY, chunk(OUT, number * 5, b"line\n"))
    with path(tmp_path).open("r+b") as file:
        file.seek(200)
        file.write(b"\xff" * 100)
    with pytest.raises(LogReadError, match="damaged"):
        store.read(KEY, LogQuery())
    store.close()
    # Another process sees what came before the damage, and asks the agent for the rest.
    store = LogStore(tmp_path / "logs")
    assert texts(store) == ["line"] * 3
    assert store.offsets(KEY) == {OUT: 15}
    store.close()


def test_the_log_of_an_attempt_from_another_time_is_put_aside(tmp_path: Path) -> None:
    """A coordinator restored from a backup starts attempt 0 of a task again."""
    store = LogStore(tmp_path / "logs")
    store.append(KEY, chunk(OUT, 0, b"of the forgotten attempt\n"))
    store.close()
    store = LogStore(tmp_path / "logs")
    again = LogKey(KEY.job_id, KEY.task_index, KEY.attempt, "another id")
    assert store.offsets(again) == {}
    assert texts(store, again) == []
    store.append(again, chunk(OUT, 0, b"new\n", key=again))
    assert texts(store, again) == ["new"]
    assert len(list(path(tmp_path).parent.glob("*.old"))) == 1
    store.close()


@pytest.mark.parametrize("size", [0, 1, 9, 12])
def test_a_torn_head_is_an_empty_log(tmp_path: Path, size: int) -> None:
    store = LogStore(tmp_path / "logs")
    store.append(KEY, chunk(OUT, 0, b"one\n"))
    store.close()
    os.truncate(path(tmp_path), size)
    store = LogStore(tmp_path / "logs")
    assert store.offsets(KEY) == {}
    store.append(KEY, chunk(OUT, 0, b"again\n"))
    store.close()
    store = LogStore(tmp_path / "logs")
    assert texts(store) == ["again"]
    store.close()


def test_readers_run_beside_the_writer(tmp_path: Path) -> None:
    """Every follower sees every line once and in order, whatever the writer does meanwhile."""
    store = LogStore(tmp_path / "logs", open_files_max=1)
    count, failures = 20_000, []

    def follow(max_lines: int) -> None:
        try:
            expected, cursor = 0, None
            while expected < count:
                page = store.read(KEY, LogQuery(max_lines=max_lines, cursor=cursor))
                for line in page.lines:
                    assert line.data == f"line {expected}"
                    assert line.line_number == expected
                    expected += 1
                cursor = page.next_cursor
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=follow, args=(max_lines,)) for max_lines in (3000, 500)]
    for thread in threads:
        thread.start()
    offset = 0
    for start in range(0, count, 100):
        data = b"".join(b"line %d\n" % number for number in range(start, start + 100))
        store.append(KEY, chunk(OUT, offset, data))
        offset += len(data)
        if start % 2000 == 0:
            store.seal(KEY)
    for thread in threads:
        thread.join()
    store.close()
    assert failures == []


def test_the_folders_are_nobody_elses_whatever_the_umask(tmp_path: Path) -> None:
    """The folder of all logs was made as the umask had it, as a parent of the first log's (hard use 52)."""
    before = os.umask(0)
    try:
        store = LogStore(tmp_path / "logs")
        store.append(KEY, chunk(OUT, 0, b"one\n"))
        store.close()
    finally:
        os.umask(before)
    made = [path(tmp_path), path(tmp_path).parent, tmp_path / "logs"]
    assert [one.stat().st_mode & 0o777 for one in made] == [0o600, 0o700, 0o700]
