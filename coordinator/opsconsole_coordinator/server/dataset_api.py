"""What operators ask about datasets, answered by the agent that has them or reaches them."""

from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.file_api import role_for
from opsconsole_coordinator.server.file_locator import FileLocator, Located
from opsconsole_coordinator.server.identity import Caller
from opsconsole_coordinator.server.worker_asker import WorkerAsker
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol import api, link
from opsconsole_protocol.dataset import DATASETS, DatasetQuery, check_url, shown_url
from opsconsole_protocol.error import InvalidRequest, Unavailable, from_code
from opsconsole_protocol.stream.message import FileRoot, RootKind

ANSWER_WAIT_S = 30.0
"""Longer than an agent waits for the process that looks."""
DATASET_QUESTIONS_MAX = 1
"""As many as an agent answers at a time: the process may need much memory."""


class DatasetApi:
    """The handler of the request about datasets."""

    def __init__(self, commit_loop: CommitLoop) -> None:
        self._commit_loop = commit_loop
        self._locator = FileLocator(commit_loop)
        self._asker = WorkerAsker(commit_loop, DATASET_QUESTIONS_MAX)

    async def describe(self, request: api.DescribeDataset, caller: Caller) -> api.DatasetAnswer:
        """Have a worker describe it."""
        del caller
        place, query = await self._placed(request)
        self._locator.check_reachable(place)
        worker = place.worker
        if not worker.properties.get(DATASETS):
            raise Unavailable(
                f"the agent of {worker.name} is too old to be asked for datasets: update opsconsole there"
            )
        said = await self._asker.ask(
            worker,
            lambda number: link.DescribeDataset(check_id=number, query=query),
            link.DatasetDescribed,
            ANSWER_WAIT_S,
        )
        if said.description is None and said.fault is None:
            raise from_code(said.code, said.error)
        return api.DatasetAnswer(description=said.description, fault=said.fault, worker=worker.name)

    async def _placed(self, request: api.DescribeDataset) -> tuple[Located, DatasetQuery]:
        wanted = request.query
        if (wanted.root is None) == (not wanted.url):
            raise InvalidRequest("which dataset? Name its path or its URL")
        if wanted.root is not None:
            place = await self._locator.locate(request.worker, wanted.root, wanted.path)
            return place, DatasetQuery(root=place.root, path=place.path)
        check_url(wanted.url)
        worker = self._reader(request.worker)
        what = f"{shown_url(wanted.url)} is to be read"
        return Located(worker, FileRoot(kind=RootKind.MOUNT), b"", what), DatasetQuery(url=wanted.url)

    def _reader(self, name: str) -> Worker:
        if not name:
            raise InvalidRequest("which worker is to read it? Name one (opsconsole workers lists them)")
        return self._commit_loop.reactor.find_worker(name)


def role_to_describe(request: api.DescribeDataset) -> Role:
    """As for a listing; what a URL names is read from where the worker is, with its credentials: for operators only."""
    return Role.OPERATOR if request.query.root is None else role_for(request.query.root)
