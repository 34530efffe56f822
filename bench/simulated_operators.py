"""Many operators in one process: `python -m bench.simulated_operators URL TOKEN COUNT`; see `simulation` for the pipes.

Each has a connection and a subscription of its own. Their commands:

    {"do": "reload", "rounds": R, "every_s": S}   all reload all lists at once, R times; milliseconds by list
    {"do": "compare", "database": PATH}           how many folded views differ from the store's file, and in what
"""

import asyncio
import sqlite3
import sys
import time
from collections import Counter
from typing import Any

import msgspec

from bench.simulation import serve
from opsconsole.fleet import Fleet
from opsconsole_protocol import PROTOCOL_VERSION, api, codec
from opsconsole_protocol.api.codec import client_codec
from opsconsole_protocol.host.dial import dial

LISTS = ("jobs", "workers", "show", "events", "whole view")


class Head(msgspec.Struct):
    """The part of a message that tells an answer from others. Rows are decoded later, when nothing is timed any more."""

    type: str
    number: int = 0


class SimulatedOperator:
    """One operator."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._codec = client_codec()
        self._heads = msgspec.msgpack.Decoder(list[Head])
        self._waiting: dict[int, asyncio.Future[float]] = {}
        self._frames: list[bytes] = []
        self._number = self._subscription = 0
        self._job_ids: list[str] = []
        self.fleet = Fleet()
        self.failures: list[str] = []

    @property
    def has_all(self) -> bool:
        """Whether it folds all updates into its first view, as every other operator does; the rest load the view anew."""
        return self._index % 2 == 0

    async def open(self, url: str, token: str) -> None:
        """Connect, say hello, subscribe."""
        headers = {"Authorization": f"Bearer {token}"}
        self._socket = await dial(url, path="/operator", headers=headers, max_size=codec.BATCH_BYTES_MAX)
        await self._socket.send(self._codec.encode([api.Hello(PROTOCOL_VERSION, "bench")]))
        await self._socket.recv()
        self.reader = asyncio.create_task(self._read())
        await self._ask(api.Subscribe())
        self.fold()
        self._job_ids = sorted(self.fleet.jobs)

    async def reload(self, rounds: int, every_s: float) -> dict[str, list[float]]:
        """Ask for all lists at once, `rounds` times. Return the milliseconds that each took."""
        took: dict[str, list[float]] = {name: [] for name in LISTS}
        for _ in range(rounds):
            began_s = time.monotonic()
            requests: tuple[api.AnyRequest, ...] = (
                api.ListJobs(), api.ListWorkers(), api.ShowJob(id=self._job_ids[self._index % len(self._job_ids)]),
                api.ListEvents(), *(() if self.has_all else (api.Subscribe(),)),
            )  # fmt: skip
            for name, took_s in zip(LISTS, await asyncio.gather(*map(self._ask, requests)), strict=False):
                took[name].append(1000 * took_s)
            await asyncio.sleep(max(0.0, every_s - (time.monotonic() - began_s)))
        return took

    async def _ask(self, request: api.AnyRequest) -> float:
        """Send a request and return the seconds until its whole answer has arrived."""
        self._number += 1
        if isinstance(request, api.Subscribe):
            self._subscription = self._number
        self._waiting[self._number] = asyncio.get_running_loop().create_future()
        began_s = time.monotonic()
        await self._socket.send(self._codec.encode([api.Call(self._number, request)]))
        return await self._waiting[self._number] - began_s

    async def _read(self) -> None:
        while True:
            frame = await self._socket.recv(decode=False)
            now_s = time.monotonic()
            heads = self._heads.decode(frame)
            if any(head.number == self._subscription for head in heads):
                self._frames.clear()  # a view begins anew
            self._frames.append(frame)
            for head in heads:
                if head.type == "failure":
                    self.failures.append(str(frame))
                if head.number in self._waiting:
                    self._waiting.pop(head.number).set_result(now_s)

    def fold(self) -> None:
        """Fold what has arrived into the view."""
        frames, self._frames = self._frames, []
        for frame in frames:
            for message in self._codec.decode(frame):
                if isinstance(message, api.Answer) and isinstance(message.answer, api.SnapshotAnswer):
                    self.fleet.reset(message.answer.snapshot)
                elif isinstance(message, api.Update):
                    self.fleet.fold(message)


def _differences(fleet: Fleet, jobs: dict[str, api.JobRow], workers: set[str], events: list[int]) -> list[str]:
    """Return in what a folded view differs from the store's file."""
    seen = [event.seq for event in fleet.events]
    found = {
        "jobs": fleet.jobs != jobs,
        "workers": set(fleet.workers) != workers,
        "events": seen != events[-len(seen) :],
    }
    return [name for name, differs in found.items() if differs]


class SimulatedOperators:
    """All operators."""

    def __init__(self, url: str, token: str, count: int) -> None:
        self._target = url, token
        self._operators = [SimulatedOperator(number) for number in range(count)]

    async def connect(self) -> None:
        """Connect and subscribe all."""
        for one in self._operators:
            await one.open(*self._target)

    async def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out a command."""
        match command:
            case {"do": "reload", "rounds": rounds, "every_s": every_s}:
                found = await asyncio.gather(*(one.reload(rounds, every_s) for one in self._operators))
                return {name: [took for each in found for took in each[name]] for name in LISTS}
            case {"do": "compare", "database": path}:
                return await self._compare(path)
        raise ValueError(f"unknown command {command}")

    async def _compare(self, path: str) -> dict[str, Any]:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        rows = connection.execute("SELECT row FROM jobs").fetchall()
        jobs = {row.id: row for row in (msgspec.msgpack.decode(data, type=api.JobRow) for (data,) in rows)}
        workers = {worker for (worker,) in connection.execute("SELECT worker_id FROM workers")}
        events = [seq for (seq,) in connection.execute("SELECT seq FROM events ORDER BY seq")]
        connection.close()
        differing: Counter[str] = Counter()
        silent: Counter[int] = Counter()
        for one in self._operators:
            await asyncio.sleep(0)  # let the other connections go on
            one.fold()
            differing.update(_differences(one.fleet, jobs, workers, events))
            silent[sum(row.connection != "connected" for row in one.fleet.workers.values())] += 1
        failures = [line for one in self._operators for line in one.failures]
        ended = [repr(one.reader.exception()) for one in self._operators if one.reader.done()]
        return {"differing": differing, "silent": silent, "failures": (failures + ended)[:3], "ended": len(ended)}


async def main() -> None:
    """See the module."""
    url, token, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    await serve(SimulatedOperators(url, token, count))


if __name__ == "__main__":
    asyncio.run(main())
