"""A recorded fleet: a morning in a small lab, every state and every awkward case in it, always the same."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from opsconsole_protocol.api import (
    AttemptRow,
    EventRow,
    InputCheck,
    InvitationRow,
    JobRow,
    Parameter,
    PersonRow,
    ProjectRow,
    Snapshot,
    TaskRow,
    TemplateRow,
    Update,
    Verdict,
    WorkerRow,
)
from opsconsole_protocol.ids import ALPHABET, spell
from opsconsole_protocol.link import Gpu, GpuUser, Host, TaskUsage
from opsconsole_protocol.spec import JobSpec, Resources

NOW_MS = 1_767_956_651_000
JOIN_LINE = f"wss://10.77.0.1:7373#{'5d41402abc4b2a76' * 4}.k3f9ab2q.{'9hj2kq7vtm4w8' * 4}"
"""Friday 9 January 2026, 11:04:11 UTC."""

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True)
class Card:
    """A model of GPU."""

    name: str
    memory_mb: int
    power_limit_w: float


A100 = Card("NVIDIA A100-SXM4-80GB", 81_920, 400)
A100_40 = Card("NVIDIA A100-PCIE-40GB", 40_960, 250)
H100 = Card("NVIDIA H100 80GB HBM3", 81_559, 700)
RTX = Card("NVIDIA GeForce RTX 4090", 24_564, 450)
A6000 = Card("NVIDIA RTX A6000", 49_140, 300)
L40S = Card("NVIDIA L40S", 46_068, 350)
T4 = Card("Tesla T4", 15_360, 70)
V100 = Card("Tesla V100-SXM2-32GB", 32_768, 300)


@dataclass(frozen=True)
class Box:
    """A worker in short: `use` has (utilisation %, memory used MB) of each GPU, `busy` how many are taken."""

    name: str
    card: Card | None
    use: tuple[tuple[int, int], ...]
    busy: int
    slots: int
    filesystem: str = "vast"
    paths: tuple[str, str] | None = ("/mnt/vast/inputs", "/mnt/vast/outputs")
    tags: tuple[str, ...] = ()
    status: str = ""
    connection: str = "connected"
    running: int | None = None
    attention: str = ""
    silent_ms: int = 2_000
    properties: Mapping[str, Any] = field(default_factory=dict)


BOXES = (
    Box("gpu-a", A100, ((93, 62_500), (0, 820)), 1, 2, tags=("train", "nvlink")),
    Box("gpu-b", H100, ((3, 2_100), (0, 600), (0, 600), (0, 600)), 0, 4, tags=("train", "nvlink")),
    Box("gpu-c", H100, tuple((96, 71_000 + 300 * i) for i in range(8)), 8, 8, tags=("train", "nvlink")),
    Box("gpu-d", A100_40, ((71, 30_100), (64, 29_800), (88, 31_000), (15, 9_000)), 4, 4, tags=("train",)),
    Box("rtx-01", RTX, ((58, 17_900),), 1, 1, "nas", ("/nas/ml/in", "/nas/ml/out"), ("desk",)),
    Box("rtx-02", RTX, ((99, 22_800), (97, 22_400)), 2, 2, "nas", ("/nas/ml/in", "/nas/ml/out"), ("desk",)),
    Box("rtx-03", RTX, ((34, 21_300),), 0, 1, "nas", ("/nas/ml/in", "/nas/ml/out"), ("desk",),
        attention="GPU 0: python3 of another user holds 20.4 GB"),
    Box("a6000-1", A6000, ((44, 20_000), (41, 19_600), (0, 400), (0, 400)), 2, 4, tags=("eval",)),
    Box("l40s-1", L40S, ((82, 40_100), (79, 39_900), (85, 41_000), (80, 40_300)), 4, 4, "gdrive",
        ("/data/gdrive/in", "/data/gdrive/out"), ("eval",)),
    Box("cloud-t4", T4, ((21, 6_000),), 1, 1, "", None, ("cloud",), connection="silent", silent_ms=31_000),
    Box("v100-old", V100, ((66, 18_000), (0, 300), (0, 300), (0, 300)), 1, 4, tags=("train",), status="maintenance"),
    Box("cpu-01", None, (), 0, 16, "vast", tags=("prep",), running=3),
    Box("spare-node-with-a-long-name", A100, ((0, 0), (0, 0)), 0, 2, tags=("train",), connection="lost",
        silent_ms=41 * MINUTE_MS, attention="not heard of for 41 min; its tasks were given to others"),
)  # fmt: skip


def worker_id(name: str) -> str:
    """Ids look like ids: never like names."""
    return "w" + spell(zlib.crc32(name.encode()), 9)


def gpu_uuid(name: str, index: int) -> str:
    """A stable uuid for a card."""
    return f"GPU-{worker_id(name)}-{index}"


_ON_GPU = {"gpu-a": "42f0k9x2mq", "gpu-c": "7xk2p4n1zd", "a6000-1": "80abt6m9cw", "rtx-02": "j4z9w3m7kp",
           "l40s-1": "h8s6n1y5rt"}  # fmt: skip
_ALONE = frozenset({"42f0k9x2mq", "7xk2p4n1zd", "80abt6m9cw", "j4z9w3m7kp"})


def _gpu(box: Box, index: int) -> Gpu:
    assert box.card is not None
    utilisation, memory = box.use[index]
    taken = index < box.busy
    processes: tuple[GpuUser, ...] = ()
    if taken:
        job = _ON_GPU.get(box.name, "51c7hh3d0v")
        user = f"{job}.{0 if job in _ALONE else 11 + index}.0.k3f9"
        processes = (GpuUser(pid=41_200 + index, name="python", memory_mb=memory - 500, attempt_id=user),)
    elif memory > 2_000:
        processes = (
            GpuUser(pid=9_310, name="python3", memory_mb=memory - 900),
            GpuUser(pid=1_204, name="Xorg", memory_mb=180),
        )
    return Gpu(
        index=index, uuid=gpu_uuid(box.name, index), name=box.card.name, memory_total_mb=box.card.memory_mb,
        memory_used_mb=memory, utilization_percent=utilisation, temperature_c=34 + utilisation // 2,
        power_w=round(30 + box.card.power_limit_w * utilisation / 120, 1), power_limit_w=box.card.power_limit_w,
        processes=processes,
    )  # fmt: skip


def worker_row(box: Box) -> WorkerRow:
    """The row that a coordinator would show for a box."""
    running = box.busy if box.running is None else box.running
    status = box.status or ("busy" if running >= box.slots else "available")
    io_paths: dict[str, Any] = {"input": None, "output": None, "filesystem": box.filesystem}
    if box.paths is not None:
        io_paths |= {"input": box.paths[0], "output": box.paths[1]}
    properties: dict[str, Any] = {
        "hostname": f"{box.name}.lab.example", "os": "Linux 6.8", "cpu_count": 64, "memory_mb": 515_000,
        "python_version": "3.11.9", "io_paths": io_paths, "status": status,
    }  # fmt: skip
    if box.card is not None:
        properties |= {
            "gpu_model": box.card.name, "gpu_memory_mb": box.card.memory_mb, "cuda_version": "12.4",
            "driver_version": "550.54.15",
        }  # fmt: skip
    return WorkerRow(
        id=worker_id(box.name), name=box.name, status=status, connection=box.connection, tags=box.tags,
        properties={**properties, **box.properties}, gpus=tuple(_gpu(box, i) for i in range(len(box.use))),
        running_tasks=running, last_seen_ms=NOW_MS - box.silent_ms, max_concurrent_jobs=box.slots,
        gpus_free=tuple(gpu_uuid(box.name, i) for i in range(box.busy, len(box.use))), attention=box.attention,
        gpu_message="" if box.card else "no NVIDIA driver: this worker has no GPU",
        host=Host(cpu_percent=37.5 if running else 2.0, load1=12.4 if running else 0.1, memory_used_mb=201_000,
                  memory_available_mb=314_000, disk_free_mb=1_840_000),
    )  # fmt: skip


@dataclass(frozen=True)
class Work:
    """A job in short. `counts` are its tasks by state; times in minutes before now."""

    id: str
    name: str
    project: str
    counts: Mapping[str, int]
    worker: str | None = None
    priority: int = 0
    reason: str = ""
    by: str = "ana"
    created: float = 60
    started: float | None = None
    finished: float | None = None
    estimate: float | None = None
    command: tuple[str, ...] = ("python", "train.py")
    gpus: int = 1

    @property
    def state(self) -> str:
        """As the protocol derives it."""
        order = ("running", "paused", "building", "assigned", "pending", "held", "blocked", "failed", "killed",
                 "unschedulable", "worker_failed", "preempted", "succeeded")  # fmt: skip
        return next(state for state in order if self.counts.get(state))


_TRAIN = ("python", "train.py", "--data", "clips of may.h5", "--lr", "3e-4", "--epochs", "40")
_SWEEP = ("python", "sweep.py", "--seed", "7")

WORKS = (
    Work("42f0k9x2mq", "train-lr3", "pose", {"running": 1}, "gpu-a", 10, created=16, started=12.4, estimate=30.5,
         command=_TRAIN),
    Work("51c7hh3d0v", "sweep", "pose", {"running": 4, "succeeded": 11, "pending": 17}, None, 0, by="ben",
         created=95, started=90, estimate=None, command=_SWEEP),
    Work("6a0rj8w5te", "eval", "pose", {"pending": 1}, None, 0, "needs 40 GB free; gpu-b in 18m", created=9,
         command=("python", "eval.py"), estimate=22),
    Work("7xk2p4n1zd", "llm-finetune", "language", {"running": 1}, "gpu-c", 20, by="chi", created=400, started=391,
         estimate=620, command=("torchrun", "--nproc-per-node=8", "finetune.py"), gpus=8),
    Work("80abt6m9cw", "segment-v2", "cells", {"paused": 1}, "a6000-1", 0, by="dana", created=240, started=228,
         estimate=300, reason="paused by dana"),
    Work("8evq1s3k7h", "preprocess", "cells", {"running": 3, "succeeded": 61}, "cpu-01", 0, by="dana", created=44,
         started=43, command=("./prep.sh",), gpus=0),
    Work("91mz5c0gtp", "build-env", "language", {"building": 1}, "gpu-b", 5, by="chi", created=1, estimate=40),
    Work("9n4d7y2fwk", "distill", "language", {"assigned": 1}, "gpu-b", 5, by="chi", created=0.1),
    Work("a3h8v6r1qx", "nightly-eval", "pose", {"held": 1}, None, 0, "held by ana: data not ready", created=600),
    Work("b2t5k0j9mc", "report", "pose", {"blocked": 1}, None, 0, "train-lr2 (c0p) failed", created=130),
    Work("c0p3x7d4ne", "train-lr2", "pose", {"failed": 1}, "gpu-d", 10, "exit code 1: CUDA out of memory",
         created=130, started=128, finished=71, command=_TRAIN),
    Work("c9w1f5h8zs", "quick-look", "cells", {"killed": 1}, "rtx-01", 0, "cancelled by dana", by="dana",
         created=75, started=74, finished=70),
    Work("d7g6m2k3vy", "render", "cells", {"worker_failed": 1}, "spare-node-with-a-long-name", 0,
         "spare-node-with-a-long-name was lost; no retries left", by="dana", created=180, started=170, finished=40),
    Work("e1r9t4p0bj", "huge-batch", "language", {"unschedulable": 1}, None, 0,
         "no worker has 16 GPUs; gpu-c has 8", by="chi", created=52, finished=50),
    Work("f5k3c8x6wn", "bursty", "pose", {"preempted": 1}, "l40s-1", -5, "made way for 7xk2", by="ben",
         created=300, started=290, finished=260),
    Work("g0h2v7q4dm", "train-lr1", "pose", {"succeeded": 1}, "gpu-d", 10, created=220, started=218, finished=186),
    Work("h8s6n1y5rt", "grid-ablation-with-a-rather-long-name", "language", {"running": 2, "failed": 1, "pending": 5},
         "l40s-1", 0, "1 task failed", by="chi", created=200, started=195),
    Work("j4z9w3m7kp", "résumé-模型", "language", {"running": 1}, "rtx-02", 0, by="chi", created=33, started=30,
         estimate=28),
)  # fmt: skip


def _queue() -> Iterator[Work]:
    """Work that waits, and work that is done: what fills a table."""
    for i in range(10):
        yield Work(f"k{ALPHABET[i]}7m2x9d{ALPHABET[31 - i]}q4"[:10], f"fold-{i}", "cells", {"pending": 1}, None, -i // 4,
                   "9 jobs before it in project cells" if i else "every A6000 is taken; a6000-1 in 41m",
                   by="dana", created=30 - i, estimate=35)  # fmt: skip
    for i in range(14):
        yield Work(f"s{ALPHABET[i]}3t8v5n{ALPHABET[i]}r1"[:10], f"train-{2_100 + i}", "pose", {"succeeded": 1},
                   ("gpu-d", "rtx-01", "l40s-1")[i % 3], 0, by=("ana", "ben")[i % 2], created=300 + 45 * i,
                   started=298 + 45 * i, finished=268 + 45 * i)  # fmt: skip


def all_work() -> tuple[Work, ...]:
    """Every job of the morning."""
    return (*WORKS, *_queue())


def _ago(minutes: float | None) -> int | None:
    return None if minutes is None else NOW_MS - round(minutes * MINUTE_MS)


def job_row(work: Work) -> JobRow:
    """The row that a coordinator would show for a job."""
    total = sum(work.counts.values())
    done = sum(work.counts.get(state, 0) for state in ("succeeded", "failed", "killed"))
    created = _ago(work.created)
    assert created is not None
    return JobRow(
        id=work.id, name=work.name, project=work.project, state=work.state, reason=work.reason,
        priority=work.priority, num_tasks=total, task_counts=dict(work.counts), worker=work.worker,
        output_path=f"/mnt/vast/outputs/jobs/{work.id}" if work.worker else None, submitted_by=work.by,
        created_at_ms=created, started_at_ms=_ago(work.started), finished_at_ms=_ago(work.finished),
        progress=done / total if total > 1 else None,
        duration_ms_estimate=None if work.estimate is None else round(work.estimate * MINUTE_MS),
    )  # fmt: skip


def spec_of(work: Work) -> JobSpec:
    """What its submitter said."""
    return JobSpec(
        command=work.command, name=work.name, project=work.project, num_tasks=sum(work.counts.values()),
        priority=work.priority, resources=Resources(gpus=work.gpus, cpus=8, memory_mb=32_768),
        requirements=("gpu_memory_mb>=40000",) if work.gpus else (), inputs=("clips of may.h5",) if "--data" in work.command else (),
        environment={"WANDB_MODE": "offline", "OMP_NUM_THREADS": "8"}, max_retries_failure=1, timeout_ms=6 * HOUR_MS,
        workdir="/srv/code/pose",
    )  # fmt: skip


def _attempts(work: Work, index: int, state: str) -> tuple[AttemptRow, ...]:
    if state in {"pending", "held", "blocked", "unschedulable"}:
        return ()
    worker = work.worker or ("gpu-d" if state == "running" else BOXES[index % 5].name)
    finished = _ago(work.finished if work.finished is not None else max(1.0, (work.started or 3) - 20 - index))
    final = state not in {"running", "paused", "building", "assigned"}
    rows = [
        AttemptRow(
            attempt=0, attempt_id=f"{work.id}.{index}.0.k3f9", state=state, worker=worker,
            exit_code={"succeeded": 0, "failed": 1}.get(state), signal=None,
            error="CUDA out of memory" if state == "failed" else "", started_at_ms=_ago(work.started or 1),
            finished_at_ms=finished if final else None, output_path=f"/mnt/vast/outputs/jobs/{work.id}/task-{index}",
            gpu_ids=(gpu_uuid(worker, 0),), peak_memory_mb=18_400, cpu_seconds=5_210.0, ports={"http": 40_112},
        )
    ]  # fmt: skip
    if work.name == "train-lr3":
        first = AttemptRow(
            attempt=0, attempt_id=f"{work.id}.{index}.0.aaaa", state="worker_failed",
            worker="spare-node-with-a-long-name", exit_code=None, signal=None, error="worker lost",
            started_at_ms=_ago(15.5), finished_at_ms=_ago(13), peak_memory_mb=17_900, cpu_seconds=140.0,
        )  # fmt: skip
        last = rows[0]
        rows = [first, AttemptRow(**{name: getattr(last, name) for name in last.__struct_fields__} | {"attempt": 1})]
    return tuple(rows)


def tasks_of(work: Work) -> tuple[TaskRow, ...]:
    """A job's tasks: finished ones first, as it happens."""
    order = ("failed", "succeeded", "killed", "worker_failed", "preempted", "unschedulable", "running", "paused",
             "building", "assigned", "pending", "held", "blocked")  # fmt: skip
    states = [state for state in order for _ in range(work.counts.get(state, 0))]
    tasks = []
    for index, state in enumerate(states):
        attempts = _attempts(work, index, state)
        last = attempts[-1] if attempts else None
        live = state in {"running", "paused"}
        tasks.append(
            TaskRow(
                id=f"{work.id}/task-{index}", index=index, state=state,
                reason=work.reason if state in {"pending", "held", "blocked"} else "",
                exit_code=last.exit_code if last else None, error=last.error if last else "",
                worker=last.worker if last else None, attempt=last.attempt if last else None,
                attempt_id=last.attempt_id if last else None, started_at_ms=last.started_at_ms if last else None,
                finished_at_ms=last.finished_at_ms if last else None,
                output_path=last.output_path if last else None, attempts=attempts,
                parameters={"seed": index, "lr": 3e-4} if work.name == "sweep" else {},
                resource_usage=TaskUsage(
                    current_memory_mb=17_200 + index, peak_memory_mb=18_400, cpu_percent=312.0, process_count=9,
                    disk_mb=2_100, gpu_memory_mb=61_400, gpu_utilization_percent=93,
                ) if live else None,
            )
        )  # fmt: skip
    return tuple(tasks)


