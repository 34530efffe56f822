"""The one error of commands."""


class Refusal(Exception):
    """Raised for a command that can't be carried out; it has a code for programs and a text for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
