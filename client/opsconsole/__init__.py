"""Submit jobs, look at workers and read logs from Python.

    import opsconsole

    with opsconsole.SyncClient.connect() as client:
        job, = client.submit(opsconsole.JobSpec(command=("python", "train.py"), resources=opsconsole.Resources(gpus=1)))
        client.wait_for_success(job.id)

On the coordinator's own machine nothing else is needed; elsewhere OPSCONSOLE_URL and OPSCONSOLE_TOKEN name a coordinator.
Everything is loaded on first use, so that the import costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opsconsole.callback import KerasCallback, LightningCallback, TrainerCallback
    from opsconsole.client import Client
    from opsconsole.executor import Executor
    from opsconsole.formatter import CommandLine, RunAI, Slurm
    from opsconsole.function import PythonFunction
    from opsconsole.result import TaskError
    from opsconsole.sweep import Sweep
    from opsconsole.sync_client import SyncClient
    from opsconsole.target import Target
    from opsconsole.task import (
        PAUSED_EXIT_CODE,
        checkpoint,
        load_dataset,
        note,
        progress,
        report,
        resume_from,
        should_pause,
    )
    from opsconsole_protocol.dataset import JobDataset
    from opsconsole_protocol.error import (
        JobFailedError,
        NoWorkersAcceptedError,
        NoWorkersAvailableError,
        OpsconsoleError,
    )
    from opsconsole_protocol.share import ShareChange
    from opsconsole_protocol.spec import JobSpec, Resources

_WHERE = {
    "Client": "opsconsole.client",
    "CommandLine": "opsconsole.formatter",
    "Executor": "opsconsole.executor",
    "JobDataset": "opsconsole_protocol.dataset",
    "JobFailedError": "opsconsole_protocol.error",
    "JobSpec": "opsconsole_protocol.spec",
    "KerasCallback": "opsconsole.callback",
    "LightningCallback": "opsconsole.callback",
    "NoWorkersAcceptedError": "opsconsole_protocol.error",
    "NoWorkersAvailableError": "opsconsole_protocol.error",
    "OpsconsoleError": "opsconsole_protocol.error",
    "PAUSED_EXIT_CODE": "opsconsole.task",
    "PythonFunction": "opsconsole.function",
    "Resources": "opsconsole_protocol.spec",
    "RunAI": "opsconsole.formatter",
    "ShareChange": "opsconsole_protocol.share",
    "Slurm": "opsconsole.formatter",
    "Sweep": "opsconsole.sweep",
    "SyncClient": "opsconsole.sync_client",
    "TaskError": "opsconsole.result",
    "Target": "opsconsole.target",
    "TrainerCallback": "opsconsole.callback",
    "checkpoint": "opsconsole.task",
    "load_dataset": "opsconsole.task",
    "note": "opsconsole.task",
    "progress": "opsconsole.task",
    "report": "opsconsole.task",
    "resume_from": "opsconsole.task",
    "should_pause": "opsconsole.task",
}

__all__ = [
    "PAUSED_EXIT_CODE",
    "Client",
    "CommandLine",
    "Executor",
    "JobDataset",
    "JobFailedError",
    "JobSpec",
    "KerasCallback",
    "LightningCallback",
    "NoWorkersAcceptedError",
    "NoWorkersAvailableError",
    "OpsconsoleError",
    "PythonFunction",
    "Resources",
    "RunAI",
    "ShareChange",
    "Slurm",
    "Sweep",
    "SyncClient",
    "Target",
    "TaskError",
    "TrainerCallback",
    "checkpoint",
    "load_dataset",
    "note",
    "progress",
    "report",
    "resume_from",
    "should_pause",
]


def __getattr__(name: str) -> Any:
    """Load a public name on its first use (PEP 562)."""
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
