"""What the recorded tasks print."""

import asyncio

from opsconsole.fleet import Fleet
from opsconsole_protocol import api
from opsconsole_protocol.error import NotFound
from opsconsole_protocol.log import LogLine, LogPage, Source
from opsconsole_protocol.pattern import compile_pattern
from tests.console.app import recorded

LINES = 3_000
_SECOND_MS = 1_000


def training_line(number: int) -> LogLine:
    """One line of a training run: epochs, a warning here and there, one traceback."""
    at_ms = recorded.NOW_MS - (LINES - number) * _SECOND_MS
    epoch, loss = number // 75, 2.4 * 0.9985**number + 0.11
    if number % 997 == 500:
        return LogLine(number, Source.STDERR, "RuntimeError: CUDA error: out of memory (retried with batch 24)", at_ms)
    if number % 211 == 90:
        return LogLine(number, Source.STDERR, "WARNING dataloader: worker 3 is slow (412 ms a batch)", at_ms)
    if number % 75 == 74:
        return LogLine(
            number, Source.STDOUT, f"epoch {epoch} done  val_loss {loss + 0.02:.4f}  saved ckpt-{epoch}.pt", at_ms
        )
    return LogLine(number, Source.STDOUT, f"epoch {epoch}/40  step {number % 75}/75  loss {loss:.4f}  lr 3.0e-4", at_ms)


class RecordedLog:
    """Pages of one long log; `say` adds lines that come while one watches."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = [training_line(number) for number in range(LINES)]
        self.finished = False
        self.state = "succeeded"
        """How the task ended, once it has."""
        self._more = asyncio.Event()

    def say(self, *texts: str, source: Source = Source.STDOUT) -> None:
        """Let the task print."""
        for text in texts:
            self.lines.append(LogLine(len(self.lines), source, text, recorded.NOW_MS))
        self._more.set()

    def finish(self) -> None:
        """Let the task end."""
        self.finished = True
        self._more.set()

    async def read(self, request: api.ReadLog, fleet: Fleet) -> api.LogAnswer:
        """A page, as the coordinator would answer."""
        job = fleet.jobs.get(request.id)
        if job is None:
            raise NotFound(f"there is no job {request.id}")
        page = self._page(request)
        while not page.lines and request.wait_ms and not self.finished and page.end:
            self._more.clear()
            await self._more.wait()
            page = self._page(request)
        index = request.task_index or 0
        attempt = request.attempt if request.attempt is not None else (1 if job.name == "train-lr3" else 0)
        state = self.state if self.finished else "running"
        return api.LogAnswer(
            page=page, task_id=f"{job.id}/task-{index}", attempt=attempt, attempt_state=state,
            worker=job.worker or "gpu-d", finished=self.finished and page.end,
        )  # fmt: skip

    def _page(self, request: api.ReadLog) -> LogPage:
        query = request.query
        lines = [line for line in self.lines if not query.sources or line.source in query.sources]
        if query.grep is not None:
            pattern = compile_pattern(query.grep)
            lines = [line for line in lines if pattern.matches(line.data) is not query.invert]
        if query.cursor is not None:
            lines = [line for line in lines if line.line_number >= int(query.cursor)]
        elif query.tail is not None:
            if query.before_line is not None:
                lines = [line for line in lines if line.line_number < query.before_line]
            lines = lines[-query.tail :]
        elif query.start_line:
            lines = [line for line in lines if line.line_number >= query.start_line]
        page = lines[: query.max_lines]
        last = page[-1].line_number + 1 if page else len(self.lines)
        first = page[0].line_number if page else len(self.lines)
        return LogPage(
            lines=tuple(page), next_cursor=str(last), end=len(page) == len(lines), first_line=first,
            total_lines=len(self.lines),
        )  # fmt: skip
