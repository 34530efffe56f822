"""Files on workers, as screens ask for them: page by page, piece by piece."""

from opsconsole.ask import Requester, ask
from opsconsole_console.model.file_spot import FileRow, FileSpot, file_rows
from opsconsole_protocol.api import FileList, FilePartAnswer, ListFiles, ReadFilePart
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.file_listing import (
    FILE_PART_BYTES_MAX,
    LISTING_ENTRIES_MAX,
    FilePage,
    FilePart,
    FileQuery,
    FileSort,
    PartQuery,
)
from opsconsole_protocol.stream.message import FileRoot

ROWS_MAX = 5_000
"""How many entries of one folder are fetched; of a larger one those that come first in the order asked for."""


class FileSource:
    """Asks the coordinator. All methods raise OpsconsoleError."""

    def __init__(self, source: Requester) -> None:
        self._source = source

    async def entries(
        self, spot: FileSpot, sort: FileSort = FileSort.NAME, *, descending: bool = False, pattern: str = ""
    ) -> tuple[str, list[FileRow], FilePage]:
        """The worker that has it, the entries of a folder or what a search below it finds, and the last page, which says how many there are."""
        rows: dict[bytes, FileRow] = {}
        while True:
            query = FileQuery(
                root=self._root(spot), folder=spot.folder, sort=sort, descending=descending, offset=len(rows),
                limit=LISTING_ENTRIES_MAX, pattern=pattern,
            )  # fmt: skip
            answer = await ask(self._source, ListFiles(worker=spot.worker, query=query), FileList)
            page = answer.page
            before = len(rows)
            rows |= {row.name: row for row in file_rows(page.entries)}
            if not page.more or len(rows) >= ROWS_MAX or len(rows) == before:
                return answer.worker, list(rows.values()), page

    async def part(self, spot: FileSpot, path: bytes, offset: int = 0, limit: int = FILE_PART_BYTES_MAX) -> FilePart:
        """A piece of a file at a path below the spot's root."""
        query = PartQuery(root=self._root(spot), path=path, offset=offset, limit=limit)
        return (await ask(self._source, ReadFilePart(worker=spot.worker, query=query), FilePartAnswer)).part

    async def head(self, spot: FileSpot, path: bytes, limit: int) -> tuple[bytes, FilePart]:
        """The first `limit` bytes of a file, and its last piece, which says how large it is."""
        data = bytearray()
        while True:
            part = await self.part(spot, path, len(data), min(FILE_PART_BYTES_MAX, limit - len(data)))
            data += part.data
            if not part.data or len(data) >= min(limit, part.size):
                return bytes(data), part

    async def tail(self, spot: FileSpot, path: bytes, offset: int) -> bytes:
        """All of a file from an offset on."""
        data = bytearray()
        while True:
            part = await self.part(spot, path, offset + len(data))
            data += part.data
            if not part.data or offset + len(data) >= part.size:
                return bytes(data)

    @staticmethod
    def _root(spot: FileSpot) -> FileRoot:
        if spot.root is None:
            raise InvalidRequest("choose a folder first")
        return spot.root
