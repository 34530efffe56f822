"""What keepers of landed versions wrote is read for ever: `old/` is added to, and never written anew."""

import json
import shutil
from pathlib import Path

import pytest

from opsconsole_agent.keeper.journal import Journal
from opsconsole_agent.keeper.mac_chain import MacChain
from opsconsole_agent.keeper_client import message

LOG = Path(__file__).parent / "old" / "exit-1.1.log"
KEY = bytes(range(32))


@pytest.mark.parametrize("key", [KEY, None], ids=["with its key", "without its key"])
def test_the_exit_log_of_version_1_1(tmp_path: Path, key: bytes | None) -> None:
    shutil.copyfile(LOG, tmp_path / "exit.log")
    journal = Journal(str(tmp_path), key)
    history = journal.open()
    journal.close()
    assert (history.forged, history.damaged, history.notes) == (0, 0, [])
    assert history.boot_id == "b0"
    assert history.started == {
        "job.0.0.aaaa": {"pid": 11, "start_time": 1011, "at_ms": 1_700_000_000_000, "limit": 4332},
        "job.1.0.bbbb": {"pid": 12, "start_time": 1012, "at_ms": 1_700_000_000_000, "limit": 4333},
    }
    outputs = [(f"/s/attempts/job.0.0.aaaa/{name}", inode) for name, inode in (("stdout", 55), ("stderr", 56))]
    assert history.outputs == {"job.0.0.aaaa": outputs, "job.1.0.bbbb": []}
    assert list(history.frozen) == ["job.1.0.bbbb"]
    exits = [message.decode(line.encode()) for line in history.exits.values()]
    assert [
        (one.attempt_id, one.exit_code, one.exit_known, one.error, one.outlived)
        for one in exits
        if isinstance(one, message.AttemptExited)
    ] == [
        ("job.2.0.cccc", 3, True, None, ["99 sleep"]),
        ("job.4.0.eeee", None, True, "command not found: x", []),
        ("job.5.0.ffff", None, False, "the host restarted", []),
    ]


def test_a_key_that_is_another_s_believes_none_of_it(tmp_path: Path) -> None:
    shutil.copyfile(LOG, tmp_path / "exit.log")
    journal = Journal(str(tmp_path), b"x" * 32)
    history = journal.open()
    journal.close()
    assert history.forged == len(LOG.read_text().splitlines())
    assert history.exits == {}


def test_lines_are_signed_as_they_were() -> None:
    """An agent's upgrade may leave the old keeper running, and the next one has to continue its log."""
    chain = MacChain(KEY)
    lines = LOG.read_text().splitlines()
    assert [chain.sign(line.rpartition("\t")[0]) for line in lines] == lines
    assert all(json.loads(line.rpartition("\t")[0]) for line in lines)
