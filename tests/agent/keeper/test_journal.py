"""What the exit log remembers, whatever became of its last line."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_agent.keeper.journal import History, Journal


def line(kind: str, **fields: object) -> str:
    return json.dumps({"kind": kind, **fields})


def started(attempt_id: str) -> str:
    return line("started", attempt_id=attempt_id, pid=10, start_time=20, at_ms=30)


@pytest.fixture(name="journal")
def _journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path))
    journal.open()
    yield journal
    journal.close()


def reread(folder: Path) -> History:
    journal = Journal(str(folder))
    try:
        return journal.open()
    finally:
        journal.close()


def write(journal: Journal, *lines: str) -> None:
    for one in lines:
        journal.append(one)
    journal.flush()


def test_starts_and_exits_are_paired(journal: Journal, tmp_path: Path) -> None:
    ended = line("exited", attempt_id="b", exit_code=0)
    write(journal, line("keeper", boot_id="boot"), started("a"), started("b"), ended)
    history = reread(tmp_path)
    assert history.boot_id == "boot"
    assert history.started == {"a": {"pid": 10, "start_time": 20, "at_ms": 30}}
    assert history.exits == {"b": ended}
    assert history.damaged == 0


def test_forgotten_exits_stay_forgotten(journal: Journal, tmp_path: Path) -> None:
    write(journal, line("exited", attempt_id="a"), line("exited", attempt_id="b"))
    write(journal, line("forgotten", attempt_ids=["a"]))
    assert list(reread(tmp_path).exits) == ["b"]


def test_freezing_is_remembered_until_thaw_or_end(journal: Journal, tmp_path: Path) -> None:
    for name in "abc":
        write(journal, started(name), line("frozen", attempt_id=name, cgroup=f"/cgroup/{name}"))
    write(journal, line("thawed", attempt_id="b"), line("exited", attempt_id="c"))
    history = reread(tmp_path)
    assert {name: record["cgroup"] for name, record in history.frozen.items()} == {"a": "/cgroup/a"}


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_torn_last_line_is_cut_off_and_the_next_is_whole(journal: Journal, tmp_path: Path, cut: int) -> None:
    write(journal, line("exited", attempt_id="a"), line("exited", attempt_id="torn"))
    log = tmp_path / "exit.log"
    os.truncate(log, log.stat().st_size - cut)
    again = Journal(str(tmp_path))
    history = again.open()
    assert list(history.exits) == ["a"]
    assert history.damaged == 1
    write(again, line("exited", attempt_id="b"))
    again.close()
    assert list(reread(tmp_path).exits) == ["a", "b"]


def test_damage_in_the_middle_costs_that_line_only(journal: Journal, tmp_path: Path) -> None:
    bad = ["rubbish", "[]", "7", "{}", line("started", attempt_id="x", pid="many"), line("exited"), "\x00\x00", ""]
    write(journal, line("exited", attempt_id="a"), *bad, line("exited", attempt_id="b"))
    history = reread(tmp_path)
    assert list(history.exits) == ["a", "b"]
    assert history.damaged == len(bad)


def test_a_full_disk_delays_lines_and_loses_none(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(journal, line("exited", attempt_id="a"))
    real = os.write

    def full(_: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    write(journal, line("exited", attempt_id="b"))
    assert journal.behind
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
    write(journal, line("exited", attempt_id="c"))
    assert journal.behind
    monkeypatch.setattr(os, "write", real)
    journal.flush()
    assert not journal.behind
    history = reread(tmp_path)
    assert list(history.exits) == ["a", "b", "c"]
    assert history.damaged == 0


def test_compacting_keeps_what_is_given(journal: Journal, tmp_path: Path) -> None:
    write(journal, *(line("exited", attempt_id=f"n{number}") for number in range(100)))
    journal.replace([line("keeper", boot_id="boot"), started("a")])
    write(journal, line("exited", attempt_id="b"))
    history = reread(tmp_path)
    assert (list(history.started), list(history.exits)) == (["a"], ["b"])
    assert journal.size_bytes == (tmp_path / "exit.log").stat().st_size
    assert sorted(file.name for file in tmp_path.iterdir()) == ["exit.log"]


def test_clearing_leaves_the_header(journal: Journal, tmp_path: Path) -> None:
    write(journal, started("a"))
    journal.clear(line("keeper", boot_id="boot"))
    history = reread(tmp_path)
    assert (history.boot_id, history.started, history.exits) == ("boot", {}, {})
    assert journal.size_bytes == (tmp_path / "exit.log").stat().st_size
