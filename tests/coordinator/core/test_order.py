"""Higher priority first, then first come."""

from hypothesis import given
from hypothesis import strategies as st

from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.core.order import Order
from opsconsole_coordinator.core.terms import terms_of
from opsconsole_protocol.ids import JobId, job_id
from opsconsole_protocol.spec import JobSpec
from tests.coordinator.core.world import World


def job(seq: int, priority: int) -> Job:
    spec = JobSpec(command=("a",))
    return Job(id=job_id(seq), terms=terms_of(spec), seq=seq, submitted_by="", created_at_ms=0, priority=priority)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-2, 2) | st.none())))
def test_any_history_of_insertions_moves_and_removals_leaves_it_sorted(steps: list[tuple[int, int | None]]) -> None:
    order, expected = Order(), dict[JobId, tuple[int, int]]()
    for seq, priority in steps:
        one = job(seq, priority or 0)
        if priority is None:
            order.discard(one)
            expected.pop(one.id, None)
        else:
            order.add(one)
            expected[one.id] = (-priority, seq)
    assert list(order) == sorted(expected, key=lambda found: expected[found])
    assert len(order) == len(expected)
    assert all(found in order for found in expected)


def test_it_may_change_while_one_iterates() -> None:
    order = Order()
    jobs = [job(seq, 0) for seq in range(3)]
    for one in jobs:
        order.add(one)
    for found, one in zip(order, jobs, strict=True):
        assert found == one.id
        order.discard(one)
    assert len(order) == 0


def test_jobs_run_by_priority_then_first_come(world: World) -> None:
    low, first, second, high = (
        world.submit(priority=priority, turn=False) for priority in (-1, 0, 0, 7)
    )  # fmt: skip
    worker = world.worker()
    for expected in (high, first, second, low):
        attempt = worker.started()
        assert attempt.job_id == expected.id
        worker.succeed(attempt)
