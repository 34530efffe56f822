"""The code as it is now, for a job that is about to be submitted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole.transfer.code_files import check_size, code_files
from opsconsole.transfer.local_source import LocalSource
from opsconsole.transfer.upload import TRIES, Keep
from opsconsole_protocol.content.error import ContentChanged
from opsconsole_protocol.error import LimitExceeded
from opsconsole_protocol.job_content import Bundle
from opsconsole_protocol.quantity import size_words

if TYPE_CHECKING:
    from opsconsole.transfer.carrier import Load
    from opsconsole.transfer.transfer import Transfer


def bundle(load: Load, transfer: Transfer, folder: Path, bytes_max: int, keep: Keep) -> Bundle:
    """Take a snapshot of the code in a folder and have the coordinator keep it. Blocks. Raises OpsconsoleError.

    What changes meanwhile is looked at again, so that the snapshot is of one moment for each file.
    """
    for left in reversed(range(TRIES)):
        found = code_files(folder)
        check_size(folder, found.paths, bytes_max)
        try:
            with LocalSource.of_some(folder, found.paths, progress=transfer.scanned, cancel=load.cancel) as source:
                is_kept = keep(load, transfer, source)
        except ContentChanged:
            if not left:
                raise
            continue
        manifest = source.manifest
        if not is_kept:
            raise LimitExceeded(
                f"the code in {folder} has {size_words(manifest.size_bytes)}, more than the coordinator keeps: name data in "
                ".gitignore and bring it with --upload"
            )
        return Bundle(
            content_id=manifest.content_id,
            size_bytes=manifest.size_bytes,
            files=manifest.files,
            folder=folder_name(folder),
            commit=found.commit,
            dirty=found.dirty,
        )
    raise AssertionError("the last try returns or raises")


def folder_name(folder: Path) -> str:
    """What the folder is called, for people."""
    return Path(os.path.abspath(folder)).name or "/"  # noqa: PTH100 - a link's own name
