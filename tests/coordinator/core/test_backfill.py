"""Room that is kept for who is next in line is used by what ends before: so that the head never starts later than expected."""

from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsconsole_coordinator.core import judgement
from opsconsole_coordinator.core.demand import STARTS_WITHIN_MS, kind_of, within_ms
from opsconsole_coordinator.core.history import SURE, Kind, Run
from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_protocol.ids import ContentId, WorkerId
from opsconsole_protocol.job_content import Bundle
from opsconsole_protocol.link import JobAssignment
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import FakeWorker, World, gpus, state

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def remember(world: World, name: str, took_ms: float, count: int = SURE) -> None:
    """Jobs of this name have taken so long, each of them."""
    kind = world.fleet.kinds.setdefault(kind_of(JobSpec(command=("a",), name=name)), Kind())
    for _ in range(count):
        kind.add(Run(took_ms, WorkerId("w"), "", 0, 0, None))


def end(worker: FakeWorker, attempt: Attempt) -> None:
    worker.report(attempt, AttemptState.SUCCEEDED, exit_code=0, finished_at_ms=worker.world.now_ms)
    worker.forget(attempt)


def busy(world: World, *, took_ms: int = HOUR_MS) -> tuple[FakeWorker, Attempt, Job]:
    """A worker of four GPUs, on which a task has two that is expected to take an hour, and a head that needs all four."""
    worker = world.worker(slots=8, gpus=gpus(4))
    remember(world, "long", took_ms)
    world.submit(gpus=2, name="long")
    running = worker.started()
    return worker, running, world.submit(gpus=4, name="head", priority=1)


def test_what_ends_for_sure_before_the_head_is_expected_to_start_uses_its_room(world: World) -> None:
    worker, running, head = busy(world)
    assert state(world.submit(gpus=2)) == "pending", "nobody knows how long it takes"
    assert state(world.submit(gpus=2, timeout_ms=2 * HOUR_MS)) == "pending"
    short = world.submit(gpus=2, timeout_ms=10 * MINUTE_MS)
    attempt = worker.started()
    assert (attempt.job_id, state(head)) == (short.id, "pending")
    assert attempt.fills_until_ms > world.now_ms + 10 * MINUTE_MS
    end(worker, attempt)
    end(worker, running)
    assert worker.started().job_id == head.id


def test_a_bound_counts_with_its_grace_and_its_way_to_the_start(world: World) -> None:
    busy(world)
    reserved = world.workers["w1"].record.reserved
    assert reserved is not None
    left_ms = reserved.until_ms - world.now_ms
    assert 0 < left_ms <= HOUR_MS
    exact = left_ms - STARTS_WITHIN_MS - 5_000
    while within_ms(JobSpec(command=("a",), timeout_ms=exact)) > left_ms:
        exact -= 1_000
    assert exact > 0.8 * left_ms
    assert state(world.submit(gpus=2, timeout_ms=exact + 1_000)) == "pending"
    assert state(world.submit(gpus=2, timeout_ms=exact)) == "assigned"
    world.workers["w1"].started()


@pytest.mark.parametrize(
    "fields", [{"setup": "true", "bundle": True}, {"timeout_ms": None}], ids=["has something to set up", "no time-out"]
)
def test_no_bound_is_sure_of_what_has_to_be_fetched_or_set_up_first(fields: dict[str, Any]) -> None:
    if fields.pop("bundle", False):
        fields["bundle"] = Bundle(content_id=ContentId("b" * 64), size_bytes=1, files=1)
    assert within_ms(JobSpec(command=("a",), **{"timeout_ms": 1_000, **fields})) == 0


def test_nobody_uses_the_room_where_it_is_not_known_when_the_head_starts(world: World) -> None:
    worker = world.worker(slots=8, gpus=gpus(4))
    world.submit(gpus=2)
    worker.started()
    world.submit(gpus=4, priority=1)
    assert state(world.submit(gpus=2, timeout_ms=1_000)) == "pending"


