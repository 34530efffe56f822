"""Answers the coordinator's questions about datasets on this worker, or that it reaches."""

import asyncio

from opsconsole_agent.dataset.describer import Describer
from opsconsole_agent.probe.child_scope import ChildScope
from opsconsole_agent.state.file_place import FilePlaces
from opsconsole_protocol.bound import cut
from opsconsole_protocol.dataset import BrokenDataset, DatasetDescription, DatasetQuery
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError
from opsconsole_protocol.link import DatasetDescribed, DescribeDataset


class DatasetAnswerer:
    """Answers one question at a time: each is a process that may need much memory."""

    def __init__(self, places: FilePlaces, describer: Describer) -> None:
        self._places = places
        self._describer = describer
        self._slot = asyncio.Lock()

    async def answer(self, message: DescribeDataset) -> DatasetDescribed:
        """The answer, whatever becomes of the question. Cancelled, it leaves no process behind."""
        number, scope = message.check_id, ChildScope()
        async with self._slot:
            try:
                found = await asyncio.to_thread(scope.run, self._describe, message.query)
            except BrokenDataset as broken:
                return DatasetDescribed(check_id=number, fault=broken.fault)
            except OpsconsoleError as error:
                return DatasetDescribed(check_id=number, code=error.code, error=cut(error.message))
            finally:
                scope.end()
        return DatasetDescribed(check_id=number, description=found)

    def _describe(self, query: DatasetQuery) -> DatasetDescription:
        if query.url:
            return self._describer.describe_url(query.url)
        if query.root is None:
            raise InvalidRequest("which dataset? Name its path or its URL")
        return self._describer.describe_at(self._places.find(query.root), query.path)
