"""A store restored from a backup: recognised by proof (hard use 48, 54), nothing stopped, and what is found finds its task."""

import msgspec
import pytest

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.seal import Seal
from opsconsole_protocol import link
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Observed
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import FakeWorker, World, gpus, state, task_of

FROM_BACKUP = 1_000_000


def remembering(world: World, name: str = "w1", **fields: object) -> FakeWorker:
    """A worker that remembers a later state of this store."""
    worker = FakeWorker(world, name, slots=2, **fields)
    worker.store_seq = FROM_BACKUP
    worker.store_seal = world.fleet.seal.of_seq(worker.id, FROM_BACKUP)
    world.workers[name] = worker
    return worker


def come(worker: FakeWorker) -> link.DesiredSet:
    worker.connect()
    worker.take(link.Registered)
    return worker.take(link.DesiredSet)


def sealed(world: World, worker: FakeWorker, attempt_id: str, seq: int = FROM_BACKUP) -> str:
    """What this coordinator said with the attempt when it gave it to the worker, before the backup was restored."""
    return world.fleet.seal.of_attempt(worker.id, attempt_id, seq)


def running(attempt_id: str, seal: str = "") -> Observed:
    return Observed(attempt_id=AttemptId(attempt_id), state=AttemptState.RUNNING, started_at_ms=1, seal=seal)


def test_it_is_recognised_said_and_kept(world: World) -> None:
    desired = come(remembering(world))
    assert desired.adopting
    assert world.fleet.adopting
    assert world.fleet.seq > FROM_BACKUP, "sequence numbers that were told are never used again"
    assert [event.kind for event in world.events] == ["joined", "restored"]
    world.fleet.audit(world.now_ms, "ana", EventKind.PROJECT, "x", "x")
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
    proof = sealed(world, worker, "000000000a.0.3.abcd")
    worker.attempts[AttemptId("000000000a.0.3.abcd")] = running("000000000a.0.3.abcd", proof)
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
    worker.attempts[attempt_id] = msgspec.structs.replace(
        running(attempt_id, sealed(world, worker, attempt_id)), gpu_ids=(card, "GPU-gone")
    )
    come(worker)
    assert world.fleet.attempts[attempt_id].gpu_ids == (card,)


def test_what_has_ended_is_accepted(world: World) -> None:
    job = world.submit()
    worker = remembering(world)
    worker.attempts[AttemptId("000000000a.0.0.abcd")] = Observed(
        attempt_id=AttemptId("000000000a.0.0.abcd"), state=AttemptState.SUCCEEDED, exit_code=0,
        seal=sealed(world, worker, "000000000a.0.0.abcd"),
    )  # fmt: skip
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
    worker.attempts[AttemptId(attempt_id)] = running(attempt_id, sealed(world, worker, attempt_id))
    assert not come(worker).attempts
    worker.say(running(attempt_id, sealed(world, worker, attempt_id)))
    assert not worker.inbox, "it is neither stopped nor forgotten"
    assert state(job) == "held"


def test_what_has_ended_and_whose_log_is_stored_already_is_forgotten(world: World) -> None:
    """Its agent takes all of the log for acknowledged and won't send it again."""
    job = world.submit()
    world.fleet.stored_logs = lambda _: {"stdout": 20}
    worker = remembering(world)
    attempt_id = AttemptId("000000000a.0.0.abcd")
    worker.attempts[attempt_id] = Observed(
        attempt_id=attempt_id, state=AttemptState.FAILED, exit_code=1, log_sizes={"stdout": 20},
        seal=sealed(world, worker, attempt_id),
    )  # fmt: skip
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
    other.attempts[AttemptId("000000000a.0.0.zzzz")] = running(
        "000000000a.0.0.zzzz", sealed(world, other, "000000000a.0.0.zzzz")
    )
    assert not come(other).attempts
    assert state(job) == "pending"


def test_an_adopted_attempt_takes_the_place_of_a_lost_one(world: World) -> None:
    one = world.worker("w0")
    job = world.submit()
    lost = one.started()
    one.disconnect()
    world.pass_ms(61_000)
    two = remembering(world)
    two.attempts[AttemptId("000000000a.0.1.abcd")] = running(
        "000000000a.0.1.abcd", sealed(world, two, "000000000a.0.1.abcd")
    )
    come(two)
    assert (lost.state, state(job)) == (AttemptState.WORKER_FAILED, "running")
    two.succeed(world.fleet.attempts[AttemptId("000000000a.0.1.abcd")])


