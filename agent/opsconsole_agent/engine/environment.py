"""The environment of a task: the agent's own without its secrets, then what the submitter set, then who the task is.

Nothing is read here: the agent's own environment is handed in.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from opsconsole_agent.engine.build import StagedDataset
from opsconsole_agent.keeper.process import MARK
from opsconsole_protocol.ids import AttemptId, WorkerId
from opsconsole_protocol.link import Launch

_OWN = ("OPSCONSOLE_", "IRIS_")
_NO_UUID = "unknown-"
"""In the id of a card without a readable UUID this stands before its index, which is what CUDA takes instead."""
_NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void", "HIP_VISIBLE_DEVICES": ""}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task runs, as its environment says."""

    worker_id: WorkerId
    controller_address: str
    bind_host: str = "127.0.0.1"
    output_path: str | None = None
    input_path: str | None = None
    inputs: tuple[str, ...] = ()
    """Files and folders that it reads: those in the input folder, then what was uploaded."""
    datasets: tuple[StagedDataset, ...] = ()
    """What it was given with `--dataset`, in that order."""
    bundle_path: str | None = None
    """Its own copy of the code."""
    setup_path: str | None = None
    """What its setup has made; shared with all tasks that have the same setup."""
    ports: Mapping[str, int] = field(default_factory=dict)
    report_path: str | None = None
    """The file to which it may append what it says of itself."""
    api: tuple[str, str] | None = None
    """Where it reports by HTTP, and its token for that."""
    pause_path: str | None = None
    """The file that is there while it is to save a checkpoint and to end."""
    resume_path: str | None = None
    """The checkpoint from which it goes on."""
    sdk_path: str | None = None
    """The folder in which Python finds the module `opsconsole` where none is installed."""


def base_environment(own: Mapping[str, str]) -> dict[str, str]:
    """What all tasks get of the agent's `own` environment.

    Nothing of ours is passed on: an agent may run inside a task of another coordinator, or hold an operator's token.
    """
    base = {key: value for key, value in own.items() if not key.startswith(_OWN)}
    base["PYTHONUNBUFFERED"] = "1"  # or a task's lines would come when it has written 8 KiB of them
    return base


def task_environment(base: Mapping[str, str], attempt_id: AttemptId, launch: Launch, place: Place) -> dict[str, str]:
    """The whole environment of one attempt; `base` comes from `base_environment`.

    The submitter may set everything but who the task is, and which GPUs and folders it has. Who it is goes by `OPSCONSOLE_*`
    and, so that scripts written for Iris run unchanged, by `IRIS_*`.
    """
    environment = {**base, **setup_environment(base, place.setup_path), **_rendezvous(launch), **launch.environment}
    environment.update(_gpus(launch))
    for key, value in _identity(launch, place).items():
        environment[f"OPSCONSOLE_{key}"] = environment[f"IRIS_{key}"] = value
    environment[MARK] = attempt_id
    environment.update(_files(place))
    environment.update(_datasets(place))
    if place.report_path is not None:
        environment["OPSCONSOLE_REPORT"] = place.report_path
    if place.pause_path is not None:
        environment["OPSCONSOLE_PAUSE_FILE"] = place.pause_path
    if place.resume_path is not None:
        environment["OPSCONSOLE_RESUME_FROM"] = place.resume_path
    if place.api is not None:
        environment["OPSCONSOLE_API"], environment["OPSCONSOLE_JOB_TOKEN"] = place.api
    if place.sdk_path is not None:
        before = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{before}{os.pathsep}{place.sdk_path}" if before else place.sdk_path
    return environment


def setup_environment(base: Mapping[str, str], setup_path: str | None) -> dict[str, str]:
    """What a setup and the tasks after it have in common: a folder for programs and packages, first on the search path.

    It is to be a virtual environment, for pip by its programs and for uv by these variables. A task's `uv run` takes it as
    it is, since others use it too. The submitter may set all of them otherwise.
    """
    if setup_path is None:
        return {}
    return {
        "VIRTUAL_ENV": setup_path,
        "UV_PROJECT_ENVIRONMENT": setup_path,
        "UV_NO_SYNC": "1",
        "PATH": f"{setup_path}/bin:{base.get('PATH', os.defpath)}",
    }


