"""The keys for workers, wherever workers are shown, and the actions behind them."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from opsconsole_console.screen.part.shell_access import shell
from opsconsole_console.screen.part.worker_cell import io_paths
from opsconsole_protocol.api import WorkerRow

WORKER_VERBS = frozenset({"worker_drain"})

WORKER_BINDINGS: list[BindingType] = [
    Binding("n", "app.new_job", "New", tooltip="A new job", id="worker.new_job"),
    Binding("m", "worker_drain", "Drain", tooltip="No more tasks for it; again to undo", id="worker.drain"),
    Binding("d", "worker_describe", "Describe", show=False, tooltip="All its properties", id="worker.describe"),
    Binding("f", "worker_files", "Files", tooltip="What is in its folders", id="worker.files"),
    Binding("y", "worker_copy", "Copy input path", show=False, id="worker.copy_input"),
    Binding("Y", "worker_copy_output", "Copy output path", show=False, id="worker.copy_output"),
]


class WorkerActions(Widget):
    """Mix into what shows workers; `selected_workers` says which ones are meant."""

    BINDINGS: ClassVar[list[BindingType]] = WORKER_BINDINGS

    def selected_workers(self) -> Sequence[WorkerRow]:
        """The marked workers, or else the one under the cursor."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide verbs from those who may only look."""
        if action in WORKER_VERBS and shell(self).read_only:
            return False
        return super().check_action(action, parameters)

    def unmark_workers(self, worker_ids: Collection[str]) -> None:
        """Take the marks off workers that something was done with."""

    def action_worker_drain(self) -> None:
        for worker in self.selected_workers():
            shell(self).do(partial(self._drain, worker))

    async def _drain(self, worker: WorkerRow) -> None:
        if await shell(self).operations.drain(worker):
            self.unmark_workers({worker.id})

    def action_worker_describe(self) -> None:
        for worker in self.selected_workers()[:1]:
            shell(self).navigation.open("properties", worker.id)

    def action_worker_files(self) -> None:
        for worker in self.selected_workers()[:1]:
            shell(self).navigation.open("files", worker.id)

    def action_worker_logs(self) -> None:
        for worker in self.selected_workers()[:1]:
            shell(self).navigation.open_worker_logs(worker.name)

    def action_worker_copy(self) -> None:
        self._copy_path(0, "input")

    def action_worker_copy_output(self) -> None:
        self._copy_path(1, "output")

    def _copy_path(self, which: int, word: str) -> None:
        for worker in self.selected_workers()[:1]:
            path = io_paths(worker)[which]
            if path:
                shell(self).copy(path, f"the {word} path of {worker.name}")
            else:
                shell(self).say(f"{worker.name} has no {word} folder", "warning")
