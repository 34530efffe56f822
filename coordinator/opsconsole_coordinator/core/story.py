"""What happened last to jobs, tasks and workers, in words: for the error that says that something can't have happened."""

from itertools import islice

STORY_LENGTH = 8
SUBJECTS_MAX = 10_000
"""Of those of which nothing was told for the longest time nothing is kept: a hundred thousand jobs may wait."""
_LEFT_AT_ONCE = SUBJECTS_MAX // 10
"""How many of them are let go of at once: to find the first of a mapping takes the longer the more was taken from its beginning."""


class Stories:
    """The last events of each subject, oldest first."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._told)

    def add(self, subject: str, text: str) -> None:
        """One more event."""
        before = self._told.pop(subject, ())
        self._told[subject] = (*before[1 - STORY_LENGTH :], text)
        if len(self._told) > SUBJECTS_MAX:
            for oldest in list(islice(self._told, _LEFT_AT_ONCE)):
                del self._told[oldest]

    def forget(self, subject: str) -> None:
        """Nothing more is to be told of it: it isn't in memory."""
        self._told.pop(subject, None)

    def tell(self, subject: str) -> str:
        """The events in one line; empty where none is known."""
        return "; ".join(self._told.get(subject, ()))
