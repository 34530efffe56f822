"""A coordinator that is killed while many jobs come in has all of them afterwards, or none."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from opsconsole import JobSpec, SyncClient
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.ids import job_id
from tests.process.lab import Lab
from tests.seen_process import find

JOBS = 5_000


def is_looking(lab: Lab) -> Callable[[], bool]:
    """Whether the coordinator has begun to look at what it was sent: it works, and hasn't written."""
    process = find(lab.processes["serve"].pid)
    assert process is not None
    before_s = process.user_s
    return lambda: process.user_s - before_s > 0.05


def is_writing(lab: Lab) -> Callable[[], bool]:
    """Whether the coordinator has begun to write: the log of SQLite grows."""
    log = lab.data_dir / "opsconsole.db-wal"
    before = log.stat().st_size
    return lambda: log.stat().st_size > before + 100_000


def count(lab: Lab) -> int:
    return len(lab.ask(lambda client: client.run(client.client.jobs(limit=2 * JOBS))))


@pytest.mark.parametrize("moment", [is_looking, is_writing])
def test_all_or_none(lab: Lab, moment: Callable[[Lab], Callable[[], bool]]) -> None:
    coordinator = lab.serve()
    listen = f"127.0.0.1:{lab.port}"
    ids = [job_id(random.getrandbits(50)) for _ in range(JOBS)]
    specs = [JobSpec(command=("true", str(number)), held=True) for number in range(JOBS)]
    client = SyncClient.connect(data_dir=lab.data_dir)
    has_come = moment(lab)
    with ThreadPoolExecutor(1) as pool:
        submission = pool.submit(client.submit, specs, ids)
        lab.wait(has_come, "the moment")
        lab.kill(coordinator)
        with pytest.raises(Unavailable):
            submission.result(30)
    client.close()
    lab.serve(listen=listen)
    assert count(lab) in {0, JOBS}
    rows = lab.ask(lambda one: one.submit(specs, ids))
    assert [row.id for row in rows] == ids
    assert count(lab) == JOBS
    assert len(lab.events(ids[-1])) == 1
