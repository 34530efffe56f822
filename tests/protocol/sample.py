"""One message of every kind with every field set, under the name of the golden file that holds it.

Add; never change or remove: what was once sent stays readable for ever. A message with a new field gets a second
sample under a new name.
"""

from typing import Any

import msgspec

from opsconsole_protocol import api, link
from opsconsole_protocol.dataset import (
    DatasetColumn,
    DatasetDescription,
    DatasetFault,
    DatasetFormat,
    DatasetQuery,
    DatasetSplit,
)
from opsconsole_protocol.estimate import Estimate, EstimateError
from opsconsole_protocol.file_listing import FileEntry, FileKind, FilePage, FilePart, FileQuery, FileSort, PartQuery
from opsconsole_protocol.ids import AttemptId, ContentId, JobId, TaskId, WorkerId
from opsconsole_protocol.job_content import Bundle, Upload
from opsconsole_protocol.log import LogLine, LogPage, LogQuery, Source
from opsconsole_protocol.share import Limits, Share, ShareChange
from opsconsole_protocol.spec import JobSpec, PauseBy, Place, Resources
from opsconsole_protocol.state import AttemptState
from opsconsole_protocol.stream.message import (
    Failure,
    FetchContent,
    FileRoot,
    IceServer,
    KeepContent,
    OpenStream,
    PeerKind,
    ReachPort,
    ReadFiles,
    RootKind,
    RunInTask,
    StreamGrant,
    Terminal,
    Via,
    Way,
    WriteFiles,
)
from tests.protocol import content_sample, dataset_sample, queue_sample

JOB, TASK, ATTEMPT = JobId("7k3m9q2w4t"), TaskId("7k3m9q2w4t/task-3"), AttemptId("7k3m9q2w4t.3.1.ab12")
WORKER = WorkerId("worker-0abc1234")
AT = 1_700_000_000_000

GPU = link.Gpu(
    index=1, uuid="GPU-1", name="A100", memory_total_mb=81_920, memory_used_mb=1_024, utilization_percent=97,
    temperature_c=61, power_w=301.5, power_limit_w=400.0, state="error", message="ECC",
    processes=(link.GpuUser(pid=7, name="python", memory_mb=900, attempt_id=ATTEMPT),),
)  # fmt: skip
HOST = link.Host(cpu_percent=12.5, load1=0.75, memory_used_mb=9_000, memory_available_mb=50_000, disk_free_mb=77)
USAGE = link.TaskUsage(
    current_memory_mb=1, peak_memory_mb=2, cpu_percent=99.5, process_count=3, disk_mb=4, gpu_memory_mb=5,
    gpu_utilization_percent=6,
)  # fmt: skip
SPEC = JobSpec(
    command=("python", "train.py"), name="train", project="vision", num_tasks=2, priority=5, worker="gpu1",
    requirements=("gpu_memory_mb>=20000",), resources=Resources(gpus=1, cpus=2.5, memory_mb=8_192, gpu_memory_mb=20_000),
    inputs=("data.slp",), after=("0000000001",), max_retries_failure=2, max_retries_preemption=3, max_task_failures=1,
    timeout_ms=7_200_000, scheduling_timeout_ms=60_000, grace_ms=9_000, lost_after_ms=30_000, fence_after_ms=600_000,
    workdir="/work", environment={"LR": "0.1"}, ports=("http",), template="train",
    parameters=({"lr": 0.1}, {"lr": 0.2}), task_commands=(("a", "1"), ("a", "2")), held=True,
)  # fmt: skip
GANG = msgspec.structs.replace(SPEC, max_task_failures=None, gang=True, job_timeout_ms=86_400_000)
CONTENT = ContentId("0123456789abcdef" * 4)
STREAM = "7k3m9q2w4t0abcde"
BUNDLE = Bundle(content_id=CONTENT, size_bytes=1_234, files=34, folder="pose-net", commit="3f2c1ab", dirty=True)
UPLOADS = (
    Upload(name="data.csv", content_id=CONTENT, size_bytes=1_234, files=1),
    Upload(name="images", content_id=CONTENT, size_bytes=9, files=312, is_folder=True, host="mbp-7", host_id="h1"),
)
PACKED = JobSpec(
    command=("train",), uploads=UPLOADS, bundle=BUNDLE, setup="uv sync --frozen", collect=("models/*", "**/*.json")
)
ROOT = FileRoot(kind=RootKind.OUTPUT, job_id=JOB, task_index=3, attempt_id=ATTEMPT, output_path="/out")
DIED = Failure(Way.DIRECT, "the connection was closed after 12 MB")
OPEN = OpenStream(purpose=FetchContent(content_id=CONTENT, attempt_id=ATTEMPT), via=Via.RELAY, failed=(DIED,))
RUN_IN_TASK = RunInTask(
    task="7k3m9q2w4t",
    argv=("python", "-c", "1"),
    terminal=Terminal(columns=80, rows=24, kind="xterm", colors="truecolor"),
)
GRANT = StreamGrant(
    stream_id=STREAM, secret="s" * 43, shared_secret="t" * 43, is_initiator=True, purpose=OPEN.purpose,
    peer=PeerKind.HOST, peer_name="mbp-7", via=Via.WEBRTC, failed=(DIED,), relay=False, relay_mb_s=50,
    ice_servers=(IceServer(url="turn:turn.lab:3478", username="u", credential="c"),), ttl_ms=30_000,
)  # fmt: skip
WANT = link.Want(mode=link.Mode.STOP, reason="cancelled by ana", grace_ms=1_000)
DESIRED = link.Desired(
    attempt_id=ATTEMPT,
    launch=link.Launch(
        job_id=JOB, task_id=TASK, task_index=3, num_tasks=4, attempt=1, command=("python", "train.py"), name="train",
        environment={"LR": "0.1"}, workdir="/work", resources=Resources(gpus=1), gpu_ids=("GPU-1",),
        inputs=("data.slp",), ports=("http",), timeout_ms=1_000, fence_after_ms=2_000,
    ),
    want=WANT,
    log_offsets={"stdout": 12},
)  # fmt: skip
OBSERVED = link.Observed(
    attempt_id=ATTEMPT, state=AttemptState.FAILED, reason="why", exit_code=1, signal=9, exit_known=False,
    error="out of memory", started_at_ms=AT, finished_at_ms=AT + 1, output_path="/out/jobs/7k3m9q2w4t",
    ports={"http": 8080}, log_sizes={"stdout": 12, "stderr": 0}, peak_memory_mb=7, cpu_seconds=1.5,
    build_started_ms=AT, build_finished_ms=AT + 1, build_from_cache=True, image_tag="img:1",
)  # fmt: skip
OBSERVED_AT_FAULT = link.Observed(attempt_id=ATTEMPT, state=AttemptState.FAILED, error="disk full", worker_fault=True)
SHARE_CHANGE = ShareChange(weight=2.0, tasks=4, gpus=2, cpus=-1, memory_mb=64_000)
PARALLEL = JobSpec(command=("train",), num_tasks=4, max_parallel=2)
EITHER = JobSpec(command=("train",), workers=("gpu1", "gpu2"), workdir="~/work", max_task_failures=0)
TROUBLE = link.Trouble(code="keeper_silent", text="its keeper doesn't answer", blocks=False)
OBSERVED_WITH_GPUS = link.Observed(attempt_id=ATTEMPT, state=AttemptState.RUNNING, gpu_ids=("GPU-1",))

