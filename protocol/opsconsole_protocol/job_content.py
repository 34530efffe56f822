"""What a job brings along: files and code, each a tree that has a name, and what is kept of what it makes."""

import msgspec

from opsconsole_protocol.bound import (
    NAME_CHARACTERS_MAX,
    PATH_CHARACTERS_MAX,
    BoundedContentId,
    Label,
    Path,
    Whole,
    check_count,
    check_length,
)
from opsconsole_protocol.content.glob import check_glob
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import check_content_id
from opsconsole_protocol.input_name import check_input_name
from opsconsole_protocol.quantity import size_words

UPLOADS_MAX = 1_000
COLLECTS_MAX = 100
SETUP_CHARACTERS_MAX = 10_000
_COMMIT_CHARACTERS = 10


class Upload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file or folder from an operator's machine. A file is a tree with one entry, which has the file's name."""

    name: Path
    """By which the task finds it in its folder of inputs."""
    content_id: BoundedContentId
    size_bytes: Whole
    files: Whole
    is_folder: bool = False
    host: Label = ""
    """The machine that sends it once a worker is known, by name; empty where the coordinator keeps it."""
    host_id: Label = ""

    @property
    def words(self) -> str:
        """`data.csv, 1.2 GB` or `images/, 312 files, 4.0 GB from mbp-7`."""
        name = f"{self.name}/, {_files(self.files)}" if self.is_folder else self.name
        return f"{name}, {size_words(self.size_bytes)}" + (f" from {self.host}" if self.host else "")


class Bundle(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The code as it was when the job was submitted."""

    content_id: BoundedContentId
    size_bytes: Whole
    files: Whole
    folder: Path = ""
    """Where it came from, for people."""
    commit: Path = ""
    """The commit that was checked out; empty outside git."""
    dirty: bool = False
    """Whether something differed from that commit."""

    @property
    def words(self) -> str:
        """`pose-net at 3f2c1ab with changes, 34 files, 1.2 MB`."""
        commit = f" at {self.commit[:_COMMIT_CHARACTERS]}" if self.commit else ""
        changes = " with changes" if self.dirty else ""
        return f"{self.folder or 'a folder'}{commit}{changes}, {_files(self.files)}, {size_words(self.size_bytes)}"


def check_contents(uploads: tuple[Upload, ...], bundle: Bundle | None, setup: str, collect: tuple[str, ...]) -> None:
    """Raise InvalidRequest for what a job can't bring along."""
    check_count("uploads", uploads, UPLOADS_MAX)
    check_count("patterns of files to collect", collect, COLLECTS_MAX)
    check_length("--setup", setup, SETUP_CHARACTERS_MAX)
    for pattern in collect:
        check_length("--collect", pattern, PATH_CHARACTERS_MAX)
        if not pattern or "\0" in pattern:
            raise InvalidRequest(f"--collect {pattern[:40]!r} names no files: give a pattern such as 'models/*'")
        try:
            check_glob(pattern)
        except InvalidRequest as error:
            raise InvalidRequest(f"--collect: {error.message}") from None
    if "\0" in setup:
        raise InvalidRequest("--setup contains a NUL character")
    for upload in uploads:
        _check_upload(upload)
    if len({upload.name for upload in uploads}) != len(uploads):
        raise InvalidRequest("two uploads have the same name: give one another name with --upload PATH:NAME")
    if bundle is not None:
        check_content_id(bundle.content_id)
        for what, text in (("the bundle's folder", bundle.folder), ("the bundle's commit", bundle.commit)):
            check_length(what, text, PATH_CHARACTERS_MAX)


def _check_upload(upload: Upload) -> None:
    check_content_id(upload.content_id)
    check_length("the host of an upload", upload.host, NAME_CHARACTERS_MAX)
    check_length("the id of an upload's host", upload.host_id, NAME_CHARACTERS_MAX)
    try:
        check_input_name(upload.name, "the task's folder of inputs")
    except InvalidRequest as error:
        raise InvalidRequest(f"--upload: {error.message}") from None


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number:,} files"
