"""Projects and templates: small tables that only operators change."""

import sqlite3
from collections.abc import Mapping, Sequence

import msgspec

from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.store import query
from opsconsole_coordinator.store.blob import reader
from opsconsole_coordinator.store.database import Database
from opsconsole_protocol.api import ProjectRow, SetProject, Submission, TemplateRow
from opsconsole_protocol.api.template import check_template, filled
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.name import check_name
from opsconsole_protocol.spec import JobSpec

STATUSES = ("active", "paused", "archived")
_project = reader(ProjectRow, "a project")
_template = reader(TemplateRow, "a template")


def with_after(spec: JobSpec, resolved: dict[JobId, JobId]) -> JobSpec:
    """The spec with whole job ids where prefixes were typed."""
    if not spec.after:
        return spec
    return msgspec.structs.replace(spec, after=tuple(resolved.get(JobId(one), JobId(one)) for one in spec.after))


async def with_templates(database: Database, submissions: Sequence[Submission]) -> list[Submission]:
    """The submissions with what their templates say filled in. Raises InvalidRequest that names what doesn't fit."""
    if not any(one.spec.template is not None for one in submissions):
        return list(submissions)
    known = {row.name: row for row in await templates(database)}
    return [
        one if one.spec.template is None else Submission(one.job_id, filled(one.spec, _named(known, one.spec.template)))
        for one in submissions
    ]


def _named(known: Mapping[str, TemplateRow], name: str) -> TemplateRow:
    if name not in known:
        raise InvalidRequest(f"there is no template {name[:200]!r} (opsconsole templates lists them)")
    return known[name]


def read_projects(connection: sqlite3.Connection) -> tuple[ProjectRow, ...]:
    """Every project that was made or has jobs, by name, with its jobs counted by state."""
    made = dict(connection.execute("SELECT name, data FROM projects").fetchall())
    counts, first_ms = query.count_jobs(connection), query.first_jobs(connection)
    rows = []
    for name in sorted({*made, *counts}):
        row = _decode(name, made.get(name))
        since_ms = row.created_at_ms or first_ms.get(name, 0)
        rows.append(
            msgspec.structs.replace(
                row,
                job_counts=counts.get(name, {}),
                created_at_ms=since_ms,
                updated_at_ms=row.updated_at_ms or since_ms,
            )
        )
    return tuple(rows)


async def set_project(commit_loop: CommitLoop, request: SetProject, actor: str) -> str:
    """Make or change a project. Raises InvalidRequest."""
    check_name(request.name, "a project's name")
    if request.status is not None and request.status not in STATUSES:
        raise InvalidRequest(f"{request.status!r} is not a project's status: use one of {', '.join(STATUSES)}")
    now_ms = commit_loop.clock.now_ms()

    def write(connection: sqlite3.Connection) -> ProjectRow:
        found = connection.execute("SELECT data FROM projects WHERE name = ?", (request.name,)).fetchone()
        row = _decode(request.name, found[0] if found else None)
        row = msgspec.structs.replace(
            row,
            description=request.description if request.description is not None else row.description,
            status=request.status or row.status,
            created_at_ms=row.created_at_ms or now_ms,
            updated_at_ms=now_ms,
        )
        connection.execute("INSERT OR REPLACE INTO projects VALUES (?,?)", (row.name, msgspec.msgpack.encode(row)))
        return row

    row = await commit_loop.database.write(write)
    fleet = commit_loop.fleet
    (fleet.paused_projects.discard if row.status == "active" else fleet.paused_projects.add)(row.name)
    (fleet.archived_projects.add if row.status == "archived" else fleet.archived_projects.discard)(row.name)
    commit_loop.fleet.must_schedule = True
    words = f"project {row.name} is {row.status}"
    commit_loop.fleet.audit(now_ms, actor, EventKind.PROJECT, words, row.name)
    return words


async def templates(database: Database) -> tuple[TemplateRow, ...]:
    """Every template, by name."""

    def read(connection: sqlite3.Connection) -> tuple[TemplateRow, ...]:
        rows = connection.execute("SELECT data FROM templates ORDER BY name")
        return tuple(_template(data) for (data,) in rows)

    return await database.read(read)


async def set_template(commit_loop: CommitLoop, template: TemplateRow, actor: str) -> str:
    """Make or replace a template. Raises InvalidRequest where its words name parameters that it doesn't declare."""
    check_template(template)
    now_ms = commit_loop.clock.now_ms()
    row = msgspec.structs.replace(template, created_by=actor, created_at_ms=now_ms)

    def write(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR REPLACE INTO templates VALUES (?,?)", (row.name, msgspec.msgpack.encode(row)))

    await commit_loop.database.write(write)
    words = f"template {row.name} set"
    commit_loop.fleet.audit(now_ms, actor, EventKind.TEMPLATE, words, row.name)
    return words


def _decode(name: str, data: bytes | None) -> ProjectRow:
    if data is not None:
        return _project(data)
    return ProjectRow(name=name, description="", status="active", created_at_ms=0, updated_at_ms=0, job_counts={})
