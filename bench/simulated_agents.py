"""Many agents in one process: `python -m bench.simulated_agents URL TOKEN COUNT SLOTS`; see `simulation` for the pipes.

Each agent does on the wire what a real one does: it takes assignments, reports that they run, sends a line of log and
heartbeats with readings of four GPUs, and comes back with its whole set when the connection is lost. It counts every
start, so that a task that is started twice is noticed here, too, and not only by the coordinator. Its commands:

    {"do": "links"}                     how connections and heartbeats stand
    {"do": "state"}                     the same, with counts of attempts and starts
    {"do": "dump", "path": P}           write the live attempts and their states to a file, one a line
    {"do": "end", "number": N, "within_s": S, "spare": K}   N attempts succeed, spread over S seconds, none on the first K
    {"do": "fail", "number": K}         the first K agents fail: of every other one the socket is cut, the rest go silent
"""

import asyncio
import contextlib
import random
import secrets
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from bench.simulation import serve
from opsconsole_agent.link.coordinator_link import BACK_OFF_FIRST_S, BACK_OFF_LAST_S
from opsconsole_protocol import PROTOCOL_VERSION, codec, link
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.host.dial import dial
from opsconsole_protocol.ids import AttemptId, WorkerId, spell
from opsconsole_protocol.link import LogChunk, Mode, Observed, encode_frame
from opsconsole_protocol.link.codec import agent_codec
from opsconsole_protocol.log import Source
from opsconsole_protocol.state import AttemptState, is_attempt_finished
from opsconsole_protocol.trust.secret import SECRET_BYTES, new_secret

DIALLING_MAX = 32
GPUS = 4
LINE = b"step 1 of 1000, loss 0.6931\n"


class SimulatedAgent:
    """One agent with a few GPUs."""

    def __init__(self, number: int, slots: int, url: str, token: str) -> None:
        self._number = number
        self._slots = slots
        self._target = url, token
        self.worker_id = WorkerId(f"worker-{spell(number, 8)}")
        self.name = f"box{number:04}"
        self._credential = new_secret(secrets.token_bytes(SECRET_BYTES))
        self._run_id = secrets.token_hex(8)
        self._codec = agent_codec()
        self._gpus = tuple(
            link.Gpu(
                index=index, uuid=f"GPU-{number}-{index}", name="NVIDIA A100", memory_total_mb=81_920,
                memory_used_mb=10_000 + index, utilization_percent=number % 100, temperature_c=50, power_w=200.5,
            )
            for index in range(GPUS)
        )  # fmt: skip
        self.attempts: dict[AttemptId, Observed] = {}
        self.starts: Counter[str] = Counter()
        self.logs_stored: set[AttemptId] = set()
        self.unwanted = 0
        self.registrations = 0
        self.agreed_at_s = 0.0
        """When it was last told its whole set, on this machine's monotonic clock."""
        self.beats = self.acks = 0
        self.ack_ms_max = 0.0
        self.is_failed = False
        self.is_up = asyncio.Event()
        self._seen = 0

    async def run(self, dialling: asyncio.Semaphore) -> None:
        """Connect, and come back whenever the connection is lost."""
        pause_s = BACK_OFF_FIRST_S
        while not self.is_failed:
            with contextlib.suppress(OpsconsoleError, ConnectionClosed):
                async with dialling:
                    self._socket = await self._dial(*self._target)
                    observed = tuple(self.attempts.values())
                    await self._socket.send(self._codec.encode([self._registration(observed)]))
                pause_s = BACK_OFF_FIRST_S
                self._seen = 0
                await self._serve()
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - the same spread as an agent's
            pause_s = min(2 * pause_s, BACK_OFF_LAST_S)

    async def _serve(self) -> None:
        beating = asyncio.create_task(self._send_heartbeats())
        try:
            while True:
                for message in self._codec.decode(await self._socket.recv(decode=False)):
                    await self._handle(message)
        finally:
            beating.cancel()
            self.is_up.clear()
            self._socket.transport.abort()

    async def _send_heartbeats(self) -> None:
        period_s = link.HEARTBEAT_MS / 1000
        await asyncio.sleep(period_s * (self._number % 97) / 97)
        while not self.is_failed:
            with contextlib.suppress(ConnectionClosed):
                await self._socket.send(self._codec.encode([self._heartbeat()]))
                self.beats += 1
            await asyncio.sleep(period_s)

    async def _handle(self, message: link.CoordinatorMessage) -> None:
        if self.is_failed:
            return
        match message:
            case link.HeartbeatAck(at_ms=at_ms):
                self.acks += 1
                self.ack_ms_max = max(self.ack_ms_max, time.time_ns() / 1e6 - at_ms)
            case link.DesiredSet(seq=seq, attempts=attempts):
                self._seen = seq
                wanted = {one.attempt_id for one in attempts}
                self.unwanted += sum(
                    one not in wanted and not is_attempt_finished(seen.state) for one, seen in self.attempts.items()
                )
                for desired in attempts:
                    await self._start(desired)
                self.registrations += 1
                self.agreed_at_s = time.monotonic()
                self.is_up.set()
            case link.JobAssignment(seq=seq, desired=desired):
                self._seen = seq
                await self._start(desired)
            case link.SetWant(seq=seq, attempt_id=attempt_id, want=want) if want.mode is Mode.STOP:
                self._seen = seq
                self.unwanted += 1
                await self.report(attempt_id, AttemptState.KILLED)
            case link.LogAck(offsets=offsets):
                self.logs_stored.update(attempt_id for attempt_id, _, offset in offsets if offset == len(LINE))
            case link.Forget(seq=seq, attempt_ids=attempt_ids):
                self._seen = seq
                for attempt_id in attempt_ids:
                    self.attempts.pop(attempt_id, None)

    async def _start(self, desired: link.Desired) -> None:
        if desired.attempt_id in self.attempts:
            return
        self.starts[desired.launch.task_id] += 1
        self.attempts[desired.attempt_id] = Observed(attempt_id=desired.attempt_id, state=AttemptState.ASSIGNED)
        now_ms = time.time_ns() // 1_000_000
        await self.report(desired.attempt_id, AttemptState.RUNNING, started_at_ms=now_ms)
        await self._socket.send(encode_frame(LogChunk(desired.attempt_id, Source.STDOUT, 0, now_ms, LINE)))

    async def report(self, attempt_id: AttemptId, state: AttemptState, **fields: Any) -> None:
        """Note and report an attempt's new state; without a connection the next whole set has it."""
        if attempt_id not in self.attempts:
            return
        seen = self.attempts[attempt_id] = msgspec.structs.replace(self.attempts[attempt_id], state=state, **fields)
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(self._codec.encode([link.Report(seen=self._seen, attempts=(seen,))]))

    def fail(self) -> None:
        """Fail: every other failing agent loses its connection, the rest go silent."""
        self.is_failed = True
        if self._number % 2:
            self._socket.transport.abort()

    async def _dial(self, url: str, token: str) -> ClientConnection:
        """Return a connection that was let in, by an invitation the first time."""
        headers = {
            "Authorization": f"Bearer {self._credential}",
            "Opsconsole-Worker": self.worker_id,
            "Opsconsole-Invitation": token,
        }
        return await dial(url, path="/agent", headers=headers, max_size=codec.BATCH_BYTES_MAX, open_timeout_s=60)

    def _registration(self, observed: tuple[Observed, ...]) -> link.Register:
        """Return its registration, with the attempts that it has."""
        return link.Register(
            protocol=PROTOCOL_VERSION, agent_version="bench", worker_id=self.worker_id, name=self.name,
            run_id=self._run_id, gpus=self._gpus, max_concurrent_jobs=self._slots, observed=observed,
            properties={"hostname": self.name, "memory_mb": 512_000, "cpu_count": 64},
        )  # fmt: skip

    def _heartbeat(self) -> link.Heartbeat:
        """Return a heartbeat with readings."""
        return link.Heartbeat(
            at_ms=time.time_ns() // 1_000_000, host=link.Host(cpu_percent=12.5, load1=1.0), gpus=self._gpus
        )


