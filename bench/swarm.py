"""Many agents that have nothing to do but to be there: `python -m bench.swarm URL TOKEN COUNT SECONDS`.

Prints `up` once all are registered, then beats every heartbeat period until the time is over, then one JSON object
with the heartbeats sent and answered.
"""

import asyncio
import json
import secrets
import sys
import time
from typing import TYPE_CHECKING

from opsconsole_protocol import PROTOCOL_VERSION, codec, link
from opsconsole_protocol.host.dial import dial
from opsconsole_protocol.ids import WorkerId, spell
from opsconsole_protocol.link.codec import agent_codec
from opsconsole_protocol.trust.secret import SECRET_BYTES, new_secret

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

DIALLING_MAX = 32
GPUS = 4


class Agent:
    """One simulated agent with a few GPUs."""

    sent = 0
    answered = 0

    def __init__(self, number: int) -> None:
        self._number = number
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

    async def join(self, url: str, token: str) -> None:
        """Connect and register."""
        self._socket = await self.dial(url, token)
        await self._socket.send(self._codec.encode([self.registration()]))
        await self._socket.recv()

    async def dial(self, url: str, token: str) -> "ClientConnection":
        """A connection that is let in, by an invitation the first time."""
        headers = {
            "Authorization": f"Bearer {self._credential}",
            "Opsconsole-Worker": self.worker_id,
            "Opsconsole-Invitation": token,
        }
        return await dial(url, path="/agent", headers=headers, max_size=codec.BATCH_BYTES_MAX, open_timeout_s=60)

    def registration(self, slots: int = GPUS, observed: tuple[link.Observed, ...] = ()) -> link.Register:
        """Who it is, and what it has."""
        return link.Register(
            protocol=PROTOCOL_VERSION, agent_version="bench", worker_id=self.worker_id, name=self.name,
            run_id=self._run_id, gpus=self._gpus, max_concurrent_jobs=slots, observed=observed,
            properties={"hostname": self.name, "memory_mb": 512_000, "cpu_count": 64},
        )  # fmt: skip

    def heartbeat(self) -> link.Heartbeat:
        """One with readings."""
        return link.Heartbeat(
            at_ms=time.time_ns() // 1_000_000, host=link.Host(cpu_percent=12.5, load1=1.0), gpus=self._gpus
        )

    async def beat(self, period_s: float, until_s: float) -> None:
        """Heartbeats, each at its own place in the period."""
        listener = asyncio.create_task(self._listen())
        await asyncio.sleep(period_s * (self._number % 97) / 97)
        while time.monotonic() < until_s:
            began_s = time.monotonic()
            await self._socket.send(self._codec.encode([self.heartbeat()]))
            Agent.sent += 1
            await asyncio.sleep(max(0.0, min(period_s, until_s - began_s)))
        listener.cancel()
        self._socket.transport.abort()

    async def _listen(self) -> None:
        while True:
            for message in self._codec.decode(await self._socket.recv(decode=False)):
                Agent.answered += isinstance(message, link.HeartbeatAck)


async def main() -> None:
    """See the module."""
    url, token, count, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    agents = [Agent(number) for number in range(count)]
    room = asyncio.Semaphore(DIALLING_MAX)

    async def join(agent: Agent) -> None:
        async with room:
            await agent.join(url, token)

    await asyncio.gather(*(join(agent) for agent in agents))
    print("up", flush=True)
    until_s = time.monotonic() + seconds
    await asyncio.gather(*(agent.beat(link.HEARTBEAT_MS / 1000, until_s) for agent in agents))
    print(json.dumps({"sent": Agent.sent, "answered": Agent.answered}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