def _rendezvous(launch: Launch) -> dict[str, str]:
    """What `OPSCONSOLE_GANG_*` say, under the names that PyTorch and others look for. Those that the submitter set win."""
    names = {"RANK": "RANK", "NODE_RANK": "RANK", "WORLD_SIZE": "SIZE", "MASTER_ADDR": "ADDRESS", "MASTER_PORT": "PORT"}
    known = _gang(launch)
    return {name: known[key] for name, key in names.items() if key in known}


def _identity(launch: Launch, place: Place) -> dict[str, str]:
    identity = {
        "JOB_ID": launch.job_id,
        "TASK_ID": launch.task_id,
        "TASK_INDEX": str(launch.task_index),
        "NUM_TASKS": str(launch.num_tasks),
        "ATTEMPT_ID": str(launch.attempt),
        "WORKER_ID": place.worker_id,
        "CONTROLLER_ADDRESS": place.controller_address,
        "BIND_HOST": place.bind_host if launch.gang is None else launch.gang.host,
    }
    bundle = launch.environment.get("OPSCONSOLE_BUNDLE_GCS_PATH") or launch.environment.get("IRIS_BUNDLE_GCS_PATH")
    if not bundle and launch.bundle is not None:
        bundle = launch.bundle.content_id
    if bundle:
        identity["BUNDLE_GCS_PATH"] = bundle
    for name, port in place.ports.items():
        identity[f"PORT_{name.upper()}"] = str(port)
    return identity | {f"GANG_{key}": value for key, value in _gang(launch).items()}


def _gang(launch: Launch) -> dict[str, str]:
    gang = launch.gang
    if gang is None:
        return {}
    told = {"RANK": str(gang.rank), "SIZE": str(gang.size), "ADDRESS": gang.address}
    if gang.hosts:
        told["HOSTS"] = ",".join(gang.hosts)
    if gang.port is not None:
        told["PORT"] = str(gang.port)
    return told


def _gpus(launch: Launch) -> dict[str, str]:
    """GPUs by UUID, which a driver that numbers its cards anew doesn't change. A task that asked for none sees none."""
    if not launch.gpu_ids:
        return _NO_GPU
    visible = ",".join(gpu_id.removeprefix(_NO_UUID) for gpu_id in launch.gpu_ids)
    return {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": visible,
        "NVIDIA_VISIBLE_DEVICES": visible,
    }


def _files(place: Place) -> dict[str, str]:
    files: dict[str, str] = {}
    if place.output_path is not None:
        files["OPSCONSOLE_OUTPUT_PATH"] = place.output_path
    if place.input_path is not None:
        files["OPSCONSOLE_INPUT_PATH"] = place.input_path
    if place.bundle_path is not None:
        files["OPSCONSOLE_BUNDLE_PATH"] = place.bundle_path
    if place.setup_path is not None:
        files["OPSCONSOLE_SETUP_PATH"] = place.setup_path
    if place.inputs:
        files["OPSCONSOLE_INPUTS"] = "\n".join(place.inputs)
        files["OPSCONSOLE_INPUT_FILE"] = place.inputs[0]
    for number, path in enumerate(place.inputs):
        files[f"OPSCONSOLE_INPUT_{number}"] = files[f"OPSCONSOLE_INPUT_FILE_{number}"] = path
    return files


def _datasets(place: Place) -> dict[str, str]:
    """Where each lies, and for `opsconsole.load_dataset()` what was found there."""
    if not place.datasets:
        return {}
    told = [
        {
            "name": one.dataset.name,
            "where": one.dataset.where,
            "location": one.location,
            "format": one.found.format,
        }
        for one in place.datasets
    ]
    named = {
        f"OPSCONSOLE_DATASET_{one.dataset.name.upper()}": one.location for one in place.datasets if one.dataset.name
    }
    return {
        "OPSCONSOLE_DATASET": place.datasets[0].location,
        "OPSCONSOLE_DATASETS": json.dumps(told, ensure_ascii=True),
        **named,
    }
