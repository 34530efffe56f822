"""Templates: named commands with typed parameters, which submissions are filled in from."""

import msgspec

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_protocol.api import Submission, TemplateRow
from opsconsole_protocol.api.template import check_template as check_places
from opsconsole_protocol.api.template import filled
from opsconsole_protocol.bound import (
    COMMAND_BYTES_MAX,
    COMMAND_WORDS_MAX,
    NAME_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    check_count,
    check_length,
    check_tree,
)
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.event_kind import EventKind

PARAMETERS_MAX = 100


def set_template(fleet: Fleet, template: TemplateRow, actor: str, now_ms: int) -> str:
    """Make or replace a template. Raises InvalidRequest, and then nothing changed."""
    if not template.name or not template.command:
        raise InvalidRequest("a template needs a name and a command")
    check_template(template)
    check_places(template)
    made = msgspec.structs.replace(template, created_by=actor, created_at_ms=now_ms)
    fleet.templates[made.name] = made
    fleet.touch_template(made)
    words = f"template {made.name} set"
    fleet.audit(now_ms, actor, EventKind.TEMPLATE, words, made.name)
    return words


def check_template(template: TemplateRow) -> None:
    """Raise InvalidRequest where something is longer than anybody would read, or can't be told to everybody."""
    check_length("the template's name", template.name, NAME_CHARACTERS_MAX)
    check_length("the template's description", template.description, TEXT_CHARACTERS_MAX)
    check_count("words of a command", template.command, COMMAND_WORDS_MAX)
    for word in template.command:
        check_length("the word", word, COMMAND_BYTES_MAX)
    check_count("parameters", template.parameters, PARAMETERS_MAX)
    for one in template.parameters:
        check_length("the parameter's name", one.name, NAME_CHARACTERS_MAX)
        check_length("the parameter's kind", one.kind, NAME_CHARACTERS_MAX)
        check_length("the parameter's help", one.help, TEXT_CHARACTERS_MAX)
        check_tree("a parameter's default and choices", [one.default, *one.choices])
    check_tree("a template's defaults", template.defaults)


def fill_in(fleet: Fleet, submission: Submission) -> Submission:
    """The submission with what its template says. Raises InvalidRequest that names what doesn't fit."""
    name = submission.spec.template
    if name is None:
        return submission
    if name not in fleet.templates:
        raise InvalidRequest(f"there is no template {name[:200]!r} (opsconsole templates lists them)")
    return Submission(submission.job_id, filled(submission.spec, fleet.templates[name]))