PROGRESS = link.TaskProgress(done=41, total=100, eta_ms=9_000)

FILE_ROOT = FileRoot(
    kind=RootKind.OUTPUT, mount="lab", job_id=JOB, task_index=3, attempt_id=ATTEMPT, output_path="/out/jobs/7k3m9q2w4t"
)
DATASET_QUERY = DatasetQuery(root=FileRoot(kind=RootKind.MOUNT, mount="lab"), path=b"digits/\xff")
DATASET = DatasetDescription(
    format=DatasetFormat.CSV, compression="gz", rows=3, columns=(DatasetColumn("x", "int64", 1), DatasetColumn("y", "string")),
    columns_total=2, size_bytes=20, files=2, splits=(DatasetSplit("train", 2, 10, 1), DatasetSplit("test", None, 10, 1)),
    first_rows=(("1", "a"), ("", "b")), note="n",
)  # fmt: skip
DATASET_FAULT = DatasetFault("has 1 value where there are 2 columns", "/lab/a.csv", 3)
FILE_QUERY = FileQuery(
    root=FILE_ROOT, folder=b"models/\xff", sort=FileSort.TIME, descending=True, offset=200, limit=100, pattern="*.pt"
)
FILE_PAGE = FilePage(
    entries=(
        FileEntry(b"best\xff.pt", FileKind.FILE, 3_200_000_000, AT, 0o640),
        FileEntry(b"latest", FileKind.LINK, 0, AT, 0o777, FileKind.FOLDER),
    ),
    total=300, more=True, truncated=True, path="/out/jobs/7k3m9q2w4t/models",
)  # fmt: skip
PART_QUERY = PartQuery(root=FILE_ROOT, path=b"models/best.pt", offset=1_000, limit=100)
FILE_PART = FilePart(data=b"\x00\xff", size=1_002, mtime_ms=AT, path="/out/jobs/7k3m9q2w4t/models/best.pt")

AGENT: dict[str, Any] = {
    "agent_register_1": link.Register(
        protocol=1, agent_version="0.1.0", worker_id=WORKER, name="gpu1", run_id="r1", boot_id="b1", role="client",
        tags=("fast", "lab=3"), properties={"gpu_memory_mb": 81_920, "io_paths": {"input": "/in"}, "x": [1, None, True]},
        max_concurrent_jobs=2, gpus=(GPU,), gpu_message="m", store_id="s1", store_seq=99, observed=(OBSERVED,),
    ),
    "agent_update_metadata_1": link.UpdateMetadata(tags=("slow",), properties={"status": "maintenance"}),
    "agent_observed_1": link.Observation(exchange=4, seen=5, attempts=(OBSERVED,)),
    "agent_job_status_1": link.Report(seen=5, attempts=(OBSERVED,)),
    "agent_job_status_fault_1": link.Report(seen=6, attempts=(OBSERVED_AT_FAULT,)),
    "agent_job_status_gpus_1": link.Report(seen=5, attempts=(OBSERVED_WITH_GPUS,)),
    "agent_register_dial_1": link.Register(
        protocol=1, agent_version="0.1.0", worker_id=WORKER, name="gpu1", run_id="r1", dial=3
    ),
    "agent_heartbeat_progress_1": link.Heartbeat(at_ms=AT, progress={ATTEMPT: PROGRESS}),
    "agent_heartbeat_1": link.Heartbeat(at_ms=AT, host=HOST, gpus=(GPU,), gpu_message="m", usage={ATTEMPT: USAGE}),
    "agent_register_troubles_1": link.Register(
        protocol=1, agent_version="0.1.0", worker_id=WORKER, name="gpu1", run_id="r1", troubles=(TROUBLE,)
    ),
    "agent_register_seal_1": link.Register(
        protocol=1, agent_version="0.1.0", worker_id=WORKER, name="gpu1", run_id="r1", store_id="s1", store_seq=99,
        store_seal="5ea1", observed=(link.Observed(attempt_id=ATTEMPT, state=AttemptState.RUNNING, seal="63.5ea1"),),
    ),
    "agent_observed_worker_fault_1": link.Report(
        seen=5, attempts=(link.Observed(attempt_id=ATTEMPT, state=AttemptState.FAILED, worker_fault=True),)
    ),
    "agent_job_status_workdir_1": link.Report(
        seen=5,
        attempts=(link.Observed(attempt_id=ATTEMPT, state=AttemptState.SUCCEEDED, workdir="/state/work", note="n"),),
    ),
    "agent_heartbeat_troubles_1": link.Heartbeat(at_ms=AT, troubles=(TROUBLE,)),
    "agent_file_exists_1": link.FileExists(check_id=1, path="/in/data.slp", size_bytes=123),
    "agent_file_not_found_1": link.FileNotFound(check_id=1, reason="no such file"),
    "agent_file_not_found_again_1": link.FileNotFound(check_id=1, reason="is still growing, 1 GB", again_ms=500),
    "agent_port_found_1": link.PortFound(check_id=3, port=29_500),
    "agent_ask_waiting_1": link.AskWaiting(),
    "agent_leavings_1": link.Leavings(
        check_id=1, leavings=(link.Leaving(name="attempts/a", path="/s/attempts/a", why="w", bytes=5, at_ms=AT),),
        more=True, troubles=("t",),
    ),
    "agent_leavings_output_1": link.Leavings(
        check_id=1, leavings=(link.Leaving(name="jobs/j0b", path="/o/jobs/j0b", job_id="j0b", file="1:2"),),
        keep_attempt_days=7, keep_output_days=90,
    ),
    "agent_job_output_path_1": link.JobOutputPath(attempt_id=ATTEMPT, path="/out"),
    "agent_error_1": link.PeerError(code="protocol", message="what?"),
    "agent_job_status_cause_1": link.Report(
        seen=5, attempts=(link.Observed(attempt_id=ATTEMPT, state=AttemptState.FAILED, cause="out_of_memory"),)
    ),
    "agent_heartbeat_step_1": link.Heartbeat(
        at_ms=AT, progress={ATTEMPT: link.TaskProgress(done=1, total=3, text="inputs")}
    ),
    "agent_ask_for_stream_1": link.AskForStream(number=1, open=OPEN),
    "agent_stream_signal_1": link.Signal(stream_id=STREAM, body=b"\x81\xa1t\xff"),
    "agent_stream_ended_1": link.StreamEnded(
        stream_id=STREAM, way=Way.RELAY, bytes=1_234, files=2, milliseconds=5, error="why"
    ),
    "agent_contents_1": link.Contents(whole=False, added=(CONTENT,), removed=(ContentId("f" * 64),)),
    "agent_job_status_outputs_1": link.Report(
        seen=5,
        attempts=(
            link.Observed(attempt_id=ATTEMPT, state=AttemptState.SUCCEEDED, output_files=3, output_bytes=4_567),
        ),
    ),
    "agent_file_list_1": link.FileList(check_id=1, page=FILE_PAGE),
    "agent_file_list_error_1": link.FileList(check_id=1, code="not_found", error="runs is not there (any more)"),
    "agent_file_part_1": link.FilePartRead(check_id=2, part=FILE_PART),
    "agent_file_part_error_1": link.FilePartRead(check_id=2, code="invalid", error="runs is a folder, not a file"),
    "agent_heartbeat_room_1": link.Heartbeat(at_ms=AT, host=msgspec.structs.replace(HOST, cache_room_mb=48_000)),
    "agent_dataset_described_1": link.DatasetDescribed(check_id=3, description=DATASET),
    "agent_dataset_described_fault_1": link.DatasetDescribed(check_id=3, fault=DATASET_FAULT),
    "agent_dataset_described_error_1": link.DatasetDescribed(check_id=3, code="unavailable", error="it hangs"),
    "agent_ask_for_stream_life_1": link.AskForStream(
        number=1, open=msgspec.structs.replace(OPEN, failed=(Failure(Way.DIRECT, "it broke", "5c1e"),))
    ),
    "agent_stream_ended_engine_1": link.StreamEnded(stream_id=STREAM, way=Way.WEBRTC, engine="aiortc"),
    "agent_job_status_hint_1": link.Report(
        seen=5,
        attempts=(
            link.Observed(attempt_id=ATTEMPT, state=AttemptState.FAILED, error="exit code 1", hint="use a smaller batch"),
        ),
    ),
}  # fmt: skip