def test_a_guess_rests_on_enough_runs(world: World) -> None:
    worker, _, _ = busy(world)
    remember(world, "few", MINUTE_MS, SURE - 1)
    remember(world, "quick", MINUTE_MS)
    assert state(world.submit(gpus=2, name="few")) == "pending"
    assert state(world.submit(gpus=2, name="quick")) == "assigned"
    worker.started()


def test_after_a_guess_that_was_wrong_only_sure_bounds_count_there(world: World) -> None:
    worker, running, head = busy(world)
    remember(world, "quick", MINUTE_MS)
    world.submit(gpus=1, name="quick")
    late = worker.started()
    world.now_ms += HOUR_MS + MINUTE_MS
    end(worker, running)
    assert state(head) == "pending", "one that was guessed to have ended holds a GPU of it"
    assert world.why(head).endswith(f"the task is of quick ({late.job_id}, takes longer than expected)")
    assert state(world.submit(gpus=1, name="quick")) == "pending"
    end(worker, late)
    assert worker.started().job_id == head.id


# --- gangs -----------------------------------------------------------------------------------------------------------


def waiting_gang(world: World, *, tasks: int = 2) -> tuple[FakeWorker, FakeWorker, Job]:
    """Two workers of two GPUs, one of them with a task for an hour, and a gang that needs both whole."""
    remember(world, "long", HOUR_MS)
    one, two = world.worker("w1", slots=4, gpus=gpus(2)), world.worker("w2", slots=4, gpus=gpus(2))
    world.submit(gpus=2, name="long", worker="w1")
    one.started()
    return one, two, world.submit(gpus=2, num_tasks=tasks, gang=True)


def test_what_ends_for_sure_before_a_gang_can_start_uses_the_room_that_is_kept_for_it(world: World) -> None:
    _, two, gang = waiting_gang(world)
    remember(world, "quick", MINUTE_MS)
    assert two.record.reserved is not None
    assert two.record.reserved.gang
    assert state(world.submit(gpus=1, timeout_ms=2 * HOUR_MS)) == "pending"
    guessed = world.submit(gpus=1, name="quick")
    assert f"is reserved for gang {gang.id}" in world.rows[guessed.id].reason, "of a gang's room a guess is not enough"
    short = world.submit(gpus=1, timeout_ms=10 * MINUTE_MS)
    attempt = two.started()
    assert attempt.job_id == short.id
    assert world.now_ms + 10 * MINUTE_MS < attempt.fills_until_ms <= world.now_ms + HOUR_MS
    assert two.record.reserved is not None, "the gang has its turn as before"


def test_a_gang_that_could_start_at_any_moment_keeps_its_room_empty(world: World) -> None:
    third = world.worker("w3", slots=4, gpus=gpus(2))
    world.submit(gpus=2, name="never seen")
    third.started()
    _, two, gang = waiting_gang(world)
    assert two.record.reserved is not None
    small = world.submit(gpus=1, timeout_ms=1_000)
    assert f"is reserved for gang {gang.id}" in world.rows[small.id].reason, "nobody knows when w3 has room"


def test_a_gang_starts_at_its_time_whatever_used_its_room(world: World) -> None:
    one, two, gang = waiting_gang(world)
    world.submit(gpus=1, timeout_ms=10 * MINUTE_MS)
    short = two.started()
    world.now_ms = short.fills_until_ms
    end(two, short)
    for attempt in list(one.record.live.values()):
        end(one, attempt)
    world.turn()
    assert [worker.started().job_id for worker in (one, two)] == [gang.id, gang.id]


# --- an oracle on small cases ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Small:
    """A job of a small case. `takes_ms` is what it takes, and no more than `bound_ms`, which its time-out says."""

    gpus: int
    takes_ms: int
    bound_ms: int


