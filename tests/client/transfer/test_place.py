"""Which folder of a worker is meant."""

import pytest

from opsconsole.transfer.place import place_of
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound, OpsconsoleError
from tests.client.row import worker_row

MOUNTS = [
    {"label": "lab", "path": "/mnt/lab", "writable": True, "aliases": ["/Volumes/lab"]},
    {"label": "deep", "path": "/mnt/lab/deep"},
]
WORKER = worker_row("gpu-a", properties={"io_paths": {"input": "/mnt/in", "output": "/mnt/out"}, "mounts": MOUNTS})


@pytest.mark.parametrize(
    ("text", "label", "folder", "words"),
    [
        ("", "input", b"", "/mnt/in"),
        ("a//b/./c/", "input", b"a/b/c", "/mnt/in/a/b/c"),
        ("lab:", "lab", b"", "/mnt/lab"),
        ("lab:x/y", "lab", b"x/y", "/mnt/lab/x/y"),
        ("odd:name", "input", b"odd:name", "/mnt/in/odd:name"),
        ("/mnt/lab", "lab", b"", "/mnt/lab"),
        ("/Volumes/lab/x", "lab", b"x", "/mnt/lab/x"),
        ("/mnt/lab/deep/x", "deep", b"x", "/mnt/lab/deep/x"),
        ("/mnt/lab/deeper", "lab", b"deeper", "/mnt/lab/deeper"),
    ],
)
def test_a_folder_is_found(text: str, label: str, folder: bytes, words: str) -> None:
    place = place_of(WORKER, text)
    assert (place.mount.label, place.folder, place.words, place.root.mount) == (label, folder, words, label)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("..", InvalidRequest),
        ("a/../b", InvalidRequest),
        ("/etc", NotFound),
        ("/mnt/lab/../x", InvalidRequest),
        ("/", NotFound),
    ],
)
def test_what_is_outside_is_refused(text: str, kind: type[OpsconsoleError]) -> None:
    with pytest.raises(kind):
        place_of(WORKER, text)


def test_a_worker_that_cant_be_asked_is_said_so() -> None:
    with pytest.raises(Conflict, match="upgrade"):
        place_of(worker_row("old"), "")
    with pytest.raises(NotFound, match="has no input folder, and no other: give its agent one with --input-path"):
        place_of(worker_row("bare", properties={"mounts": []}), "")
