"""What happened last to jobs, tasks and workers, in words: for the error that says that something can't have happened."""

STORY_LENGTH = 8
SUBJECTS_MAX = 10_000
"""Of those of which nothing was told for the longest time nothing is kept: a hundred thousand jobs may wait."""


class Stories:
    """The last events of each subject, oldest first."""

    def __init__(self) -> None:
        self._told: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._told)

    def add(self, subject: str, text: str) -> None:
        """One more event."""
        story = self._told.pop(subject, None) or []
        story.append(text)
        del story[:-STORY_LENGTH]
        self._told[subject] = story
        if len(self._told) > SUBJECTS_MAX:
            del self._told[next(iter(self._told))]

    def forget(self, subject: str) -> None:
        """Nothing more is to be told of it: it isn't in memory."""
        self._told.pop(subject, None)

    def tell(self, subject: str) -> str:
        """The events in one line; empty where none is known."""
        return "; ".join(self._told.get(subject, ()))
