"""Templates: looked at, made, kept in step with a folder, and jobs made from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from opsconsole.client_part import ClientPart
from opsconsole_protocol import api
from opsconsole_protocol.api.parameter import spell_value
from opsconsole_protocol.api.template import filled, template_label
from opsconsole_protocol.api.template_default import default_fields
from opsconsole_protocol.error import Conflict, NotFound
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import checked_spec
from opsconsole_protocol.state import TaskState


class TemplateRequests(ClientPart):
    """A part of a client: its templates. A `name` may be that of a version: `train@3`."""

    async def templates(self) -> list[api.TemplateRow]:
        """All templates, by name."""
        return list((await self._ask(api.ListTemplates(), api.TemplateList)).templates)

    async def template(self, name: str) -> api.TemplateRow:
        """The newest version of a template, or the one that is named: `train@3`. Raises NotFound that names the nearest."""
        bare, version = split_version(name)
        if version is not None:
            asked = api.ListTemplates(name=bare, version=version)
            if found := (await self._ask(asked, api.TemplateList)).templates:
                return found[0]
        templates = {template.name: template for template in await self.templates()}
        if version is None and bare in templates:
            return templates[bare]
        if bare in templates:
            raise NotFound(f"template {bare} has no version {version}: its last one is {templates[bare].version}")
        import difflib

        near = difflib.get_close_matches(bare, templates, 1)
        raise NotFound(
            f"there is no template {name!r}: {f'did you mean {near[0]}?' if near else 'see opsconsole templates'}"
        )

    async def template_history(self, name: str) -> list[api.TemplateRow]:
        """Every version of a template, newest first, also of one that was removed. Raises NotFound."""
        found: list[api.TemplateRow] = []
        while True:
            before = found[-1].version if found else None
            page = await self._ask(api.ListTemplates(name=name, before=before), api.TemplateList)
            found += page.templates
            if not page.more or not page.templates:
                break
        if not found:
            await self.template(name)  # raises NotFound
        return found

    async def set_template(self, template: api.TemplateRow) -> str:
        """Create a template, or a new version of it unless it is like that already; return in one line what happened.

        Raises InvalidRequest where its command names a parameter that it doesn't declare.
        """
        return (await self._ask(api.SetTemplate(template=template), api.Done)).text

    async def remove_template(self, name: str) -> str:
        """Remove a template, and return in one line what happened. Jobs keep the version that they were made from. Raises NotFound."""
        return (await self._ask(api.RemoveTemplate(name=name), api.Done)).text

    async def sync_templates(
        self, folder: str | Path, project: str = "default", *, remove: bool = False, dry_run: bool = False
    ) -> list[api.TemplateChange]:
        """Have the templates of a folder's TOML files at the coordinator, all or none, and return what became of each, by name.

        They belong to `project`; with `remove`, its others that came from a folder are removed. Raises InvalidRequest that names
        file and key, or a folder that is none, and Conflict for a name that another project syncs.
        """
        from opsconsole.template_file import read_templates

        rows = tuple(read_templates(Path(folder)))
        asked = api.SyncTemplates(templates=rows, project=project, remove=remove, dry_run=dry_run)
        return list((await self._ask(asked, api.TemplatesSet)).changes)

    async def template_from_job(
        self, id: str, name: str, parameters: Sequence[str] = (), *, description: str = ""  # noqa: A002
    ) -> api.TemplateRow:  # fmt: skip
        """Make a template of a job that succeeded, and return it. `parameters` says which values of its command are some:
        `lr` (what follows --lr), `lr=0.1`, `lr:float=0.1`. Raises Conflict for a job that didn't succeed, and InvalidRequest.
        """
        from opsconsole_protocol.api.template_from_job import template_of_job

        detail = await self.show(id, tasks_limit=0, events_limit=0)
        if detail.job.state != TaskState.SUCCEEDED:
            raise Conflict(f"job {detail.job.id} is {detail.job.state}: a template is made of a job that succeeded")
        spec, base = detail.spec, None
        if spec.template is not None:
            base = await self.template(template_label(spec))
        row = template_of_job(detail.job.id, spec, name, parameters, description=description, base=base)
        await self.set_template(row)
        return await self.template(name)

    async def submit_template(
        self,
        template: str,
        /,
        values: Mapping[str, Any] | Sequence[Mapping[str, Any]] = (),
        job_id: JobId | None = None,
        *,
        uploads: str | Path | Sequence[str | Path] = (),
        bundle: str | Path | None = None,
        tell: Callable[[str], None] | None = None,
        **fields: Any,
    ) -> api.JobRow:
        """Submit a job made from a template with these values of its parameters, or a task for each set of values; return its row.

        Its defaults count where neither `fields`, those of a JobSpec, nor `uploads` and `bundle` say otherwise; what it would have
        brought of the results (`fetch`) is left to `get`. Raises NotFound, and InvalidRequest that names the parameter.
        """
        row = await self.template(template)
        sets = [values] if isinstance(values, Mapping) else list(values) or [{}]
        texts = tuple({key: spell_value(value) for key, value in one.items()} for one in sets)
        defaults = default_fields(row.defaults)
        given = {**defaults.fields, **fields}
        number = given.pop("num_tasks", 1) if len(texts) == 1 else len(texts)
        spec = checked_spec(
            {**given, "command": row.command, "template": row.name, "template_version": row.version,
             "num_tasks": number, "parameters": texts if len(texts) == number else texts * number}
        )  # fmt: skip
        rows = await self.submit(
            filled(spec, row),
            job_id,
            uploads=uploads or defaults.uploads,
            bundle=bundle or defaults.bundle,
            tell=tell,
        )
        return rows[0]


def split_version(name: str) -> tuple[str, int | None]:
    """`train@3` as name and version; a name without a version has none."""
    bare, at, version = name.rpartition("@")
    return (
        (bare, int(version)) if at and version.isascii() and version.isdigit() and len(version) < 16 else (name, None)
    )
