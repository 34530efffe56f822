"""The lab whose morning is recorded: its workers as their agents describe them, its jobs as people submitted them."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.ids import ALPHABET, spell
from opsconsole_protocol.spec import JobSpec, Resources

FILE = Path(__file__).with_name("fleet.jsonl")
"""The record."""
NOW_MS = 1_767_956_651_000
"""Friday 9 January 2026, 11:04:11 UTC."""
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


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
    """A host in short: `use` has (utilisation in percent, used memory in MB) of each of its GPUs."""

    name: str
    card: Card | None
    use: tuple[tuple[int, int], ...]
    slots: int
    filesystem: str = "vast"
    paths: tuple[str, str] | None = ("/mnt/vast/inputs", "/mnt/vast/outputs")
    tags: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Its worker's id."""
        return worker_id(self.name)


BOXES = (
    Box("gpu-a", A100, ((93, 62_500), (0, 820)), 2, tags=("train", "nvlink")),
    Box("gpu-b", H100, ((81, 60_200), (79, 59_800), (3, 2_100), (0, 600)), 4, tags=("train", "nvlink")),
    Box("gpu-c", H100, tuple((96, 71_000 + 300 * i) for i in range(8)), 8, tags=("train", "nvlink")),
    Box("gpu-d", A100_40, ((71, 30_100), (64, 29_800), (88, 31_000), (15, 9_000)), 4, tags=("train",)),
    Box("rtx-01", RTX, ((58, 17_900),), 1, "nas", ("/nas/ml/in", "/nas/ml/out"), ("desk",)),
    Box("rtx-02", RTX, ((99, 22_800), (97, 22_400)), 2, "nas", ("/nas/ml/in", "/nas/ml/out"), ("desk",)),
    Box("rtx-03", RTX, ((34, 21_300),), 1, "nas", ("/nas/ml/in", "/nas/ml/out"), ("desk",)),
    Box("a6000-1", A6000, ((44, 20_000), (41, 19_600), (0, 400), (0, 400)), 4, tags=("eval",)),
    Box("l40s-1", L40S, ((82, 40_100), (79, 39_900), (85, 41_000), (80, 40_300)), 4, "gdrive",
        ("/data/gdrive/in", "/data/gdrive/out"), ("eval",)),
    Box("cloud-t4", T4, ((21, 6_000),), 1, "", None, ("cloud",)),
    Box("v100-old", V100, ((66, 18_000), (0, 300), (0, 300), (0, 300)), 4, tags=("train",)),
    Box("cpu-01", None, (), 16, tags=("prep",)),
    Box("spare-node-with-a-long-name", A100, ((71, 40_000), (66, 38_000)), 2, tags=("train",)),
)  # fmt: skip
OLD, SPARE, CLOUD = "v100-old", "spare-node-with-a-long-name", "cloud-t4"


def worker_id(name: str) -> str:
    """Ids look like ids: never like names."""
    return "w" + spell(zlib.crc32(name.encode()), 9)


def gpu_uuid(name: str, index: int) -> str:
    """A stable uuid for a card."""
    return f"GPU-{worker_id(name)}-{index}"


PROJECTS = {
    "cells": "Microscopy segmentation", "default": "", "language": "Fine-tuning", "pose": "Pose estimation",
    "thesis": "Finished in autumn",
}  # fmt: skip
"""With what each is for."""
PAUSED = "thesis"

