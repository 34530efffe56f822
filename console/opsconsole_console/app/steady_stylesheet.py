"""A style sheet that parses each source once for each set of colours, looks for a widget's styles in few rules, and styles its parts late.

Textual parses everything anew whenever a theme is set (twice at every start, for colours that haven't changed), and keeps
only the 64 sources it used last: in a console with more kinds of widgets than that, each new kind parses all others again.
For each widget it goes through all rules, and tries those that name it from the root of the screen down to it.
It also styles all parts that a widget may have (a box to type into has four, a table nine) with the widget, which takes
several times as long as the widget itself: here they are styled when they are first painted.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

from textual.app import App
from textual.css.model import RuleSet
from textual.css.styles import RenderStyles
from textual.css.stylesheet import Stylesheet
from textual.css.types import Specificity3
from textual.dom import DOMNode


class Parts(dict[str, RenderStyles]):
    """The styles of a widget's parts, each found when it is asked for."""

    def __init__(self, sheet: Stylesheet, node: DOMNode, names: frozenset[str]) -> None:
        super().__init__()
        self._sheet, self._node, self._names = sheet, node, names

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __missing__(self, name: str) -> RenderStyles:
        part = DOMNode(classes=name)
        part._attach(self._node)  # noqa: SLF001
        self._sheet.apply(part)
        self[name] = part.styles
        return part.styles


_Parsed = dict[tuple[Any, ...], list[RuleSet]]


class SteadyStylesheet(Stylesheet):
    """What was parsed stays, for as many themes as were tried."""

    _parsed: ClassVar[dict[frozenset[tuple[str, str]], _Parsed]] = {}

    def __init__(self, variables: dict[str, str]) -> None:
        super().__init__(variables=variables)
        self._narrowed: dict[frozenset[str], list[RuleSet]] = {}
        self._narrowed_from: dict[str, list[RuleSet]] = {}
        self._within: list[RuleSet] | None = None
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

    @property
    def rules(self) -> list[RuleSet]:
        """All rules; while styles are applied to a node, those that name it."""
        return super().rules if self._within is None else self._within

    def apply(self, node: DOMNode, *, animate: bool = False, cache: dict[Any, Any] | None = None) -> None:
        around, self._within = self._within, None
        self._within = self._naming(node)
        try:
            super().apply(node, animate=animate, cache=cache)
        finally:
            self._within = around

    @classmethod
    def _check_rule(cls, rule_set: RuleSet, css_path_nodes: list[DOMNode]) -> Iterable[Specificity3]:
        node = css_path_nodes[-1]
        if any(selectors.selectors[-1].check(node) for selectors in rule_set.selector_set):
            return super()._check_rule(rule_set, css_path_nodes)
        return ()

    def _naming(self, node: DOMNode) -> list[RuleSet]:
        """The rules whose last selector has a name of `node`, in their order."""
        rules_map = self.rules_map
        if rules_map is not self._narrowed_from:  # sources were added, or have other colours
            self._narrowed, self._narrowed_from = {}, rules_map
        names = frozenset(rules_map.keys() & node._selector_names)  # noqa: SLF001 - Textual has no other place
        rules = self._narrowed.get(names)
        if rules is None:
            wanted = {id(rule) for name in names for rule in rules_map[name]}
            rules = self._narrowed[names] = [rule for rule in self.rules if id(rule) in wanted]
        return rules

    def update_nodes(self, nodes: Iterable[DOMNode], animate: bool = False) -> None:
        """Style nodes. What isn't mounted yet is styled when it is."""
        super().update_nodes((node for node in nodes if node.parent is not None or isinstance(node, App)), animate)

    def _process_component_classes(self, node: DOMNode) -> None:
        names = node._get_component_classes()  # noqa: SLF001
        if not names:
            return
        if len(node._component_styles):  # noqa: SLF001
            node.refresh()  # it was painted with others
        node._component_styles = Parts(self, node, names)  # noqa: SLF001

    def _of(self, variables: dict[str, str]) -> _Parsed:
        return self._parsed.setdefault(frozenset(variables.items()), {})

    def _share(self, parsed: _Parsed) -> None:
        self._parse_cache = parsed  # type: ignore[assignment] # Textual's own type of cache forgets