COORDINATOR: dict[str, Any] = {
    "coordinator_registered_1": link.Registered(
        protocol=1, coordinator="lab", store_id="s1", store_seq=99, heartbeat_ms=1_000
    ),
    "coordinator_registered_2": link.Registered(
        protocol=1, coordinator="lab", store_id="s1", store_seq=99, attempt_log_bytes=1_000
    ),
    "coordinator_desired_1": link.DesiredSet(seq=1, attempts=(DESIRED,), adopting=True),
    "coordinator_job_assignment_1": link.JobAssignment(seq=2, desired=DESIRED),
    "coordinator_set_want_1": link.SetWant(seq=3, attempt_id=ATTEMPT, want=WANT),
    "coordinator_forget_1": link.Forget(seq=4, attempt_ids=(ATTEMPT,)),
    "coordinator_observe_1": link.Observe(exchange=5),
    "coordinator_heartbeat_ack_1": link.HeartbeatAck(at_ms=AT, store_seq=99),
    "coordinator_metadata_updated_1": link.MetadataUpdated(),
    "coordinator_input_file_1": link.InputFile(check_id=1, filename="data.slp"),
    "coordinator_find_port_1": link.FindPort(check_id=3),
    "coordinator_job_assignment_gang_1": link.JobAssignment(
        seq=8,
        desired=link.Desired(
            attempt_id=ATTEMPT,
            launch=msgspec.structs.replace(
                DESIRED.launch,
                gang=link.Gang(
                    rank=1, size=2, address="10.0.0.1", host="10.0.0.2", hosts=("10.0.0.1", "10.0.0.2"), port=29_500
                ),
            ),
        ),
    ),
    "coordinator_input_file_folder_1": link.InputFile(check_id=2, filename="/data", kind=link.QuestionKind.FOLDER),
    "coordinator_look_for_leavings_1": link.LookForLeavings(check_id=1, older_than_ms=5),
    "coordinator_look_for_outputs_1": link.LookForLeavings(check_id=1, attempts=False, outputs=("j0b",)),
    "coordinator_remove_outputs_1": link.RemoveLeavings(check_id=2, names=(), outputs=("j0b",)),
    "coordinator_remove_leavings_1": link.RemoveLeavings(check_id=2, names=("attempts/a",)),
    "coordinator_log_ack_1": link.LogAck(offsets=((ATTEMPT, "stdout", 12),)),
    "coordinator_error_1": link.PeerError(code="conflict", message="no"),
    "coordinator_registered_3": link.Registered(
        protocol=1, coordinator="lab", store_id="s1", store_seq=9, store_seal="5ea1"
    ),
    "coordinator_waiting_1": link.Waiting(tasks=3),
    "coordinator_heartbeat_ack_seal_1": link.HeartbeatAck(at_ms=AT, store_seq=9, store_seal="5ea1"),
    "coordinator_forget_accepted_1": link.Forget(seq=4, attempt_ids=(ATTEMPT,), accepted=(ATTEMPT,)),
    "coordinator_job_assignment_follows_1": link.JobAssignment(
        seq=8,
        desired=link.Desired(
            attempt_id=ATTEMPT,
            launch=link.Launch(
                job_id=JobId("7k3m9q2w4t"),
                task_id=TaskId("7k3m9q2w4t/task-0"),
                task_index=0,
                num_tasks=1,
                attempt=1,
                command=("true",),
                follows=True,
            ),
        ),
    ),
    "coordinator_job_assignment_seal_1": link.JobAssignment(
        seq=7,
        desired=link.Desired(
            attempt_id=ATTEMPT, launch=msgspec.structs.replace(DESIRED.launch, seal="63.5ea1"), want=WANT
        ),
    ),
    "coordinator_stream_granted_1": link.StreamGranted(number=1, grant=GRANT),
    "coordinator_stream_refused_1": link.StreamRefused(number=1, code="not_found", message="nobody has it"),
    "coordinator_serve_stream_1": link.ServeStream(
        grant=StreamGrant(
            stream_id=STREAM,
            secret="s" * 43,
            is_initiator=False,
            purpose=ReadFiles(root=ROOT, folder=b"models/\xff", patterns=("*.pt",)),
            peer=PeerKind.WORKER,
        )
    ),
    "coordinator_stream_signal_1": link.Signal(stream_id=STREAM, body=b"\x81\xa1t\xff"),
    "coordinator_job_assignment_contents_1": link.JobAssignment(
        seq=9,
        desired=link.Desired(
            attempt_id=ATTEMPT,
            launch=msgspec.structs.replace(
                DESIRED.launch, uploads=UPLOADS, bundle=BUNDLE, setup=PACKED.setup, collect=PACKED.collect
            ),
        ),
    ),
    "coordinator_list_files_1": link.ListFiles(check_id=1, query=FILE_QUERY),
    "coordinator_read_file_part_1": link.ReadFilePart(check_id=2, query=PART_QUERY),
    "coordinator_stop_stream_1": link.StopStream(stream_id=STREAM, reason="the credential of ana was revoked"),
    "coordinator_describe_dataset_1": link.DescribeDataset(check_id=3, query=DATASET_QUERY),
    "coordinator_describe_dataset_url_1": link.DescribeDataset(check_id=3, query=DatasetQuery(url="s3://lab/digits")),
    "coordinator_set_want_checkpoint_1": link.SetWant(
        seq=5, attempt_id=ATTEMPT, want=link.Want(mode=link.Mode.PAUSE, reason="why", by=PauseBy.CHECKPOINT)
    ),
    "coordinator_job_assignment_resume_1": link.JobAssignment(
        seq=10,
        desired=link.Desired(
            attempt_id=ATTEMPT,
            launch=msgspec.structs.replace(
                DESIRED.launch,
                resume=link.Resume(path="models/step-7", content_id=UPLOADS[0].content_id, size_bytes=3),
                pause_signal="USR1",
            ),
        ),
    ),
    "coordinator_serve_stream_run_1": link.ServeStream(
        grant=msgspec.structs.replace(GRANT, purpose=msgspec.structs.replace(RUN_IN_TASK, attempt_id=ATTEMPT))
    ),
    "coordinator_serve_stream_port_1": link.ServeStream(
        grant=msgspec.structs.replace(
            GRANT, purpose=ReachPort(task="7k3m9q2w4t/task-1", port="http", attempt_id=ATTEMPT)
        )
    ),
    "coordinator_job_assignment_metric_pattern_1": link.JobAssignment(
        seq=9,
        desired=link.Desired(
            attempt_id=ATTEMPT, launch=msgspec.structs.replace(DESIRED.launch, metric_pattern="L=(?P<loss>.+)")
        ),
    ),
}

