"""Projects and templates change like everything else: in one batch with the event that says so, and with what follows."""

import pytest

from opsconsole_protocol.api import Submission, TemplateRow
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import JobSpec
from tests.coordinator.core.world import World


def test_a_project_changes_in_one_batch_with_its_event_and_what_follows(world: World) -> None:
    job = world.submit()
    assert world.reactor.on_set_project("default", "all we do", "paused", "ana", world.now_ms) == (
        "project default is paused"
    )
    batch = world.reactor.take_batch(world.now_ms)
    assert [(one.name, one.status, one.description) for one in batch.projects] == [("default", "paused", "all we do")]
    assert [(event.kind, event.actor, event.subject) for event in batch.events] == [("project", "ana", "default")]
    assert [one.id for one in batch.jobs] == [job.id]
    assert job.reason == "project default is paused"
    assert batch.must_commit


def test_what_isnt_said_of_a_project_stays(world: World) -> None:
    world.reactor.on_set_project("vision", "eyes", None, "ana", world.now_ms)
    world.now_ms += 5
    world.reactor.on_set_project("vision", None, "archived", "bob", world.now_ms)
    project = world.fleet.projects["vision"]
    assert (project.description, project.status) == ("eyes", "archived")
    assert project.updated_at_ms - project.created_at_ms == 5


def test_what_cant_be_set_changes_nothing(world: World) -> None:
    with pytest.raises(InvalidRequest, match="'closed' is not a project's status: use one of active, paused, archived"):
        world.reactor.on_set_project("vision", None, "closed", "ana", world.now_ms)
    with pytest.raises(InvalidRequest, match="a project's name"):
        world.reactor.on_set_project("two\nlines", None, "paused", "ana", world.now_ms)
    with pytest.raises(InvalidRequest, match="a template needs a name and a command"):
        world.reactor.on_set_template(TemplateRow(name="", command=()), "ana", world.now_ms)
    assert not world.fleet.projects
    assert not list(world.fleet.templates)
    assert not world.reactor.is_dirty


def test_a_template_is_known_to_the_next_submission_and_committed_with_its_event(world: World) -> None:
    world.reactor.on_set_template(TemplateRow(name="train", command=("train.py",)), "ana", world.now_ms)
    spec = JobSpec(command=("train.py",), template="train")
    (job,) = world.reactor.on_submit([Submission(world.new_id(), spec)], {}, "ana", world.now_ms)
    assert job.spec.command == ("train.py",)
    batch = world.reactor.take_batch(world.now_ms)
    assert [(one.name, one.created_by) for one in batch.templates] == [("train", "ana")]
    assert [event.kind for event in batch.events] == ["template", "submitted"]
    with pytest.raises(InvalidRequest, match="there is no template 'fly'"):
        world.submit(template="fly", command=())
