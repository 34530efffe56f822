"""Files on the workers of the recorded fleet: a tree in memory, answered as the coordinator would."""

import json
import struct
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest, NotFound
from opsconsole_protocol.file_listing import FileEntry, FileKind, FilePage, FilePart, FileSort
from opsconsole_protocol.stream.message import FileRoot, RootKind
from tests.recording.lab import HOUR_MS, NOW_MS

Tree = dict[bytes, "bytes | Tree"]

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 640, 480) + b"\x08\x02\0\0\0"
POINTS = b"name,x,y,note\n" + b"".join(
    b"point-%d,%d,%.2f,%s\n" % (number, number * 7, number / 3, b'"left, upper"' if number % 3 else b"")
    for number in range(200)
)
METRICS = b"".join(
    json.dumps({"step": step, "loss": round(1 / (step + 1), 4), "lr": 3e-4}).encode() + b"\n" for step in range(50)
)
CONFIG = json.dumps({"model": {"name": "unet", "layers": [64, 128, 256]}, "augment": True, "seed": None}).encode()
LOG = b"".join(b"\x1b[32mepoch %d\x1b[0m done, loss %.4f\n" % (number, 1 / (number + 1)) for number in range(20_000))


def mount() -> Tree:
    """What is in an input folder."""
    return {
        b"clips of may.h5": bytes(3_000),
        b"points.csv": POINTS,
        b"runs": {b"7": {b"best.pt": bytes(range(256)) * 40, b"metrics.jsonl": METRICS}, b"8": {}},
        b"config.json": CONFIG,
        b"frame.png": PNG,
        b"odd \xff\x1b[2J\n\xe2\x80\xaename": b"x",
        b"train.log": LOG,
        b"empty.txt": b"",
    }


def job() -> Tree:
    """What is in a task's output folder."""
    return {b"models": {b"best.pt": bytes(9_000)}, b"logs": {b"train.log": LOG}, b"metrics.jsonl": METRICS}


@dataclass
class RecordedFiles:
    """`trees` by mount and by kind of a job's folder."""

    mounts: dict[str, Tree] = field(default_factory=lambda: {"input": mount(), "output": {b"jobs": {}}})
    jobs: dict[RootKind, Tree] = field(default_factory=lambda: {RootKind.OUTPUT: job(), RootKind.WORK: {}})
    tasks: int = 32

    def list_files(self, request: api.ListFiles) -> api.FileList:
        query = request.query
        worker = request.worker or "gpu-a"
        if (
            query.root.kind is not RootKind.MOUNT
            and query.root.job_id.startswith("51c")
            and query.root.task_index is None
        ):
            entries = [FileEntry(b"task-%d" % number, FileKind.FOLDER, 0, NOW_MS) for number in range(self.tasks)]
            return api.FileList(page=FilePage(entries=tuple(entries), total=len(entries)))
        tree = self._find(query.root, query.folder)
        if isinstance(tree, bytes):
            raise InvalidRequest("it is a file, not a folder")
        if query.pattern:
            sign = query.pattern if set("*?[") & set(query.pattern) else f"*{query.pattern}*"
            named = [
                (name, item) for name, item in _below(tree) if fnmatchcase(name.decode("utf-8", "replace"), f"{sign}")
            ]
        else:
            named = list(tree.items())
        entries = [_entry(name, item, number) for number, (name, item) in enumerate(named)]
        sorts = {
            FileSort.NAME: lambda one: (one.kind is not FileKind.FOLDER, one.name),
            FileSort.SIZE: lambda one: (one.size, one.name),
            FileSort.TIME: lambda one: (one.mtime_ms, one.name),
        }
        entries.sort(key=sorts[query.sort], reverse=query.descending)
        page = entries[query.offset : query.offset + query.limit]
        path = "/mnt/vast/" + "/".join(filter(None, (query.root.mount, query.folder.decode("utf-8", "replace"))))
        return api.FileList(
            page=FilePage(
                entries=tuple(page), total=len(entries), more=query.offset + len(page) < len(entries), path=path
            ),
            worker=worker,
        )

    def read_part(self, request: api.ReadFilePart) -> api.FilePartAnswer:
        query = request.query
        data = self._find(query.root, query.path)
        if not isinstance(data, bytes):
            raise InvalidRequest("it is a folder, not a file")
        piece = data[query.offset : query.offset + query.limit]
        path = f"/mnt/vast/{query.root.mount}/{query.path.decode('utf-8', 'replace')}"
        part = FilePart(data=piece, size=len(data), mtime_ms=NOW_MS - HOUR_MS, path=path)
        return api.FilePartAnswer(part=part, worker=request.worker or "gpu-a")

    def _find(self, root: FileRoot, path: bytes) -> "bytes | Tree":
        found: bytes | Tree | None = (
            self.mounts.get(root.mount) if root.kind is RootKind.MOUNT else self.jobs.get(root.kind)
        )
        for part in path.split(b"/") if path else ():
            found = found.get(part) if isinstance(found, dict) else None
        if found is None:
            raise NotFound(
                f"{path.rpartition(b'/')[2].decode('utf-8', 'replace') or 'the folder'} is not there (any more)"
            )
        return found


def _below(tree: Tree, above: bytes = b"") -> list[tuple[bytes, "bytes | Tree"]]:
    found: list[tuple[bytes, bytes | Tree]] = []
    for name, item in tree.items():
        found.append((above + name, item))
        if isinstance(item, dict):
            found += _below(item, above + name + b"/")
    return found


def _entry(name: bytes, item: "bytes | Tree", number: int) -> FileEntry:
    if isinstance(item, dict):
        return FileEntry(name, FileKind.FOLDER, 0, NOW_MS - number * HOUR_MS, 0o755)
    return FileEntry(name, FileKind.FILE, len(item), NOW_MS - number * HOUR_MS, 0o644)
