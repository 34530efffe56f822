"""The fields of the new-job form, as data."""

from typing import NamedTuple

from opsconsole_console.screen.part.field_box import Field


class Group(NamedTuple):
    """Rows of one or two fields under a heading."""

    heading: str
    rows: tuple[tuple[Field, ...], ...]


DATASETS = Field("datasets", "dataset", "[NAME=]PATH on the worker, or a URL")
COMMAND = Field("command", "command", "python train.py --lr 3e-4")

GROUPS: tuple[Group, ...] = (
    Group(
        "what",
        (
            (Field("name", "name", "the command's name"), Field("project", "project", "default")),
            (Field("inputs", "inputs", "file names in the worker's input folder"),),
            (DATASETS,),
            (Field("tasks", "tasks", "1"), Field("priority", "priority", "0")),
        ),
    ),
    Group(
        "from here, and back",
        (
            (Field("bundle", "code", "a folder of code, such as ."),),
            (Field("uploads", "upload", "files and folders of this machine"),),
            (Field("setup", "setup", "uv sync, once a worker"),),
            (Field("fetch", "fetch", "models/*"), Field("collect", "collect", "what to keep")),
        ),
    ),
    Group(
        "each task needs",
        (
            (Field("gpus", "GPUs", "0"), Field("gpu_memory", "GPU mem", "40G")),
            (Field("share", "share", "no; yes: with others"), Field("place", "place", "pack, or spread")),
            (Field("cpus", "CPUs", "any"), Field("memory", "memory", "32G")),
            (Field("requirement", "require", "gpu_memory_mb>=40000 tags=train"),),
        ),
    ),
    Group(
        "how",
        (
            (Field("workdir", "workdir", "the attempt's own folder"),),
            (Field("env", "env", "KEY=VALUE OTHER=VALUE"),),
            (Field("after", "after", "ids of jobs"), Field("takes", "takes", "JOB: its results")),
            (Field("after_failure", "failure", "JOB: if it fails"), Field("after_any", "any end", "JOB: once it ends")),
            (Field("retries", "retries", "0"), Field("job_timeout", "job time", "no time-out")),
            (Field("timeout", "timeout", "none"), Field("grace", "grace", "5s")),
            (Field("gang", "gang", "no; yes: together"), Field("max_parallel", "at once", "any number of them")),
        ),
    ),
    Group(
        "more",
        (
            (Field("sweep", "sweep", "lr=0.1,0.01 seed=1,2 with {lr} {seed} in the command"),),
            (Field("ports", "ports", "names: master"), Field("hold", "hold", "no; yes: until released")),
            (Field("pause_by", "pause by", "freeze, or checkpoint"), Field("resume_from", "resume", "/a/checkpoint")),
            (Field("start_within", "start in", "no time-out"), Field("metric_pattern", "metrics", "loss=(?P<loss>.+)")),
        ),
    ),
)
