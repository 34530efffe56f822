"""Templates: named commands with typed parameters, which submissions are filled in from. Each change makes a new version."""

from collections.abc import Sequence

import msgspec

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_protocol.api import Submission, TemplateChange, TemplateRow
from opsconsole_protocol.api.template import check_template, filled
from opsconsole_protocol.error import Conflict, InvalidRequest, LimitExceeded, NotFound
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.name import check_name

TEMPLATE_NAMES_MAX = 10_000
"""Templates, those that were removed included: their versions are kept."""


def set_template(fleet: Fleet, template: TemplateRow, actor: str, now_ms: int) -> str:
    """Make a template, or a new version of one. Raises InvalidRequest or LimitExceeded, and then nothing changed."""
    check_template(template)
    before = fleet.templates.find(template.name)
    _check_room(fleet, 0 if before is not None else 1)
    made = _next_version(fleet, template, before.synced if before is not None else "", actor, now_ms)
    if before is not None and _is_same(before, made):
        return f"template {before.name} is like that already: version {before.version}"
    return _put(fleet, made, actor, now_ms)


def sync_templates(
    fleet: Fleet, templates: Sequence[TemplateRow], project: str, actor: str, now_ms: int,
    *, remove: bool, dry_run: bool,
) -> tuple[TemplateChange, ...]:  # fmt: skip
    """Have a project's templates as they are in its folder: make those that are new or changed, with `remove` remove its others.

    Says of each what became of it, or with `dry_run` what would. Raises InvalidRequest, Conflict or LimitExceeded, and then nothing
    changed.
    """
    check_name(project, "a project's name")
    names = [one.name for one in templates]
    if len(set(names)) != len(names):
        raise InvalidRequest(f"two templates are called {next(name for name in names if names.count(name) > 1)}")
    for template in templates:
        check_template(template)
        before = fleet.templates.find(template.name)
        if before is not None and before.synced not in {"", project}:
            raise Conflict(
                f"template {template.name} is synced for project {before.synced}: give this one another name"
            )
    _check_room(fleet, sum(name not in fleet.templates for name in names))
    changes: list[TemplateChange] = []
    for template in templates:
        before = fleet.templates.find(template.name)
        made = _next_version(fleet, template, project, actor, now_ms)
        if before is not None and _is_same(before, made) and before.synced == project:
            changes.append(TemplateChange(name=before.name, change="unchanged", version=before.version))
            continue
        changes.append(
            TemplateChange(name=made.name, change="created" if before is None else "changed", version=made.version)
        )
        if not dry_run:
            _put(fleet, made, actor, now_ms)
    for template in [one for one in fleet.templates if remove and one.synced == project and one.name not in names]:
        changes.append(TemplateChange(name=template.name, change="removed", version=template.version))
        if not dry_run:
            remove_template(fleet, template.name, actor, now_ms)
    return tuple(sorted(changes, key=lambda change: change.name))


def remove_template(fleet: Fleet, name: str, actor: str, now_ms: int) -> str:
    """Remove a template; its versions stay, for the jobs that were made from them. Raises NotFound."""
    if name not in fleet.templates:
        raise NotFound(f"there is no template {name[:200]!r} (opsconsole templates lists them)")
    fleet.templates.remove(name)
    words = f"template {name} removed by {actor}"
    fleet.audit(now_ms, actor, EventKind.TEMPLATE, words, name)
    return words


def fill_in(fleet: Fleet, submission: Submission) -> Submission:
    """The submission with what its template says. Raises InvalidRequest that names what doesn't fit.

    A submission that is repeated keeps the version that it was given at first.
    """
    spec = submission.spec
    if spec.template is None:
        if spec.template_version is not None:
            raise InvalidRequest("template_version says which version of a template: name the template, too")
        return submission
    known = fleet.jobs.get(submission.job_id)
    version = spec.template_version
    if version is None and known is not None and known.spec.template == spec.template:
        version = known.spec.template_version
    template = fleet.templates.find(spec.template, version)
    if template is None:
        label = spec.template[:200] if version is None else f"{spec.template[:200]}@{version}"
        raise InvalidRequest(f"there is no template {label!r} (opsconsole templates lists them)")
    return Submission(submission.job_id, filled(spec, template))


def _check_room(fleet: Fleet, more: int) -> None:
    if fleet.templates.count + more > TEMPLATE_NAMES_MAX:
        raise LimitExceeded(f"there are {fleet.templates.count} names of templates, the limit is {TEMPLATE_NAMES_MAX}")


def _next_version(fleet: Fleet, template: TemplateRow, synced: str, actor: str, now_ms: int) -> TemplateRow:
    version = fleet.templates.last_version(template.name) + 1
    return msgspec.structs.replace(
        template, version=version, synced=synced, created_by=actor, created_at_ms=now_ms
    )  # fmt: skip


def _is_same(one: TemplateRow, other: TemplateRow) -> bool:
    """Whether the two say the same, whoever said it and when."""
    return _said(one) == _said(other)


def _said(template: TemplateRow) -> TemplateRow:
    return msgspec.structs.replace(template, version=1, synced="", made_from="", created_by="", created_at_ms=0)


def _put(fleet: Fleet, made: TemplateRow, actor: str, now_ms: int) -> str:
    fleet.templates.put(made)
    words = f"template {made.name} set by {actor}: version {made.version}"
    fleet.audit(now_ms, actor, EventKind.TEMPLATE, words, made.name)
    return words