QUERY = LogQuery(
    sources=(Source.STDOUT,), start_line=3, tail=4, before_line=5, since_ms=AT, until_ms=AT + 1, grep="loss.*",
    max_lines=10, max_bytes=1_000, cursor="c",
)  # fmt: skip
TEMPLATE = api.TemplateRow(
    name="train", command=("python", "train.py", "--lr", "{lr}"),
    parameters=(api.Parameter(name="lr", kind="float", default=0.1, required=False, choices=(0.1, 1), help="rate"),),
    description="d", defaults={"gpus": 1}, created_by="ana", created_at_ms=AT,
)  # fmt: skip
# The order numbers the calls: new ones go to the end.
REQUESTS: dict[str, Any] = {
    "submit": api.SubmitJobs(submissions=(api.Submission(JOB, SPEC),)),
    "workers": api.ListWorkers(filter="zone=a"),
    "jobs": api.ListJobs(filter="state=failed", project="vision", limit=7, before_ms=AT, before_id=JOB),
    "projects": api.ListProjects(),
    "templates": api.ListTemplates(),
    "set_template": api.SetTemplate(template=TEMPLATE),
    "set_project": api.SetProject(name="vision", description="d", status="paused"),
    "show": api.ShowJob(id="7k3", tasks_from=1, tasks_limit=2, events_limit=3),
    "act": api.Act(verb="cancel", ids=("7k3",), reason="why"),
    "set_priority": api.SetPriority(id="7k3", priority=-3, relative=True),
    "wait": api.WaitJobs(ids=("7k3",), timeout_ms=1),
    "why": api.Why(id="7k3"),
    "job_request": api.AskCandidates(spec=SPEC),
    "logs": api.ReadLog(id="7k3", task_index=1, attempt=2, query=QUERY, wait_ms=3),
    "events": api.ListEvents(subject="gpu1", before_seq=9, limit=8),
    "set_worker": api.SetWorker(name="gpu1", action="drain"),
    "invite": api.Invite(role="viewer", ttl_ms=1_000, uses=2, name="n", tags=("a",)),
    "subscribe": api.Subscribe(finished_limit=5),
    "confirm_restore": api.ConfirmRestore(),
    "health": api.AskHealth(),
    "backup": api.Backup(path="/backups/opsconsole.db"),
    "set_project_share": api.SetProject(name="vision", share=SHARE_CHANGE),
    "set_person": api.SetPerson(name="ana", share=SHARE_CHANGE),
    "usage": api.AskUsage(days=30),
    "add_tasks": api.AddTasks(id="7k3", points=({"lr": "0.1"}, {"lr": "0.01"})),
}
TRUST_REQUESTS: dict[str, Any] = {
    "reserve": api.Reserve(
        workers=("gpu1",),
        from_ms=AT,
        until_ms=AT + 1,
        project="vision",
        person="ana",
        maintenance=True,
        gpus=4,
        reason="why",
    ),
    "reservations": api.ListReservations(),
    "cancel_reservation": api.CancelReservation(id="r7k3m9q"),
    "reserve_offer": api.ReserveOffer(job_id="7k3m9q2x4a", spec=SPEC, worker="gpu1"),
    "free_offer": api.FreeOffer(job_id="7k3m9q2x4a"),
    "people": api.ListPeople(),
    "rename_person": api.RenamePerson(name="ana", new="anna"),
    "revoke_people": api.RevokePeople(names=("ana",), everybody=True),
    "invitations": api.ListInvitations(),
    "revoke_invitations": api.RevokeInvitations(ids=("7k3m9q2x",), everything=True),
    "clean": api.Clean(workers=("gpu1",), older_than_ms=5, remove=True),
    "clean_all": api.Clean(attempts=False, outputs=True, logs=True, history=True, policy=True),
}
STREAM_REQUESTS: dict[str, Any] = {
    "ask_for_stream": api.AskForStream(
        open=OpenStream(
            purpose=ReadFiles(root=ROOT, folder=b"models/\xff", patterns=("*.pt",)),
            peer="gpu1",
            via=Via.DIRECT,
            failed=(DIED,),
        )
    ),
    "send_signal": api.SendSignal(stream_id=STREAM, body=b"\x81\xa1t\xff"),
    "await_signals": api.AwaitSignals(stream_id=STREAM, wait_ms=250),
    "end_stream": api.EndStream(stream_id=STREAM, way=Way.WEBRTC, bytes=1_234, files=2, milliseconds=5, error="why"),
    "find_contents": api.FindContents(content_ids=(CONTENT,)),
    "offer_contents": api.OfferContents(host="mbp-7", host_id="h1", content_ids=(CONTENT,), wait_ms=250),
}
CLIENT: dict[str, Any] = {
    "client_hello_1": api.Hello(1, "opsconsole/1"),
    **{f"client_call_{tag}_1": api.Call(number, request) for number, (tag, request) in enumerate(REQUESTS.items(), 1)},
    **{f"client_call_{tag}_1": api.Call(1, request) for tag, request in TRUST_REQUESTS.items()},
    "client_call_set_worker_everybody_1": api.Call(1, api.SetWorker(name="", action="revoke", everybody=True)),
    "client_call_jobs_inverted_1": api.Call(1, api.ListJobs(filter="state=failed", inverted=True, count_only=True)),
    "client_call_workers_revoked_1": api.Call(1, api.ListWorkers(filter="zone=a", revoked=True)),
    "client_call_job_request_2": api.Call(1, api.AskCandidates(spec=SPEC, wait_ms=250)),
    "client_call_job_request_reserved_1": api.Call(1, api.AskCandidates(spec=SPEC, job_id="7k3m9q2x4a")),
    "client_call_logs_2": api.Call(1, api.ReadLog(id="7k3", query=QUERY, wait_ms=3, settle_ms=4)),
    "client_call_set_worker_drain_1": api.Call(
        1, api.SetWorker(name="gpu1", action="drain", reason="a new driver", within_ms=60_000)
    ),
    "client_call_set_project_preemptible_1": api.Call(1, api.SetProject(name="vision", preemptible=True)),
    "client_call_submit_parallel_1": api.Call(1, api.SubmitJobs(submissions=(api.Submission(JOB, PARALLEL),))),
    "client_call_submit_either_1": api.Call(1, api.SubmitJobs(submissions=(api.Submission(JOB, EITHER),))),
    "client_call_logs_whole_1": api.Call(1, api.ReadLog(id="7k3", query=LogQuery(whole=True, latest=True))),
    "client_call_logs_inverted_1": api.Call(1, api.ReadLog(id="7k3", query=LogQuery(grep="a", invert=True))),
    "client_call_submit_gang_1": api.Call(1, api.SubmitJobs(submissions=(api.Submission(JOB, GANG),))),
    **{f"client_call_{tag}_1": api.Call(1, request) for tag, request in STREAM_REQUESTS.items()},
    "client_call_ask_for_stream_keep_1": api.Call(
        1, api.AskForStream(open=OpenStream(purpose=KeepContent(content_id=CONTENT, size_bytes=1_234, files=2)))
    ),
    "client_call_ask_for_stream_write_1": api.Call(
        1,
        api.AskForStream(
            open=OpenStream(
                purpose=WriteFiles(root=FileRoot(kind=RootKind.MOUNT, mount="lab"), folder=b"ana/\xff", replace=True),
                peer="gpu1",
            )
        ),
    ),
    "client_call_submit_contents_1": api.Call(1, api.SubmitJobs(submissions=(api.Submission(JOB, PACKED),))),
    "client_call_list_files_1": api.Call(1, api.ListFiles(worker="gpu1", query=FILE_QUERY)),
    "client_call_read_file_part_1": api.Call(1, api.ReadFilePart(worker="gpu1", query=PART_QUERY)),
    "client_call_metrics_1": api.Call(
        1,
        api.ReadMetrics(
            id="7k3m9",
            names=("loss",),
            axis=api.Axis.TIME,
            first=1.5,
            last=AT,
            points_max=500,
            attempt=2,
            tasks_from=3,
            tasks_limit=4,
            settle_ms=5_000,
        ),
    ),
    "client_call_metrics_page_1": api.Call(1, api.ReadMetrics(id="7k3m9", names=("loss",), points_from=500)),
    "client_call_metrics_gpus_1": api.Call(1, api.ReadMetrics(id="7k3m9", gpus=True)),
    "client_call_ask_for_stream_tasks_1": api.Call(
        1,
        api.AskForStream(open=OpenStream(purpose=ReadFiles(root=ROOT, tasks=(0, 7), roots=(ROOT, ROOT)), peer="gpu1")),
    ),
    "client_call_ask_for_stream_write_2": api.Call(
        1,
        api.AskForStream(
            open=OpenStream(
                purpose=WriteFiles(
                    root=FileRoot(kind=RootKind.MOUNT, mount="lab"), folder=b"ana/\xff", replace=True, what="points.csv"
                ),
                peer="gpu1",
            )
        ),
    ),
    "client_call_describe_dataset_1": api.Call(1, api.DescribeDataset(worker="gpu1", query=DATASET_QUERY)),
    "client_call_act_by_1": api.Call(1, api.Act(verb="pause", ids=("7k3",), by=PauseBy.CHECKPOINT)),
    "client_call_submit_pause_1": api.Call(
        1,
        api.SubmitJobs(
            submissions=(
                api.Submission(
                    JOB,
                    JobSpec(
                        command=("train",),
                        pause_by=PauseBy.CHECKPOINT,
                        pause_signal="USR1",
                        save_within_ms=1,
                        resume_from="/c",
                    ),
                ),
            )
        ),
    ),
    "client_call_end_stream_engine_1": api.Call(
        1, api.EndStream(stream_id=STREAM, way=Way.WEBRTC, engine="aiortc", bytes=1_234)
    ),
    "client_call_ask_for_stream_run_1": api.Call(1, api.AskForStream(open=OpenStream(purpose=RUN_IN_TASK))),
    "client_call_ask_for_stream_port_1": api.Call(
        1, api.AskForStream(open=OpenStream(purpose=ReachPort(task="7k", port="http"), via=Via.RELAY))
    ),
}

