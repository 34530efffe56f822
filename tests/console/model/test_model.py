"""The view model: gathering changes, histories, short ids, pages."""

from msgspec.structs import replace

from opsconsole.fleet import Fleet, worker_kind
from opsconsole_console.model.contact import Contact
from opsconsole_console.model.model import Model
from opsconsole_console.model.short_id import ShortIds
from opsconsole_console.model.utilisation import SAMPLES_MAX, UtilisationHistory
from opsconsole_protocol.api import Update
from tests.console.app import recorded
from tests.console.app.source import Clock


def model() -> tuple[Model, Fleet, Clock]:
    fleet, clock = Fleet(), Clock()
    made = Model(fleet, clock)
    made.note_change(fleet.reset(recorded.snapshot()))
    return made, fleet, clock


def test_a_burst_of_changes_is_taken_once() -> None:
    made, fleet, _ = model()
    made.take_change()
    job = fleet.jobs["42f0k9x2mq"]
    for step in range(100):
        made.note_change(fleet.fold(Update(seq=fleet.seq + 1, jobs=(replace(job, priority=step),))))
    change = made.take_change()
    assert change is not None
    assert change.jobs == {"42f0k9x2mq"}
    assert not change.reset
    assert made.take_change() is None


def test_contact_alone_is_worth_a_repaint_and_since_when_is_known() -> None:
    made, _, clock = model()
    made.set_contact(Contact("connected", "there"))
    made.take_change()
    clock.now_ms += 5_000
    made.set_contact(Contact("lost", "reset by peer"))
    assert made.contact_since_ms == clock.now_ms
    assert made.heard_ms == clock.now_ms
    lost_ms = clock.now_ms
    clock.now_ms += 5_000
    made.set_contact(Contact("connecting"))
    assert made.contact_since_ms == lost_ms, "still the same loss"
    change = made.take_change()
    assert change is not None
    assert not change


def test_jobs_are_found_by_id_prefix_and_name() -> None:
    made, _, _ = model()
    assert [job.name for job in made.jobs_named("42f")] == ["train-lr3"]
    assert [job.id for job in made.jobs_named("train-lr3")] == ["42f0k9x2mq"]
    assert made.jobs_named("nope") == []
    assert len(made.jobs_named("k")) == 10


def test_pages_of_older_jobs_join() -> None:
    made, fleet, _ = model()
    assert made.jobs_missing == 3
    older = replace(fleet.jobs["g0h2v7q4dm"], id="z0h2v7q4dm", created_at_ms=5)
    assert made.add_older([older, fleet.jobs["g0h2v7q4dm"]]) == 1
    assert made.job("z0h2v7q4dm") == older
    assert made.jobs_missing == 2
    assert made.newest_jobs(1)[0].name == "distill"


def test_short_ids_grow_only_as_far_as_they_must() -> None:
    ids = ShortIds()
    assert not ids.add(["42f0k9x2mq", "51c7hh3d0v"])
    assert ids.show("42f0k9x2mq") == "42f0"
    assert ids.add(["42f0kzzzzz"])
    assert ids.length == 6
    assert ids.show("51c7hh3d0v") == "51c7hh"
    assert not ids.add(["42f0kzzzzz"]), "known already"


def test_a_history_is_bounded_and_unknown_while_a_worker_is_silent() -> None:
    history = UtilisationHistory()
    worker = recorded.WORKERS["gpu-a"]
    for step in range(SAMPLES_MAX + 10):
        history.add(worker, step * 5_000)
    assert len(history.of(worker.id)) == SAMPLES_MAX
    assert history.of(worker.id)[-1] == 46.5
    history.add(replace(worker, connection="silent"), SAMPLES_MAX * 6_000)
    assert history.of(worker.id)[-1] is None
    history.forget(worker.id)
    assert history.of(worker.id) == ()


def test_rows_that_follow_too_soon_are_one_sample() -> None:
    history = UtilisationHistory()
    worker = recorded.WORKERS["gpu-a"]
    history.add(worker, 0)
    history.add(replace(worker, gpus=worker.gpus[:1]), 100)
    assert history.of(worker.id) == (93,)


def test_what_matters_most_about_a_worker() -> None:
    kinds = {name: worker_kind(worker) for name, worker in recorded.WORKERS.items()}
    assert kinds["gpu-a"] == "up"
    assert kinds["cloud-t4"] == "silent"
    assert kinds["spare-node-with-a-long-name"] == "lost"
    assert kinds["v100-old"] == "draining"
