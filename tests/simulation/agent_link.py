"""The agent's end of its link, modelled: it dials, registers, beats, ships logs, and comes back."""

from typing import TYPE_CHECKING

from opsconsole_agent.core.event import Contact, Event, LinkDown, LinkUp
from opsconsole_protocol import PROTOCOL_VERSION, link
from opsconsole_protocol.gpu_load import GPU_SHARING
from opsconsole_protocol.ids import AttemptId, WorkerId
from opsconsole_protocol.link import LogChunk, encode_frame
from opsconsole_protocol.link.codec import agent_codec
from opsconsole_protocol.log import Source
from tests.gpu_rule import GPU_MEMORY_MB
from tests.simulation.network import End, Network
from tests.simulation.virtual import Timer

if TYPE_CHECKING:
    from tests.simulation.agent import AgentProcess

MISSED_ACKS_MAX = 3
_CHUNK_BYTES = 64
_codec = agent_codec()


class AgentLink:
    """Dials, registers, beats, ships logs, and comes back."""

    def __init__(self, agent: "AgentProcess", network: Network) -> None:
        self._agent = agent
        self._network = network
        self._end: End | None = None
        self._is_up = False
        self._dials = 0
        self._may_ship = False
        self._heard_ms = 0
        self._back_off_ms = 200
        self._offsets: dict[AttemptId, list[int]] = {}
        """Acknowledged and sent, of every followed log."""
        self._ship_timer: Timer | None = None

    def dial(self) -> None:
        """Connect and register."""
        self._network.dial(self._agent.host.name, self._dialled)

    def abandon(self) -> None:
        """The process is gone; its kernel closes the socket."""
        end, self._end = self._end, None
        self._is_up = False
        if end is not None:
            end.close()

    def send(self, message: link.Message) -> None:
        """On the present connection, if that stands."""
        if self._is_up and self._end is not None:
            self._end.send(_codec.encode([message]))

    def _dialled(self, end: End | None) -> None:
        agent = self._agent
        if agent.is_dead:
            if end is not None:
                end.close()
            return
        if end is None:
            self._retry()
            return
        self._end = end
        self._dials += 1
        end.on_frame = self._receive
        end.on_closed = self._lost
        observed = agent.reactor.begin_exchange()
        agent.carry_out(agent.reactor.take_effects())
        if agent.is_dead:
            return
        store_id, store_seq, store_seal = agent.host.disk.mark
        register = link.Register(
            protocol=PROTOCOL_VERSION,
            agent_version="1",
            worker_id=WorkerId(agent.host.name),
            name=agent.host.name,
            run_id=agent.run_id,
            dial=self._dials,
            boot_id=str(agent.host.boot),
            max_concurrent_jobs=agent.host.slots,
            properties={GPU_SHARING: True},
            gpus=tuple(
                link.Gpu(index=n, uuid=uuid, name="A100", memory_total_mb=GPU_MEMORY_MB)
                for n, uuid in enumerate(agent.host.gpus)
            ),
            store_id=store_id,
            store_seq=store_seq,
            store_seal=store_seal,
            observed=observed,
        )
        self._heard_ms = agent.host.monotonic_ms
        end.send(_codec.encode([register]))
        agent.at(15_000, lambda: self._give_up() if self._end is end and not self._is_up else None)

    def _retry(self) -> None:
        pause_ms = self._back_off_ms * self._agent.host.rng.uniform(0.5, 1.0)
        self._back_off_ms = min(2 * self._back_off_ms, 15_000)
        self._agent.at(pause_ms, self.dial)

    def _give_up(self) -> None:
        if self._end is not None:
            self._end.close()
            self._lost()

    def _lost(self) -> None:
        if self._agent.is_dead or self._end is None:
            return
        self._end = None
        was_up, self._is_up = self._is_up, False
        self._agent.say("link lost")
        for offsets in self._offsets.values():
            offsets[1] = offsets[0]
        if was_up:
            self._agent.handle_events([LinkDown()])
        self._retry()

    def _receive(self, frame: bytes) -> None:
        if self._agent.is_dead or self._end is None:
            return
        self._heard_ms = self._agent.host.monotonic_ms
        end = self._end
        events: list[Event] = []
        for message in _codec.decode(frame):
            if self._end is end:
                self._take(message, events)
        if events:
            self._agent.handle_events(events)

    def _take(self, message: link.CoordinatorMessage, events: list[Event]) -> None:
        agent = self._agent
        match message:
            case link.Registered():
                self._is_up = True
                self._may_ship = False
                agent.say(f"link up, store at {message.store_seq}")
                self._back_off_ms = 200
                self._remember(message.store_id, message.store_seq, message.store_seal)
                agent.handle_events([LinkUp()])
                if agent.host.disk.trees:
                    self.send(link.Contents(added=tuple(sorted(agent.host.disk.trees))))
                self._beat(self._end)
            case link.HeartbeatAck():
                self._remember(agent.host.disk.mark[0], message.store_seq, message.store_seal)
                events.append(Contact())
            case link.LogAck():
                for attempt_id, source, offset in message.offsets:
                    if source == "stdout":
                        self._acknowledge(attempt_id, offset)
            case link.PeerError():
                agent.say(f"told: {message.message}")
                self._give_up()
            case link.DesiredSet():
                events.append(message)
                self._may_ship = True
                self._ship_soon()
            case link.JobAssignment() | link.SetWant() | link.Forget() | link.Observe():
                events.append(message)
            case _:
                pass

    def _remember(self, store_id: str, store_seq: int, store_seal: str) -> None:
        disk = self._agent.host.disk
        if disk.mark[0] != store_id or disk.mark[1] < store_seq:
            disk.mark = (store_id, store_seq, store_seal)

    def _beat(self, end: End | None) -> None:
        if self._end is not end or not self._is_up:
            return
        agent = self._agent
        if agent.host.monotonic_ms - self._heard_ms > MISSED_ACKS_MAX * link.HEARTBEAT_MS:
            self._give_up()
            return
        self.send(link.Heartbeat(at_ms=agent.host.wall_ms))
        agent.at(link.HEARTBEAT_MS, lambda: self._beat(end))

    # --- logs ------------------------------------------------------------------------------------------------------

    def follow(self, attempt_id: AttemptId) -> None:
        """Ship this attempt's log."""
        self._offsets.setdefault(attempt_id, [0, 0])
        self._ship_soon()

    def rewind(self, attempt_id: AttemptId, offset: int) -> None:
        """The coordinator has so much."""
        if attempt_id in self._offsets:
            size = len(self._agent.host.disk.files.get(attempt_id, b""))
            self._offsets[attempt_id] = [min(offset, size)] * 2
            self._ship_soon()

    def drop(self, attempt_id: AttemptId) -> None:
        """Ship no more of it."""
        self._offsets.pop(attempt_id, None)

    def _acknowledge(self, attempt_id: AttemptId, offset: int) -> None:
        offsets = self._offsets.get(attempt_id)
        if offsets is not None and offset > offsets[0]:
            offsets[0] = offset
            offsets[1] = max(offsets)
            self._ship_soon()

    def _ship_soon(self) -> None:
        if self._ship_timer is None:
            self._ship_timer = self._agent.at(self._agent.host.rng.randrange(20, 200), self._ship)

    def _ship(self) -> None:
        self._ship_timer = None
        files = self._agent.host.disk.files
        if self._is_up and self._may_ship and self._end is not None:
            for attempt_id, offsets in self._offsets.items():
                data = files.get(attempt_id, b"")
                while offsets[1] < len(data) and offsets[1] - offsets[0] < 4 * _CHUNK_BYTES:
                    piece = bytes(data[offsets[1] : offsets[1] + _CHUNK_BYTES])
                    chunk = LogChunk(attempt_id, Source.STDOUT, offsets[1], self._agent.host.wall_ms, piece)
                    self._end.send(encode_frame(chunk))
                    offsets[1] = chunk.end
        if self._agent.reactor.occupied() or any(
            offsets[0] < len(files.get(one, b"")) for one, offsets in self._offsets.items()
        ):
            self._ship_timer = self._agent.at(300, self._ship)
