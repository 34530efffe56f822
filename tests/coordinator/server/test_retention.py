"""Old history goes by age, old logs by size; what lives stays."""

import secrets
from pathlib import Path

from opsconsole_coordinator.core import submission
from opsconsole_coordinator.server.kernel import Kernel
from opsconsole_coordinator.server.log_room import LogRoom
from opsconsole_coordinator.server.retention import DAY_MS, Keep, Retention
from opsconsole_coordinator.store import query
from opsconsole_coordinator.store.database import Database
from opsconsole_protocol.api import Submission
from opsconsole_protocol.ids import JobId, job_id
from opsconsole_protocol.spec import JobSpec


async def _job(kernel: Kernel, *, days_ago: float) -> JobId:
    """A job that ended so long ago; or lives, for a negative age."""
    from opsconsole_coordinator.core import control

    made = job_id(secrets.randbits(50))
    then_ms = kernel.clock.now_ms() - round(max(days_ago, 0) * DAY_MS)
    submission.submit(kernel.fleet, [Submission(made, JobSpec(command=("true",)))], {}, "ana", then_ms)
    if days_ago >= 0:
        control.act(kernel.fleet, "cancel", made, None, "ana", "", then_ms)
    await kernel._turn()
    return made


async def test_ended_jobs_go_by_age_and_live_ones_stay(tmp_path: Path) -> None:
    database = Database(tmp_path / "opsconsole.db")
    await database.open()
    kernel = Kernel(database, "lab")
    logs = LogRoom(tmp_path / "logs", kernel)
    try:
        old = [await _job(kernel, days_ago=40) for _ in range(120)]
        new, live = await _job(kernel, days_ago=1), await _job(kernel, days_ago=-1)
        assert await Retention(kernel, logs, Keep(finished_days=None, log_bytes=None)).sweep() == 0
        assert await Retention(kernel, logs, Keep(finished_days=30, log_bytes=None)).sweep() == 120
        left = await database.read(lambda connection: query.states(connection, [*old, new, live]))
        assert set(left) == {new, live}
        tasks = await database.read(lambda one: one.execute("SELECT count(*) FROM tasks").fetchone()[0])
        assert tasks == 2
        assert not await database.read(lambda one: query.events(one, job_id=old[0]))
    finally:
        logs.close()
        await database.close()


async def test_logs_go_oldest_first_until_the_rest_fits(tmp_path: Path) -> None:
    database = Database(tmp_path / "opsconsole.db")
    await database.open()
    kernel = Kernel(database, "lab")
    logs = LogRoom(tmp_path / "logs", kernel)
    try:
        ages = (3, 1, 2, -1)
        jobs = {age: await _job(kernel, days_ago=age) for age in ages}
        for job in jobs.values():
            (tmp_path / "logs" / job).mkdir(parents=True)
            (tmp_path / "logs" / job / "0.0.log").write_bytes(b"x" * 1000)
        assert await Retention(kernel, logs, Keep(finished_days=None, log_bytes=2500)).sweep() == 2
        assert set(await logs.usage()) == {jobs[1], jobs[-1]}
        assert len(await database.read(lambda connection: query.states(connection, list(jobs.values())))) == 4
    finally:
        logs.close()
        await database.close()
