"""The palette on ctrl+p: the command line's commands, and jobs, workers and themes by any part of their name."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple, Protocol, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.fuzzy import Matcher

from opsconsole_console.app.command_line import CommandLine
from opsconsole_console.model.command import KINDS
from opsconsole_console.service.shell import Shell
from opsconsole_console.widget.words import plain

_JOBS_MAX = 1_000


class Offer(NamedTuple):
    """What can be chosen, what it does, and the command line that does it."""

    text: str
    help: str
    line: str


class _Console(Shell, Protocol):
    """What the palette needs of the app."""

    command_line: CommandLine


class ConsoleCommands(Provider):
    """Offers what the command line offers."""

    async def discover(self) -> Hits:
        for offer in self._plain():
            yield DiscoveryHit(plain(offer.text), partial(self._run, offer.line), offer.text, _help(offer))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for offer in (*self._plain(), *self._named()):
            score = matcher.match(offer.text)
            if score > 0:
                shown = _highlighted(matcher, offer.text)
                yield Hit(score, shown, partial(self._run, offer.line), offer.text, _help(offer))

    @property
    def _console(self) -> _Console:
        return cast("_Console", self.app)

    def _plain(self) -> Iterator[Offer]:
        for kind in KINDS:
            if not kind.argument or kind.optional:
                if kind.verb and self._console.read_only:
                    continue
                yield Offer(kind.name.capitalize(), kind.help, kind.name)

    def _named(self) -> Iterator[Offer]:
        model = self._console.model
        for theme in sorted(self.app.available_themes):
            yield Offer(f"Theme {theme}", "change the colours", f"theme {theme}")
        for worker in model.fleet.workers.values():
            yield Offer(f"Worker {worker.name}", worker.status, f"worker {worker.id}")
        for job in model.newest_jobs(_JOBS_MAX):
            yield Offer(f"Job {job.name} {model.short_ids.show(job.id)}", job.state, f"show {job.id}")

    def _run(self, line: str) -> None:
        self._console.command_line.run(line)


def _highlighted(matcher: Matcher, text: str) -> Content:
    """What `matcher.highlight` does, for text that is no markup."""
    shown = plain(text)
    _, places = matcher.fuzzy_search.match(matcher.query, shown.plain)
    for place in places:
        shown = shown.stylize(matcher.match_style, place, place + 1)
    return shown


def _help(offer: Offer) -> str:
    """Textual reads help as markup where it is a `str`; content it takes as it is."""
    return cast("str", plain(offer.help))
