"""Ends of streams for tests: an operator's and an agent's, which dial the coordinator as the real ones do."""

import asyncio
import threading
from pathlib import Path
from typing import TypeVar

from opsconsole_protocol import api, link
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.error import from_code
from opsconsole_protocol.host.content import session
from opsconsole_protocol.host.content.scan import scan
from opsconsole_protocol.host.content.sink import FolderSink
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.host.stream.negotiation import open_stream
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.ids import AttemptId, ContentId
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.stream.message import FetchContent, KeepContent, OpenStream, StreamGrant
from tests.coordinator.server.peer import Agent, Operator, Site

T = TypeVar("T")


class NoSignals:
    """To the coordinator's own store nothing has to be told."""

    def send(self, body: bytes) -> None:
        """Nobody listens."""

    def receive(self, timeout_s: float) -> bytes | None:
        """Nobody speaks."""
        threading.Event().wait(timeout_s)
        return None


def home(site: Site) -> Home:
    """The coordinator as streams reach it."""
    return Home(site.endpoint.url, site.endpoint.certificate_hash)


def dialled(site: Site, grant: StreamGrant) -> Stream:
    """This end of a stream to the coordinator's store. It blocks."""
    return open_stream(grant, NoSignals(), home(site), tell=lambda _: None, cancel=threading.Event())


def make_tree(folder: Path, files: dict[str, bytes]) -> Manifest:
    """A folder with these files, and its manifest."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return scan(folder)


def upload_of(manifest: Manifest, name: str = "data") -> Upload:
    """A job's upload that is this tree."""
    return Upload(
        name=name,
        content_id=manifest.content_id,
        size_bytes=manifest.size_bytes,
        files=manifest.files,
        is_folder=True,
    )


async def ask_to_keep(operator: Operator, manifest: Manifest) -> StreamGrant:
    """The grant by which an operator brings a tree."""
    purpose = KeepContent(content_id=manifest.content_id, size_bytes=manifest.size_bytes, files=manifest.files)
    answer: api.StreamAnswer = await operator.call(api.AskForStream(open=OpenStream(purpose=purpose)))
    return answer.grant


async def keep(site: Site, operator: Operator, folder: Path, manifest: Manifest) -> session.Summary:
    """An operator brings a tree to the coordinator."""
    grant = await ask_to_keep(operator, manifest)

    def work() -> session.Summary:
        stream = dialled(site, grant)
        source = FolderSource(folder, manifest)
        try:
            return session.send(stream, source)
        finally:
            source.close()
            stream.close()

    return await asyncio.to_thread(work)


async def ask_to_fetch(agent: Agent, content_id: ContentId, attempt_id: str, number: int = 1) -> StreamGrant:
    """The grant by which an agent fetches a tree. Raises what it is refused with."""
    purpose = FetchContent(content_id=content_id, attempt_id=attempt_id)
    await agent.send(link.AskForStream(number=number, open=OpenStream(purpose=purpose)))
    while True:
        match await agent.next():
            case link.StreamGranted(number=found, grant=grant) if found == number:
                return grant
            case link.StreamRefused(number=found, code=code, message=message) if found == number:
                raise from_code(code, message)


async def fetch(site: Site, agent: Agent, content_id: ContentId, attempt_id: AttemptId, into: Path) -> session.Summary:
    """An agent fetches a tree."""
    grant = await ask_to_fetch(agent, content_id, attempt_id)
    return await asyncio.to_thread(received, site, grant, into)


def received(site: Site, grant: StreamGrant, into: Path) -> session.Summary:
    """Receive the tree that comes over a stream to the coordinator. It blocks."""
    stream = dialled(site, grant)
    try:
        return session.receive(stream, lambda manifest: FolderSink(manifest, into.with_suffix(".incoming"), into))
    finally:
        stream.close()
