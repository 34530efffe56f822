"""Samples about templates and the queue, for `sample.py`."""

from typing import Any

import msgspec

from opsconsole_protocol import api
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec

JOB = JobId("7k3m9q2w4t")
AT = 1_700_000_000_000
TEMPLATE = api.TemplateRow(
    name="fit", command=("fit", "--lr", "{lr}", "--data", "{data}"),
    parameters=(
        api.Parameter(name="lr", kind="float", default=0.1, required=False, help="rate", minimum=0.5, maximum=2.5),
        api.Parameter(name="data", kind="path", pattern="/data/.*"),
    ),
    description="d", defaults={"gpus": "1"}, created_by="ana", created_at_ms=AT, version=3, synced="vision", made_from=JOB,
)  # fmt: skip
SPEC = JobSpec(command=("fit", "1"), template="fit", template_version=3)
JOB_ROW = api.JobRow(
    id=JOB, name="train", project="vision", state="killed", reason="r", priority=5, num_tasks=1,
    task_counts={"killed": 1}, worker=None, output_path=None, submitted_by="ana", created_at_ms=AT,
    started_at_ms=None, finished_at_ms=AT + 2, place=7,
)  # fmt: skip
WAITING_ROW = msgspec.structs.replace(JOB_ROW, state="pending", finished_at_ms=None, waiting_since_ms=AT + 1)
REQUESTS: dict[str, Any] = {
    "templates_versions": api.ListTemplates(name="fit", version=2, before=3, limit=7),
    "set_template_version": api.SetTemplate(template=TEMPLATE),
    "sync_templates": api.SyncTemplates(templates=(TEMPLATE,), project="vision", remove=True, dry_run=True),
    "remove_template": api.RemoveTemplate(name="fit"),
    "move_job": api.MoveJob(id="7k3", where="before", other="8k3"),
    "pop_job": api.PopJob(project="vision", index=-1, hold=True),
    "clear_queue": api.ClearQueue(project="vision", limit=7, dry_run=True),
    "set_parallel": api.SetParallel(id="7k3", max_parallel=4),
    "jobs_sorted": api.ListJobs(sort="name", ascending=True, cursor="c"),
    "submit_template_version": api.SubmitJobs(submissions=(api.Submission(JOB, SPEC),)),
}
SAID = api.Verdict(worker_id="w", worker="gpu-a", accepted=False, reason="is full", said=True)
ANSWERS: dict[str, Any] = {
    "why_said": api.WhyAnswer(job=WAITING_ROW, text="gpu-a is full", verdicts=(SAID,)),
    "template_list_more": api.TemplateList(templates=(TEMPLATE,), more=True),
    "templates_set": api.TemplatesSet(changes=(api.TemplateChange(name="fit", change="changed", version=3),)),
    "popped": api.Popped(job=JOB_ROW, spec=SPEC),
    "cleared": api.Cleared(ids=(JOB,), more=True),
    "job_list_waiting": api.JobList(jobs=(WAITING_ROW,)),
    "job_list_sorted": api.JobList(jobs=(JOB_ROW,), more=True, cursor="c"),
}
CLIENT: dict[str, msgspec.Struct] = {f"client_call_{tag}_1": api.Call(1, one) for tag, one in REQUESTS.items()}
SERVER: dict[str, msgspec.Struct] = {f"server_answer_{tag}_1": api.Answer(1, one) for tag, one in ANSWERS.items()}