RESERVATION_ROW = api.ReservationRow(
    id="r7k3m9q", workers=("gpu1", "gpu2"), project="vision", person="ana", maintenance=True, gpus=4, from_ms=AT, until_ms=AT + 1,
    reason="why", made_by="ben", in_force=True,
)  # fmt: skip
WORKER_ROW = api.WorkerRow(
    id=WORKER, name="gpu1", status="busy", connection="silent", tags=("fast",), properties={"gpu_memory_mb": 1},
    gpus=(GPU,), running_tasks=1, last_seen_ms=AT, max_concurrent_jobs=2, gpus_free=("GPU-2",), gpu_message="m",
    host=HOST, attention="look",
)  # fmt: skip
JOB_ROW = api.JobRow(
    id=JOB, name="train", project="vision", state="running", reason="r", priority=5, num_tasks=4,
    task_counts={"running": 4}, worker="gpu1", output_path="/out", submitted_by="ana", created_at_ms=AT,
    started_at_ms=AT + 1, finished_at_ms=AT + 2, progress=0.5, duration_ms_estimate=9,
)  # fmt: skip
ATTEMPT_ROW = api.AttemptRow(
    attempt=1, attempt_id=ATTEMPT, state="failed", worker="gpu1", exit_code=1, signal=9, error="e", started_at_ms=AT,
    finished_at_ms=AT + 1, output_path="/out", gpu_ids=("GPU-1",), peak_memory_mb=7, cpu_seconds=1.5,
    ports={"http": 8080},
)  # fmt: skip
TASK_ROW = api.TaskRow(
    id=TASK, index=3, state="failed", reason="r", exit_code=1, error="e", worker="gpu1", attempt=1, attempt_id=ATTEMPT,
    started_at_ms=AT, finished_at_ms=AT + 1, output_path="/out", resource_usage=USAGE, parameters={"lr": 0.1},
    attempts=(ATTEMPT_ROW,),
)  # fmt: skip
EVENT_ROW = api.EventRow(seq=9, at_ms=AT, actor="ana", kind="cancel", text="cancelled by ana", subject=JOB)
PROJECT_ROW = api.ProjectRow(
    name="vision", description="d", status="active", created_at_ms=AT, updated_at_ms=AT, job_counts={"failed": 1}
)
LIMITS = Limits(tasks=4, gpus=2, cpus=16, memory_mb=64_000)
USAGE_ROW = api.UsageRow(
    project="vision", person="ana", gpu_ms=7, cpu_ms=8, task_ms=9, tasks=3, tasks_now=2, gpus_now=1, cpus_now=2.0, weight_ms=6,
    project_weight=2.0, person_weight=3.0, project_limits=LIMITS, person_limits=LIMITS,
)  # fmt: skip
LINE_ROW = api.LineRow(
    priority=1, project="vision", person="ana", jobs=3, first_job=JOB, project_standing_ms=7, person_standing_ms=8, reason="busy"
)  # fmt: skip
PROJECT_ROW_SHARE = api.ProjectRow(
    name="vision", description="d", status="active", created_at_ms=AT, updated_at_ms=AT, job_counts={},
    share=Share(weight=2.0, limits=LIMITS),
)  # fmt: skip
VERDICT = api.Verdict(
    worker_id=WORKER, worker="gpu1", accepted=False, reason="busy", estimated_start_ms=1, estimated_duration_ms=2,
    gpus_free=3, input="data.slp: found, 1 KB", checks=(("gpu_memory_mb>=1", True, ""),),
)  # fmt: skip
ESTIMATE = Estimate(1, 2, 4, 9, "train on A100", 8, 7)
ANSWERS: dict[str, Any] = {
    "done": api.Done(text="t"),
    "worker_list": api.WorkerList(workers=(WORKER_ROW,)),
    "job_list": api.JobList(jobs=(JOB_ROW,), more=True),
    "project_list": api.ProjectList(projects=(PROJECT_ROW,)),
    "template_list": api.TemplateList(templates=(TEMPLATE,)),
    "detail": api.DetailAnswer(detail=api.JobDetail(job=JOB_ROW, spec=SPEC, tasks=(TASK_ROW,), events=(EVENT_ROW,))),
    "acted": api.ActResult(results=((JOB, "cancelled by ana"),)),
    "why_answer": api.WhyAnswer(job=JOB_ROW, text="t", verdicts=(VERDICT,)),
    "job_response": api.Candidates(verdicts=(VERDICT,), text="t"),
    "log_page": api.LogAnswer(
        page=LogPage(
            lines=(LogLine(3, Source.STDERR, "data", AT, True, 1, 2),), next_cursor="c", end=True, first_line=3,
            total_lines=4, note="n",
        ),
        task_id=TASK, attempt=1, attempt_state="failed", worker="gpu1", finished=True,
    ),
    "event_list": api.EventList(events=(EVENT_ROW,)),
    "invited": api.Invited(line="ws://h:1#-.a.b", expires_at_ms=AT),
    "snapshot": api.SnapshotAnswer(
        snapshot=api.Snapshot(
            seq=9, coordinator="lab", workers=(WORKER_ROW,), jobs=(JOB_ROW,), events=(EVENT_ROW,), jobs_total=1,
            projects=(PROJECT_ROW,),
        )
    ),
    "health": api.Health(
        healthy=True, uptime_ms=1, workers=2, running_tasks=3, pending_tasks=4, store_seq=5, adopting=True
    ),
    "job_list_command": api.JobList(jobs=(msgspec.structs.replace(JOB_ROW, command="python train.py"),), more=True),
    "detail_workdir": api.DetailAnswer(
        detail=api.JobDetail(
            job=JOB_ROW, spec=SPEC,
            tasks=(
                msgspec.structs.replace(
                    TASK_ROW, attempts=(msgspec.structs.replace(ATTEMPT_ROW, workdir="/state/work", note="n"),)
                ),
            ),
            events=(EVENT_ROW,),
        )
    ),
    "health_trouble": api.Health(
        healthy=False, uptime_ms=1, workers=2, running_tasks=3, pending_tasks=4, store_seq=5, trouble="disk full"
    ),
    "worker_list_avoided": api.WorkerList(workers=(msgspec.structs.replace(WORKER_ROW, avoided_until_ms=AT),)),
    "project_list_share": api.ProjectList(projects=(PROJECT_ROW_SHARE,)),
    "usage_answer": api.UsageAnswer(from_ms=AT, half_life_ms=1, rows=(USAGE_ROW,), lines=(LINE_ROW,)),
    "detail_priority": api.DetailAnswer(
        detail=api.JobDetail(
            job=JOB_ROW, spec=SPEC, tasks=(msgspec.structs.replace(TASK_ROW, priority=5),), events=(EVENT_ROW,)
        )
    ),
}  # fmt: skip
TRUST_ANSWERS: dict[str, Any] = {
    "person_list": api.PersonList(
        people=(
            api.PersonRow(
                name="ana", role="admin", is_local=True, credentials=2, connections=1, joined_at_ms=AT, revoked_at_ms=AT
            ),
        )
    ),
    "reservation_list": api.ReservationList(reservations=(RESERVATION_ROW,)),
    "reserved": api.OfferReserved(accepted=True, reason="why", worker="gpu1", worker_id="w-1", left_ms=60_000, gpus=2),
    "invitation_list": api.InvitationList(
        invitations=(
            api.InvitationRow(
                id="7k3m9q2x", role="worker", name="gpu1", tags=("a",), uses_left=3, expires_at_ms=AT, created_by="ana"
            ),
        )
    ),
    "cleaned": api.Cleaned(
        leavings=(api.LeavingRow(worker="gpu1", path="/s/attempts/a", why="w", bytes=5, at_ms=AT),),
        removed=True,
        remarks=("r",),
    ),
    "cleaned_policy": api.Cleaned(
        leavings=(api.LeavingRow(worker="", path="", why="w", bytes=5, at_ms=AT, what="history", job="j0b"),),
        policy=(api.PolicyRow(worker="gpu1", setting="keep_output_days", value=None, text="t"),),
    ),
}
RUN = api.RunRow(
    task_id=TASK, job="train", state="running", parameters={"lr": 0.1},
    metrics=(
        api.MetricRow(
            name="loss", points=9, last=0.25, last_step=8.0, least=0.125, greatest=4.0, x=(0.0, 8.0), y=(4.0, 0.25)
        ),
    ),
)  # fmt: skip
CHECKPOINT = api.CheckpointRow(path="/out/step-8", step=8.0, at_ms=AT)
STREAM_ANSWERS: dict[str, Any] = {
    "stream": api.StreamAnswer(grant=GRANT),
    "signals": api.SignalsAnswer(bodies=(b"\x81\xa1t\xff", b""), is_over=True),
    "contents": api.ContentsAnswer(kept=(CONTENT,), keep_bytes_max=1 << 30),
    "offered": api.OfferAnswer(grants=(GRANT,), unwanted=(CONTENT,)),
}
SERVER: dict[str, Any] = {
    "server_welcome_1": api.Welcome(
        protocol=1, coordinator="lab", version="0.1.0", store_id="s1", role="admin", actor="ana"
    ),
    "server_failure_1": api.Failure(3, "not_found", "no"),
    "server_update_1": api.Update(
        seq=9, workers=(WORKER_ROW,), workers_removed=("w",), jobs=(JOB_ROW,), events=(EVENT_ROW,)
    ),
    "server_answer_job_response_asking_1": api.Answer(
        1,
        api.Candidates(
            text="none",
            verdicts=(api.Verdict(worker_id=WORKER, worker="gpu1", accepted=False, reason="asking", asking=True),),
        ),
    ),
    "server_answer_job_response_2": api.Answer(
        98,
        api.Candidates(
            text="t",
            verdicts=(
                msgspec.structs.replace(
                    VERDICT, inputs=(api.InputCheck(name="a.npy", state="missing", detail="is not there"),)
                ),
            ),
        ),
    ),
    "server_answer_health_2": api.Answer(
        99,
        api.Health(
            healthy=True, uptime_ms=1, workers=2, running_tasks=3, pending_tasks=4, store_seq=5, watchers=("ana", "bo")
        ),
    ),
    **{f"server_answer_{tag}_1": api.Answer(number, answer) for number, (tag, answer) in enumerate(ANSWERS.items(), 1)},
    "server_answer_job_list_2": api.Answer(3, api.JobList(jobs=(), more=True, next_ms=AT, next_id=JOB)),
    "server_answer_job_list_3": api.Answer(3, api.JobList(jobs=(), matched=7)),
    "server_answer_usage_answer_2": api.Answer(
        1,
        api.UsageAnswer(
            from_ms=AT,
            half_life_ms=1,
            lines=(),
            left_out=3,
            rows=(msgspec.structs.replace(USAGE_ROW, cpus_asked_now=1.5, memory_mb_now=64.0),),
        ),
    ),
    "server_answer_acted_2": api.Answer(6, api.ActResult(results=((JOB, "it has ended"),), refused=(JOB,))),
    **{f"server_answer_{tag}_1": api.Answer(1, answer) for tag, answer in TRUST_ANSWERS.items()},
    "server_answer_job_list_advance_1": api.Answer(
        1, api.JobList(jobs=(msgspec.structs.replace(JOB_ROW, advance=PROGRESS),))
    ),
    "server_answer_worker_list_drained_1": api.Answer(
        1,
        api.WorkerList(workers=(msgspec.structs.replace(WORKER_ROW, drain_reason="a new driver", drain_until_ms=AT),)),
    ),
    "server_answer_worker_list_reserved_1": api.Answer(
        1, api.WorkerList(workers=(msgspec.structs.replace(WORKER_ROW, reservation=RESERVATION_ROW),))
    ),
    "server_answer_project_list_preemptible_1": api.Answer(
        1, api.ProjectList(projects=(msgspec.structs.replace(PROJECT_ROW, preemptible=True),))
    ),
    "server_answer_job_list_range_1": api.Answer(
        1, api.JobList(jobs=(msgspec.structs.replace(JOB_ROW, duration_range=ESTIMATE),))
    ),
    "server_answer_why_answer_ahead_1": api.Answer(
        1,
        api.WhyAnswer(
            job=JOB_ROW,
            text="t",
            verdicts=(msgspec.structs.replace(VERDICT, start=Estimate(0, 1, 2), takes=ESTIMATE),),
            ahead=2,
            ahead_jobs=(JOB,),
        ),
    ),
    "server_answer_detail_expected_1": api.Answer(
        1,
        api.DetailAnswer(
            detail=api.JobDetail(
                job=JOB_ROW,
                spec=SPEC,
                tasks=(
                    msgspec.structs.replace(
                        TASK_ROW, attempts=(msgspec.structs.replace(ATTEMPT_ROW, expected=ESTIMATE),)
                    ),
                ),
                events=(),
            )
        ),
    ),
    "server_answer_usage_answer_estimates_1": api.Answer(
        1,
        api.UsageAnswer(
            from_ms=AT,
            half_life_ms=1,
            rows=(),
            lines=(),
            estimates=(
                EstimateError(project="vision", name="train", runs=9, judged=8, held=7, off_percent=12, median_ms=6),
            ),
        ),
    ),
    "server_answer_job_list_save_late_1": api.Answer(
        1, api.JobList(jobs=(msgspec.structs.replace(JOB_ROW, save_late=(0, 2)),))
    ),
    "server_answer_detail_progress_1": api.Answer(
        1,
        api.DetailAnswer(
            detail=api.JobDetail(
                job=JOB_ROW, spec=SPEC, tasks=(msgspec.structs.replace(TASK_ROW, progress=PROGRESS),), events=()
            )
        ),
    ),
    "server_answer_log_page_raw_1": api.Answer(
        1,
        api.LogAnswer(
            page=LogPage(lines=(LogLine(0, Source.STDOUT, "\ufffd", AT),), next_cursor="c", end=True, raw={0: b"\xff"}),
            task_id=TASK,
            attempt=0,
            attempt_state="running",
        ),
    ),
    "server_answer_detail_cause_1": api.Answer(
        1,
        api.DetailAnswer(
            detail=api.JobDetail(
                job=JOB_ROW,
                spec=SPEC,
                tasks=(
                    msgspec.structs.replace(
                        TASK_ROW,
                        cause="timed_out",
                        attempts=(msgspec.structs.replace(ATTEMPT_ROW, cause="timed_out"),),
                    ),
                ),
                events=(),
            )
        ),
    ),
    "server_answer_candidates_chosen_1": api.Answer(
        1,
        api.Candidates(
            verdicts=(msgspec.structs.replace(VERDICT, lacks_file=True),),
            text="gpu1: the best of 2",
            chosen="gpu1",
            because="the best of 2",
        ),
    ),
    **{f"server_answer_{tag}_1": api.Answer(1, answer) for tag, answer in STREAM_ANSWERS.items()},
    "server_answer_file_list_1": api.Answer(1, api.FileList(page=FILE_PAGE, worker="gpu1")),
    "server_answer_file_part_1": api.Answer(1, api.FilePartAnswer(part=FILE_PART, worker="gpu1")),
    "server_answer_metrics_1": api.Answer(1, api.MetricsAnswer(runs=(RUN,), more=True)),
    "server_answer_detail_reported_1": api.Answer(
        1,
        api.DetailAnswer(
            detail=api.JobDetail(
                job=JOB_ROW,
                spec=SPEC,
                tasks=(
                    msgspec.structs.replace(
                        TASK_ROW,
                        metrics={"loss": 0.5},
                        checkpoint=CHECKPOINT,
                        attempts=(msgspec.structs.replace(ATTEMPT_ROW, metrics={"loss": 0.5}, checkpoint=CHECKPOINT),),
                    ),
                ),
                events=(),
            )
        ),
    ),
    "server_answer_file_list_note_1": api.Answer(
        1, api.FileList(page=msgspec.structs.replace(FILE_PAGE, note="gpu1 is away"), worker="gpu1")
    ),
    "server_answer_signals_stopped_1": api.Answer(
        1, api.SignalsAnswer(is_over=True, stopped="the credential of gpu1 was revoked")
    ),
    "server_answer_dataset_1": api.Answer(1, api.DatasetAnswer(description=DATASET, worker="gpu1")),
    "server_answer_dataset_fault_1": api.Answer(1, api.DatasetAnswer(fault=DATASET_FAULT, worker="gpu1")),
    "server_answer_detail_resumed_1": api.Answer(
        1,
        api.DetailAnswer(
            detail=api.JobDetail(
                job=JOB_ROW,
                spec=SPEC,
                tasks=(
                    msgspec.structs.replace(
                        TASK_ROW,
                        checkpoint=msgspec.structs.replace(CHECKPOINT, worker="gpu1", copied=True, note="n"),
                        attempts=(msgspec.structs.replace(ATTEMPT_ROW, resumed_from=CHECKPOINT),),
                    ),
                ),
                events=(),
            )
        ),
    ),
    "server_answer_detail_hint_1": api.Answer(
        1,
        api.DetailAnswer(
            detail=api.JobDetail(
                job=JOB_ROW,
                spec=SPEC,
                tasks=(
                    msgspec.structs.replace(
                        TASK_ROW,
                        hint="use a smaller batch",
                        attempts=(msgspec.structs.replace(ATTEMPT_ROW, hint="use a smaller batch"),),
                    ),
                ),
                events=(),
            )
        ),
    ),
    "server_answer_detail_recognised_1": api.Answer(
        1,
        api.DetailAnswer(
            detail=api.JobDetail(
                job=JOB_ROW,
                spec=msgspec.structs.replace(SPEC, metric_pattern="L=(?P<loss>.+)"),
                tasks=(
                    msgspec.structs.replace(
                        TASK_ROW,
                        recognised=("loss",),
                        attempts=(msgspec.structs.replace(ATTEMPT_ROW, recognised=("loss",)),),
                    ),
                ),
                events=(),
            )
        ),
    ),
    "server_answer_metrics_gpus_1": api.Answer(
        1, api.MetricsAnswer(runs=(msgspec.structs.replace(RUN, gpus=RUN.metrics),))
    ),
    "server_answer_metrics_recognised_1": api.Answer(
        1,
        api.MetricsAnswer(
            runs=(msgspec.structs.replace(RUN, metrics=(msgspec.structs.replace(RUN.metrics[0], is_recognised=True),)),)
        ),
    ),
}

