"""Answers the coordinator's questions about files on this worker."""

import asyncio

from opsconsole_agent.probe.file_look import FileLook
from opsconsole_agent.state.file_place import FilePlaces
from opsconsole_protocol.bound import cut
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.link import FileList, FilePartRead, ListFiles, ReadFilePart

_LOOKS_MAX = 4
"""At a time, each a process and a thread: what comes meanwhile waits."""


class FileAnswerer:
    """Answers one question at a time for each of a few threads."""

    def __init__(self, places: FilePlaces, look: FileLook) -> None:
        self._places = places
        self._look = look
        self._slots = asyncio.Semaphore(_LOOKS_MAX)

    async def answer(self, message: ListFiles | ReadFilePart) -> FileList | FilePartRead:
        """The answer, whatever becomes of the question."""
        async with self._slots:
            if isinstance(message, ListFiles):
                return await self._list(message)
            return await self._read(message)

    async def _list(self, message: ListFiles) -> FileList:
        try:
            place = self._places.find(message.query.root)
            page = await asyncio.to_thread(self._look.list_files, place, message.query)
        except OpsconsoleError as error:
            return FileList(check_id=message.check_id, code=error.code, error=cut(error.message))
        return FileList(check_id=message.check_id, page=page)

    async def _read(self, message: ReadFilePart) -> FilePartRead:
        try:
            place = self._places.find(message.query.root)
            part = await asyncio.to_thread(self._look.read_part, place, message.query)
        except OpsconsoleError as error:
            return FilePartRead(check_id=message.check_id, code=error.code, error=cut(error.message))
        return FilePartRead(check_id=message.check_id, part=part)
