"""Many agents that take work: `python -m bench.crew URL TOKEN COUNT SLOTS`, driven by JSON lines on its input.

Each agent does what a real one does on the wire: it takes assignments, says that they run, sends a line of log, beats,
and comes back with its whole set when the connection is lost. It counts every start, so that a task that is started
twice is noticed here and not only in the coordinator's own books. Prints `up` once all are registered; then each
command is answered by one JSON object:

    {"do": "links"}                     how connections and heartbeats stand
    {"do": "state"}                     that, and counts of attempts and starts
    {"do": "dump", "path": P}           the live attempts and their states, one a line
    {"do": "end", "number": N, "within_s": S, "spare": K}   N attempts succeed, spread over S seconds, none on the first K
    {"do": "fail", "number": K}         the first K agents fail: every other one's socket is cut, the rest fall silent
"""

import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from websockets.exceptions import ConnectionClosed

from bench.swarm import DIALLING_MAX, Agent
from opsconsole_agent.link.coordinator_link import BACK_OFF_FIRST_S, BACK_OFF_LAST_S
from opsconsole_protocol import link
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import LogChunk, Mode, Observed, encode_frame
from opsconsole_protocol.log import Source
from opsconsole_protocol.state import AttemptState, is_attempt_finished

LINE = b"step 1 of 1000, loss 0.6931\n"


class Hand(Agent):
    """One agent of the crew."""

    def __init__(self, number: int, slots: int, url: str, token: str) -> None:
        super().__init__(number)
        self._slots = slots
        self._target = url, token
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

    async def run(self, room: asyncio.Semaphore) -> None:
        """Connect, and come back whenever the connection is lost."""
        pause_s = BACK_OFF_FIRST_S
        while not self.is_failed:
            with contextlib.suppress(OpsconsoleError, ConnectionClosed):
                async with room:
                    self._socket = await self.dial(*self._target)
                    observed = tuple(self.attempts.values())
                    await self._socket.send(self._codec.encode([self.registration(self._slots, observed)]))
                pause_s = BACK_OFF_FIRST_S
                self._seen = 0
                await self._serve()
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - the same spread as an agent's
            pause_s = min(2 * pause_s, BACK_OFF_LAST_S)

    async def _serve(self) -> None:
        beating = asyncio.create_task(self._keep_beating())
        try:
            while True:
                for message in self._codec.decode(await self._socket.recv(decode=False)):
                    await self._take(message)
        finally:
            beating.cancel()
            self.is_up.clear()
            self._socket.transport.abort()

    async def _keep_beating(self) -> None:
        period_s = link.HEARTBEAT_MS / 1000
        await asyncio.sleep(period_s * (self._number % 97) / 97)
        while not self.is_failed:
            with contextlib.suppress(ConnectionClosed):
                await self._socket.send(self._codec.encode([self.heartbeat()]))
                self.beats += 1
            await asyncio.sleep(period_s)

    async def _take(self, message: link.CoordinatorMessage) -> None:
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
        """Note an attempt's new state, and tell it; without a connection the next whole set tells it."""
        if attempt_id not in self.attempts:
            return
        seen = self.attempts[attempt_id] = msgspec.structs.replace(self.attempts[attempt_id], state=state, **fields)
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(self._codec.encode([link.Report(seen=self._seen, attempts=(seen,))]))

    def fail(self) -> None:
        """Be gone: half of the failing hosts lose their connection, half only go quiet."""
        self.is_failed = True
        if self._number % 2:
            self._socket.transport.abort()


class Crew:
    """All agents, and what can be asked of them."""

    def __init__(self, url: str, token: str, count: int, slots: int) -> None:
        self._hands = [Hand(number, slots, url, token) for number in range(count)]
        self._tasks: list[asyncio.Task[None]] = []

    async def up(self) -> None:
        """Start all, and wait until each was told its whole set."""
        room = asyncio.Semaphore(DIALLING_MAX)
        self._tasks = [asyncio.create_task(hand.run(room)) for hand in self._hands]
        for hand in self._hands:
            await hand.is_up.wait()

    async def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what a command says."""
        match command:
            case {"do": "links"}:
                return self._links()
            case {"do": "state"}:
                return self._links() | self._state()
            case {"do": "dump", "path": path}:
                seen = [f"{one.attempt_id} {one.state}\n" for hand in self._hands for one in hand.attempts.values()]
                await asyncio.to_thread(Path(path).write_text, "".join(seen))
                return {}
            case {"do": "end", "number": number, "within_s": within_s, "spare": spare}:
                return await self._end(number, within_s, spare)
            case {"do": "fail", "number": number}:
                for hand in self._hands[:number]:
                    hand.fail()
                return {}
        raise ValueError(f"unknown command {command}")

    def _links(self) -> dict[str, Any]:
        hands = [hand for hand in self._hands if not hand.is_failed]
        return {
            "connected": sum(hand.is_up.is_set() for hand in hands),
            "registrations_min": min(hand.registrations for hand in hands),
            "agreed_at_s": max(hand.agreed_at_s for hand in hands),
            "beats": sum(hand.beats for hand in hands),
            "unanswered": sum(hand.beats - hand.acks for hand in hands),
            "ack_ms_max": max(hand.ack_ms_max for hand in hands),
        }

    def _state(self) -> dict[str, Any]:
        hands = [hand for hand in self._hands if not hand.is_failed]
        starts = sum((hand.starts for hand in self._hands), Counter[str]())
        states = Counter(str(one.state) for hand in hands for one in hand.attempts.values())
        return {
            "states": states,
            "tasks_started": len(starts),
            "started_twice": sum(number > 1 for number in starts.values()),
            "logs_stored": sum(len(hand.logs_stored) for hand in self._hands),
            "unwanted": sum(hand.unwanted for hand in hands),
        }

    async def _end(self, number: int, within_s: float, spare: int) -> dict[str, Any]:
        """Every change as a report of its own, in an order that mixes the agents."""
        running = [(hand, one) for hand in self._hands[spare:] for one in hand.attempts]
        chosen = random.sample(running, number)
        began_s = time.monotonic()
        for count, (hand, attempt_id) in enumerate(chosen):
            ahead_s = began_s + within_s * count / number - time.monotonic()
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)
            now_ms = time.time_ns() // 1_000_000
            end = {"finished_at_ms": now_ms, "exit_code": 0, "log_sizes": {"stdout": len(LINE)}}
            await hand.report(attempt_id, AttemptState.SUCCEEDED, **end)
        return {"took_s": time.monotonic() - began_s}


async def main() -> None:
    """See the module."""
    url, token, count, slots = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    crew = Crew(url, token, count, slots)
    await crew.up()
    print("up", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await crew.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
