"""A coordinator to connect to, and what to show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """A coordinator's address, the token to show it, and its certificate's hash where it has one of its own.

    `invitation` is sent along until the coordinator knows `token`, which the invitation is traded for.
    """

    url: str
    token: str = field(repr=False)
    certificate_hash: str | None = None
    invitation: str | None = field(default=None, repr=False)


TargetSource = Target | Callable[[], Target]
"""A target, or what finds it anew at every connection: a restarted coordinator may have another port."""


def current(source: TargetSource) -> Target:
    """The target as of now. Raises the OpsconsoleError of a source that finds none."""
    return source if isinstance(source, Target) else source()
