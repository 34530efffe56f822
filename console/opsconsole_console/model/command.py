"""The command line behind `:`: what can be typed, what it completes to, what it means. Pure.

`:jobs project=pose`, `:workers gpu_memory_mb>=40000`, `:pause 42f`. A line is read into a `Command`; completions are
whole lines that the one typed so far could become.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from opsconsole_protocol.error import InvalidRequest

Argument: TypeAlias = Literal["", "filter", "job", "jobs", "worker", "theme", "project", "saved"]

COMPLETIONS_MAX = 200


@dataclass(frozen=True)
class CommandKind:
    """A command's name, what follows it, and what it does; `verb`: it changes something.

    `route` names the screen that it opens, where that is all it does.
    """

    name: str
    argument: Argument
    help: str
    verb: bool = False
    optional: bool = False
    route: str = ""


KINDS: tuple[CommandKind, ...] = (
    CommandKind("jobs", "filter", "the jobs, filtered", optional=True),
    CommandKind("filter", "saved", "a saved filter; save NAME or remove NAME", optional=True),
    CommandKind("workers", "filter", "the workers, filtered", optional=True),
    CommandKind("project", "project", "the jobs of one project"),
    CommandKind("new", "", "a new job", verb=True, route="new_job"),
    CommandKind("again", "job", "a job again, with changes", verb=True, route="again"),
    CommandKind("logs", "job", "follow a job's log"),
    CommandKind("show", "job", "open a job", route="job"),
    CommandKind("worker", "worker", "open a worker", route="worker"),
    CommandKind("metrics", "jobs", "what the tasks of jobs have reported, as curves", route="metrics"),
    CommandKind("compare", "jobs", "the tasks of jobs side by side: parameters and metrics", route="compare"),
    CommandKind("sweep", "job", "the tasks of a sweep as a grid", route="sweep"),
    CommandKind("files", "job", "a job's files", route="files"),
    CommandKind("mounts", "worker", "a worker's files", route="files"),
    CommandKind("why", "job", "why a job stands where it stands", route="why"),
    CommandKind("graph", "job", "what a job waits for, and what waits for it", route="graph"),
    CommandKind("describe", "job", "a job's whole spec", route="spec"),
    CommandKind("pause", "job", "pause a job", verb=True),
    CommandKind("freeze", "job", "pause a job where it is", verb=True),
    CommandKind("checkpoint", "job", "have a job save and make way", verb=True),
    CommandKind("resume", "job", "resume a paused job", verb=True),
    CommandKind("hold", "job", "hold a waiting job back", verb=True),
    CommandKind("release", "job", "release a held job", verb=True),
    CommandKind("cancel", "job", "cancel a job", verb=True),
    CommandKind("retry", "job", "retry what failed", verb=True),
    CommandKind("drain", "worker", "give a worker no more tasks", verb=True),
    CommandKind("undrain", "worker", "give a drained worker tasks again", verb=True),
    CommandKind("templates", "", "templates, their versions, and what each is", route="templates"),
    CommandKind("transfers", "", "what moves between here and the fleet", route="transfers"),
    CommandKind("events", "filter", "who did what, when and why", optional=True, route="events"),
    CommandKind("invite", "", "let a new GPU host in, or a person", verb=True, route="invite"),
    CommandKind("people", "", "who may do what, and open invitations", route="people"),
    CommandKind("usage", "", "who had what of the fleet, who may have how much, and who is next", route="usage"),
    CommandKind("reserve", "", "what workers are reserved for, and windows of maintenance", route="reserve"),
    CommandKind("theme", "theme", "change the colours"),
    CommandKind("help", "", "all keys"),
    CommandKind("quit", "", "leave the console"),
)

_BY_NAME = {kind.name: kind for kind in KINDS}
_ALIASES = {"q": "quit", "?": "help", "w": "workers", "j": "jobs", "e": "events"}
_FILTER_KEYS: Mapping[str, tuple[str, ...]] = {
    "jobs": ("state=", "project=", "name~", "worker=", "priority>=", "submitted_by=", "num_tasks>="),
    "workers": ("gpu_memory_mb>=", "gpu_model~", "gpus_free>=", "status=", "connection=", "tags=", "filesystem="),
    "events": ("actor=", "kind~", "subject="),
}


@dataclass(frozen=True)
class Command:
    """What was typed, understood."""

    kind: CommandKind
    argument: str = ""


@dataclass(frozen=True)
class Completion:
    """A line that could be meant, and what it would do or name."""

    line: str
    help: str = ""


@dataclass(frozen=True)
class Names:
    """What arguments can name: `(what is typed, what it is)`."""

    jobs: Sequence[tuple[str, str]] = ()
    workers: Sequence[tuple[str, str]] = ()
    themes: Sequence[str] = ()
    projects: Sequence[str] = ()
    saved: Sequence[tuple[str, str]] = ()
    """Saved filters."""
    values: Mapping[str, Iterable[str]] = field(default_factory=dict)


def parse(line: str, *, read_only: bool = False) -> Command:
    """Read a line. Raises InvalidRequest that says what to type instead."""
    name, _, argument = line.strip().removeprefix(":").strip().partition(" ")
    name, argument = _ALIASES.get(name, name), argument.strip()
    kind = _BY_NAME.get(name)
    if kind is None:
        near = _nearest(name)
        raise InvalidRequest(f"there is no command {name!r}" + (f": did you mean {near}?" if near else ""))
    if kind.verb and read_only:
        raise InvalidRequest(f"this console is read-only: {kind.name} is not possible here")
    if kind.argument and not argument and not kind.optional:
        raise InvalidRequest(f"{kind.name} what? Write :{kind.name} {kind.argument.upper()}")
    if not kind.argument and argument:
        raise InvalidRequest(f":{kind.name} takes nothing after it")
    return Command(kind, argument)


def is_complete(line: str) -> bool:
    """Whether a line can be done as it stands: its argument may be left out, and is."""
    kind = _BY_NAME.get(line.strip())
    return kind is not None and (kind.optional or not kind.argument)


def complete(line: str, names: Names, *, read_only: bool = False) -> list[Completion]:
    """Lines that `line` could become, the likeliest first."""
    text = line.lstrip().removeprefix(":")
    name, space, argument = text.partition(" ")
    name = _ALIASES.get(name, name) if space else name
    if not space:
        return [
            Completion(kind.name + (" " if kind.argument else ""), kind.help)
            for kind in KINDS
            if kind.name.startswith(name) and not (kind.verb and read_only)
        ]
    kind = _BY_NAME.get(name)
    if kind is None or (kind.verb and read_only):
        return []
    if kind.argument == "filter":
        return _complete_filter(kind.name, argument, names)
    before, _, last = argument.rpartition(" ")
    if kind.argument == "jobs":
        return _matching(f"{kind.name} {before} " if before else f"{kind.name} ", last, names.jobs)
    candidates: Iterable[tuple[str, str]] = {
        "job": names.jobs,
        "worker": names.workers,
        "saved": [*names.saved, ("save", "save NAME: keep the filter of the jobs")]
        + [(f"remove {name}", "let go of it") for name, _ in names.saved],
        "theme": [(theme, "") for theme in names.themes],
        "project": [(project, "") for project in names.projects],
    }.get(kind.argument, ())
    return _matching(f"{kind.name} ", argument.strip(), candidates)


def _matching(head: str, start: str, candidates: Iterable[tuple[str, str]]) -> list[Completion]:
    folded = start.casefold()
    first: list[Completion] = []
    later: list[Completion] = []
    for typed, about in candidates:
        if typed.casefold().startswith(folded):
            first.append(Completion(head + typed, about))
        elif folded and (folded in about.casefold() or folded in typed.casefold()):
            later.append(Completion(head + typed, about))
        if len(first) >= COMPLETIONS_MAX:
            break
    return (first + later)[:COMPLETIONS_MAX]


def _complete_filter(command: str, argument: str, names: Names) -> list[Completion]:
    before, _, word = argument.rpartition(" ")
    head = f"{command} {before} " if before else f"{command} "
    for key in _FILTER_KEYS.get(command, ()):
        if word.startswith(key):
            bare = key.rstrip("=~<>")
            return _matching(head + key, word[len(key) :], [(value, "") for value in names.values.get(bare, ())])
    return [Completion(head + key) for key in _FILTER_KEYS.get(command, ()) if key.startswith(word)]


def _nearest(name: str) -> str:
    import difflib

    found = difflib.get_close_matches(name, list(_BY_NAME), n=1, cutoff=0.5)
    return found[0] if found else ""
