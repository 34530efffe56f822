"""What a job waits for beside a worker: other jobs, its project, its limits, a time."""

from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.dependency import blocked_words
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.holder import waiting_words
from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.core.project import standstill
from opsconsole_coordinator.core.quota import refusal
from opsconsole_coordinator.core.ready import task_waits_for
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol.state import TaskState


def why_beside_workers(fleet: Fleet, job: Job, demand: Demand, task: Task | None, now_ms: int) -> str:
    """What a job waits for that no worker could help with; empty where it waits for one."""
    is_blocked = task is None
    if is_blocked and job.blocked_by:
        return blocked_words(job)  # what is at the root of it may have changed since
    if is_blocked and job.elements:
        return next((one.reason for one in job.tasks if one.state is TaskState.BLOCKED), "")
    if task is not None and (words := task_waits_for(job, task)):
        return words
    if task is not None and not (job.waiting_on or job.fault) and (words := standstill(fleet, job.spec.project)):
        return f"{words}: `opsconsole project set {job.spec.project} --status active` lets it go on"
    if job.waiting_on and not job.fault:
        return waiting_words(fleet, job)
    if job.reason and (is_blocked or fleet.adopting or job.spec.gang or job.fault):
        return job.reason
    if task is not None and task.not_before_ms > now_ms and task.reason:
        return task.reason
    return fleet.waits_for(job) or refusal(fleet, job.spec.project, job.submitted_by, demand)
