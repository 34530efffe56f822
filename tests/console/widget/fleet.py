"""A small recorded fleet and an app that shows it, for the widgets' tests."""

from dataclasses import dataclass

from textual.app import App, ComposeResult
from textual.theme import Theme
from textual.widget import Widget

from opsconsole_console import format as fmt
from opsconsole_console import theme as themes
from opsconsole_console.widget.bar import progress
from opsconsole_console.widget.cell import Cell
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.sign import sign, tally
from opsconsole_console.widget.sparkline import utilisation
from opsconsole_protocol.log import LogLine, Source


@dataclass(frozen=True)
class Job:
    id: str
    name: str
    state: str
    priority: int = 0
    done: float = 0.0
    eta_ms: int | None = None
    where: str = ""
    counts: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Worker:
    name: str
    status: str
    gpu: str
    history: tuple[float | None, ...]
    used_mb: int
    total_mb: int
    io: str = "vast"


MINUTE_MS = 60_000

JOBS = (
    Job("42f", "train-lr3", "running", 10, 0.41, 18 * MINUTE_MS, "gpu-a"),
    Job("51c", "sweep", "running", 0, 0.34, 125 * MINUTE_MS, "4", (("running", 4), ("succeeded", 11), ("pending", 17))),
    Job("6a0", "eval", "pending", 0, 0.0, None, "needs 40G free; gpu-b in 18m"),
    Job("6b2", "export-onnx", "held", 0, 0.0, None, "held by ana"),
    Job("6c9", "train-lr4", "paused", 5, 0.77, None, "gpu-c"),
    Job("3e1", "prepare", "succeeded", 0, 1.0, None, "gpu-a"),
    Job("3d7", "train-lr2", "failed", 0, 0.08, None, "out of memory on gpu-d"),
    Job("3aa", "smoke", "killed", 0, 0.5, None, "cancelled by ben"),
    Job("39c", "probe", "worker_failed", 0, 0.2, None, "gpu-e lost for 3m"),
    Job("7f0", "after-eval", "blocked", 0, 0.0, None, "6a0 has to succeed first"),
    Job("7f1", "unpack", "building", 0, 0.01, 2 * MINUTE_MS, "gpu-f"),
)

WORKERS = (
    Worker("gpu-a", "busy", "2×A100-80", (71.0, 80.0, 93.0, 68.0), 62_464, 81_920),
    Worker("gpu-b", "available", "4×H100-80", (0.0, 2.0, 0.0, 1.0), 2_048, 81_920),
    Worker("gpu-c", "busy", "1×RTX4090", (35.0, 52.0, 41.0, 12.0), 20_480, 24_564, "local"),
    Worker("gpu-d", "maintenance", "8×A100-40", (99.0, 97.0, 100.0, 98.0), 39_000, 40_960),
    Worker("gpu-e", "lost", "4×H100-80", (88.0, 90.0, None, None), 0, 81_920),
    Worker("gpu-f", "silent", "2×L40S", (10.0, 20.0, 30.0, None), 11_000, 46_068),
    Worker("gpu-g", "reserved", "2×L40S", (0.0, 0.0, 0.0, 0.0), 300, 46_068),
)


def progress_of(job: Job) -> Cell:
    if job.state in {"pending", "held", "blocked"}:
        return Cell(((job.where, "text-muted"),))
    return progress(job.done, 15)


def job_columns() -> list[Column[Job]]:
    return [
        Column("id", "ID", lambda job: job.id, width=4, priority=10, sort_key=lambda job: job.id, tone="text-muted"),
        Column("name", "NAME", lambda job: job.name, width=10, flex=1, width_max=24, priority=9, sort_key=lambda job: job.name, hotkey="N"),
        Column(
            "state",
            "STATE",
            lambda job: tally(dict(job.counts)) if job.counts else sign(job.state).cell,
            width=17,
            priority=8,
            sort_key=lambda job: job.state,
            hotkey="S",
        ),
        Column(
            "priority",
            "PRIO",
            lambda job: str(job.priority),
            width=5,
            align="right",
            priority=3,
            sort_key=lambda job: job.priority,
            descending=True,
        ),
        Column("progress", "PROGRESS", progress_of, width=15, flex=2, width_max=34, priority=7),
        Column(
            "eta", "ETA", lambda job: fmt.duration(job.eta_ms), width=4, align="right", priority=6,
            sort_key=lambda job: job.eta_ms,
        ),
        Column("where", "WHERE", lambda job: job.where, width=10, flex=1, priority=4),
    ]  # fmt: skip


def worker_columns() -> list[Column[Worker]]:
    return [
        Column("name", "NAME", lambda worker: worker.name, width=8, priority=10, sort_key=lambda worker: worker.name),
        Column("status", "STATUS", lambda worker: sign(worker.status).cell, width=13, priority=9),
        Column("gpu", "GPU", lambda worker: worker.gpu, width=10, flex=1, width_max=18, priority=6),
        Column("util", "UTIL", lambda worker: utilisation(worker.history), width=6, priority=7),
        Column("mem", "MEM", lambda worker: fmt.memory(worker.used_mb, worker.total_mb), width=9, align="right"),
        Column("io", "IN → OUT", lambda worker: worker.io, width=9, priority=2, tone="text-muted"),
    ]


class ThemedApp(App[None]):
    """One or a few widgets in one of our themes, with the console's stylesheet."""

    CSS_PATH = themes.stylesheet_path()
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, *content: Widget, theme: str = themes.DEFAULT_THEME) -> None:
        super().__init__()
        self._content = content
        for one in themes.load_themes([themes.shipped_folder()]).themes:
            self.register_theme(one)
        self.theme = theme
        self.ansi_theme_dark, self.ansi_theme_light = themes.ANSI_DARK, themes.ANSI_LIGHT
        self.messages: list[object] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        theme: Theme = self.current_theme
        return themes.variable_defaults(theme)

    def compose(self) -> ComposeResult:
        yield from self._content


def log_lines(count: int, start: int = 0) -> list[LogLine]:
    """A training's output, one line a second from 12:04:00 UTC on."""
    return [
        log_line(number, f"epoch 12/40  step {number}  loss {0.2 - number / 10_000:.4f}")
        for number in range(start, start + count)
    ]


def log_line(
    number: int, data: str, source: Source = Source.STDOUT, *, partial: bool = False, start: int = 0
) -> LogLine:
    return LogLine(
        number, source, data, 43_440_000 + number * 1_000, partial, start, len(data.encode(errors="replace"))
    )
