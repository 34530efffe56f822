"""What the last lines of a program state: exceptions with the place where they were raised, and other lines.

Left out is what says nothing of its own: frames, blank lines, what libraries and launchers add after a failure.
"""

import re
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What a statement is."""

    EXCEPTION = "exception"
    """The last line of a traceback."""
    PLAIN = "plain"
    WENT_ON = "went on"
    """A line that shows the program at work: what was said before it didn't end it."""
    BAR = "bar"
    """A progress bar, as far as it is: one is drawn once more after the traceback of a program that ends."""


class Statement(NamedTuple):
    """One line that states something.

    Of an exception: `place` is where it was raised and `code` what stands there; `caught` says that its traceback begins in a
    function, as one does that was caught and printed there; `origin` is the exception that it came from, and `how` it did.
    """

    line: str
    kind: Kind
    rank: str = ""
    place: str = ""
    code: str = ""
    caught: bool = False
    origin: str = ""
    how: str = ""


_RANK = re.compile(r"^\[(?:rank|default)(\d+)\]:\s?")
_RAY = re.compile(r"^\((?:[\w.]+ )*pid=\d+(?:, ip=[\d.]+)?\)\s")
_GROUP = re.compile(r"^ {2,}[|+] ?")
"""Before the lines of a group of exceptions."""
_HEADER = "Traceback (most recent call last)"
_IN_SUMMARY = re.compile(r" *traceback +:")
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<name>.+))?$')
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.<>]*(?:\([\w.]+\))?(?:: .*|:)?$")
_INDENTED = re.compile(r"^(?:\s|[│╭╰|]|$)")
_OUTERMOST = ("<module>", "_run_module_as_main", "_bootstrap", "_wrap")
"""Functions in which a traceback begins that nobody caught."""
_LIBRARY = re.compile(r"/(?:site|dist)-packages/|/lib(?:64)?/python\d|^<frozen|^<string>")
_FROM = {
    "The above exception was the direct cause of the following exception:": "from",
    "During handling of the above exception, another exception occurred:": "while handling",
}
_TWO_LINES = re.compile(
    r"^thread '.*' (?:\(\d+\) )?panicked at \S+:\d+:\d+:$|^terminate called after throwing an instance of "
)
"""The next line belongs to such a line."""
_LOOKS_BAD = re.compile(
    r"\b(?:errors?\b(?!\W*\d)|fatal|critical|failed|failure|exception|abort(?:ed|ing)?|cannot|can't|could not|couldn't|unable|denied"
    r"|refused|invalid|not found|no such|missing|illegal|unknown|unexpected|unrecognized|panic|corrupt\w*|killed)\b|[a-z]Error\b",
    re.IGNORECASE,
)
_ERROR_LINE = re.compile(
    r"[^A-Za-z]*(?:(?:ERROR|FATAL|CRITICAL)\b|(?:[Ee]rror|[Ff]atal)(?: error)?:|[\w.]*(?:Error|Exception):)(?!\W*\d)|.*\bfatal error\b"
)
_SOUNDS_BAD = re.compile(
    r"\b(?:no|not|nothing|none|must|needs?|needed|required|expected|usage|bad|wrong|died|without)\b|n't\b",
    re.IGNORECASE,
)
_AT_WORK = re.compile(
    r"^\W*(?:\d{4}-\d\d-\d\d[T ]|\d\d:\d\d:\d\d)|\b\d+/\d+ \["
    r"|\b(?:epoch|step|iter(?:ation)?|batch)\b\W*\d"
    r"|\b(?:succe(?:ss|ssful|ssfully|eded)|completed?|finished|done|saved|recovered|retrying|skipp(?:ed|ing)|continu(?:ed|ing)|resum(?:ed|ing))\b",
    re.IGNORECASE,
)
_BAR = re.compile(r"\d+%\|[^|]*\|(?: *(\d+/\d+))?")
_LEVEL = re.compile(r"[\W\d_T]{0,60}\b(?:INFO|DEBUG|WARN(?:ING)?)\b(?!.*\b(?:ERROR|FATAL|CRITICAL)\b)")
"""A program that logs below an error goes on."""
_EPILOGUE = (
    r"^opsconsole: ",
    r"^wandb: ",
    r".*torch[./]distributed[./](?:elastic|run\b)",
    r"^\[.*(?:destroy_process_group|TCPStore|ProcessGroupNCCL\.cpp:\d+\] Warning)",
    r"^(?:=+|-+|\*+|\"\"\"|\W*[─━═]+\W*)$",
    r"^[-+]+ \d+ -+$",
    r"^(?:Failures:|Root Cause \(first observed failure\):|\[\d+\]:|\S+ FAILED)$",
    r"^-- Process \d+ terminated with the following error:$",
    r"^(?:Process |During |Exception ignored )\S*.*:$",
    r"^Set the environment variable HYDRA_FULL_ERROR=1",
    r"^(?:CUDA|HIP) kernel errors might be asynchronously reported",
    r"^For debugging consider passing (?:CUDA|AMD)_",
    r"^Compile with `?TORCH_USE_",
    r"^Device-side assertion tracking|^Search for `cuda",
    r"^Exception raised from |^frame #\d+:|^C\+\+ CapturedTraceback|^#\d+ ",
    r".*resource_tracker: There appear to be \d+ leaked|.*resource_tracker\.py:\d+: UserWarning",
    r"^\[.*\bsigkill_handler\]",
    r"^note: (?:run with `RUST_BACKTRACE|Some details are omitted)|^stack backtrace:$",
    r"^goroutine \d+ |^(?:main|runtime|[\w.]+(?:/[\w.]+)+)\.[\w.()*]+\(.*\)$|^created by |^exit status \d+$|^\[signal SIG",
    r"^Stacktrace:$|^in expression starting at ",
    r"^Node\.js v\d|^\^+$|^throw \w+;?|^node:internal/",
    r"^Calls: |^Execution halted$",
    r"^[Uu]sage: |^Try '.* (?:--help|-h)' for help|^For more information, try|^See '.* --help'",
    r"^(?:Current thread|Thread) 0x[0-9a-f]+ .*\(most recent call first\):$|^Extension modules: |^<no Python frame>$",
    r"^Aborted(?: \(core dumped\))?$|^Segmentation fault(?: \(core dumped\))?$",
)
"""Lines that follow a failure and say nothing of it."""
_NOISE = re.compile("|".join(_EPILOGUE))


