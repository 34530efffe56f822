"""Streams and kept trees, put together: the process that carries them, and the modules that say what it may do."""

from dataclasses import dataclass
from pathlib import Path

from opsconsole_coordinator.server.checkpoint_keeper import CHECKPOINT_HOLDER, CheckpointKeeper
from opsconsole_coordinator.server.collection import Collection
from opsconsole_coordinator.server.collector import Collector
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.content_keeper import ContentKeeper
from opsconsole_coordinator.server.identity import Identities
from opsconsole_coordinator.server.open_stream import PartyKind
from opsconsole_coordinator.server.stream_api import StreamApi
from opsconsole_coordinator.server.stream_broker import StreamBroker, StreamPolicy
from opsconsole_coordinator.server.stream_plan import StreamPlanner
from opsconsole_coordinator.server.transfer_process import TransferLimits, TransferProcess
from opsconsole_coordinator.trust.credential import CredentialRecord
from opsconsole_protocol.stream.message import IceServer

KEEP_UPLOAD_BYTES_MAX = 1 << 30
KEEP_CONTENT_BYTES_MAX = 50 << 30
RELAY_STREAMS_MAX = 100
CHECKPOINT_PART = 4
"""As COLLECTED_PART, of copies of checkpoints."""
COLLECTED_PART = 2
"""Kept results may take as much as the bound of all kept trees divided by this."""
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class TransferPolicy:
    """What the coordinator takes, keeps and relays."""

    keep_upload_bytes: int = KEEP_UPLOAD_BYTES_MAX
    """Trees up to this size are kept here, so that who brings them may leave at once."""
    keep_content_bytes: int = KEEP_CONTENT_BYTES_MAX
    """How large all kept trees may be together."""
    relay: bool = True
    relay_streams: int = RELAY_STREAMS_MAX
    relay_mb_s: int = 0
    """The most that all relays together pass on a second; 0: as much as they can."""
    ice_servers: tuple[IceServer, ...] = ()


class Streams:
    """All of it. `certificate`: the files of certificate and key; None where the port is plain."""

    def __init__(
        self,
        commit_loop: CommitLoop,
        identities: Identities | None,
        folder: Path,
        policy: TransferPolicy,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        limits = TransferLimits(
            content_bytes_max=policy.keep_content_bytes,
            relay_streams=policy.relay_streams,
            relay_bytes_s=policy.relay_mb_s * _MB,
        )
        self.process = TransferProcess(folder, limits, certificate)
        self.collection = Collection(commit_loop, self.process, policy.keep_content_bytes // COLLECTED_PART)
        upload_bytes_max = min(policy.keep_upload_bytes, policy.keep_content_bytes)
        self.keeper = ContentKeeper(commit_loop, self.process, self.collection, upload_bytes_max)
        stream_policy = StreamPolicy(policy.relay, policy.relay_mb_s, policy.ice_servers)
        self.broker = StreamBroker(commit_loop, self.process, self.keeper, stream_policy)
        self.collector = Collector(commit_loop, self.broker, self.collection)
        self.checkpoints = CheckpointKeeper(
            commit_loop, self.broker, self.process, policy.keep_content_bytes // CHECKPOINT_PART
        )
        self.keeper.follow(CHECKPOINT_HOLDER, self.checkpoints)
        planner = StreamPlanner(commit_loop, self.keeper, self.broker.store_streams)
        self.api = StreamApi(commit_loop, self.broker, planner, self.keeper, self.process)
        if identities is not None:
            identities.credential_revoked = self._on_revoked
        if folder.exists():
            self.process.need()  # jobs that wait for what is kept have to know

    def _on_revoked(self, record: CredentialRecord) -> None:
        if record.role is None:
            self.broker.revoke(PartyKind.WORKER, record.subject)
        else:
            self.broker.revoke(PartyKind.PERSON, record.hash)
            self.keeper.hosts.revoke(record.hash)
