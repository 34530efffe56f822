"""Templates: named commands with typed parameters, which submissions are filled in from."""

import msgspec

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_protocol.api import Submission, TemplateRow
from opsconsole_protocol.api.template import check_template, filled
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.event_kind import EventKind


def set_template(fleet: Fleet, template: TemplateRow, actor: str, now_ms: int) -> str:
    """Make or replace a template. Raises InvalidRequest, and then nothing changed."""
    check_template(template)
    made = msgspec.structs.replace(template, created_by=actor, created_at_ms=now_ms)
    fleet.templates[made.name] = made
    fleet.touch_template(made)
    words = f"template {made.name} set"
    fleet.audit(now_ms, actor, EventKind.TEMPLATE, words, made.name)
    return words


def fill_in(fleet: Fleet, submission: Submission) -> Submission:
    """The submission with what its template says. Raises InvalidRequest that names what doesn't fit."""
    name = submission.spec.template
    if name is None:
        return submission
    if name not in fleet.templates:
        raise InvalidRequest(f"there is no template {name[:200]!r} (opsconsole templates lists them)")
    return Submission(submission.job_id, filled(submission.spec, fleet.templates[name]))
