"""The rows that benches yield: printed as they come, then written as JSON and as a Markdown table."""

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `ratio` is the figure relative to what `against` names; `bar` says what `value` or `ratio` should be."""

    bench: str
    what: str
    value: str
    method: str
    ratio: float | None = None
    against: str = ""
    bar: str = ""
    met: bool | None = None

    def line(self) -> str:
        """Return the row as a line for a terminal."""
        mark = "" if self.met is None else ("  ok" if self.met else "  NOT MET")
        ratio = "" if self.ratio is None else f"  {self.ratio:.2f} × {self.against}"
        bar = f"  (bar: {self.bar})" if self.bar else ""
        return f"{self.bench:<11}{self.what:<58}{self.value:>22}{ratio}{bar}{mark}"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured. Ratios of two machines can be compared, other figures can't."""

    processor: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    disk: str
    load1_before: float

    def line(self) -> str:
        """Return a line for a terminal and for above the table."""
        return (
            f"{self.cores} cores ({self.processor}), {self.memory_gb:.0f} GB, Linux {self.kernel}, Python {self.python}, "
            f"data on {self.disk}, load before: {self.load1_before:.1f}"
        )


def machine(folder: Path) -> Machine:
    """Describe this machine, and the disk that `folder` is on."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gb=psutil.virtual_memory().total / 1e9,
        kernel=platform.release(),
        python=platform.python_version(),
        disk=disk_of(folder),
        load1_before=os.getloadavg()[0],
    )


def disk_of(folder: Path) -> str:
    """Return the filesystem and device that a folder is on, for example `ext4 on /dev/vda`."""
    inside = [one for one in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(one.mountpoint)]
    found = max(inside, key=lambda one: len(one.mountpoint), default=None)
    return "unknown" if found is None else f"{found.fstype} on {found.device}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def write(folder: Path, where: Machine, rows: Sequence[Row], notes: Sequence[str]) -> None:
    """Write `results.json` and `results.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    content = {"at": at, "machine": asdict(where), "rows": [asdict(row) for row in rows], "notes": list(notes)}
    (folder / "results.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    lines = [f"{at}: {where.line()}", "", "| what | measured | ratio | bar | |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f} × {row.against}"
        met = {None: "", True: "met", False: "**not met**"}[row.met]
        lines.append(f"| {row.what} | {row.value} | {ratio} | {row.bar} | {met} |")
    lines += ["", *(f"- {note}" for note in notes)] if notes else []
    (folder / "results.md").write_text("\n".join(lines) + "\n")
