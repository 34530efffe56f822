"""Templates: a version for each change, and whole folders of them."""

from typing import Any

import msgspec
import pytest

from opsconsole_coordinator.core import template
from opsconsole_protocol.api import Parameter, Submission, TemplateRow
from opsconsole_protocol.error import Conflict, InvalidRequest, LimitExceeded, NotFound
from opsconsole_protocol.spec import JobSpec
from tests.coordinator.core.world import World

FIT = TemplateRow(name="fit", command=("fit", "{lr}"), parameters=(Parameter(name="lr", kind="float"),))


def set_fit(world: World, **fields: Any) -> str:
    return world.reactor.on_set_template(msgspec.structs.replace(FIT, **fields), "ana", world.now_ms)


def sync(world: World, *rows: TemplateRow, project: str = "vision", **how: bool) -> list[tuple[str, str, int]]:
    how = {"remove": False, "dry_run": False, **how}
    changes = world.reactor.on_sync_templates(rows, project, "ana", world.now_ms, **how)
    return [(one.name, one.change, one.version) for one in changes]


def test_each_change_makes_a_version_and_no_change_makes_none(world: World) -> None:
    assert set_fit(world, version=99) == "template fit set by ana: version 1"
    assert set_fit(world) == "template fit is like that already: version 1"
    assert set_fit(world, command=("fit2", "{lr}")).endswith("version 2")
    batch = world.reactor.take_batch(world.now_ms)
    assert [(one.label, one.command[0]) for one in batch.templates] == [("fit@1", "fit"), ("fit@2", "fit2")]
    assert [event.text for event in batch.events][-1] == "template fit set by ana: version 2"


def test_a_job_keeps_the_version_that_it_was_made_from(world: World) -> None:
    set_fit(world)
    first = world.submit(template="fit", command=FIT.command, parameters=({"lr": "1"},))
    set_fit(world, command=("fit2", "{lr}"))
    second = world.submit(template="fit", command=("fit2", "{lr}"), parameters=({"lr": "1"},))
    old = world.submit(template="fit", template_version=1, command=FIT.command, parameters=({"lr": "2"},))
    assert [(job.spec.template_version, job.spec.command) for job in (first, second, old)] == [
        (1, ("fit", "1.0")), (2, ("fit2", "1.0")), (1, ("fit", "2.0")),
    ]  # fmt: skip
    with pytest.raises(InvalidRequest, match="there is no template 'fit@7'"):
        world.submit(template="fit", template_version=7, command=FIT.command)
    with pytest.raises(InvalidRequest, match="name the template, too"):
        world.submit(template_version=1)


def test_a_submission_that_is_repeated_keeps_its_version(world: World) -> None:
    set_fit(world)
    one = Submission(world.new_id(), JobSpec(command=FIT.command, template="fit", parameters=({"lr": "1"},)))
    (job,) = world.reactor.on_submit([one], {}, "ana", world.now_ms)
    set_fit(world, description="new")
    assert world.reactor.on_submit([one], {}, "ana", world.now_ms) == [job]


def test_a_removed_template_goes_on_counting(world: World) -> None:
    set_fit(world)
    assert world.reactor.on_remove_template("fit", "ana", world.now_ms) == "template fit removed by ana"
    assert world.reactor.take_batch(world.now_ms).templates_removed == ["fit"]
    with pytest.raises(InvalidRequest, match="there is no template 'fit'"):
        world.submit(template="fit", command=FIT.command)
    world.submit(template="fit", template_version=1, command=FIT.command, parameters=({"lr": "1"},))
    with pytest.raises(NotFound):
        world.reactor.on_remove_template("fit", "ana", world.now_ms)
    assert set_fit(world).endswith("version 2")
    assert not world.reactor.take_batch(world.now_ms).templates_removed


def test_a_folder_is_synced_whole_and_says_what_became_of_each(world: World) -> None:
    other = TemplateRow(name="eval", command=("eval",))
    assert sync(world, FIT, other, dry_run=True) == [("eval", "created", 1), ("fit", "created", 1)]
    assert not list(world.fleet.templates)
    sync(world, FIT, other)
    changed = msgspec.structs.replace(FIT, description="better")
    assert sync(world, changed, other) == [("eval", "unchanged", 1), ("fit", "changed", 2)]
    assert sync(world, changed, remove=True, dry_run=True) == [("eval", "removed", 1), ("fit", "unchanged", 2)]
    assert "eval" in world.fleet.templates
    set_by_hand = TemplateRow(name="mine", command=("a",))
    world.reactor.on_set_template(set_by_hand, "ben", world.now_ms)
    sync(world, changed, remove=True)
    assert {one.name for one in world.fleet.templates} == {"fit", "mine"}


@pytest.mark.parametrize(
    ("rows", "project", "error", "match"),
    [
        ([FIT, FIT], "vision", InvalidRequest, "two templates are called fit"),
        ([TemplateRow(name="new", command=("a",)), TemplateRow(name="bad", command=("{x}",))], "vision", InvalidRequest,
         "names {x}"),
        ([TemplateRow(name="new", command=("a",)), FIT], "pose", Conflict, "is synced for project vision"),
        ([TemplateRow(name="a@3", command=("a",))], "vision", InvalidRequest, "after @ is a version"),
    ],
)  # fmt: skip
def test_one_that_is_wrong_changes_nothing(
    rows: list[TemplateRow], project: str, error: type[Exception], match: str, world: World
) -> None:
    sync(world, FIT)
    world.turn()
    with pytest.raises(error, match=match):
        sync(world, *rows, project=project)
    assert [one.label for one in world.fleet.templates] == ["fit@1"]
    assert not world.reactor.is_dirty


def test_what_is_synced_and_changed_by_hand_is_brought_back(world: World) -> None:
    sync(world, FIT)
    set_fit(world, description="by hand")
    assert sync(world, FIT) == [("fit", "changed", 3)]


def test_there_are_so_many_names(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "TEMPLATE_NAMES_MAX", 1)
    set_fit(world)
    set_fit(world, description="a change needs no name")
    with pytest.raises(LimitExceeded, match="the limit is 1"):
        set_fit(world, name="other")