def statements(lines: Iterable[str]) -> list[Statement]:
    """What the lines state, in order. Lines that say by which rank they were printed are read rank by rank."""
    found: list[tuple[int, Statement]] = []
    readers: dict[str, _Reader] = {}
    for place, raw in enumerate(lines):
        line = _without(_RAY, raw)
        match = _RANK.match(line)
        rank = match[1] if match is not None else ""
        if rank not in readers:
            readers[rank] = _Reader(rank)
        readers[rank].read(place, line if match is None else line[match.end() :])
    for reader in readers.values():
        found += reader.found
    return [statement for _, statement in sorted(found, key=lambda one: one[0])]


def is_error_line(line: str) -> bool:
    """Whether a line says of itself that it is an error: for want of anything better it is taken for the last words."""
    return _ERROR_LINE.match(line) is not None


def sounds_bad(line: str) -> bool:
    """Whether a line may be why a program gave up, on the source that is for such lines."""
    is_bad = _LOOKS_BAD.search(line) is not None or _SOUNDS_BAD.search(line) is not None
    return is_bad and "Warning" not in line


class _Reader:
    """Reads the lines of one rank."""

    def __init__(self, rank: str) -> None:
        self.found: list[tuple[int, Statement]] = []
        self._rank = rank
        self._frames: list[re.Match[str]] | None = None
        self._code = ""
        self._origin: Statement | None = None
        self._how = ""
        self._begun = ""
        self._lacks_message = False

    def read(self, place: int, raw: str) -> None:
        """Take the next line."""
        line = _without(_GROUP, raw)
        if _HEADER in line and not _IN_SUMMARY.match(line):
            self._frames = []
        elif self._frames is not None and _INDENTED.match(line):
            self._read_frame(line)
        elif self._frames is not None and _EXCEPTION.match(line):
            self._end_traceback(place, line)
        elif self._frames is None and (frame := _FRAME.match(line)) is not None and frame["name"] is None:
            self._frames = [frame]  # the script itself can't be read: that has no header
        elif line in _FROM:
            self._chain(_FROM[line])
        else:
            self._frames = None
            self._read_plain(place, line)

    def _read_frame(self, line: str) -> None:
        frames = self._frames or []
        frame = _FRAME.match(line)
        if frame is not None:
            self._frames = [*frames, frame]
            if not _LIBRARY.search(frame["file"]):
                self._code = ""
        elif frames and not self._code and line.strip(" ^~") and not _LIBRARY.search(frames[-1]["file"]):
            self._code = line.strip()

    def _end_traceback(self, at: int, line: str) -> None:
        frames = self._frames or []
        own = [frame for frame in frames if not _LIBRARY.search(frame["file"])]
        place = _place(own[-1]) if own else ""
        self._lacks_message = line.rstrip().endswith(":")
        line = line.removeprefix("__main__.").rstrip(":")
        origin, how = ("", "") if self._origin is None else (self._origin.line, self._how)
        if self._origin is not None and origin == line:  # what another process raised is raised again here
            origin, how, place = "", "", self._origin.place or place
        first = frames[0]["name"] if frames else None
        caught = first is not None and first not in _OUTERMOST
        statement = Statement(line, Kind.EXCEPTION, self._rank, place, self._code, caught, origin, how)
        self.found.append((at, statement))
        self._frames, self._code, self._origin = None, "", None

    def _chain(self, how: str) -> None:
        """The exception before is where the next one comes from; of several the first."""
        while self.found and self.found[-1][1].kind is Kind.PLAIN:
            self.found.pop()  # more of its message
        if self.found and self.found[-1][1].kind is Kind.EXCEPTION:
            _, before = self.found.pop()
            self._how = before.how or how
            self._origin = before._replace(line=before.origin or before.line)
        self._frames = None

    def _read_plain(self, at: int, line: str) -> None:
        if self._begun:
            line, self._begun = f"{self._begun} {line.strip()}", ""
        elif _TWO_LINES.match(line):
            self._begun = line
            return
        if not line.strip():
            return
        lacks_message, self._lacks_message = self._lacks_message, False
        if _NOISE.match(line):
            return
        if lacks_message and self.found:
            before, statement = self.found.pop()
            self.found.append((before, statement._replace(line=f"{statement.line}: {line.strip()}")))
            return
        if (bar := _BAR.search(line)) is not None:
            self.found.append((at, Statement(bar[1] or bar[0], Kind.BAR, self._rank)))
        elif _LEVEL.match(line) or (_AT_WORK.search(line) and not _LOOKS_BAD.search(line)):
            self.found.append((at, Statement(line.strip(), Kind.WENT_ON, self._rank)))
        elif not line.startswith(" "):
            self.found.append((at, Statement(line, Kind.PLAIN, self._rank)))


def _without(prefix: re.Pattern[str], line: str) -> str:
    match = prefix.match(line)
    return line if match is None else line[match.end() :]


def _place(frame: re.Match[str]) -> str:
    return f"{frame['file'].rpartition('/')[2]}, line {frame['line']}"
