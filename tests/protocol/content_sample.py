"""Sample messages about what jobs bring along, and what becomes of what they make."""

import msgspec

from opsconsole_protocol import api, link
from opsconsole_protocol.ids import AttemptId, ContentId, JobId, TaskId
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

SAMPLES: dict[str, msgspec.Struct] = {
    "coordinator_job_assignment_contents_1": link.JobAssignment(
        seq=2,
        desired=link.Desired(
            attempt_id=AttemptId("j0b.0.0.abcd"),
            launch=link.Launch(
                job_id=JobId("j0b"), task_id=TaskId("j0b/task-0"), task_index=0, num_tasks=1, attempt=0,
                command=("train",), uploads=(UPLOAD,), bundle=BUNDLE, setup="uv sync", collect=("models/*",),
            ),
        ),
    ),
    "client_call_submit_contents_1": api.Call(1, api.SubmitJobs(submissions=(api.Submission(JobId("j0b"), SPEC),))),
    "server_answer_candidates_contents_1": api.Answer(
        1,
        api.Candidates(verdicts=(VERDICT,), text="waits for 12 GB from host mbp-7, which is not connected"),
    ),
}  # fmt: skip
