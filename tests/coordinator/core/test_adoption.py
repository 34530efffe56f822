"""A store restored from a backup: recognised, nothing stopped, and what is found finds its task."""

import msgspec
import pytest

from opsconsole_protocol import link
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Observed
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import FakeWorker, World, gpus, state, task_of

FROM_BACKUP = 1_000_000


def remembering(world: World, name: str = "w1", **fields: object) -> FakeWorker:
    """A worker that remembers a later state of this store."""
    worker = FakeWorker(world, name, slots=2, **fields)
    worker.store_seq = FROM_BACKUP
    world.workers[name] = worker
    return worker


def come(worker: FakeWorker) -> link.DesiredSet:
    worker.connect()
    worker.take(link.Registered)
    return worker.take(link.DesiredSet)


def running(attempt_id: str) -> Observed:
    return Observed(attempt_id=AttemptId(attempt_id), state=AttemptState.RUNNING, started_at_ms=1)


def test_it_is_recognised_said_and_kept(world: World) -> None:
    desired = come(remembering(world))
    assert desired.adopting
    assert world.fleet.adopting
    assert world.fleet.seq > FROM_BACKUP, "sequence numbers that were told are never used again"
    assert [event.kind for event in world.events] == ["joined", "restored"]
    world.fleet.audit(world.now_ms, "ana", "x", "x", "x")
    assert world.fleet.drain().adopting


@pytest.mark.parametrize("fields", [{"store_id": "another"}, {"store_seq": 0}])
def test_another_store_or_an_older_memory_is_no_backup(world: World, fields: dict[str, object]) -> None:
    worker = world.worker()
    worker.connect(**fields)
    worker.take(link.Registered)
    assert not world.fleet.adopting


def test_what_runs_is_adopted_and_goes_on(world: World) -> None:
    job = world.submit(gpus=1)
    user = link.GpuUser(pid=1, name="python", attempt_id="000000000a.0.3.abcd")
    card = link.Gpu(index=0, uuid="GPU-0", name="A100", processes=(user,))
    worker = remembering(world, gpus=(card, *gpus(2)[1:]))
    worker.attempts[AttemptId("000000000a.0.3.abcd")] = running("000000000a.0.3.abcd")
    [desired] = come(worker).attempts
    assert desired.attempt_id == "000000000a.0.3.abcd"
    attempt = world.fleet.attempts[desired.attempt_id]
    assert (state(job), attempt.number, attempt.gpu_ids, task_of(job).attempts) == ("running", 3, ("GPU-0",), 4)
    worker.succeed(attempt)
    assert state(job) == "succeeded"


def test_what_has_not_touched_its_gpu_yet_has_it_all_the_same(world: World) -> None:
    """Its agent knows what it gave away, whatever the driver shows."""
    world.submit(gpus=1)
    worker = remembering(world, gpus=gpus(2))
    attempt_id = AttemptId("000000000a.0.3.abcd")
    card = worker.fields["gpus"][1].uuid
    worker.attempts[attempt_id] = msgspec.structs.replace(running(attempt_id), gpu_ids=(card, "GPU-gone"))
    come(worker)
    assert world.fleet.attempts[attempt_id].gpu_ids == (card,)


def test_what_has_ended_is_accepted(world: World) -> None:
    job = world.submit()
    worker = remembering(world)
    worker.attempts[AttemptId("000000000a.0.0.abcd")] = Observed(
        attempt_id=AttemptId("000000000a.0.0.abcd"), state=AttemptState.SUCCEEDED, exit_code=0
    )
    worker.connect()
    worker.take(link.Registered)
    worker.take(link.Forget)
    worker.take(link.DesiredSet)
    assert state(job) == "succeeded"


@pytest.mark.parametrize(
    "attempt_id", ["000000000z.0.0.abcd", "000000000a.7.0.abcd", "garbage", "000000000a.0.x.abcd", "a.0.99999999999.b"]
)
def test_what_has_no_task_here_is_left_alone(world: World, attempt_id: str) -> None:
    job = world.submit(held=True)
    worker = remembering(world)
    worker.attempts[AttemptId(attempt_id)] = running(attempt_id)
    assert not come(worker).attempts
    worker.say(running(attempt_id))
    assert not worker.inbox, "it is neither stopped nor forgotten"
    assert state(job) == "held"


def test_what_has_ended_and_whose_log_is_stored_already_is_forgotten(world: World) -> None:
    """Its agent takes all of the log for acknowledged and won't send it again."""
    job = world.submit()
    world.fleet.stored_logs = lambda _: {"stdout": 20}
    worker = remembering(world)
    attempt_id = AttemptId("000000000a.0.0.abcd")
    worker.attempts[attempt_id] = Observed(
        attempt_id=attempt_id, state=AttemptState.FAILED, exit_code=1, log_sizes={"stdout": 20}
    )
    worker.connect()
    worker.take(link.Registered)
    assert worker.take(link.Forget).attempt_ids == (attempt_id,)
    worker.take(link.DesiredSet)
    assert state(job) == "failed"


def test_an_attempt_older_than_the_tasks_last_is_not_adopted(world: World) -> None:
    worker = world.worker("w0")
    job = world.submit(max_retries_failure=3)
    worker.fail(worker.started())
    other = remembering(world)
    other.attempts[AttemptId("000000000a.0.0.zzzz")] = running("000000000a.0.0.zzzz")
    assert not come(other).attempts
    assert state(job) == "pending"


def test_an_adopted_attempt_takes_the_place_of_a_lost_one(world: World) -> None:
    one = world.worker("w0")
    job = world.submit()
    lost = one.started()
    one.disconnect()
    world.pass_ms(61_000)
    two = remembering(world)
    two.attempts[AttemptId("000000000a.0.1.abcd")] = running("000000000a.0.1.abcd")
    come(two)
    assert (lost.state, state(job)) == (AttemptState.WORKER_FAILED, "running")
    two.succeed(world.fleet.attempts[AttemptId("000000000a.0.1.abcd")])


def test_without_a_restored_backup_nothing_unknown_is_adopted(world: World) -> None:
    job = world.submit(held=True)
    worker = world.worker()
    worker.say(running("000000000a.0.0.abcd"))
    worker.take(link.SetWant)
    assert state(job) == "held"