_JOB = st.builds(
    lambda gpus, takes, more: Small(gpus, takes * MINUTE_MS, (takes + more) * MINUTE_MS),
    st.integers(1, 3), st.integers(1, 30), st.integers(0, 20),
)  # fmt: skip


def head_starts_ms(first: list[Small], others: list[Small], *, fills: bool) -> tuple[int, int]:
    """When a head of four GPUs starts behind tasks that take as long as expected, and how many of `others` started before it."""
    world = World()
    began_ms = world.now_ms
    worker = world.worker(slots=20, gpus=gpus(4))
    takes: dict[str, int] = {}
    ends: dict[str, tuple[int, Attempt]] = {}

    def start_all() -> None:
        while any(isinstance(one, JobAssignment) for one in worker.inbox):
            attempt = worker.started()
            ends[attempt.id] = world.now_ms + takes[attempt.job_id], attempt

    for place, one in enumerate(first):
        remember(world, f"first{place}", one.takes_ms)
        takes[world.submit(gpus=one.gpus, name=f"first{place}", turn=False).id] = one.takes_ms
    world.turn()
    start_all()
    head = world.submit(gpus=4, priority=1)
    takes[head.id] = 1
    fillers: list[Job] = []
    for one in others:
        bound = one.bound_ms if fills else None
        fillers.append(world.submit(gpus=one.gpus, grace_ms=0, timeout_ms=bound))
        takes[fillers[-1].id] = one.takes_ms
    while True:
        start_all()
        if state(head) != "pending":
            return world.now_ms - began_ms, sum(job.tasks[0].attempts for job in fillers)
        due_ms, attempt = ends.pop(min(ends, key=lambda one: ends[one][0]))
        world.now_ms = max(world.now_ms, due_ms)
        end(worker, attempt)


@settings(max_examples=40, deadline=None)
@given(first=st.lists(_JOB, min_size=1, max_size=3), others=st.lists(_JOB, max_size=4))
def test_the_head_never_starts_later_than_without(first: list[Small], others: list[Small]) -> None:
    with_ms, _ = head_starts_ms(first, others, fills=True)
    without_ms, _ = head_starts_ms(first, others, fills=False)
    assert with_ms <= without_ms


_FIRST = [Small(2, 10 * MINUTE_MS, 0)]
_FITS = [Small(2, 5 * MINUTE_MS, 9 * MINUTE_MS)]
_TOO_LONG = [Small(2, 20 * MINUTE_MS, 20 * MINUTE_MS)]


def test_the_oracle_sees_what_fills_and_what_would_be_late() -> None:
    assert head_starts_ms(_FIRST, _FITS, fills=False) == (10 * MINUTE_MS, 0)
    assert head_starts_ms(_FIRST, _FITS, fills=True) == (10 * MINUTE_MS, 1)
    assert head_starts_ms(_FIRST, _TOO_LONG, fills=True) == (10 * MINUTE_MS, 0)
    with mock.patch.object(judgement, "_ends_before", return_value=True):
        assert head_starts_ms(_FIRST, _TOO_LONG, fills=True) == (20 * MINUTE_MS, 1)


def test_jobs_that_differ_in_their_time_outs_alone_have_room_kept_for_one_of_them(world: World) -> None:
    for name in ("w1", "w2"):
        worker = world.worker(name, slots=8, gpus=gpus(4))
        world.submit(gpus=2)
        worker.started()
    heads = [world.submit(gpus=4, timeout_ms=minutes * HOUR_MS) for minutes in (1, 2, 3)]
    world.pass_ms(2_000)
    kept = [one.record.reserved for one in world.workers.values() if one.record.reserved is not None]
    assert [one.job_id for one in kept] == [heads[0].id]
    world.act("cancel", heads[0])
    world.pass_ms(2_000)
    assert [one.record.reserved.job_id for one in world.workers.values() if one.record.reserved] == [heads[1].id]