class SimulatedAgents:
    """All agents, and the commands to them."""

    def __init__(self, url: str, token: str, count: int, slots: int) -> None:
        self._agents = [SimulatedAgent(number, slots, url, token) for number in range(count)]
        self._tasks: list[asyncio.Task[None]] = []

    async def connect(self) -> None:
        """Start all agents, and wait until each was told its whole set."""
        dialling = asyncio.Semaphore(DIALLING_MAX)
        self._tasks = [asyncio.create_task(agent.run(dialling)) for agent in self._agents]
        for agent in self._agents:
            await agent.is_up.wait()

    async def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out a command."""
        match command:
            case {"do": "links"}:
                return self._links()
            case {"do": "state"}:
                return self._links() | self._state()
            case {"do": "dump", "path": path}:
                seen = [f"{one.attempt_id} {one.state}\n" for agent in self._agents for one in agent.attempts.values()]
                await asyncio.to_thread(Path(path).write_text, "".join(seen))
                return {}
            case {"do": "end", "number": number, "within_s": within_s, "spare": spare}:
                return await self._end(number, within_s, spare)
            case {"do": "fail", "number": number}:
                for agent in self._agents[:number]:
                    agent.fail()
                return {}
        raise ValueError(f"unknown command {command}")

    def _links(self) -> dict[str, Any]:
        agents = [agent for agent in self._agents if not agent.is_failed]
        return {
            "connected": sum(agent.is_up.is_set() for agent in agents),
            "registrations_min": min(agent.registrations for agent in agents),
            "agreed_at_s": max(agent.agreed_at_s for agent in agents),
            "beats": sum(agent.beats for agent in agents),
            "unanswered": sum(agent.beats - agent.acks for agent in agents),
            "ack_ms_max": max(agent.ack_ms_max for agent in agents),
        }

    def _state(self) -> dict[str, Any]:
        agents = [agent for agent in self._agents if not agent.is_failed]
        starts = sum((agent.starts for agent in self._agents), Counter[str]())
        states = Counter(str(one.state) for agent in agents for one in agent.attempts.values())
        return {
            "states": states,
            "tasks_started": len(starts),
            "started_twice": sum(number > 1 for number in starts.values()),
            "logs_stored": sum(len(agent.logs_stored) for agent in self._agents),
            "unwanted": sum(agent.unwanted for agent in agents),
        }

    async def _end(self, number: int, within_s: float, spare: int) -> dict[str, Any]:
        """Report each end in a message of its own, in an order that mixes the agents."""
        running = [(agent, one) for agent in self._agents[spare:] for one in agent.attempts]
        chosen = random.sample(running, number)
        began_s = time.monotonic()
        for count, (agent, attempt_id) in enumerate(chosen):
            ahead_s = began_s + within_s * count / number - time.monotonic()
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)
            now_ms = time.time_ns() // 1_000_000
            end = {"finished_at_ms": now_ms, "exit_code": 0, "log_sizes": {"stdout": len(LINE)}}
            await agent.report(attempt_id, AttemptState.SUCCEEDED, **end)
        return {"took_s": time.monotonic() - began_s}


async def main() -> None:
    """See the module."""
    url, token, count, slots = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    await serve(SimulatedAgents(url, token, count, slots))


if __name__ == "__main__":
    asyncio.run(main())
