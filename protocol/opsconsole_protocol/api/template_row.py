"""Templates and their parameters, as rows."""

from typing import Any

import msgspec

from opsconsole_protocol.api.row import Row
from opsconsole_protocol.bound import Whole


class Parameter(Row, frozen=True, kw_only=True):
    """A typed parameter of a template; `kind` is one of `parameter.KINDS`. `minimum` and `maximum` of a duration are seconds."""

    name: str
    kind: str = "str"
    default: Any = None
    required: bool = True
    choices: tuple[Any, ...] = ()
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    pattern: str = ""
    """What the whole of a text or a path has to match."""


class TemplateRow(Row, frozen=True, kw_only=True):
    """A version of a named command with typed parameters, written `{name}` in its words."""

    name: str
    command: tuple[str, ...]
    parameters: tuple[Parameter, ...] = ()
    description: str = ""
    defaults: dict[str, Any] = msgspec.field(default_factory=dict)
    created_by: str = ""
    created_at_ms: int = 0
    version: Whole = 1
    """From 1; the coordinator counts."""
    synced: str = ""
    """The project for which `template sync` brought it; empty where nobody did."""
    made_from: str = ""
    """The job that it was made from."""

    @property
    def label(self) -> str:
        """Its name and version, as `--template` takes them."""
        return f"{self.name}@{self.version}"


class TemplateChange(Row, frozen=True, kw_only=True):
    """What became of a template: `change` is created, changed, unchanged or removed; `version` is its last one."""

    name: str
    change: str
    version: int
