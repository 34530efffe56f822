"""A worker introduces itself, and later says what has changed about it."""

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from opsconsole_coordinator.core.desired import send_desired
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.core.reconcile import reconcile_all
from opsconsole_coordinator.core.restore import begin_adopting, restored_seq
from opsconsole_coordinator.core.trouble import note_troubles
from opsconsole_protocol import PROTOCOL_VERSION, link
from opsconsole_protocol.bound import check_tree, cut
from opsconsole_protocol.error import Conflict, InvalidRequest, ProtocolError, Unavailable, VersionMismatch
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import AttemptId, SessionId
from opsconsole_protocol.link import HEARTBEAT_MS, SILENT_AFTER_MS
from opsconsole_protocol.name import check_name, check_worker_name
from opsconsole_protocol.state import WorkerConnection, WorkerStatus


def register(
    fleet: Fleet,
    session: SessionId,
    message: link.Register,
    finished: Collection[AttemptId],
    now_ms: int,
    name: str = "",
) -> Worker:
    """An agent introduces itself with its whole observed set; it is answered with its whole desired set.

    `finished` are those of its attempts that the store knows as ended; `name` is what its invitation calls it, if it
    does. Raises ProtocolError, InvalidRequest, VersionMismatch, Conflict or Unavailable, and then nothing changed.
    """
    worker = fleet.workers.get(message.worker_id)
    if not name and worker is not None and worker.is_named:
        name = worker.name
    message = msgspec.structs.replace(message, name=name or message.name)
    check_register(fleet, message, now_ms)
    if worker is None:
        worker = Worker(id=message.worker_id, name=message.name, joined_at_ms=now_ms)
        fleet.workers[worker.id] = worker
        fleet.audit(now_ms, worker.actor, EventKind.JOINED, f"worker {message.name} joined", message.name)
    elif worker.session is not None:
        fleet.close(worker, "conflict", "this worker has connected anew")
    if worker.connection == WorkerConnection.LOST:
        fleet.audit(now_ms, worker.actor, EventKind.RETURNED, f"worker {worker.name} is back", worker.name)
    worker.is_named = worker.is_named or bool(name)
    _describe(fleet, worker, message, session, now_ms)
    note_troubles(fleet, worker, message.troubles, now_ms)
    fleet.touch_worker(worker)
    fleet.output_copies.hurry(worker)
    fleet.must_schedule = True
    worker.unproved = set()
    known_seq = restored_seq(fleet, message, finished)
    if known_seq is not None:
        begin_adopting(fleet, worker, known_seq, now_ms)
    fleet.send(
        worker,
        link.Registered(
            protocol=PROTOCOL_VERSION,
            coordinator=fleet.name,
            store_id=fleet.store_id,
            store_seq=fleet.seq,
            heartbeat_ms=HEARTBEAT_MS,
            attempt_log_bytes=fleet.attempt_log_bytes,
            store_seal=fleet.seal.of_seq(worker.id, fleet.seq),
        ),
    )
    reconcile_all(fleet, worker, message.observed, finished, now_ms, seen=None)
    send_desired(fleet, worker)
    return worker


def check_register(fleet: Fleet, message: link.Register, now_ms: int) -> None:
    """Raise as `register` does where this agent may not register."""
    if message.protocol != PROTOCOL_VERSION:
        raise VersionMismatch(
            f"the agent speaks protocol {message.protocol} and the coordinator {PROTOCOL_VERSION}: install the same version on both"
        )
    checked_properties(message.properties)
    check_worker_name(message.name, message.worker_id)
    check_tags(message.tags)
    others = [one for one in fleet.workers.values() if one.id != message.worker_id and not one.revoked]
    if any(message.name == one.id or message.worker_id == one.name for one in others):
        raise Conflict(f"{message.name} is another worker's id, or the other way round: start it with another --name")
    if any(one.name == message.name for one in others):
        raise Conflict(f"there is a worker named {message.name} already: start this agent with another --name")
    worker = fleet.workers.get(message.worker_id)
    is_heard = worker is not None and worker.session is not None and now_ms - worker.heard_at_ms < SILENT_AFTER_MS
    if worker is not None and is_heard and worker.run_id != message.run_id:
        raise Unavailable(
            f"another agent with the identity of {worker.name} is connected; was its state folder copied? delete the copy"
        )
    if worker is not None and worker.run_id == message.run_id and 0 < message.dial <= worker.dial:
        raise Unavailable("this connection is an older one: the agent has dialled again since")


def _describe(fleet: Fleet, worker: Worker, message: link.Register, session: SessionId, now_ms: int) -> None:
    worker.name = message.name
    worker.tags = message.tags
    worker.describe(checked_properties(message.properties))
    worker.max_concurrent_jobs = message.max_concurrent_jobs
    worker.gpus = message.gpus
    worker.gpu_message = message.gpu_message
    worker.boot_id = message.boot_id
    worker.run_id = message.run_id
    worker.dial = message.dial
    worker.revoked = False
    worker.session = session
    worker.seq = 0
    fleet.contents.forget_worker(worker)  # it says next what it has
    worker.heard_at_ms = worker.last_seen_ms = now_ms
    worker.connection = WorkerConnection.CONNECTED


def update_metadata(fleet: Fleet, worker: Worker, message: link.UpdateMetadata, now_ms: int) -> None:
    """A worker's tags, properties or status change. Raises ProtocolError or InvalidRequest, and then nothing changed."""
    properties = dict(message.properties)
    status = properties.pop("status", None)
    described = checked_properties({**worker.properties, **properties})
    if status is not None and status not in tuple(WorkerStatus):
        raise ProtocolError(f"{cut(str(status), 40)!r} is not a status: available, reserved, busy or maintenance")
    check_tags(message.tags or ())
    if status is not None and (status == WorkerStatus.MAINTENANCE) != worker.maintenance:
        worker.maintenance = status == WorkerStatus.MAINTENANCE
        worker.drain_reason, worker.drain_until_ms = "", None
        fleet.audit(now_ms, worker.actor, EventKind(str(status)), f"{worker.name} is {status}", worker.name)
    worker.describe(described)
    if message.tags is not None:
        worker.tags = message.tags
    fleet.touch_worker(worker)
    fleet.send(worker, link.MetadataUpdated())
    fleet.must_schedule = True


def check_tags(tags: Iterable[str]) -> None:
    """Raise InvalidRequest for what can't be a tag."""
    for tag in tags:
        check_name(tag, "a tag")


def checked_properties(properties: dict[str, Any]) -> dict[str, Any]:
    """The properties as they are. Raises ProtocolError where they can't be told to everybody, or have a wrong shape."""
    try:
        check_tree("a worker's properties", properties)
        msgspec.convert(properties.get("io_paths") or {}, link.IoPaths)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"the property io_paths has the wrong shape: {error}") from None
    except InvalidRequest as error:
        raise ProtocolError(error.message) from None
    return properties
