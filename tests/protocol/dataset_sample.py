"""Samples of the messages that carry a job's datasets, under the names of their golden files."""

import msgspec

from opsconsole_protocol import api, link
from opsconsole_protocol.dataset import DatasetSplit, FoundDataset, JobDataset
from opsconsole_protocol.ids import AttemptId, JobId, TaskId
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState

JOB, TASK, ATTEMPT = JobId("7k3m9q2w4t"), TaskId("7k3m9q2w4t/task-3"), AttemptId("7k3m9q2w4t.3.1.ab12")
DATASETS = (JobDataset("lab:digits", "train"), JobDataset("s3://lab/test.parquet"))
FOUND = FoundDataset(
    where="lab:digits", name="train", format="csv", compression="gz", rows=3, columns=2, size_bytes=20, files=2,
    splits=(DatasetSplit("train", 2, 10, 1), DatasetSplit("test", None, 10, 1)), note="n",
)  # fmt: skip
SPEC = JobSpec(command=("python", "train.py"), datasets=DATASETS)
ROW = api.JobRow(
    id=JOB, name="train", project="default", state="running", reason="", priority=0, num_tasks=1, task_counts={"running": 1},
    worker="gpu1", output_path=None, submitted_by="ana", created_at_ms=1, started_at_ms=2, finished_at_ms=None,
)  # fmt: skip
ATTEMPT_ROW = api.AttemptRow(
    attempt=1, attempt_id=ATTEMPT, state="running", worker="gpu1", exit_code=None, signal=None, error="", started_at_ms=2,
    finished_at_ms=None, datasets=(FOUND,),
)  # fmt: skip
TASK_ROW = api.TaskRow(
    id=TASK, index=3, state="running", reason="", exit_code=None, error="", worker="gpu1", attempt=1, attempt_id=ATTEMPT,
    started_at_ms=2, finished_at_ms=None, attempts=(ATTEMPT_ROW,),
)  # fmt: skip

SAMPLES: dict[str, msgspec.Struct] = {
    "agent_job_status_datasets_1": link.Report(
        seen=5, attempts=(link.Observed(attempt_id=ATTEMPT, state=AttemptState.RUNNING, datasets=(FOUND,)),)
    ),
    "agent_file_exists_dataset_1": link.FileExists(check_id=2, path="/in/digits", size_bytes=0, is_folder=True),
    "coordinator_input_file_dataset_1": link.InputFile(
        check_id=2, filename="lab:digits", kind=link.QuestionKind.DATASET
    ),
    "coordinator_job_assignment_datasets_1": link.JobAssignment(
        seq=9,
        desired=link.Desired(
            attempt_id=ATTEMPT,
            launch=link.Launch(
                job_id=JOB, task_id=TASK, task_index=3, num_tasks=4, attempt=1, command=SPEC.command, datasets=DATASETS
            ),
        ),
    ),
    "client_call_submit_datasets_1": api.Call(1, api.SubmitJobs(submissions=(api.Submission(JOB, SPEC),))),
    "server_answer_detail_datasets_1": api.Answer(
        1, api.DetailAnswer(detail=api.JobDetail(job=ROW, spec=SPEC, tasks=(TASK_ROW,), events=()))
    ),
}
