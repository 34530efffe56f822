"""Sample messages about what jobs bring along, and what becomes of what they make."""

import msgspec

from opsconsole_protocol import api
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.job_content import Bundle, Upload
from opsconsole_protocol.spec import JobSpec

TREE = ContentId("5f" * 32)
UPLOAD = Upload(
    name="data.slp", content_id=TREE, size_bytes=12_000_000_000, files=3, is_folder=True, host="mbp-7", host_id="h1"
)
BUNDLE = Bundle(content_id=TREE, size_bytes=2_000, files=40, folder="/home/ana/study", commit="0123abc", dirty=True)
SPEC = JobSpec(command=("train",), uploads=(UPLOAD,), bundle=BUNDLE, setup="uv sync", collect=("models/*",))
VERDICT = api.Verdict(
    worker_id="w", worker="gpu1", accepted=False, reason="waits for 12 GB", lacks_content=True, lacks_bytes=12_000
)  # fmt: skip
COLLECTED = api.CollectedRow(
    state="kept", attempt_id="j0b.0.0.abcd", worker="gpu1", content_id=TREE, files=2, bytes=30, reason="r"
)  # fmt: skip
ATTEMPT_ROW = api.AttemptRow(
    attempt=0, attempt_id="j0b.0.0.abcd", state="succeeded", worker="gpu1", exit_code=0, signal=None, error="",
    started_at_ms=1, finished_at_ms=2, output_files=3, output_bytes=40,
)  # fmt: skip
TASK_ROW = api.TaskRow(
    id="j0b/task-0", index=0, state="succeeded", reason="", exit_code=0, error="", worker="gpu1", attempt=0,
    attempt_id="j0b.0.0.abcd", started_at_ms=1, finished_at_ms=2, attempts=(ATTEMPT_ROW,), output_files=3,
    output_bytes=40, collected=COLLECTED,
)  # fmt: skip
JOB_ROW = api.JobRow(
    id="j0b", name="train", project="default", state="succeeded", reason="", priority=0, num_tasks=1,
    task_counts={"succeeded": 1}, worker="gpu1", output_path="/out/jobs/j0b", submitted_by="ana", created_at_ms=0,
    started_at_ms=1, finished_at_ms=2, output_files=3, output_bytes=40,
)  # fmt: skip
DETAIL = api.JobDetail(
    job=JOB_ROW, spec=SPEC, tasks=(TASK_ROW,), events=(),
    inputs=(api.InputRow(name="data.slp", size=12_000, hash=TREE, source="mbp-7"), api.InputRow(name="a", source="worker")),
    outputs=api.OutputsRow(path="/out/jobs/j0b", files=3, bytes=40),
)  # fmt: skip

SAMPLES: dict[str, msgspec.Struct] = {
    "client_call_clean_jobs_1": api.Call(1, api.Clean(attempts=False, outputs=True, jobs=("j0b",), remove=True)),
    "server_answer_candidates_contents_1": api.Answer(
        1,
        api.Candidates(verdicts=(VERDICT,), text="waits for 12 GB from host mbp-7, which is not connected"),
    ),
    "server_answer_detail_contents_1": api.Answer(1, api.DetailAnswer(detail=DETAIL)),
}  # fmt: skip
