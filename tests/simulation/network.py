"""Connections between hosts and the coordinator: in order while they stand, cut off or stalled as the faults say.

A frame may come twice, and what an old connection still had under way may come when a new one has begun.
"""

import random
from collections import deque
from collections.abc import Callable

from tests.simulation.virtual import Loop

_LOST_NOTICE_MS = 400
_TWICE = 0.3


class End:
    """One end of a connection. Frames and the end of the other side arrive through the two callbacks."""

    def __init__(self, connection: "Connection", *, is_agent: bool) -> None:
        self.is_agent = is_agent
        self.is_open = True
        self.on_frame: Callable[[bytes], object] = lambda _: None
        self.on_closed: Callable[[], object] = lambda: None
        self._connection = connection

    def send(self, frame: bytes) -> None:
        """Send; never blocks."""
        if self.is_open:
            self._connection.pipe_from(self).put(frame)

    def close(self) -> None:
        """Hang up: what was sent before still arrives, then the other side learns of it."""
        if self.is_open:
            self.is_open = False
            self._connection.pipe_from(self).put(None)

    def lose(self) -> None:
        """Learn that the connection is gone."""
        if self.is_open:
            self.is_open = False
            self.on_closed()


class Pipe:
    """One direction."""

    def __init__(self, network: "Network", host: str, target: End) -> None:
        self.is_cut = False
        self.is_held = False
        self.is_greeted = False
        self._network = network
        self._key = (host, target.is_agent)
        self._host = host
        self._target = target
        self._frames: deque[tuple[int, bytes | None]] = deque()
        self._last_ms = 0
        self._is_pumping = False

    def put(self, frame: bytes | None) -> None:
        """A frame, or None for the end, sets out."""
        if self.is_cut:
            return
        now_ms = self._network.loop.now_ms
        self._last_ms = max(self._last_ms, now_ms + self._network.latency_ms(self._host))
        self._frames.append((self._last_ms, frame))
        if self.is_greeted and self._network.is_doubled(self._host) and frame is not None:
            self._frames.append((self._last_ms, frame))
        self.is_greeted = True  # a second greeting would be another connection's
        if not self._is_pumping:
            self._is_pumping = True
            self._network.loop.at(self._last_ms - now_ms, self.pump)

    def pump(self) -> None:
        """Deliver what has arrived."""
        self._is_pumping = False
        network = self._network
        while self._frames and not self.is_cut and not self.is_held:
            if self._key in network.stalled or (self._target.is_agent and self._host in network.asleep):
                return  # whoever ends that pumps again
            due_ms, frame = self._frames[0]
            if due_ms > network.loop.now_ms:
                self._is_pumping = True
                network.loop.at(due_ms - network.loop.now_ms, self.pump)
                return
            self._frames.popleft()
            if frame is None:
                self._target.lose()
            elif self._target.is_open:
                self._target.on_frame(frame)

    def cut(self) -> None:
        """Lose everything under way, and all that is still to come."""
        self.is_cut = True
        self._frames.clear()


class Connection:
    """Two ends and two directions."""

    def __init__(self, network: "Network", host: str) -> None:
        self.host = host
        self.agent = End(self, is_agent=True)
        self.server = End(self, is_agent=False)
        self._up = Pipe(network, host, self.server)
        self._down = Pipe(network, host, self.agent)
        self._network = network

    def pipe_from(self, end: End) -> Pipe:
        """Where this end's frames go."""
        return self._up if end.is_agent else self._down

    def pump(self) -> None:
        """A stall is over."""
        self._up.pump()
        self._down.pump()

    def cut(self, *, agent_notices: bool, server_notices: bool) -> None:
        """Break it; each side learns of it soon, or not at all."""
        self._up.cut()
        self._down.cut()
        rng = self._network.rng
        if agent_notices:
            self._network.loop.at(rng.randrange(_LOST_NOTICE_MS), self.agent.lose)
        if server_notices:
            self._network.loop.at(rng.randrange(_LOST_NOTICE_MS), self.server.lose)

    def leave_behind(self, lost_ms: int, late_ms: int) -> None:
        """The agent's side gives it up; what it has sent until then arrives, and its end is heard of, much later."""

        def give_up() -> None:
            self._down.cut()
            self.agent.lose()

        def arrive() -> None:
            self._up.is_held = False
            self._up.put(None)
            self._up.pump()

        self._up.is_held = True
        self._network.loop.at(lost_ms, give_up)
        self._network.loop.at(lost_ms + late_ms, arrive)


class Network:
    """All connections. `stalled` holds (host, towards the agent?); `asleep` hosts take nothing from the wire."""

    def __init__(self, loop: Loop, rng: random.Random) -> None:
        self.loop = loop
        self.rng = rng
        self.stalled: set[tuple[str, bool]] = set()
        self.asleep: set[str] = set()
        self.slow_ms: dict[str, int] = {}
        self.doubled: set[str] = set()
        self.accept: Callable[[Connection], bool] = lambda _: False
        self._connections: list[Connection] = []

    def latency_ms(self, host: str) -> int:
        """How long a frame is under way."""
        return self.rng.randrange(1, 12) + (self.rng.randrange(self.slow_ms[host]) if host in self.slow_ms else 0)

    def is_doubled(self, host: str) -> bool:
        """Whether the frame that sets out now comes twice."""
        return host in self.doubled and self.rng.random() < _TWICE

    def dial(self, host: str, then: Callable[[End | None], object]) -> None:
        """Connect a host's agent with the coordinator: an open end, or None when nobody answers."""

        def answer() -> None:
            if self.stalled & {(host, True), (host, False)}:
                self.loop.at(3_000, lambda: then(None))
                return
            connection = Connection(self, host)
            if not self.accept(connection):
                then(None)
                return
            self._connections = [one for one in self._connections if one.agent.is_open or one.server.is_open]
            self._connections.append(connection)
            then(connection.agent)

        self.loop.at(2 * self.latency_ms(host), answer)

    def of(self, host: str) -> list[Connection]:
        """A host's connections that at least one side takes for open."""
        return [one for one in self._connections if one.host == host and (one.agent.is_open or one.server.is_open)]

    def stall(self, host: str, *, up: bool, down: bool) -> None:
        """Nothing gets through any more in these directions; nobody is told."""
        self.stalled |= {(host, False)} if up else set()
        self.stalled |= {(host, True)} if down else set()

    def heal(self, host: str) -> None:
        """All that waited gets through."""
        self.stalled -= {(host, True), (host, False)}
        self.wake(host)

    def wake(self, host: str) -> None:
        """Deliver what has waited."""
        for connection in self.of(host):
            connection.pump()

    def drop_all(self, rng: random.Random) -> None:
        """The coordinator's process is gone: its sockets are closed, most agents are told so by the kernel."""
        for connection in self._connections:
            connection.cut(agent_notices=rng.random() < 0.9, server_notices=False)
            connection.server.is_open = False
