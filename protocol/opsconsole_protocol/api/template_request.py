"""What can be asked about templates."""

from typing import Annotated

from msgspec import Meta

from opsconsole_protocol.api.request_base import Request
from opsconsole_protocol.api.template_row import TemplateRow
from opsconsole_protocol.bound import PROJECT_CHARACTERS_MAX, Label, Whole

TEMPLATES_MAX = 1_000
"""Of one folder."""
VERSIONS_PAGE_MAX = 100


class ListTemplates(Request, frozen=True, kw_only=True, tag="templates"):
    """All templates as they are now, or every version of the one of this `name`, newest first. Answered by TemplateList.

    `version`: only this one; `before`: only those before it. One that was removed still has its versions.
    """

    name: Label = ""
    version: Whole | None = None
    before: Whole | None = None
    limit: Annotated[int, Meta(ge=1, le=VERSIONS_PAGE_MAX)] = VERSIONS_PAGE_MAX


class SetTemplate(Request, frozen=True, kw_only=True, tag="set_template"):
    """Create a template, or a new version of one unless nothing of it is another. Answered by Done."""

    template: TemplateRow


class SyncTemplates(Request, frozen=True, kw_only=True, tag="sync_templates"):
    """Have all these templates as they are in a folder, or none. Answered by TemplatesSet.

    `project`: whose they are; `remove`: remove its others, that came from a folder as well; `dry_run`: only say what would change.
    """

    templates: Annotated[tuple[TemplateRow, ...], Meta(max_length=TEMPLATES_MAX)]
    project: Annotated[str, Meta(min_length=1, max_length=PROJECT_CHARACTERS_MAX)] = "default"
    remove: bool = False
    dry_run: bool = False


class RemoveTemplate(Request, frozen=True, kw_only=True, tag="remove_template"):
    """Remove a template; jobs that were made from it keep their version of it. Answered by Done."""

    name: Label
