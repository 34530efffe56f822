"""A job's spec as a page of text. Pure."""

import shlex

from opsconsole_console import format as fmt
from opsconsole_console.model.draft import spell_limit
from opsconsole_console.screen.part.facts import LABEL_CELLS, fact, facts, wrapped
from opsconsole_console.screen.part.line_view import BLANK, Line
from opsconsole_console.widget.cell import cell
from opsconsole_protocol.api.template import template_label
from opsconsole_protocol.spec import JobSpec, Resources

_COMMANDS_MAX = 200


def spec_lines(spec: JobSpec, cells: int) -> list[Line]:
    """Everything that was asked for, and what was left at its default where it matters."""
    lead = " " * (LABEL_CELLS + 2)
    head = f"{'command':>{LABEL_CELLS}}  "
    lines = wrapped(shlex.join(spec.command), cells, "bold", first=head, rest=lead)
    lines += facts(
        (
            ("name", spec.name),
            ("project", spec.project),
            ("tasks", fmt.count(spec.num_tasks)),
            ("gang", "all start at once or none does" if spec.gang else ""),
            ("each needs", resources_text(spec.resources)),
            ("priority", str(spec.priority)),
            ("worker", " or ".join(spec.named_workers) or "automatic"),
            ("require", " ".join(spec.requirements)),
            ("place", spec.place or ""),
            ("inputs", ", ".join(spec.inputs)),
            ("datasets", " · ".join(one.words for one in spec.datasets)),
            ("uploads", " · ".join(upload.words for upload in spec.uploads)),
            ("bundle", spec.bundle.words if spec.bundle else ""),
            ("setup", spec.setup),
            ("collects", " ".join(spec.collect)),
            ("metrics", spec.metric_pattern),
            ("after", " ".join(spec.after)),
            ("failure of", " ".join(spec.after_failure)),
            ("any end of", " ".join(spec.after_any)),
            ("takes", " ".join(spec.takes)),
            ("workdir", spec.workdir or "the attempt's own folder"),
            ("ports", " ".join(spec.ports)),
            ("template", template_label(spec)),
            ("held", "yes, until released" if spec.held else ""),
        )
    )
    lines.append(BLANK)
    lines += facts(
        (
            ("retries", f"{spec.max_retries_failure} after failures, {spec.max_retries_preemption} after lost workers"),
            ("may fail", _may_fail(spec.max_task_failures)),
            ("parallel", "" if spec.max_parallel is None else f"at most {spec.max_parallel} at a time"),
            ("timeout", spell_limit(spec.timeout_ms) or "none"),
            ("job timeout", spell_limit(spec.job_timeout_ms)),
            ("start by", spell_limit(spec.scheduling_timeout_ms)),
            ("grace", spell_limit(spec.grace_ms)),
            ("lost after", spell_limit(spec.lost_after_ms)),
            ("pause by", spec.pause_by + (f", told by {spec.pause_signal}" if spec.pause_signal else "")),
            ("save within", spell_limit(spec.save_within_ms)),
            ("resumes", spec.resume_from or ""),
            ("fence after", spell_limit(spec.fence_after_ms)),
        )
    )
    if spec.environment:
        lines.append(BLANK)
        for place, (key, value) in enumerate(sorted(spec.environment.items())):
            first = f"{'environment' if not place else '':>{LABEL_CELLS}}  "
            lines += wrapped(f"{key}={value}", cells, first=first, rest=lead)
    return lines + _task_lines(spec, cells, lead)


def resources_text(resources: Resources) -> str:
    """`1 GPU with 40G, 8 CPUs, 32G memory`; `a slot` where nothing was asked for."""
    return fmt.resources(resources) or "a slot, no GPU"


def _may_fail(limit: int | None) -> str:
    return "" if limit is None else fmt.plural(limit, "task") if limit else "no task"


def _task_lines(spec: JobSpec, cells: int, lead: str) -> list[Line]:
    if not spec.task_commands:
        return []
    lines: list[Line] = [BLANK]
    for index, command in enumerate(spec.task_commands[:_COMMANDS_MAX]):
        lines += wrapped(shlex.join(command), cells, first=f"{f'task {index}':>{LABEL_CELLS}}  ", rest=lead)
    more = len(spec.task_commands) - _COMMANDS_MAX
    if more > 0:
        lines.append(fact("", cell(f"and {more:,} more", "text-muted")))
    return lines