TEMPLATES = (
    TemplateRow(
        name="evaluate", command=("python", "eval.py", "--checkpoint", "{checkpoint}"),
        parameters=(Parameter(name="checkpoint", help="file in the worker's input folder"),),
        description="Score a checkpoint",
    ),
    TemplateRow(name="resume", command=("python", "resume.py"), description="Go on from the last checkpoint"),
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


@dataclass(frozen=True)
class Work:
    """A job in short. Times in minutes before now; `started` and `finished` are those of a job whose tasks go together."""

    id: str
    name: str
    project: str
    worker: str = ""
    by: str = "ana"
    created: float = 60
    started: float | None = None
    finished: float | None = None
    gpus: int = 1
    spec: Mapping[str, Any] = field(default_factory=dict)

    def full_spec(self) -> JobSpec:
        """What its submitter said."""
        common: dict[str, Any] = {
            "command": ("python", "train.py"), "name": self.name, "project": self.project,
            "workers": (self.worker,) if self.worker else (),
            "resources": Resources(gpus=self.gpus, cpus=8, memory_mb=32_768),
            "environment": {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "8"}, "timeout_ms": 6 * HOUR_MS,
        }  # fmt: skip
        return JobSpec(**{**common, **self.spec})


_TRAIN: dict[str, Any] = {
    "command": TEMPLATES[2].command, "template": "train", "parameters": ({"epochs": 40},), "priority": 10, "workdir": "/srv/code/pose",
}  # fmt: skip
_RESUME: dict[str, Any] = {"command": TEMPLATES[1].command, "template": "resume"}
_SEEDS = tuple({"seed": seed, "lr": 3e-4} for seed in range(32))

TRAIN = Work("42f0k9x2mq", "train-lr3", "pose", created=16, spec=_TRAIN | {
    "workers": (SPARE, "gpu-a"), "requirements": ("gpu_memory_mb>=40000",), "inputs": ("clips of may.h5",),
    "max_retries_failure": 1,
})  # fmt: skip
SWEEP = Work("51c7hh3d0v", "sweep", "pose", by="ben", created=95, spec={
    "num_tasks": 32, "workers": ("gpu-d", "rtx-01"), "parameters": _SEEDS,
    "task_commands": tuple(("python", "sweep.py", "--seed", str(one["seed"])) for one in _SEEDS),
})  # fmt: skip
EVAL = Work("6a0rj8w5te", "eval", "pose", created=9, gpus=4, spec={
    "command": ("python", "eval.py"), "requirements": ("gpu_memory_mb>=40000",), "workdir": "/srv/code/pose",
})  # fmt: skip
FINETUNE = Work("7xk2p4n1zd", "llm-finetune", "language", "gpu-c", "chi", 400, 391, gpus=8, spec={
    "command": ("torchrun", "--nproc-per-node=8", "finetune.py"), "priority": 20, "timeout_ms": None,
})  # fmt: skip
SEGMENT = Work("80abt6m9cw", "segment-v2", "cells", "a6000-1", "dana", 240, 228)
PREPROCESS = Work("8evq1s3k7h", "preprocess", "cells", "cpu-01", "dana", 44, gpus=0, spec={
    "command": ("./prep.sh",), "num_tasks": 64, "resources": Resources(cpus=2, memory_mb=4_096),
})  # fmt: skip
BUILD = Work("91mz5c0gtp", "build-env", "language", "gpu-b", "chi", 1, spec={"priority": 5})
DISTILL = Work("9n4d7y2fwk", "distill", "language", "gpu-b", "chi", 0.1, spec={"priority": 5})
NIGHTLY = Work("a3h8v6r1qx", "nightly-eval", "pose", created=600, gpus=2)
FAILED = Work("c0p3x7d4ne", "train-lr2", "pose", "gpu-d", created=130, started=128, spec=_TRAIN)
REPORT = Work("b2t5k0j9mc", "report", "pose", created=129, gpus=0, spec={
    "command": ("python", "report.py"), "after": (FAILED.id,), "resources": Resources(),
})  # fmt: skip
LOOK = Work("c9w1f5h8zs", "quick-look", "cells", "a6000-1", "dana", 75, 74)
RENDER = Work("d7g6m2k3vy", "render", "cells", SPARE, "dana", 180, 170, spec={"max_retries_preemption": 0})
HUGE = Work(
    "e1r9t4p0bj", "huge-batch", "language", by="chi", created=52, gpus=16, spec={"scheduling_timeout_ms": 2 * MINUTE_MS}
)
BURSTY = Work(
    "f5k3c8x6wn", "bursty", "pose", "l40s-1", "ben", 300, 290, spec={"priority": -5, "max_retries_preemption": 0}
)
GRID = Work(
    "h8s6n1y5rt", "grid-ablation-with-a-rather-long-name", "language", "l40s-1", "chi", 200, spec={"num_tasks": 8}
)
RESUME = Work("j4z9w3m7kp", "résumé-模型", "language", "rtx-02", "chi", 33, 30, spec=_RESUME)
GANG = Work("p0q8r5s2tv", "pretrain-7b", "language", by="chi", created=3, gpus=8, spec={
    "command": ("torchrun", "pretrain.py"), "num_tasks": 2, "gang": True, "ports": ("rendezvous",),
})  # fmt: skip

DENOISE = Work("r3e6g9j2kn", "denoise", "cells", "rtx-01", "dana", 80, spec={"priority": 1})

STEADY = (
    FINETUNE, SEGMENT, LOOK, FAILED, RENDER, BURSTY, RESUME,
    Work("g0h2v7q4dm", "train-lr1", "pose", "gpu-d", created=220, started=218, finished=186, spec=_TRAIN),
    Work("n1c4e7g0hj", "résumé-0", "language", "rtx-02", "chi", 700, 698, 670, spec=_RESUME),
    Work("q2d5f8h1jm", "pretrain-base", "language", "gpu-b", "chi", 105, 104, gpus=2),
    DENOISE,
    Work("t4f7h0k3mp", "annotate", "cells", "a6000-1", "dana", 66, 65),
    Work("v5g8j1m4nq", "smoke-test", "pose", CLOUD, "ben", 20, 19),
    Work("w6h9k2n5pr", "legacy-run", "cells", OLD, "dana", 310, 309),
    Work("x7j0m3p6qs", "tokenizer", "language", "rtx-02", "chi", 150, 149),
    Work("y8k1n4q7rt", "sft-base", "language", "l40s-1", "chi", 210, 209, spec={"num_tasks": 2}),
    *(
        Work(f"s{ALPHABET[i]}3t8v5n{ALPHABET[i]}r", f"train-{2_100 + i}", "pose", ("gpu-d", "rtx-01", "l40s-1")[i % 3],
             ("ana", "ben")[i % 2], 300 + 45 * i, 298 + 45 * i, 268 + 45 * i, spec=_TRAIN | {"priority": 0, "workdir": None})
        for i in range(14)
    ),
)  # fmt: skip
"""Jobs whose tasks start together; those with an end succeed then."""


def folds() -> Iterator[Work]:
    """Work that waits for an A6000."""
    for i in range(10):
        yield Work(f"k{ALPHABET[i]}7m2x9d{ALPHABET[31 - i]}q", f"fold-{i}", "cells", by="dana", created=30 - i, gpus=3,
                   spec={"priority": -i // 4, "requirements": ("gpu_model~A6000",)})  # fmt: skip
