"""What workers say of a job's files, each by its name, for whoever is about to submit the job or asks why it waits."""

from typing import NamedTuple

from opsconsole_coordinator.core.capacity import lacks_folder
from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.fleet import INPUT_ANSWER_MS_MAX, Fleet
from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.core.offer import collect_offers
from opsconsole_coordinator.core.question import UNASKED, Answer, Question
from opsconsole_protocol import link
from opsconsole_protocol.api import InputState
from opsconsole_protocol.dataset import DATASETS
from opsconsole_protocol.link import QuestionKind
from opsconsole_protocol.quantity import size_words

IN_MOUNTS = frozenset({QuestionKind.INPUT, QuestionKind.DATASET})
"""What lies below a worker's folders."""


class FileCheck(NamedTuple):
    """What one worker says of one file or folder."""

    kind: QuestionKind
    name: str
    state: InputState
    detail: str
    is_awaited: bool = False
    """The worker was asked, is there, and hasn't answered yet."""


def ask_everybody(fleet: Fleet, demand: Demand, now_ms: int) -> None:
    """Ask about input files also the workers that would refuse the job for another reason, if they can answer."""
    for worker in fleet.workers.values():
        for kind, name in demand.files if worker.is_reachable else ():
            if kind in IN_MOUNTS and not lacks_folder(worker, name) and not is_too_old(worker, kind):
                fleet.ask(Question(worker.id, kind, name), now_ms)
    collect_offers(fleet, demand, now_ms)  # which asks about the working folder, too


def is_too_old(worker: Worker, kind: QuestionKind) -> bool:
    """Whether a worker's agent doesn't know this kind of question."""
    return kind is QuestionKind.DATASET and not isinstance(worker.properties.get(DATASETS), (list, tuple))


def note_file(fleet: Fleet, worker: Worker, message: link.FileExists | link.FileNotFound, now_ms: int) -> None:
    """A worker has looked for a file or folder."""
    if isinstance(message, link.FileExists):
        size = "a folder" if message.is_folder else size_words(message.size_bytes)
        answer = Answer(True, f"found, {size}", now_ms + INPUT_ANSWER_MS_MAX)
    else:
        again_ms = INPUT_ANSWER_MS_MAX if message.again_ms is None else min(message.again_ms, INPUT_ANSWER_MS_MAX)
        answer = Answer(False, message.reason, now_ms + again_ms)
    fleet.note_answer(message.check_id, worker.id, answer)


def file_checks(fleet: Fleet, worker: Worker, demand: Demand) -> list[FileCheck]:
    """How each file of a job stands on a worker. An answer stands until there is a newer one, also while the worker is away."""
    return [_check(fleet, worker, kind, name) for kind, name in demand.files]


def _check(fleet: Fleet, worker: Worker, kind: QuestionKind, name: str) -> FileCheck:
    lacks = lacks_folder(worker, name) if kind in IN_MOUNTS else ""
    if lacks:
        return FileCheck(kind, name, InputState.NO_FOLDER, lacks)
    answer = fleet.questions.answers.get(Question(worker.id, kind, name), UNASKED)
    if answer.found is not None:
        return FileCheck(kind, name, InputState.FOUND if answer.found else InputState.MISSING, answer.detail)
    if not worker.is_reachable:
        return FileCheck(kind, name, InputState.UNREACHABLE, worker.connection)
    return FileCheck(kind, name, InputState.ASKING, answer.detail, is_awaited=answer.good_until_ms > 0)
