"""What workers say of a job's input files, each by its name, for whoever is about to submit it."""

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.core.placement import ask_input
from opsconsole_protocol.api import InputCheck
from opsconsole_protocol.spec import JobSpec


def ask_for_inputs(fleet: Fleet, spec: JobSpec, now_ms: int) -> None:
    """Ask every worker that can answer, also those that would refuse the job for another reason."""
    for worker in fleet.workers.values():
        if _is_reachable(worker) and _has_folder(worker):
            for name in spec.inputs:
                ask_input(fleet, worker, name, now_ms)


def input_checks(fleet: Fleet, worker: Worker, spec: JobSpec) -> tuple[InputCheck, ...]:
    """How each input file stands there. An answer stands until there is a newer one, whether the worker is there or not."""
    return tuple(_check(fleet, worker, name) for name in spec.inputs)


def _check(fleet: Fleet, worker: Worker, name: str) -> InputCheck:
    if not _has_folder(worker):
        return InputCheck(name=name, state="no_folder", detail="no input folder")
    found, detail, _ = fleet.inputs.get((worker.id, name), (None, "", 0))
    if found is None:
        state = "asking" if _is_reachable(worker) else "unreachable"
        return InputCheck(
            name=name, state=state, detail="asking the worker" if state == "asking" else worker.connection
        )
    return InputCheck(name=name, state="found" if found else "missing", detail=detail)


def _has_folder(worker: Worker) -> bool:
    return bool((worker.properties.get("io_paths") or {}).get("input"))


def _is_reachable(worker: Worker) -> bool:
    return worker.connection == "connected" and worker.session is not None
