"""One job in the foreground, from its start to its end, signals included."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
from pathlib import Path

from opsconsole.client import Client
from opsconsole_console.boot.local_run import LocalRun
from opsconsole_console.boot.stdin_path import stdin_path
from opsconsole_console.cli.contents import Contents
from opsconsole_console.cli.narrator import Narrator
from opsconsole_console.cli.output import say
from opsconsole_console.cli.submit import failure, say_nothing, watch
from opsconsole_protocol.error import NoWorkersAcceptedError, OpsconsoleError, Unavailable
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec

_JOIN_S = 20.0
_POLL_S = 0.02


class Foreground:
    """One job from its start to its end."""

    def __init__(self, spec: JobSpec, job_id: JobId, args: argparse.Namespace) -> None:
        self._spec = spec
        self._job_id = job_id
        self._args = args
        self._interrupts: asyncio.Queue[int] = asyncio.Queue()
        self._interrupted_by: int | None = None
        self._client: Client | None = None
        """Set once the job is submitted: from then on an interruption cancels it."""

    async def main(self) -> int:
        """Run it and return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupts.put_nowait, int(number))
        if not self._args.debug:  # stderr is the task's
            logging.getLogger().addHandler(logging.NullHandler())
        local = LocalRun(
            self._job_id,
            grace_ms=self._spec.grace_ms,
            input_path=Path.cwd(),
            max_concurrent_jobs=self._args.max_concurrent_jobs,
            stdin=stdin_path() if self._spec.num_tasks == 1 else os.devnull,
            keeps_outputs=bool(self._args.fetch),
        )
        try:
            code = await self._until_interrupted(local)
        finally:
            await asyncio.to_thread(local.close)
        if self._interrupted_by is not None:
            return 128 + self._interrupted_by
        return code

    async def _until_interrupted(self, local: LocalRun) -> int:
        """Run the job and return its exit code. An interruption before it was submitted ends everything at once."""
        job = asyncio.create_task(self._job(local))
        listening = asyncio.create_task(self._listen(local, job))
        try:
            return await job
        except asyncio.CancelledError:
            if self._interrupted_by is None:
                raise
            return 1
        finally:
            listening.cancel()
            await asyncio.gather(listening, job, return_exceptions=True)

    async def _job(self, local: LocalRun) -> int:
        target = await asyncio.to_thread(local.start)
        narrator = Narrator(say if self._args.verbose else say_nothing)
        contents = Contents(self._args, quiet=not self._args.verbose)
        async with await Client.open(target) as client:
            await self._wait_for_worker(client, local)
            packed = await contents.pack(client)
            spec = packed.put_into(self._spec)
            await self._check_placement(client)
            async with contextlib.AsyncExitStack() as stack:
                async with contents.noted(client, self._job_id, packed, spec):
                    await stack.enter_async_context(contents.served(client))
                    narrator.submitted((await client.submit(spec, self._job_id))[0])
                self._client = client
                stack.callback(contents.forget, self._job_id)
                code, detail = await watch(client, self._job_id, narrator, follow=True, raw=self._args.raw)
                if not await contents.fetch(client, self._job_id):
                    code = code or 1
        if code and not self._args.verbose and self._interrupted_by is None:
            say(f"opsconsole: {failure(detail)}")
        return code

    async def _wait_for_worker(self, client: Client, local: LocalRun) -> None:
        deadline = asyncio.get_running_loop().time() + _JOIN_S
        while not await client.workers():
            local.check()
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(f"the worker didn't come up within {_JOIN_S:g} s: try again with --debug")
            await asyncio.sleep(_POLL_S)

    async def _check_placement(self, client: Client) -> None:
        """A job that this machine can't take would wait for ever."""
        verdicts = (await client.candidates(self._spec)).verdicts
        if verdicts and not any(verdict.accepted for verdict in verdicts):
            raise NoWorkersAcceptedError(
                f"this machine can't run it: {verdicts[0].reason}", {verdicts[0].worker: verdicts[0].reason}
            )

    async def _listen(self, local: LocalRun, job: asyncio.Task[int]) -> None:
        """The first interruption cancels, the second kills, and so does every further one."""
        while True:
            number = await self._interrupts.get()
            if self._client is None:
                self._interrupted_by = number
                job.cancel()
            elif self._interrupted_by is None:
                self._interrupted_by = number
                say("opsconsole: cancelling; once more to kill")
                try:
                    await self._client.cancel(self._job_id, reason="interrupted")
                except OpsconsoleError as error:
                    say(f"opsconsole: {error.message}")
            else:
                await asyncio.to_thread(local.kill)