def events() -> tuple[EventRow, ...]:
    """Newest first, as the snapshot has them."""
    story = (
        (0.1, "chi", "assigned", "distill assigned to gpu-b", "9n4d7y2fwk"),
        (0.1, "chi", "submitted", "submitted distill to project language", "9n4d7y2fwk"),
        (0.6, "coordinator", "silent", "cloud-t4 has not answered for 12 s", "cloud-t4"),
        (1.0, "chi", "submitted", "submitted build-env to project language", "91mz5c0gtp"),
        (9.0, "ana", "submitted", "submitted eval to project pose", "6a0rj8w5te"),
        (12.4, "gpu-a", "running", "attempt 1 runs on gpu-a", "42f0k9x2mq"),
        (13.0, "coordinator", "lost", "attempt 0 lost with its worker; retrying (1 of 100)", "42f0k9x2mq"),
        (16.0, "ana", "submitted", "submitted train-lr3 to project pose", "42f0k9x2mq"),
        (25.0, "ben", "drain", "drained v100-old: fan noise", "v100-old"),
        (40.0, "coordinator", "lost", "spare-node-with-a-long-name was lost", "spare-node-with-a-long-name"),
        (70.0, "dana", "cancel", "cancelled quick-look", "c9w1f5h8zs"),
        (71.0, "gpu-d", "failed", "train-lr2 failed: exit code 1: CUDA out of memory", "c0p3x7d4ne"),
        (110.0, "dana", "pause", "paused segment-v2", "80abt6m9cw"),
    )
    return tuple(
        EventRow(seq=900 - i, at_ms=NOW_MS - round(ago * MINUTE_MS), actor=actor, kind=kind, text=text, subject=subject)
        for i, (ago, actor, kind, text, subject) in enumerate(story)
    )


