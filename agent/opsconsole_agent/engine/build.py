"""One attempt while it is prepared, step by step, and what a step is."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

from opsconsole_agent.engine.build_log import BuildLog
from opsconsole_agent.engine.engine import StepProgress
from opsconsole_agent.keeper_client.message import StartCommand
from opsconsole_agent.probe.child_scope import ChildScope
from opsconsole_protocol.dataset import FoundDataset, JobDataset
from opsconsole_protocol.host.content.store import StoredTree
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Launch

P = ParamSpec("P")
T = TypeVar("T")


class StagedDataset(NamedTuple):
    """One dataset of an attempt. `location`: a whole path, or the URL."""

    dataset: JobDataset
    location: str
    found: FoundDataset


@dataclass(slots=True)
class Build:
    """What the steps of one preparation have found and made so far, each for those after it."""

    attempt_id: AttemptId
    launch: Launch
    ports: Mapping[str, int] = field(default_factory=dict)
    is_quick: bool = False
    """All of its steps said that they are: none may wait now."""
    log: BuildLog | None = None
    """What it says of itself; None where nothing that takes time is done for it."""
    workdir: str = ""
    inputs: tuple[str, ...] = ()
    uploads: Mapping[str, str] = field(default_factory=dict)
    """Where each of the job's uploads lies, by its name."""
    datasets: tuple[StagedDataset, ...] = ()
    bundle: StoredTree | None = None
    """The code as it lies in the worker's store; no task writes there."""
    bundle_path: str | None = None
    """The attempt's own copy of it."""
    setup_path: str | None = None
    from_cache: bool = True
    """Nothing had to be fetched or set up."""
    output_path: str | None = None
    resume_path: str | None = None
    """The checkpoint from which it goes on."""
    command: StartCommand | None = None
    progress: StepProgress | None = None
    """How far the step under way is; None before the first one."""


class Step(Protocol):
    """One step of every preparation."""

    @property
    def name(self) -> str:
        """What it does, in a word or two."""

    def is_quick(self, launch: Launch) -> bool:
        """Whether nothing that could hang or take long has to be done for this launch: then `run` never waits."""

    async def run(self, build: Build) -> None:
        """Do it; raises OpsconsoleError or OSError with the reason why the attempt can't be started.

        Cancelled, it stops at once and leaves nothing half made: it is not waited for. It is shown as one part of one
        that is under way, unless it sets `build.progress` to say more.
        """


def has_build(launch: Launch) -> bool:
    """Whether files, code, a setup or datasets belong to it, so that its log may have the source `build`."""
    brings = launch.uploads or launch.bundle is not None or is_sent_checkpoint(launch)
    return bool(brings or launch.setup or launch.datasets)


def is_sent_checkpoint(launch: Launch) -> bool:
    """Whether the checkpoint from which it goes on is sent to its worker."""
    return launch.resume is not None and launch.resume.content_id is not None


def run_at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never waits; raises what it raises, RuntimeError if it does wait."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise RuntimeError("this was to be done at once, and waits")


async def in_thread(function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Call it in a thread. Cancelled, the child processes that it waits for are killed, so the thread ends soon, too."""
    scope = ChildScope()
    try:
        return await asyncio.to_thread(lambda: scope.run(function, *args, **named))
    except asyncio.CancelledError:
        scope.end()
        raise
