"""A store that can't be used, through the real command line: one line that says what to do, and the file as it was."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from opsconsole_coordinator.store import query
from opsconsole_coordinator.store.schema import VERSION, prepare
from tests.coordinator.store.history import fill
from tests.process.lab import OPSCONSOLE, Lab, words

SERVE = ("serve", "--listen", "127.0.0.1:0")


@pytest.fixture
def store(lab: Lab) -> Path:
    """A store with some history, closed well."""
    lab.data_dir.mkdir(mode=0o700)
    path = lab.data_dir / "opsconsole.db"
    connection = sqlite3.connect(path, isolation_level=None)
    prepare(connection)
    fill(connection, 500)
    connection.close()
    return path


def one_line(text: str) -> str:
    """What was said, if it is one line."""
    [line] = text.strip().splitlines()
    assert "Traceback" not in line
    return line


def _noise(path: Path) -> None:
    path.write_bytes(b"these are my notes\n" * 400)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _rot(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


def _statement(sql: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(sql)
        connection.close()

    return change


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_noise, "it is not a database: move it away or choose another --data-dir"),
        (_cut, "it is damaged: restore a backup"),
        (_rot, "it is damaged: restore a backup"),
        (_statement(f"PRAGMA user_version = {VERSION + 7}"), "it was written by a newer opsconsole"),
        (_statement("PRAGMA application_id = 7"), "not one of opsconsole's"),
        (lambda path: (path.unlink(), path.mkdir()), "it can't be opened: check the folder's owner and mode"),
    ],
    ids=["noise", "cut in half", "rotten", "newer", "somebody else's", "a folder"],
)
def test_a_store_that_cannot_be_read_is_said_and_stays_as_it_was(
    lab: Lab, store: Path, damage: Callable[[Path], object], says: str
) -> None:
    damage(store)
    before = store.read_bytes() if store.is_file() else b""
    line = one_line(lab.run(*SERVE, code=1).stderr)
    assert says in line
    assert str(store) in line
    assert (store.read_bytes() if store.is_file() else b"") == before
    assert not (lab.data_dir / "endpoint.json").exists()


def test_a_store_that_another_program_holds_locked_is_said(lab: Lab, store: Path) -> None:
    holder = sqlite3.connect(store, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    before = store.read_bytes()
    line = one_line(lab.run(*SERVE, code=1).stderr)
    assert "another program holds it locked" in line
    assert store.read_bytes() == before
    holder.execute("ROLLBACK")
    holder.close()
    lab.serve()


def test_a_second_coordinator_is_told_which_one_has_the_folder(lab: Lab) -> None:
    coordinator = lab.serve()
    line = one_line(lab.run(*SERVE, code=1).stderr)
    assert (
        f"a coordinator (process {coordinator.pid}, ws://127.0.0.1:{lab.port}) runs on {lab.data_dir} already" in line
    )
    assert lab.rows("jobs") == []


def test_a_backup_made_under_load_is_a_whole_store(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a", slots=4)
    jobs = [lab.submit("--tasks", "2000", *words("exit 0")) for _ in range(3)]
    lab.wait(lambda: lab.job(jobs[0])["task_counts"].get("succeeded", 0) > 20, "some tasks to have ended")
    lab.run("backup", str(lab.folder / "copy.db"))
    assert lab.state(jobs[-1]) != "succeeded", "it was made while tasks ran"
    lab.run("cancel", *jobs)
    connection = sqlite3.connect(lab.folder / "copy.db", isolation_level=None)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    seq = int(query.meta(connection, "seq"))
    assert connection.execute("SELECT count(*), max(seq) FROM events").fetchone() == (seq, seq), "no event is missing"
    for job_id in jobs:
        found, row = query.job(connection, job_id), query.job_row(connection, job_id)
        assert found is not None
        assert row is not None
        counts = {str(state): count for state, count in found[0].counts.items()}
        assert counts == row.task_counts, "the tasks are those that the job's row counts"
        started = {one.index for one in found[1]}
        assert {task.index for task in found[0].tasks if task.attempts} == started
    connection.close()


# --- mounts, in a namespace of their own -----------------------------------------------------------------------------


@pytest.fixture
def namespace(lab: Lab) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a script in which mounts are its own; `$SERVE` starts a coordinator, `$STORE` is the store, `$KEPT` a copy."""
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("mount namespaces aren't allowed here")
    kept = lab.folder / "kept.db"
    environ = lab.environ | {
        "SERVE": " ".join((*OPSCONSOLE, *SERVE)), "DATA": str(lab.data_dir), "STORE": str(lab.data_dir / "opsconsole.db"),
        "KEPT": str(kept), "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip

    def run(script: str) -> subprocess.CompletedProcess[str]:
        shutil.copy(lab.data_dir / "opsconsole.db", kept)
        return subprocess.run(
            [*unshare, "sh", "-c", script],
            env=environ,
            cwd=lab.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_a_read_only_store_is_said(
    lab: Lab, store: Path, namespace: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    done = namespace('mount --bind "$STORE" "$STORE" && mount -o remount,ro,bind "$STORE" && $SERVE')
    assert done.returncode == 1, done
    assert "it is read-only: check its owner and mode" in one_line(done.stderr)
    assert store.read_bytes() == (lab.folder / "kept.db").read_bytes()


def test_a_full_disk_is_said(
    lab: Lab, store: Path, namespace: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    """Room is left for the shared memory and the token, and for no transaction."""
    size_kb = store.stat().st_size // 1024 + 40
    done = namespace(
        f'mount -t tmpfs -o size={size_kb}k,mode=700 none "$DATA" && cp "$KEPT" "$STORE" && $SERVE; echo $?; '
        'cmp "$STORE" "$KEPT" && echo same'
    )
    assert done.stdout.split() == ["1", "same"], done
    assert "the disk is full: free some space" in one_line(done.stderr)
