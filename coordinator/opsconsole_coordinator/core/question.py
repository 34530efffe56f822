"""What workers are asked about their files, folders and ports, and what they last said."""

from collections.abc import Mapping
from typing import NamedTuple

from opsconsole_protocol.ids import WorkerId
from opsconsole_protocol.link import QuestionKind


class Question(NamedTuple):
    """Which worker is asked for what. `name` is a file, a path, or for a port the job that it is for."""

    worker_id: WorkerId
    kind: QuestionKind
    name: str


class Answer(NamedTuple):
    """What a worker said: whether it is there (None: it was asked and hasn't answered), in words, and how long that counts."""

    found: bool | None
    detail: str
    good_until_ms: int
    port: int | None = None


Answers = Mapping[tuple[WorkerId, QuestionKind, str], Answer]
"""The last answer to each question. A question is found by its fields, too: thousands are looked up in a pass."""
UNASKED = Answer(None, "asking the worker", 0)


class Questions:
    """The last answer to every question, and numbers for those that are open: a worker answers by number."""

    def __init__(self) -> None:
        self.answers: dict[tuple[WorkerId, QuestionKind, str], Answer] = {}
        self._open: dict[int, Question] = {}
        self._numbers: dict[Question, int] = {}
        self._last_number = 0

    def number_of(self, question: Question) -> int:
        """The number of an open question; a question that is asked again while it is open keeps its number."""
        number = self._numbers.get(question)
        if number is None:
            self._last_number += 1
            number = self._numbers[question] = self._last_number
            self._open[number] = question
        return number

    def note_answer(self, number: int, worker_id: WorkerId, answer: Answer) -> bool:
        """Note the answer to an open question, and return False where this worker wasn't asked that."""
        question = self._open.get(number)
        if question is None or question.worker_id != worker_id:
            return False
        del self._open[number], self._numbers[question]
        self.answers[question] = answer
        return True
