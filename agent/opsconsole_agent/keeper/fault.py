"""The one error of commands."""


class Refused(Exception):
    """A command that can't be carried out: a code for programs, a line for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
