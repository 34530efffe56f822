"""Asks a worker what the datasets of a job are that is being typed, and remembers what it said."""

import asyncio
from collections.abc import Callable, Iterable

from opsconsole.ask import ask
from opsconsole_console.screen.new_job.dataset_text import answer_lines, refusal_lines, waiting_lines
from opsconsole_console.screen.part.line_view import Line
from opsconsole_console.service.source import FleetSource
from opsconsole_protocol.api import DatasetAnswer, DescribeDataset, InputState, Verdict, WorkerRow
from opsconsole_protocol.dataset import DATASETS, DatasetQuery, JobDataset, inability, is_url
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError
from opsconsole_protocol.mount import mounts_of, place_input
from opsconsole_protocol.stream.message import FileRoot, RootKind

URL_WAIT_S = 0.7
"""How long a URL stays as it is before a worker dials it: it may still be being typed."""

Key = tuple[str, JobDataset]


class DatasetLook:
    """What is known by worker and dataset. `on_news`: something more is."""

    def __init__(self, source: FleetSource, on_news: Callable[[], None]) -> None:
        self._source = source
        self._on_news = on_news
        self._said: dict[Key, DatasetAnswer | str] = {}

    def forget_refusals(self) -> None:
        """Ask again for what couldn't be looked at: something was changed since."""
        self._said = {key: said for key, said in self._said.items() if not isinstance(said, str)}

    def open_questions(
        self, worker: WorkerRow | None, verdict: Verdict | None, datasets: Iterable[JobDataset]
    ) -> tuple[Key, ...]:
        """What this worker can be asked now, and hasn't said."""
        if worker is None:
            return ()
        keys = [(worker.id, one) for one in datasets if _obstacle(worker, verdict, one) == ("", "")]
        return tuple(key for key in keys if key not in self._said)

    def broken(self, worker: WorkerRow | None, datasets: Iterable[JobDataset]) -> JobDataset | None:
        """The first of them that this worker has found broken."""
        for one in datasets:
            said = None if worker is None else self._said.get((worker.id, one))
            if isinstance(said, DatasetAnswer) and said.fault is not None:
                return one
        return None

    async def ask(self, worker: WorkerRow, questions: Iterable[Key]) -> None:
        """Ask one after the other."""
        for key in questions:
            if is_url(key[1].where):
                await asyncio.sleep(URL_WAIT_S)
            try:
                request = DescribeDataset(worker=worker.id, query=_query(worker, key[1]))
                self._said[key] = await ask(self._source, request, DatasetAnswer)
            except OpsconsoleError as error:
                self._said[key] = error.message
            self._on_news()

    def lines(self, worker: WorkerRow | None, verdict: Verdict | None, dataset: JobDataset, cells: int) -> list[Line]:
        """What is known of one."""
        if worker is None:
            return waiting_lines(dataset, "no worker is known that could look at it", cells)
        refusal, wait = _obstacle(worker, verdict, dataset)
        if refusal:
            return refusal_lines(dataset, f"{worker.name}: {refusal}", cells)
        said = self._said.get((worker.id, dataset))
        if said is None:
            return waiting_lines(dataset, wait or f"{worker.name} looks at it …", cells)
        if isinstance(said, str):
            return refusal_lines(dataset, said, cells)
        return answer_lines(dataset, said, cells)


def _obstacle(worker: WorkerRow, verdict: Verdict | None, dataset: JobDataset) -> tuple[str, str]:
    """Why it can't be asked for, and why not yet."""
    if lacks := inability(worker.properties.get(DATASETS), dataset):
        return lacks, ""
    if is_url(dataset.where):
        return "", ""
    check = next((one for one in verdict.inputs if one.name == dataset.where), None) if verdict is not None else None
    if check is None or check.state == InputState.ASKING:
        return "", f"{worker.name} looks for it …"
    return ("" if check.state == InputState.FOUND else check.detail), ""


def _query(worker: WorkerRow, dataset: JobDataset) -> DatasetQuery:
    """Raises InvalidRequest."""
    if is_url(dataset.where):
        return DatasetQuery(url=dataset.where)
    mount, below = place_input(mounts_of(worker.properties), dataset.where)
    try:
        return DatasetQuery(root=FileRoot(kind=RootKind.MOUNT, mount=mount.label), path=below.encode())
    except UnicodeEncodeError:
        raise InvalidRequest(f"{dataset.shown!r} is not valid Unicode") from None
