"""A style sheet that parses each source once for each set of colours.

Textual parses everything anew whenever a theme is set (twice at every start, for colours that haven't changed), and keeps
only the 64 sources it used last: in a console with more kinds of widgets than that, each new kind parses all others again.
"""

from typing import Any, ClassVar

from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

_Parsed = dict[tuple[Any, ...], list[RuleSet]]


class SteadyStylesheet(Stylesheet):
    """What was parsed stays, for as many themes as were tried."""

    _parsed: ClassVar[dict[frozenset[tuple[str, str]], _Parsed]] = {}

    def __init__(self, variables: dict[str, str]) -> None:
        super().__init__(variables=variables)
        self._share(self._of(variables))

    def set_variables(self, variables: dict[str, str]) -> None:
        """Take other colours; the same ones change nothing."""
        if variables == self._variables:
            return
        self._share({})  # it is cleared next
        super().set_variables(variables)
        self._share(self._of(variables))
        self._require_parse = True

    def reparse(self) -> None:
        """Parse what hasn't been parsed with these colours. Raises StylesheetParseError for wrong CSS."""
        if self._require_parse:
            self.parse()

    def _of(self, variables: dict[str, str]) -> _Parsed:
        return self._parsed.setdefault(frozenset(variables.items()), {})

    def _share(self, parsed: _Parsed) -> None:
        self._parse_cache = parsed  # type: ignore[assignment] # Textual's own type of cache forgets