# --- what isn't proved ---------------------------------------------------------------------------------------------


HIGHEST = 1 << 53


def lies(world: World) -> dict[str, str]:
    """Seals that don't prove what w1 says."""
    return {
        "none": "",
        "of another number": world.fleet.seal.of_seq("id-of-w1", world.fleet.seq),
        "another worker's": world.fleet.seal.of_seq("id-of-w9", HIGHEST),
        "of another store": Seal(b"key").of_seq("id-of-w1", HIGHEST),
    }


@pytest.mark.parametrize("lie", ["none", "of another number", "another worker's", "of another store"])
def test_a_worker_that_claims_to_know_more_halts_nobody(world: World, lie: str) -> None:
    """Hard use 54: the highest number there is made every honest agent exit, for good."""
    liar, honest = world.worker("w1"), world.worker("w2")
    liar.connect(store_seq=HIGHEST, store_seal=lies(world)[lie])
    liar.take(link.Registered)
    assert not world.fleet.adopting
    honest.connect()
    assert honest.take(link.Registered).store_seq < 1_000
    job = world.submit(worker="w2")
    honest.succeed(honest.started())
    assert state(job) == "succeeded"


@pytest.mark.parametrize("outcome", [AttemptState.RUNNING, AttemptState.SUCCEEDED])
@pytest.mark.parametrize("whose", ["nobody's", "another worker's"])
def test_a_claim_changes_no_task_that_was_not_given_to_the_claimer(
    world: World, whose: str, outcome: AttemptState
) -> None:
    """Hard use 54: four tasks pinned to another worker, never assigned to the liar, became succeeded."""
    job = world.submit(worker="w2")
    liar = world.worker("w1")
    attempt_id = AttemptId("000000000a.0.0.abcd")
    seal = world.fleet.seal.of_attempt("id-of-w2", attempt_id, 5) if whose != "nobody's" else ""
    liar.attempts[attempt_id] = Observed(attempt_id=attempt_id, state=outcome, exit_code=0, seal=seal)
    liar.connect()
    liar.take(link.Registered)
    assert liar.take(link.DesiredSet).adopting, "it is left alone, in case that it is true"
    assert not world.fleet.adopting
    assert state(job) == "pending"
    row = view.worker_row(world.fleet, liar.record, world.now_ms)
    assert "confirm-restore" in row.attention
    other = world.submit(worker="w1")
    assert state(other) == "pending", "the claimer gets nothing"
    assert "doesn't know" in world.why(other)
    honest = world.worker("w2")
    honest.succeed(honest.started())
    assert state(job) == "succeeded"


def test_in_a_restored_store_a_claim_takes_nobody_elses_task(world: World) -> None:
    job = world.submit(worker="w2")
    come(remembering(world, "w9"))
    assert world.fleet.adopting
    liar = remembering(world, "w1")
    attempt_id = AttemptId("000000000a.0.0.abcd")
    liar.attempts[attempt_id] = running(attempt_id, world.fleet.seal.of_attempt("id-of-w2", attempt_id, 5))
    come(liar)
    assert state(job) == "pending"


def test_an_attempt_that_was_given_proves_the_backup_also_when_the_store_has_come_further_since(world: World) -> None:
    job = world.submit()
    world.fleet.seq = 2 * FROM_BACKUP
    worker = FakeWorker(world, "w1")
    world.workers["w1"] = worker
    attempt_id = AttemptId("000000000a.0.0.abcd")
    worker.attempts[attempt_id] = running(attempt_id, sealed(world, worker, attempt_id))
    [desired] = come(worker).attempts
    assert desired.attempt_id == attempt_id
    assert world.fleet.adopting
    assert state(job) == "running"


MARKS = {"before": 1, "lost": 2, "present": 3}


def begin_epoch(world: World, mark: str) -> None:
    """The store is loaded; what it knows of earlier epochs is what began before the present one."""
    first, known = world.fleet.seal.epoch
    world.fleet.seal.begin_epoch({first: known} if known else {}, world.fleet.seq + 1, MARKS[mark])


