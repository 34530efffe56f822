"""A template that is named on the command line or in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsconsole_protocol.error import NotFound

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import TemplateRow


async def find_template(client: Client, name: str) -> TemplateRow:
    """The template of that name. Raises NotFound that names the nearest one."""
    templates = {template.name: template for template in await client.templates()}
    if name in templates:
        return templates[name]
    import difflib

    near = difflib.get_close_matches(name, templates, 1)
    raise NotFound(
        f"there is no template {name!r}: {f'did you mean {near[0]}?' if near else 'see opsconsole templates'}"
    )