def projects() -> tuple[ProjectRow, ...]:
    """Four queues, one of them paused."""
    return tuple(
        ProjectRow(name=name, description=about, status=status, created_at_ms=NOW_MS - 90 * 24 * HOUR_MS,
                   updated_at_ms=NOW_MS - HOUR_MS, job_counts={})
        for name, about, status in (
            ("cells", "Microscopy segmentation", "active"),
            ("default", "", "active"),
            ("language", "Fine-tuning", "active"),
            ("pose", "Pose estimation", "active"),
            ("thesis", "Finished in autumn", "paused"),
        )
    )  # fmt: skip


def snapshot() -> Snapshot:
    """Where a console starts."""
    return Snapshot(
        seq=900, coordinator="lab-coordinator", workers=tuple(worker_row(box) for box in BOXES),
        jobs=tuple(sorted((job_row(work) for work in all_work()), key=lambda row: -row.created_at_ms)),
        events=events(), jobs_total=len(all_work()) + 3, projects=projects(),
    )  # fmt: skip


def people() -> tuple[PersonRow, ...]:
    """Who may do what."""
    return (
        PersonRow(name="root", role="admin", is_local=True, connections=1),
        PersonRow(name="ana", role="operator", connections=2, credentials=2, joined_at_ms=NOW_MS - 3 * DAY_MS),
        PersonRow(name="bo", role="viewer", joined_at_ms=NOW_MS - DAY_MS, revoked_at_ms=NOW_MS - HOUR_MS),
    )