@pytest.mark.parametrize("attempt_id", ["000000000z.0.0.abcd", "000000000a.0.0.zzzz"])
def test_what_was_given_in_a_lost_epoch_proves_the_backup_however_late_it_comes(world: World, attempt_id: str) -> None:
    """Of a job that was lost with the epoch, or of a task that was given to another worker since."""
    begin_epoch(world, "before")
    worker = FakeWorker(world, "w1")
    world.workers["w1"] = worker
    lost = Seal(b"")
    lost.begin_epoch({}, 2, MARKS["lost"])
    worker.attempts[AttemptId(attempt_id)] = running(attempt_id, lost.of_attempt(worker.id, attempt_id, 2))
    begin_epoch(world, "present")
    other = world.worker("w2")
    world.submit(worker="w2")
    attempt = other.started()
    assert world.fleet.seq > 2, "the store has come further since"
    assert not come(worker).attempts
    assert world.fleet.adopting
    worker.say(worker.attempts[AttemptId(attempt_id)])
    assert not worker.inbox, "it is neither stopped nor forgotten"
    other.succeed(attempt)


@pytest.mark.parametrize("began", [(), ("present",), ("before", "present")])
@pytest.mark.parametrize("outcome", [AttemptState.RUNNING, AttemptState.SUCCEEDED])
def test_an_attempt_of_a_job_that_was_removed_is_let_go_of(
    world: World, outcome: AttemptState, began: tuple[str, ...]
) -> None:
    """Hard use 48: a worker out of reach comes back after its task was replaced, done, and removed by age."""
    worker = world.worker()
    for mark in began[:-1]:
        begin_epoch(world, mark)
    world.fleet.audit(world.now_ms, "ana", EventKind.PROJECT, "x", "x")
    attempt_id = AttemptId("000000000z.0.0.abcd")
    seal = world.fleet.seal.of_attempt(worker.id, attempt_id, world.fleet.seq)
    for mark in began[-1:]:
        begin_epoch(world, mark)
    worker.attempts[attempt_id] = Observed(attempt_id=attempt_id, state=outcome, seal=seal)
    worker.connect()
    worker.take(link.Registered)
    worker.take(link.SetWant if outcome is AttemptState.RUNNING else link.Forget)
    assert not worker.take(link.DesiredSet).adopting
    assert not world.fleet.adopting
    job = world.submit()
    worker.succeed(worker.started())
    assert state(job) == "succeeded"


def test_without_a_proof_nothing_unknown_is_adopted(world: World) -> None:
    job = world.submit(held=True)
    worker = world.worker()
    worker.say(running("000000000a.0.0.abcd"))
    assert not worker.inbox, "nor is it stopped before an operator has decided"
    assert state(job) == "held"


def test_once_confirmed_what_is_not_proved_is_stopped(world: World) -> None:
    world.submit(held=True)
    worker = world.worker()
    world.fleet.restore_confirmed = True
    worker.say(running("000000000a.0.0.abcd"))
    worker.take(link.SetWant)
    assert not worker.record.unproved


@pytest.mark.parametrize("change", ["another mark", "no mark", "another number", "not a mark", "too much"])
def test_a_seal_proves_nothing_once_it_was_changed(world: World, change: str) -> None:
    """Its mark is proved with the rest: else a worker could claim that an epoch was lost."""
    seal = world.fleet.seal
    seal.begin_epoch({}, 1, MARKS["present"])
    true = seal.of_attempt("id-of-w1", "000000000z.0.0.abcd", 5)
    number, mark, signature = true.split(".")
    changed = {
        "another mark": f"{number}.{'f' * len(mark)}.{signature}",
        "no mark": f"{number}.{signature}",
        "another number": f"6.{mark}.{signature}",
        "not a mark": f"{number}.x.{signature}",
        "too much": f"{true}.{signature}",
    }
    assert seal.attempt_seq("id-of-w1", "000000000z.0.0.abcd", true) == 5
    assert seal.attempt_seq("id-of-w1", "000000000z.0.0.abcd", changed[change]) is None


def test_a_seal_from_before_there_were_epochs_is_good(world: World) -> None:
    old = world.fleet.seal.of_attempt("id-of-w1", "000000000z.0.0.abcd", 5)
    begin_epoch(world, "present")
    assert world.fleet.seal.attempt_seq("id-of-w1", "000000000z.0.0.abcd", old) == 5
