"""`python -m tests.coordinator.store.old` stores a database of the present version. One that is there stays."""

from pathlib import Path

import msgspec

from opsconsole_coordinator.store.schema import VERSION
from opsconsole_coordinator.trust.credential import CredentialKind, CredentialRecord, InvitationRecord
from opsconsole_protocol import link
from opsconsole_protocol.api import ProjectRow, Reserve, TemplateRow
from opsconsole_protocol.share import EQUAL_SHARE, ShareChange
from opsconsole_protocol.state import AttemptState
from opsconsole_protocol.trust.invitation import InvitationId
from tests.coordinator.core.world import World, gpus
from tests.coordinator.store.direct import Direct

FOLDER = Path(__file__).parent


def make(path: Path) -> None:
    """A bit of everything."""
    store, world = Direct(path), World()
    world.on_commit = store.commit
    worker = world.worker("w1", slots=2, gpus=gpus(1), tags=("lab=3",), properties={"zone": "a"})
    done = world.submit(name="done", parameters=({"lr": 0.1},))
    worker.succeed(worker.started(), peak_memory_mb=7, log_sizes={})
    failed = world.submit(name="failed")
    worker.fail(worker.started(), "out of memory", signal=9)
    world.submit(name="results to be collected", collect=("models/*",))
    worker.succeed(worker.started(), output_path="/out/jobs/a", output_files=2, output_bytes=30)
    world.submit(name="running", gpus=1, max_retries_failure=2, requirements=("zone=a",), environment={"A": "b"})
    worker.started()
    world.submit(name="ended with logs outstanding")
    ended = worker.started()
    worker.report(ended, AttemptState.SUCCEEDED, exit_code=0, log_sizes={"stdout": 9})
    world.submit(name="blocked", after=(failed,))
    world.submit(name="after done", after=(done,), requirements=("zone=b",))
    world.submit(name="held", held=True, num_tasks=3)
    paused = world.submit(name="paused")
    attempt = worker.started()
    world.act("pause", paused)
    worker.take(link.SetWant)
    worker.report(attempt, AttemptState.PAUSED)
    change = ShareChange(weight=2.0, gpus=4)
    world.reactor.on_set_person("ben", change, "ana", world.now_ms)
    wanted = Reserve(workers=("w1",), from_ms=world.now_ms + 1, until_ms=world.now_ms + 9, person="ben", reason="why")
    world.reactor.on_reserve(wanted, "ana", world.now_ms)
    world.turn()
    pack = msgspec.msgpack.encode
    project = ProjectRow(
        name="p", description="d", status="paused", created_at_ms=1, updated_at_ms=2, job_counts={}, share=EQUAL_SHARE.changed(change)
    )  # fmt: skip
    credential = CredentialRecord(hash="0" * 64, kind=CredentialKind.WORKER, subject="id-of-w1", created_at_ms=1)
    invitation = InvitationRecord(
        id=InvitationId("00000000"), secret_hash="0" * 64, expires_at_ms=1, created_by="ana", tags=("a",)
    )
    execute = store.connection.execute
    execute("INSERT INTO projects VALUES ('p', ?)", (pack(project),))
    template = pack(TemplateRow(name="t", command=("a", "{x}")))
    execute("INSERT INTO templates VALUES ('t', ?)", (template,))
    execute("INSERT INTO template_versions VALUES ('t', 1, ?)", (template,))
    execute("INSERT INTO credentials VALUES (?, 'worker', 'id-of-w1', ?)", (credential.hash, pack(credential)))
    execute("INSERT INTO invitations VALUES (?, ?)", (invitation.id, pack(invitation)))
    execute("PRAGMA journal_mode = DELETE")
    execute("VACUUM")
    store.connection.close()


if __name__ == "__main__":
    target = FOLDER / f"v{VERSION}.db"
    if not target.exists():
        make(target)
        print(target.name)
