"""The steps that bring files and code to an attempt: trees are fetched where they are lacking, and code is copied."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Protocol

from opsconsole_agent.engine.build import Build, in_thread, is_sent_checkpoint
from opsconsole_agent.engine.bundle import make_copy
from opsconsole_agent.engine.engine import StepProgress
from opsconsole_agent.keeper_client.message import User
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_agent.transfer.content_cache import Fetching
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.content.path import check_path
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.host.content.store import StoredTree
from opsconsole_protocol.ids import AttemptId, ContentId
from opsconsole_protocol.input_name import check_input_name
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.link import Launch
from opsconsole_protocol.quantity import size_words


class ContentSource(Protocol):
    """Where trees come from; see `transfer/content_cache.py`."""

    async def obtain(self, content_id: ContentId, attempt_id: AttemptId, fetching: Fetching) -> StoredTree:
        """The tree, whole and unchanged, in use by this attempt; fetched where it is lacking."""

    async def manifest(self, content_id: ContentId) -> Manifest | None:
        """What a tree consists of, None where it isn't here."""

    def release(self, attempt_id: AttemptId) -> None:
        """The attempt needs none any more. Blocks."""


class Contents:
    """Has all trees of a launch in the worker's store."""

    name = "files"

    def __init__(self, source: ContentSource, state: StateFolder) -> None:
        self._source = source
        self._state = state

    def is_quick(self, launch: Launch) -> bool:
        """Without files and code of its own."""
        return not launch.uploads and launch.bundle is None and not is_sent_checkpoint(launch)

    async def run(self, build: Build) -> None:
        """Fetch what is lacking; raises OpsconsoleError or OSError."""
        launch = build.launch
        for upload in launch.uploads:
            check_input_name(upload.name, "the task's folder of inputs")
        bundle = () if launch.bundle is None else (launch.bundle,)
        wanted = {one.content_id: one.size_bytes for one in (*bundle, *launch.uploads)}
        resume = launch.resume
        if resume is not None and resume.content_id is not None:
            wanted[resume.content_id] = resume.size_bytes
        total = sum(wanted.values())
        trees: dict[ContentId, StoredTree] = {}
        done = 0
        for content_id, size_bytes in wanted.items():
            fetching = _Fetching(build, self.name, done, total, size_bytes)
            trees[content_id] = await self._source.obtain(content_id, build.attempt_id, fetching)
            done += size_bytes
        if resume is not None and resume.content_id is not None:
            build.resume_path = str(_below(trees[resume.content_id], resume.path))
        paths = [str(input_path(upload, trees[upload.content_id])) for upload in launch.uploads]
        build.inputs += tuple(paths)
        if launch.bundle is not None:
            build.bundle = trees[launch.bundle.content_id]
        if launch.uploads:
            named = [(upload.name, path) for upload, path in zip(launch.uploads, paths, strict=True)]
            build.uploads = dict(named)
            await in_thread(self._state.name_inputs, build.attempt_id, named)


def input_path(upload: Upload, tree: StoredTree) -> Path:
    """What a task is given for an upload: the tree's folder, or the one file in it. Raises InvalidRequest."""
    if upload.is_folder:
        return tree.path
    entries = tree.manifest.entries
    if len(entries) != 1:
        raise InvalidRequest(f"the upload {upload.name} was to be one file, and is {len(entries)}: submit it again")
    return tree.path / Path(entries[0].path.decode(errors="surrogateescape"))


def _below(tree: StoredTree, path: str) -> Path:
    """A path in a tree. Raises InvalidRequest for one that leads out of it."""
    raw = os.fsencode(path)
    check_path(raw)
    return tree.path / os.fsdecode(raw)


class BundleFolder:
    """The attempt's own copy of the code, as its working folder."""

    name = "code"

    def __init__(self, state: StateFolder, user: User | None) -> None:
        self._state = state
        self._user = user

    def is_quick(self, launch: Launch) -> bool:
        """Without code of its own."""
        return launch.bundle is None

    async def run(self, build: Build) -> None:
        """Make the copy; raises OpsconsoleError or OSError."""
        if build.bundle is None:
            return
        build.workdir = build.bundle_path = self._state.work(build.attempt_id)
        is_cancelled = threading.Event()
        try:
            await in_thread(make_copy, build.bundle, Path(build.workdir), self._user, is_cancelled)
        except asyncio.CancelledError:
            is_cancelled.set()
            raise


class _Fetching:
    """Tells the attempt's build how far it is, and its log what is done."""

    def __init__(self, build: Build, step: str, done: int, total: int, size: int) -> None:
        self._build = build
        self._step = step
        self._done = done
        self._total = total
        self._size = size

    def progress(self, done: int) -> None:
        """This many bytes of the tree are here."""
        self._build.progress = StepProgress(self._step, self._done + min(done, self._size), max(self._total, 1))

    def begin(self) -> None:
        """It isn't here."""
        self._build.from_cache = False
        self.tell(f"fetching {size_words(self._size)}")

    def tell(self, text: str) -> None:
        """A line for the attempt's log, which also is what it is busy with until more bytes come."""
        before = self._build.progress
        if before is not None and before.step.startswith(self._step):
            self._build.progress = before._replace(step=f"{self._step}: {text}")
        if self._build.log is not None:
            self._build.log.say(text)
