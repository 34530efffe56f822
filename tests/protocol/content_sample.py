"""Sample messages about what jobs bring along, and what becomes of what they make."""

import msgspec

from opsconsole_protocol import api, link
from opsconsole_protocol.file_listing import FileEntry, FileKind, FilePage
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.job_content import Bundle, Upload
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.stream.message import FileRoot, OpenStream, PeerKind, ReadFiles, RootKind, StreamGrant

TREE = ContentId("5f" * 32)
UPLOAD = Upload(
    name="data.slp", content_id=TREE, size_bytes=12_000_000_000, files=3, is_folder=True, host="mbp-7", host_id="h1"
)
BUNDLE = Bundle(content_id=TREE, size_bytes=2_000, files=40, folder="/home/ana/study", commit="0123abc", dirty=True)
SPEC = JobSpec(command=("train",), uploads=(UPLOAD,), bundle=BUNDLE, setup="uv sync", collect=("models/*",))
VERDICT = api.Verdict(
    worker_id="w", worker="gpu1", accepted=False, reason="waits for 12 GB", lacks_content=True, lacks_bytes=12_000
)  # fmt: skip
SUPPLIED = api.Verdict(
    worker_id="w", worker="gpu1", accepted=True, reason="free", lacks_bytes=2_000, supply="has 12 of 12 GB of its data"
)  # fmt: skip
READ = ReadFiles(root=FileRoot(kind=RootKind.OUTPUT, job_id="j0b"), tells=True)
GRANT = StreamGrant(stream_id="s", secret="x", is_initiator=False, purpose=READ, peer=PeerKind.HOST)
PIPES = FilePage(entries=(FileEntry(b"pipe", FileKind.OTHER, mode=0o644, special="p"),), total=1)
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
    "client_call_job_request_supplied_1": api.Call(1, api.AskCandidates(spec=SPEC, supplied=(TREE,))),
    "server_answer_candidates_supply_1": api.Answer(1, api.Candidates(verdicts=(SUPPLIED,), text="gpu1: the only one")),
    "client_call_ask_for_stream_tells_1": api.Call(1, api.AskForStream(open=OpenStream(purpose=READ, peer="gpu1"))),
    "coordinator_serve_stream_tells_1": link.ServeStream(grant=GRANT),
    "agent_file_list_special_1": link.FileList(check_id=7, page=PIPES),
    "server_answer_file_list_special_1": api.Answer(1, api.FileList(page=PIPES, worker="gpu1")),
    "server_answer_detail_contents_1": api.Answer(1, api.DetailAnswer(detail=DETAIL)),
}  # fmt: skip
