"""The one way into the core: an event that is refused has changed nothing, and every batch holds what came of an event."""

import inspect
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from opsconsole_coordinator.core.reactor import Reactor
from opsconsole_protocol import PROTOCOL_VERSION, link
from opsconsole_protocol.api import Submission, TemplateRow
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.ids import JobId, SessionId, WorkerId, job_id
from opsconsole_protocol.spec import PRIORITY_MAX, JobSpec
from opsconsole_protocol.task_selection import TaskSelection
from tests.coordinator.core.world import World

Event = Callable[[World, Reactor, int], object]
JOB = job_id(10)
WORKER = WorkerId("id-of-w1")


def register(**fields: Any) -> Event:
    """An agent introduces itself."""
    message = link.Register(**{
        "protocol": PROTOCOL_VERSION, "agent_version": "1", "worker_id": WorkerId("new"), "name": "w2",
        "run_id": "run-2", "observed": (), **fields,
    })  # fmt: skip
    return lambda _, reactor, now_ms: reactor.on_register(SessionId(99), message, (), now_ms)


def update(**fields: Any) -> Event:
    """w1 says what has changed about it."""
    message = link.UpdateMetadata(**fields)
    return lambda world, reactor, now_ms: reactor.on_update_metadata(world.fleet.workers[WORKER], message, now_ms)


def submit(*specs: JobSpec) -> Event:
    """Jobs come in together."""
    batch = [Submission(job_id(100 + number), spec) for number, spec in enumerate(specs)]
    return lambda _, reactor, now_ms: reactor.on_submit(batch, {}, "ana", now_ms)


def act(verb: str, job: JobId = JOB, index: int | None = None) -> Event:
    """Ana does something to a job."""
    return lambda _, reactor, now_ms: reactor.on_act(
        verb, job, None if index is None else TaskSelection.of(index), "ana", "", now_ms
    )


GOOD = JobSpec(command=("a",))
REFUSED: dict[str, Event] = {
    "another protocol": register(protocol=PROTOCOL_VERSION + 1),
    "a name that is taken": register(name="w1"),
    "a copied identity": register(worker_id=WORKER, name="w1"),
    "a tag of two lines": register(tags=("two\nlines",)),
    "folders of a wrong shape": register(properties={"io_paths": 5}),
    "a status that is none": update(properties={"status": "asleep", "x": 1}),
    "a status that is no text": update(properties={"status": [], "x": 1}),
    "maintenance with a wrong tag": update(properties={"status": "maintenance"}, tags=("two\nlines",)),
    "maintenance with wrong folders": update(properties={"status": "maintenance", "io_paths": 5}),
    "a batch of which one names no template": submit(GOOD, JobSpec(command=("a",), template="none")),
    "a batch whose jobs wait for each other": submit(
        JobSpec(command=("a",), after=(job_id(101),)), JobSpec(command=("a",), after=(job_id(100),))
    ),
    "a batch of which one comes after nothing": submit(GOOD, JobSpec(command=("a",), after=("zzzzzzzzzz",))),
    "a verb that is none": act("explode"),
    "a job that is none": act("cancel", JobId("zzzzzzzzzz")),
    "a task that is none": act("cancel", index=5),
    "a retry of what hasn't failed": act("retry"),
    "a release of what isn't held": act("release"),
    "a priority out of range": lambda _, reactor, now_ms: reactor.on_set_priority(
        JOB, None, PRIORITY_MAX + 1, "ana", now_ms, relative=False
    ),
    "the priority of no job": lambda _, reactor, now_ms: reactor.on_set_priority(
        JobId("zzzzzzzzzz"), None, 1, "ana", now_ms, relative=False
    ),
    "more tasks for what is no sweep": lambda _, reactor, now_ms: reactor.on_add_tasks(
        JOB, [{"lr": "1"}], "ana", now_ms
    ),
    "more tasks for no job": lambda _, reactor, now_ms: reactor.on_add_tasks(
        JobId("zzzzzzzzzz"), [{"lr": "1"}], "ana", now_ms
    ),
    "a candidate for what can't be read": lambda _, reactor, now_ms: reactor.on_ask_candidates(
        JobSpec(command=("a",), inputs=("x",), requirements=(">>",)), now_ms
    ),
    "a project's status that is none": lambda _, reactor, now_ms: reactor.on_set_project(
        "default", "words", "closed", "ana", now_ms
    ),
    "a template without a command": lambda _, reactor, now_ms: reactor.on_set_template(
        TemplateRow(name="t", command=()), "ana", now_ms
    ),
    "an action that is none": lambda _, reactor, now_ms: reactor.on_set_maintenance("w1", "explode", "ana", now_ms),
    "the drain of no worker": lambda _, reactor, now_ms: reactor.on_set_maintenance("w9", "drain", "ana", now_ms),
    "the revocation of no worker": lambda _, reactor, now_ms: reactor.on_revoke("w9", "ana", now_ms),
    "the removal of a connected worker": lambda _, reactor, now_ms: reactor.on_worker_removed("w1", "ana", now_ms),
    "a restore that wasn't": lambda _, reactor, now_ms: reactor.on_confirm_restore("ana", now_ms),
}


def everything(world: World) -> bytes:
    """All that a fleet holds, to compare."""
    fleet = world.fleet
    held = (
        fleet.seq, fleet.job_seq, fleet.adopting, fleet.restore_confirmed, fleet.must_schedule, fleet.is_dirty,
        list(fleet.order), fleet.workers, fleet.jobs, fleet.attempts, fleet.projects, list(fleet.templates),
        list(fleet.questions.answers.values()),
    )  # fmt: skip
    return msgspec.msgpack.encode(held, enc_hook=sorted)


@pytest.mark.parametrize("event", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_has_changed_nothing(event: Event, world: World) -> None:
    world.worker(properties={"io_paths": {"input": "/in"}})
    world.submit(requirements=("zone=a",))
    before = everything(world)
    with pytest.raises(OpsconsoleError):
        event(world, world.reactor, world.now_ms)
    assert everything(world) == before


def test_events_are_named_as_such() -> None:
    """What changes a fleet begins with `on_`, but for the batch that is taken; the rest only looks."""
    public = {name for name, _ in inspect.getmembers(Reactor, inspect.isfunction) if not name.startswith(("_", "on_"))}
    assert public == {
        "take_batch",
        "prepare",
        "knows_person",
        "knows_project",
        "find_worker",
        "find_removable",
        "may_be_adopted",
        "contents_of",
        "awaits_results",
    }