WAITING = JobSpec(
    command=("true",), after=("0000000001/task-3", "0000000002:*"), after_failure=("0000000003",),
    after_any=("0000000004",), takes=("0000000005:model",),
)  # fmt: skip
SHARE = JobSpec(
    command=("true",), place=Place.PACK, resources=Resources(gpus=1, gpu_memory_mb=6_144, share=True)
)  # fmt: skip
SHARING: dict[str, msgspec.Struct] = {
    "client_call_set_project_create_1": api.Call(1, api.SetProject(name="vision", create=True)),
    "client_call_submit_share_1": api.Call(1, api.SubmitJobs(submissions=(api.Submission(JOB, SHARE),))),
    "client_call_set_project_place_1": api.Call(1, api.SetProject(name="vision", place="pack")),
    "server_answer_project_list_place_1": api.Answer(
        1, api.ProjectList(projects=(msgspec.structs.replace(PROJECT_ROW, place=Place.SPREAD),))
    ),
    "server_answer_worker_list_shared_1": api.Answer(
        1,
        api.WorkerList(
            workers=(
                msgspec.structs.replace(
                    WORKER_ROW, gpus_shared=(api.SharedGpu(uuid="GPU-1", tasks=2, asked_mb=12_288, left_mb=4_096),)
                ),
            )
        ),
    ),
    "agent_heartbeat_compute_1": link.Heartbeat(
        at_ms=AT,
        gpus=(msgspec.structs.replace(GPU, processes=(link.GpuUser(pid=7, name="python", is_compute=True),)),),
    ),
    "coordinator_job_assignment_share_1": link.JobAssignment(
        seq=1,
        desired=link.Desired(
            attempt_id=ATTEMPT,
            launch=link.Launch(
                job_id=JOB, task_id=TaskId(f"{JOB}/task-0"), task_index=0, num_tasks=1, attempt=0, command=("true",),
                resources=SHARE.resources, gpu_ids=("GPU-1",), gpu_sizes_mb=(24_576,),
            ),
        ),
    ),
}  # fmt: skip
DEPENDENCIES: dict[str, msgspec.Struct] = {
    "client_call_submit_waiting_1": api.Call(1, api.SubmitJobs(submissions=(api.Submission(JOB, WAITING),))),
    "client_call_ask_graph_1": api.Call(1, api.AskGraph(id="7k3")),
    "server_answer_graph_answer_1": api.Answer(
        1,
        api.GraphAnswer(
            id=JOB,
            jobs=(api.GraphRow(job=JOB_ROW, needs=(api.NeedRow(id=JOB, end="after_any", part="*"),)),),
            more=True,
        ),
    ),
}

SAMPLES: dict[str, msgspec.Struct] = {
    **AGENT, **COORDINATOR, **CLIENT, **SERVER, **content_sample.SAMPLES, **dataset_sample.SAMPLES, **DEPENDENCIES,
    **SHARING,
    **queue_sample.CLIENT, **queue_sample.SERVER,
}  # fmt: skip
