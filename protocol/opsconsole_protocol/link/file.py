"""Looking at files, on an agent's link. The coordinator has decided who may look, and at which attempt's folders."""

from opsconsole_protocol.bound import Label, Text, Whole
from opsconsole_protocol.file_listing import FilePage, FilePart, FileQuery, PartQuery
from opsconsole_protocol.link.message import Message


class ListFiles(Message, frozen=True, kw_only=True, tag="list_files"):
    """Ask for a page of a folder, or for what a search below it finds. Answered by `file_list`."""

    check_id: Whole
    query: FileQuery


class ReadFilePart(Message, frozen=True, kw_only=True, tag="read_file_part"):
    """Ask for a piece of a file. Answered by `file_part`."""

    check_id: Whole
    query: PartQuery


class FileList(Message, frozen=True, kw_only=True, tag="file_list"):
    """A page of a folder; where there is none, `error` says why, in one line, and `code` which kind of error it is."""

    check_id: Whole
    page: FilePage | None = None
    code: Label = ""
    error: Text = ""


class FilePartRead(Message, frozen=True, kw_only=True, tag="file_part"):
    """A piece of a file; where there is none, `error` and `code` are as in `file_list`."""

    check_id: Whole
    part: FilePart | None = None
    code: Label = ""
    error: Text = ""
