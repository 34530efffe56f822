"""Where a file browser stands: among a worker's mounts or a job's folders, or in one of their folders. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from opsconsole_protocol.api import WorkerRow
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.file_listing import FileEntry, FileKind, FilePage, mode_words
from opsconsole_protocol.mount import INPUT, mounts_of
from opsconsole_protocol.stream.message import FileRoot, RootKind

JOB_FOLDERS: tuple[tuple[RootKind, str, str], ...] = (
    (RootKind.OUTPUT, "outputs", "what it wrote"),
    (RootKind.WORK, "work", "the folder that it ran in"),
    (RootKind.INPUT, "inputs", "what was brought to it"),
)
"""A job's folders: their names here, and what they are."""


@dataclass(frozen=True)
class FileRow:
    """A line of a browser. `root` is set for a mount or a job's folder, which is opened by itself."""

    name: bytes
    kind: FileKind
    size: int = 0
    mtime_ms: int = 0
    mode: int = 0
    leads_to: FileKind | None = None
    special: str = ""
    note: str = ""
    path: str = ""
    """Of a mount: its whole path on the worker."""
    root: FileRoot | None = None
    lies_in: "FileSpot | None" = None
    """Another place that it is in, where it isn't in the one that lists it."""
    away: str = ""
    """Why it can't be opened or fetched from here; empty where it can."""

    @property
    def id(self) -> str:
        """By which a table knows it."""
        return self.name.hex()

    @property
    def mode_words(self) -> str:
        """Kind and permissions as `ls -l` writes them."""
        return mode_words(self.kind, self.mode, self.special)

    @property
    def text(self) -> str:
        """The name as text; what isn't UTF-8 is replaced, so this names no file."""
        return self.name.decode("utf-8", "replace")

    @property
    def is_folder(self) -> bool:
        """Whether it can be entered, as far as is known."""
        return FileKind.FOLDER in {self.kind, self.leads_to}

    @property
    def is_file(self) -> bool:
        """Whether it can be read."""
        return FileKind.FILE in {self.kind, self.leads_to}


@dataclass(frozen=True)
class FileSpot:
    """A place in the files of a worker (by name) or of a job. Without a root: the list of its roots."""

    worker: str = ""
    job_id: str = ""
    root: FileRoot | None = None
    folder: bytes = b""
    many_tasks: bool = False
    """Whether the job has several tasks, each a folder of its own."""

    @property
    def is_top(self) -> bool:
        """Whether nothing is above."""
        return self.root is None

    @property
    def title(self) -> str:
        """For people: `lab/runs/7`, `outputs/task-3/models`."""
        if self.root is None:
            return "mounts" if self.worker else "folders"
        parts = [self.root_name]
        if self.root.task_index is not None and self.many_tasks:
            parts.append(f"task-{self.root.task_index}")
        if self.folder:
            parts.append(self.folder.decode("utf-8", "replace"))
        return "/".join(parts)

    @property
    def root_name(self) -> str:
        """What the root is called here."""
        if self.root is None:
            return ""
        if self.root.kind is RootKind.MOUNT:
            return self.root.mount
        return next(name for kind, name, _ in JOB_FOLDERS if kind is self.root.kind)

    @property
    def is_task_list(self) -> bool:
        """Whether its entries are the tasks of a job."""
        root = self.root
        return root is not None and self.many_tasks and root.kind is not RootKind.MOUNT and root.task_index is None

    def into(self, row: FileRow) -> "FileSpot":
        """The place that a row opens."""
        if row.root is not None:
            return replace(self, root=row.root, folder=b"")
        if self.is_task_list and self.root is not None:
            index = int(row.name.removeprefix(b"task-"))
            return replace(self, root=_of_task(self.root, index), folder=b"")
        return replace(self, folder=self.path_of(row))

    def up(self) -> "FileSpot":
        """The place above, or this one where nothing is above."""
        if self.folder:
            return replace(self, folder=self.folder.rpartition(b"/")[0])
        if self.root is not None and self.many_tasks and self.root.task_index is not None:
            return replace(self, root=_of_task(self.root, None))
        return replace(self, root=None)

    @property
    def name_above(self) -> bytes:
        """What this place is called in the one above it."""
        if self.folder:
            return self.folder.rpartition(b"/")[2]
        if self.root is not None and self.many_tasks and self.root.task_index is not None:
            return f"task-{self.root.task_index}".encode()
        return self.root_name.encode()

    def path_of(self, row: FileRow) -> bytes:
        """A row's path below the root."""
        return b"/".join(part for part in (self.folder, row.name) if part)

    def input_name(self, row: FileRow) -> str:
        """How a job's input is called that is this file on a mount. Raises InvalidRequest where it can't be one."""
        root = self.root
        if root is None or root.kind is not RootKind.MOUNT:
            raise InvalidRequest("only a file on a worker's mount can be an input: bring others by --upload")
        try:
            path = self.path_of(row).decode()
        except UnicodeDecodeError:
            raise InvalidRequest("its name is not UTF-8: give the file another name to use it as an input") from None
        is_plain = root.mount == INPUT and "/" not in path and "\\" not in path
        return path if is_plain else f"{root.mount}:{path}"


def _of_task(root: FileRoot, index: int | None) -> FileRoot:
    return FileRoot(kind=root.kind, job_id=root.job_id, task_index=index)


def mount_rows(worker: WorkerRow) -> list[FileRow]:
    """A worker's mounts, as lines."""
    return [
        FileRow(
            mount.label.encode(),
            FileKind.FOLDER,
            note=mount.path + ("  writable" if mount.writable else ""),
            path=mount.path,
            root=FileRoot(kind=RootKind.MOUNT, mount=mount.label),
        )
        for mount in mounts_of(worker.properties)
    ]


def job_rows(job_id: str) -> list[FileRow]:
    """A job's folders, as lines."""
    return [
        FileRow(name.encode(), FileKind.FOLDER, note=about, root=FileRoot(kind=kind, job_id=job_id))
        for kind, name, about in JOB_FOLDERS
    ]


def file_rows(entries: Iterable[FileEntry]) -> list[FileRow]:
    """What a page lists, as lines."""
    return [FileRow(one.name, one.kind, one.size, one.mtime_ms, one.mode, one.leads_to, one.special) for one in entries]


def count_words(rows: Sequence[FileRow], page: FilePage, *, searching: bool) -> str:
    """How many there are and, where not all are here, how many of how many."""
    here, total = len(rows), max(page.total, len(rows))
    what = "found" if searching else "entries" if total != 1 else "entry"
    if here < total:
        return f"first {here:,} of {total:,}{'+' if page.truncated else ''} {what}"
    return f"{total:,}{'+' if page.truncated else ''} {what}"
