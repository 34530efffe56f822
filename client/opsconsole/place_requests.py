"""What is asked of single places: folders, datasets, and the inside of tasks that run."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from opsconsole.client_part import ClientPart
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import JobId, split_task_id
from opsconsole_protocol.spec import checked_spec, task_alone

if TYPE_CHECKING:
    from opsconsole.listing import Listing

EXEC_OUTPUT_BYTES_MAX = 64 << 20
"""Of what `exec` returns; more is left out."""


class Executed(NamedTuple):
    """What a command in a task did: its exit code (128 + n for signal n), and what it printed."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class PlaceRequests(ClientPart):
    """A part of a client: its requests about places."""

    async def ls(
        self,
        where: str,
        *,
        of: str = "",
        sort: str = "name",
        reverse: bool = False,
        find: str = "",
        limit: int = 1_000,
    ) -> Listing:
        """What lies in a folder: WORKER[:FOLDER], or JOB[/task-N][:FOLDER] of what a job has written.

        `of`: of a job also `input` or `work`. `sort`: name, size or time. `find`: search all that lies below for this name or
        pattern. Raises NotFound, InvalidRequest, and Unavailable where the worker can't be asked.
        """
        from opsconsole.listing import Looked, list_files
        from opsconsole_protocol.file_listing import FileSort

        try:
            by = FileSort(sort)
        except ValueError:
            raise InvalidRequest(f"{sort[:40]!r} is no order of files: {', '.join(FileSort)}") from None
        return await list_files(self, where, of, Looked(by, reverse, find, limit))

    async def dataset(self, where: str, worker: str) -> api.DatasetAnswer:
        """What a dataset on a worker holds, or why it is broken: a path there, or a URL that the worker reads. Raises NotFound."""
        from opsconsole.transfer.place import find_worker, place_of
        from opsconsole_protocol.dataset import DatasetQuery, is_url

        row = find_worker((await self._ask(api.ListWorkers(), api.WorkerList)).workers, worker)
        if is_url(where):
            query = DatasetQuery(url=where)
        else:
            place = place_of(row, where)
            query = DatasetQuery(root=place.root, path=place.folder)
        return await self._ask(api.DescribeDataset(worker=row.id, query=query), api.DatasetAnswer)

    async def exec(
        self, id: str, command: Sequence[str], *, stdin: bytes = b"", via: str = "auto"  # noqa: A002
    ) -> Executed:  # fmt: skip
        """Run a command in a task that runs, in its environment and working folder. Raises NotFound, Conflict, and what the way there raises."""
        from opsconsole.session.program import Program
        from opsconsole.transfer.carrier import Carrier
        from opsconsole.transfer.client_transfer import via_of
        from opsconsole_protocol.stream.message import RunInTask

        if isinstance(command, str) or not command:
            raise InvalidRequest("say what to run as a list of words, as in ['ls', '-l']")
        way = via_of(via)
        with TemporaryFile() as given, TemporaryFile() as stdout, TemporaryFile() as stderr:
            given.write(stdin)
            given.seek(0)
            program = Program(
                RunInTask(task=id, argv=tuple(command)), (given.fileno(), stdout.fileno(), stderr.fileno())
            )
            ended = await Carrier(self).run(lambda load: program.run(load.asker, way, _say_nothing, load.cancel))
            texts = [os.pread(one.fileno(), EXEC_OUTPUT_BYTES_MAX, 0) for one in (stdout, stderr)]
        return Executed(1 if ended is None else ended.code, *texts)

    @contextlib.asynccontextmanager
    async def forward(self, id: str, port: str, local: int = 0, *, via: str = "auto") -> AsyncIterator[str]:  # noqa: A002
        """Bring a task's port, by its name, to an address of this machine (`127.0.0.1:PORT`, given) as long as the context lasts.

        `local` 0: a port that is free. A stream that breaks is opened again. Raises Conflict where it can't be listened on, NotFound,
        and what the way there raises, also at the end of the context where the task had ended before.
        """
        from opsconsole.session.forward import Forward, listen
        from opsconsole.transfer.carrier import Carrier
        from opsconsole.transfer.client_transfer import via_of
        from opsconsole_protocol.stream.message import ReachPort

        way = via_of(via)
        listener = listen(local)
        stands = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stand() -> None:
            loop.call_soon_threadsafe(stands.set)

        with listener:
            one = Forward(ReachPort(task=id, port=port), listener, stand)
            carried = asyncio.ensure_future(
                Carrier(self).run(lambda load: one.run(load.asker, way, _say_nothing, load.cancel))
            )
            standing = asyncio.ensure_future(stands.wait())
            try:
                await asyncio.wait([carried, standing], return_when=asyncio.FIRST_COMPLETED)
                if carried.done():
                    carried.result()
                yield f"127.0.0.1:{listener.getsockname()[1]}"
                if carried.done():
                    carried.result()
            finally:
                standing.cancel()
                if not one.leave():
                    carried.cancel()
                await asyncio.gather(carried, standing, return_exceptions=True)

    async def clone(
        self, id: str, changes: Mapping[str, Any] = MappingProxyType({}), *, job_id: JobId | None = None  # noqa: A002
    ) -> api.JobRow:  # fmt: skip
        """Submit a job once more, or one of its tasks (JOB/task-N) as a job, with these fields of its spec changed. Raises NotFound or InvalidRequest."""
        job, index = split_task_id(id)
        asked = api.ShowJob(id=job, tasks_limit=0, events_limit=0)
        spec = (await self._ask(asked, api.DetailAnswer)).detail.spec
        spec = spec if index is None else task_alone(spec, index)
        changed = checked_spec({name: getattr(spec, name) for name in spec.__struct_fields__} | dict(changes))
        return (await self.submit(changed, job_id))[0]


def _say_nothing(_: str) -> None:
    """Which way is taken is nobody's concern while it works."""
