"""What makes a dataset useless, where it is found."""


class Broken(Exception):
    """Raised where a file can't be used: the text says why, in one line. `line` counts from 1."""

    def __init__(self, reason: str, line: int | None = None, path: str = "") -> None:
        super().__init__(reason)
        self.line = line
        self.path = path


def shown(name: object, characters: int = 60) -> str:
    """A name from a file, for a line of text."""
    text = str(name)[: characters + 1]
    text = "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
    return text if len(text) <= characters else f"{text[: characters - 1]}…"
