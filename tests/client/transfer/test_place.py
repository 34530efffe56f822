"""Which folder of a worker is meant."""

import pytest

from opsconsole.transfer.place import find_worker, place_of, unknown
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
        ("input:odd:name", "input", b"odd:name", "/mnt/in/odd:name"),
        ("a/odd:name", "input", b"a/odd:name", "/mnt/in/a/odd:name"),
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
        ("nowhere:", NotFound),
        ("labb:x", NotFound),
    ],
)
def test_what_is_outside_is_refused(text: str, kind: type[OpsconsoleError]) -> None:
    with pytest.raises(kind):
        place_of(WORKER, text)


def test_a_label_that_is_misspelled_is_told_with_those_that_there_are() -> None:
    known = "which has input (/mnt/in), output (/mnt/out), lab (/mnt/lab), deep (/mnt/lab/deep)"
    with pytest.raises(NotFound) as refused:
        place_of(WORKER, "nowhere:")
    assert refused.value.message == f"gpu-a has no mount 'nowhere', {known}"
    with pytest.raises(NotFound) as refused:
        place_of(WORKER, "odd:name")
    assert refused.value.message == f"gpu-a has no mount 'odd', {known}; a name with a colon is written input:odd:name"
    assert place_of(WORKER, "lab").mount.label == "input"  # it may be a folder there
    with pytest.raises(InvalidRequest, match="did you mean gpu-a:lab: "):
        place_of(WORKER, "lab/", writes=True)
    assert place_of(WORKER, "input:lab", writes=True).folder == b"lab"


def test_a_worker_that_isnt_there_is_told_with_those_that_are() -> None:
    workers = [worker_row(f"gpu-{number}") for number in range(7)]
    assert find_worker(workers, "gpu-3") is workers[3]
    for name, words in (
        ("gpu-33", "did you mean gpu-3?"),
        ("z" * 10_000, "workers are gpu-0, gpu-1, gpu-2, gpu-3, gpu-4 and 2 more"),
    ):
        with pytest.raises(NotFound) as refused:
            find_worker(workers, name)
        assert refused.value.message.endswith(words)
        assert len(refused.value.message) < 200
        assert unknown(workers, name).message.startswith("there is no worker and no job '")
    with pytest.raises(NotFound, match="no worker has joined yet"):
        find_worker([], "x")


def test_a_worker_that_cant_be_asked_is_said_so() -> None:
    with pytest.raises(Conflict, match="upgrade"):
        place_of(worker_row("old"), "")
    with pytest.raises(NotFound, match="has no input folder, and no other: give its agent one with --input-path"):
        place_of(worker_row("bare", properties={"mounts": []}), "")
