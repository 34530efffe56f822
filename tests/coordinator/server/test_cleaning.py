"""Outputs go by themselves after the days that their worker keeps them, which is announced (hard use: clean-up)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from opsconsole_agent.probe.io_path import WorkerIOConfig
from opsconsole_agent.state import leaving
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_coordinator.core.model import Attempt, OutputCopy, Worker
from opsconsole_coordinator.server.cleaning import Cleaning
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.job_lookup import find_removable, load_job, release_job
from opsconsole_coordinator.server.log_service import LogService
from opsconsole_coordinator.server.retention import DAY_MS, Retention, RetentionPolicy
from opsconsole_coordinator.store import query
from opsconsole_coordinator.store.database import Database
from opsconsole_protocol import link
from opsconsole_protocol.api import Clean, Cleaned, Submission
from opsconsole_protocol.error import Conflict, InvalidRequest
from opsconsole_protocol.ids import AttemptId, ContentId, JobId, WorkerId
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState, TaskState

GPU = WorkerId("gpu")


class Room:
    """A coordinator's part that cleans, one worker's that answers, and jobs of some age with an output each."""

    def __init__(self, commit_loop: CommitLoop, cleaning: Cleaning, folder: Path) -> None:
        self.commit_loop = commit_loop
        self.cleaning = cleaning
        self.out = folder / "out"
        self.keep_output_days = 0.0
        self.asked: list[Any] = []
        self._state = StateFolder(folder / "state")
        properties = {"io_paths": {"output": str(self.out), "filesystem": "local"}}
        commit_loop.fleet.workers[GPU] = Worker(id=GPU, name="gpu", properties=properties)
        commit_loop.sessions[GPU] = self  # type: ignore[assignment]

    async def job(self, name: str, days_ago: float, *after: JobId, live: bool = False) -> JobId:
        made = JobId(f"{name:0<10}")
        then_ms = self.commit_loop.clock.now_ms() - round(days_ago * DAY_MS)
        spec = JobSpec(command=("true",), after=after)
        self.commit_loop.reactor.on_submit(
            [Submission(made, spec)], dict.fromkeys(after, TaskState.SUCCEEDED), "ana", then_ms
        )
        path = self.out / "jobs" / made
        path.mkdir(parents=True)
        (path / "model.pt").write_bytes(bytes(100_000))
        attempt = Attempt(
            id=AttemptId(f"{made}.0.0.abcd"), job_id=made, index=0, number=0, worker_id=GPU, worker_name="gpu",
            state=AttemptState.SUCCEEDED, open=False,
            seen=link.Observed(
                attempt_id=AttemptId(f"{made}.0.0.abcd"), state=AttemptState.SUCCEEDED, output_path=str(path)
            ),
        )  # fmt: skip
        self.commit_loop.fleet.touch_attempt(attempt)
        if not live:
            self.commit_loop.reactor.on_act("cancel", made, None, "ana", "", then_ms)
        await self.commit_loop._run_batch()
        return made

    def send(self, message: Any) -> None:
        self.asked.append(message)
        io = WorkerIOConfig(output_path=self.out)
        if isinstance(message, link.RemoveLeavings):
            found, troubles, more = leaving.remove_outputs(self._state, io, message.outputs)
        else:
            (found, more), troubles = leaving.look_at_outputs(self._state, io, message.outputs), list[str]()
        answer = link.Leavings(
            check_id=message.check_id, leavings=tuple(found), more=more, troubles=tuple(troubles), keep_attempt_days=7,
            keep_output_days=self.keep_output_days,
        )  # fmt: skip
        self.commit_loop.questions.answer(GPU, answer)

    def left(self) -> set[str]:
        return {path.name for path in (self.out / "jobs").iterdir()}


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    database = Database(tmp_path / "opsconsole.db")
    await database.open()
    commit_loop = CommitLoop(database, "lab")
    logs = LogService(tmp_path / "logs", commit_loop)
    yield Room(commit_loop, Cleaning(commit_loop, logs, Retention(commit_loop, logs, RetentionPolicy())), tmp_path)
    logs.close()
    await database.close()


async def test_outputs_go_after_the_days_that_their_worker_keeps_them(room: Room) -> None:
    for name, days_ago in (("past", 40), ("new", 20)):
        await room.job(name, days_ago)
    needed = await room.job("read", 40)
    await room.job("wants", 40, needed, live=True)
    (room.out / "jobs" / "stranger").mkdir()
    everything = room.left()
    assert await room.cleaning.sweep() == 0
    assert room.left() == everything
    room.keep_output_days = 30
    assert await room.cleaning.sweep() == 1
    assert room.left() == everything - {"past000000"}
    await room.commit_loop._run_batch()
    [told, *_] = await room.commit_loop.database.read(query.events)
    assert (told.kind, told.subject) == ("cleaned", "gpu")
    assert told.text.startswith("1 outputs of ended jobs were removed (")
    assert await room.cleaning.sweep() == 0


async def test_outputs_that_are_yet_to_be_collected_stay(room: Room) -> None:
    wanted, other = await room.job("want", 40), await room.job("gane", 40)
    room.keep_output_days = 30
    copy = OutputCopy(
        job_id=wanted, index=0, attempt_id=AttemptId(f"{wanted}.0.0.abcd"), worker_id=GPU, worker_name="gpu", place=GPU
    )
    room.commit_loop.fleet.output_copies.add(copy)
    assert await room.cleaning.sweep() == 1
    assert room.left() == {wanted}
    room.commit_loop.reactor.on_collected(wanted, 0, copy.attempt_id, None, 0, 0, 1)
    assert await room.cleaning.sweep() == 1
    assert not room.left() & {wanted, other}


async def remove(room: Room, *jobs: JobId, really: bool = True) -> Cleaned:
    """What `opsconsole remove` does."""
    workers = list(room.commit_loop.fleet.workers.values())
    ids = tuple(await find_removable(room.commit_loop, jobs))
    asked = Clean(jobs=ids, attempts=False, outputs=True, logs=True, history=True, remove=really)
    cleaned = await room.cleaning.clean(workers, asked, "ana")
    await room.commit_loop._run_batch()
    return cleaned


async def known(room: Room, *jobs: JobId) -> set[JobId]:
    return set(await room.commit_loop.database.read(lambda connection: query.states(connection, jobs)))


async def test_a_job_is_removed_with_all_that_it_left_and_no_other_is(room: Room) -> None:
    gone, stays = await room.job("gane", 0), await room.job("stays", 40)
    kept = OutputCopy(
        job_id=gone, index=0, attempt_id=AttemptId(f"{gone}.0.0.abcd"), worker_id=GPU, worker_name="gpu", place=GPU,
        patterns=("*",),
    )  # fmt: skip
    fleet = room.commit_loop.fleet
    fleet.output_copies.add(kept)
    room.commit_loop.reactor.on_collected(gone, 0, kept.attempt_id, ContentId("5f" * 32), 1, 70, 1)
    await room.commit_loop._run_batch()
    shown = await remove(room, gone, really=False)
    assert [(row.what, row.job) for row in shown.leavings] == [
        ("outputs", gone), ("collected", gone), ("history", gone)
    ]  # fmt: skip
    assert shown.leavings[1].bytes == 70
    assert room.left() == {gone, stays}
    assert await known(room, gone, stays) == {gone, stays}
    removed = await remove(room, gone)
    assert removed.removed
    assert [row.what for row in removed.leavings] == ["outputs", "collected", "history"]
    assert room.left() == {stays}
    assert await known(room, gone, stays) == {stays}


async def test_what_is_known_of_a_job_stays_as_long_as_its_outputs_cant_be_reached(room: Room) -> None:
    job = await room.job("away", 1)
    del room.commit_loop.sessions[GPU]
    removed = await remove(room, job)
    assert removed.leavings == ()
    assert removed.remarks == (
        "gpu isn't connected: what it holds of the outputs of 1 ended job isn't known",
        f"what is known of job {job} stays: remove it again when all its outputs can go",
    )
    assert await known(room, job) == {job}
    room.commit_loop.sessions[GPU] = room  # type: ignore[assignment]
    await remove(room, job)
    assert await known(room, job) == set()


async def test_results_of_a_removed_job_are_not_collected_any_more(room: Room) -> None:
    job = await room.job("want", 1)
    copy = OutputCopy(
        job_id=job, index=0, attempt_id=AttemptId(f"{job}.0.0.abcd"), worker_id=GPU, worker_name="gpu", place=GPU
    )
    room.commit_loop.fleet.output_copies.add(copy)
    await remove(room, job)
    assert not len(room.commit_loop.fleet.output_copies)
    assert await known(room, job) == set()


async def test_what_is_needed_is_not_removed_and_says_by_whom(room: Room) -> None:
    before = await room.job("read", 1)
    live = await room.job("wants", 1, before, live=True)
    for job, words in (
        (live, f"job {live} is pending: cancel it before it is removed"),
        (before, f"job {before} is needed by job {live}, which comes after it"),
    ):
        with pytest.raises(Conflict) as caught:
            await remove(room, job)
        assert str(caught.value) == words
    with pytest.raises(InvalidRequest):
        await find_removable(room.commit_loop, [f"{before}/task-0"])
    assert room.left() == {before, live}


async def test_what_came_to_life_since_it_was_looked_for_stays(room: Room) -> None:
    job_id = await room.job("agen", 40)
    again = await load_job(room.commit_loop, job_id)
    release_job(room.commit_loop, job_id)
    answer = room.send

    def send(message: Any) -> None:
        answer(message)
        room.commit_loop.fleet.jobs[job_id] = again

    room.send = send  # type: ignore[method-assign]
    request = Clean(attempts=False, outputs=True, remove=True)
    cleaned = await room.cleaning.clean(list(room.commit_loop.fleet.workers.values()), request, "ana")
    assert cleaned.leavings == ()
    assert room.left() == {job_id}
    assert [type(message) for message in room.asked] == [link.LookForLeavings]


async def test_while_it_goes_the_job_cant_be_run_again(room: Room) -> None:
    job_id = await room.job("agen", 40)
    answer = room.send
    seen: list[set[JobId]] = []

    def send(message: Any) -> None:
        seen.append(set(room.cleaning.removing))
        answer(message)

    room.send = send  # type: ignore[method-assign]
    request = Clean(attempts=False, outputs=True, remove=True)
    await room.cleaning.clean(list(room.commit_loop.fleet.workers.values()), request, "ana")
    assert seen == [set(), {job_id}]
    assert room.cleaning.removing == set()
    assert room.left() == set()