def invitations() -> tuple[InvitationRow, ...]:
    """Those that are open."""
    return (
        InvitationRow(id="k3f9ab2q", role="worker", name="", tags=("zone=a",), uses_left=19,
                      expires_at_ms=NOW_MS + HOUR_MS, created_by="root"),
    )  # fmt: skip


def templates() -> tuple[TemplateRow, ...]:
    """Two commands that the lab has named."""
    return (
        TemplateRow(
            name="evaluate", command=("python", "eval.py", "--checkpoint", "{checkpoint}"),
            parameters=(Parameter(name="checkpoint", help="file in the worker's input folder"),),
            description="Score a checkpoint",
        ),
        TemplateRow(
            name="train",
            command=("python", "train.py", "--lr", "{lr}", "--epochs", "{epochs}", "--model={model}"),
            parameters=(
                Parameter(name="lr", kind="float", default=3e-4, required=False),
                Parameter(name="epochs", kind="int", help="whole passes over the data"),
                Parameter(name="model", choices=("base", "centroid", "topdown"), default="base", required=False),
            ),
            description="Train a pose model", defaults={"gpus": 1, "project": "pose"},
        ),
    )  # fmt: skip


def verdicts(spec: JobSpec) -> tuple[Verdict, ...]:
    """What each worker says to a job: ranked as the coordinator ranks."""
    found = []
    for box in BOXES:
        row = worker_row(box)
        free = len(row.gpus_free)
        memory = box.card.memory_mb if box.card else 0
        checks = [
            ("connected", box.connection == "connected", {"connected": "is up"}.get(box.connection, f"is {box.connection}")),
            ("not draining", row.status != "maintenance", row.status),
            (f"{spec.resources.gpus} GPU free", free >= spec.resources.gpus, f"{free} of {len(row.gpus)} free"),
            ("gpu_memory_mb>=40000", memory >= 40_000, f"{memory}"),
            ("a slot free", row.running_tasks < row.max_concurrent_jobs, f"{row.running_tasks} of {row.max_concurrent_jobs} taken"),
        ]  # fmt: skip
        there, said = "", []
        if spec.inputs:
            there = "no input folder" if box.paths is None else (
                "found, 3.2 GB" if box.filesystem == "vast" else f"{spec.inputs[0]} is not there"
            )  # fmt: skip
            state = "no_folder" if box.paths is None else "found" if there.startswith("found") else "missing"
            said = [InputCheck(name=name, state=state, detail=there) for name in spec.inputs]
            checks.append((f"input {spec.inputs[0]}", there.startswith("found"), there))
        broken = [check for check in checks if not check[1]]
        reason = "" if not broken else f"{broken[0][0]}: {broken[0][2]}"
        found.append(
            Verdict(
                worker_id=row.id, worker=row.name, accepted=not broken, reason=reason, gpus_free=free, input=there,
                estimated_start_ms=0 if not broken else (18 * MINUTE_MS if free == 0 and row.gpus else None),
                estimated_duration_ms=None if memory < 20_000 else 2 * HOUR_MS * 81_920 // memory // 2,
                checks=tuple(checks), inputs=tuple(said),
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda verdict: (not verdict.accepted, verdict.worker)))


HEARTBEATS = 24


def heartbeats(start: Snapshot) -> Iterator[Update]:
    """Two minutes of load going up and down, ending where the snapshot stands."""
    rising = (0, 3, 9, 22, 38, 51, 66, 78, 84, 91, 95, 97, 94, 88, 90, 93, 71, 40, 62, 85, 96, 92, 89, 100)
    for step in range(HEARTBEATS):
        rows = []
        for place, worker in enumerate(start.workers):
            share = 100 if step == HEARTBEATS - 1 else rising[(step + 5 * place) % HEARTBEATS]
            gpus = tuple(
                msgspec.structs.replace(gpu, utilization_percent=(gpu.utilization_percent or 0) * share // 100)
                for gpu in worker.gpus
            )
            seen = worker.last_seen_ms
            assert seen is not None
            # Never equal to the row before: equal rows are no news.
            late = seen - (HEARTBEATS - 1 - step) * 5_000
            rows.append(msgspec.structs.replace(worker, gpus=gpus, last_seen_ms=late))
        yield Update(seq=start.seq + 1 + step, workers=tuple(rows))
