"""A sweep: one job with a task for each point, and the points that axes, draws, files and repeats make. Pure.

An axis is `lr=0.1,0.01`, whole numbers `seed=range(0,10)`, or a distribution to draw from, such as `lr=loguniform(1e-5,1e-1)`.
A point gives each parameter its value, as a text that goes into the command as it is.
"""

import itertools
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from opsconsole_protocol.api.parameter import PARAMETERS_MAX
from opsconsole_protocol.api.template import fill, places
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import NUM_TASKS_MAX, REPEAT

Point: TypeAlias = dict[str, str]
"""One combination: each name's value."""

SEED_MAX = (1 << 63) - 1
_FIGURES = 6
"""How many figures a drawn number has: enough for a search, and short enough to read."""
_EXAMPLE = "write for example lr=0.1,0.01"
_CALL = re.compile(r"(range|uniform|loguniform|randint|choice)\((.*)\)", re.DOTALL)
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}")
_WORD = (1 << 64) - 1
_OPTIONS = ("--zip", "--samples", "--sample-seed", "--repeat")


@dataclass(frozen=True)
class Draw:
    """A distribution: `uniform` and `loguniform` between two numbers, `randint` with both ends, `choice` among texts."""

    kind: str
    low: float = 0.0
    high: float = 0.0
    values: tuple[str, ...] = ()

    def draw(self, share: float) -> str:
        """The value at `share` (from 0 up to, not with, 1) of the distribution."""
        match self.kind:
            case "choice":
                return self.values[int(share * len(self.values))]
            case "randint":
                return str(int(self.low) + int(share * (int(self.high) - int(self.low) + 1)))
            case "loguniform":
                low, high = math.log(self.low), math.log(self.high)
                return self._spelled(math.exp(low + share * (high - low)))
            case _:
                return self._spelled(self.low + share * (self.high - self.low))

    def _spelled(self, value: float) -> str:
        value = min(max(value, self.low), self.high)
        text = f"{value:.{_FIGURES}g}"
        return text if self.low <= float(text) <= self.high else repr(value)


Axis: TypeAlias = tuple[str, ...] | Draw
"""The values of a parameter one after the other, or what they are drawn from."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep is made of. Each part multiplies the others; `rows`, where there are any, are points already."""

    grid: Mapping[str, Axis] = field(default_factory=dict)
    """Every combination of the values. Those of the distributions are drawn anew for each of `samples`."""
    together: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The first values of all together, then the second ones, and so on."""
    rows: Sequence[Mapping[str, str]] = ()
    samples: int | None = None
    seed: int = 0
    """The same seed gives the same draws."""
    repeat: int | None = None
    """How often each point is run, with `repeat` from 0 as one more parameter."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is swept."""
        return not (self.grid or self.together or self.rows or self.repeat is not None or self.samples is not None)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, in the order in which points have them."""
        first = tuple(self.rows[0]) if self.rows else ()
        return (*first, *self.together, *self.grid, *((REPEAT,) if self.repeat is not None else ()))

    def check(self) -> None:
        """Raise InvalidRequest where the parts don't go together, or make more points than a job may have tasks."""
        names = self.names
        if twice := next((name for name in names if names.count(name) > 1), None):
            own = twice == REPEAT and self.repeat is not None
            raise InvalidRequest(
                f"{REPEAT} is what --repeat gives each task: call yours otherwise" if own else f"{twice} is swept twice"
            )
        if len(names) > PARAMETERS_MAX:
            raise InvalidRequest(f"{len(names)} parameters are too many: at most {PARAMETERS_MAX} are taken")
        lengths = {name: len(values) for name, values in self.together.items()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} has {count}" for name, count in lengths.items())
            raise InvalidRequest(f"--zip takes values side by side, so all have as many: {said}")
        draws = [name for name, axis in self.grid.items() if isinstance(axis, Draw)]
        if draws and self.samples is None:
            raise InvalidRequest(f"{draws[0]} is drawn at random: say how often, with --samples N")
        if self.samples is not None and not draws:
            raise InvalidRequest("--samples draws from distributions: write for example lr=loguniform(1e-5,1e-1)")
        for what, count in (("--samples", self.samples), ("--repeat", self.repeat)):
            if count is not None and count < 1:
                raise InvalidRequest(f"{what} is 1 or more, not {count}")
        if not 0 <= self.seed <= SEED_MAX:
            raise InvalidRequest(f"--sample-seed is a whole number from 0, not {self.seed}")
        if len(self) > NUM_TASKS_MAX:
            raise InvalidRequest(f"this sweep has {len(self):,} tasks, the limit is {NUM_TASKS_MAX:,}: split it")

    def __len__(self) -> int:
        fixed = (len(axis) for axis in self.grid.values() if not isinstance(axis, Draw))
        side_by_side = len(next(iter(self.together.values()))) if self.together else 1
        return (len(self.rows) or 1) * side_by_side * math.prod(fixed) * (self.samples or 1) * (self.repeat or 1)

    def points(self) -> list[Point]:
        """Every point: of several axes the last one changes fastest, then the draws, then the repeats.

        None where nothing is swept. Raises as `check` does.
        """
        if self.is_empty:
            return []
        self.check()
        fixed = {name: axis for name, axis in self.grid.items() if not isinstance(axis, Draw)}
        draws = {name: axis for name, axis in self.grid.items() if isinstance(axis, Draw)}
        side_by_side = zip(*self.together.values(), strict=True) if self.together else ((),)
        zipped = [dict(zip(self.together, values, strict=True)) for values in side_by_side]
        grid = [dict(zip(fixed, values, strict=True)) for values in itertools.product(*fixed.values())]
        chance = _shares(self.seed)
        drawn = [{name: axis.draw(next(chance)) for name, axis in draws.items()} for _ in range(self.samples or 1)]
        again = [{}] if self.repeat is None else [{REPEAT: str(number)} for number in range(self.repeat)]
        return [
            {name: value for part in parts for name, value in part.items()}
            for parts in itertools.product(self.rows or [{}], zipped, grid, drawn, again)
        ]


def _shares(seed: int) -> Iterator[float]:
    """Numbers from 0 up to, not with, 1, as if at random: the same for a seed in every version (SplitMix64)."""
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & _WORD
        mixed = state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _WORD
        yield ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)


def read_axis(text: str) -> tuple[str, Axis]:
    """The name and the values of an axis such as `lr=0.1,0.01` or `lr=uniform(0,1)`. Raises InvalidRequest."""
    name, equals, values = text.partition("=")
    if not equals or not name.isidentifier():
        raise InvalidRequest(f"{text[:60]!r} is not a sweep: {_EXAMPLE}")
    call = _CALL.fullmatch(values)
    if call is not None:
        return name, _called(name, call[1], call[2])
    return name, _values(name, values)


def read_axes(texts: Iterable[str]) -> dict[str, Axis]:
    """Names and values of `lr=0.1,0.01` and others. Raises InvalidRequest, also for a name that is there twice."""
    axes: dict[str, Axis] = {}
    for text in texts:
        name, values = read_axis(text)
        if name in axes:
            raise InvalidRequest(f"{name} is given twice: write all its values in one")
        axes[name] = values
    return axes


def read_lists(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Names and values of axes that are taken side by side, where a value may be there twice. Raises InvalidRequest."""
    axes: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        call = _CALL.fullmatch(values)
        if not equals or not name.isidentifier():
            raise InvalidRequest(f"{text[:60]!r} is not a sweep: {_EXAMPLE}")
        if name in axes:
            raise InvalidRequest(f"{name} is given twice: write all its values in one")
        axis = _values(name, values, may_repeat=True) if call is None else _called(name, call[1], call[2])
        if isinstance(axis, Draw):
            raise InvalidRequest(f"{name}: --zip takes lists of values, {call and call[1]}(…) goes with --sweep")
        axes[name] = axis
    return axes


def read_sweep(
    grid: Iterable[str] = (), together: Iterable[str] = (), rows: Sequence[Mapping[str, str]] = (),
    samples: int | None = None, seed: int | None = None, repeat: int | None = None,
) -> Sweep:  # fmt: skip
    """A sweep by its axes as they are typed. Raises InvalidRequest."""
    if seed is not None and samples is None:
        raise InvalidRequest("--sample-seed is about draws: it goes with --samples N")
    sweep = Sweep(read_axes(grid), read_lists(together), rows, samples, seed or 0, repeat)
    sweep.check()
    return sweep


def read_words(words: Sequence[str]) -> Sweep:
    """A sweep in one line: axes, and behind them what `submit` takes for sweeps, as in `lr=uniform(0,1) --samples 20`.

    Raises InvalidRequest.
    """
    grid: list[str] = []
    given: dict[str, list[str]] = {option: [] for option in _OPTIONS}
    left = list(words)
    while left:
        word = left.pop(0)
        option, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if not word.startswith("--"):
            grid.append(word)
        elif option not in given:
            raise InvalidRequest(f"{option[:40]} is none of {', '.join(_OPTIONS)}")
        elif not equals and not left:
            raise InvalidRequest(f"{option} needs a value")
        else:
            given[option].append(value if equals else left.pop(0))
    numbers = {option: _one_number(option, given[option]) for option in _OPTIONS[1:]}
    return read_sweep(
        grid, given["--zip"], samples=numbers["--samples"], seed=numbers["--sample-seed"], repeat=numbers["--repeat"]
    )


def read_line(text: str) -> Sweep:
    """As `read_words`, of words as a shell would read them. Raises InvalidRequest."""
    try:
        return read_words(shlex.split(text))
    except ValueError:
        raise InvalidRequest("a quotation mark isn't closed") from None


def unfold(command: Sequence[str], points: Sequence[Mapping[str, str]]) -> tuple[tuple[str, ...], ...]:
    """A command for each point, its values filled in; none where every task runs the same, told its number by `repeat`.

    Raises InvalidRequest where a name has no place in the command.
    """
    words = tuple(command)
    known = places(words)
    for name in points[0]:
        if name not in known and name != REPEAT:
            raise InvalidRequest(f"write {{{name}}} in the command where its values go")
    if not known & points[0].keys():
        return ()
    return tuple(fill(words, point) for point in points)


def _values(name: str, text: str, *, may_repeat: bool = False) -> tuple[str, ...]:
    found = tuple(text.split(","))
    if not all(found):
        raise InvalidRequest(f"{name[:60]} has an empty value: {_EXAMPLE}")
    if not may_repeat and len(set(found)) != len(found):
        raise InvalidRequest(f"{name[:60]} has a value twice")
    return found


def _called(name: str, kind: str, inside: str) -> Axis:
    parts = [part.strip() for part in inside.split(",")]
    if kind == "choice":
        return Draw(kind, values=_values(name, ",".join(parts)))
    if kind == "range":
        return _range(name, parts)
    low, high = _bounds(name, kind, parts)
    if kind == "loguniform" and low <= 0:
        raise InvalidRequest(f"{name}: loguniform needs numbers above 0, not {parts[0]}")
    return Draw(kind, low, high)


def _range(name: str, parts: list[str]) -> tuple[str, ...]:
    if not 1 <= len(parts) <= 3 or not all(_WHOLE.fullmatch(part) for part in parts):
        raise InvalidRequest(
            f"{name}: write range(FIRST,END) or range(FIRST,END,STEP), with whole numbers; END isn't in it"
        )
    numbers = [int(part) for part in parts]
    if len(numbers) == 3 and not numbers[2]:
        raise InvalidRequest(f"{name}: the step of a range isn't 0")
    found = range(*numbers)
    if not found:
        raise InvalidRequest(f"{name}: there is nothing in range({','.join(parts)})")
    if len(found) > NUM_TASKS_MAX:
        raise InvalidRequest(f"{name} has {len(found):,} values, the limit is {NUM_TASKS_MAX:,}")
    return tuple(map(str, found))


def _bounds(name: str, kind: str, parts: list[str]) -> tuple[float, float]:
    if len(parts) != 2:
        raise InvalidRequest(f"{name}: write {kind}(LEAST,GREATEST)")
    if kind == "randint":
        if not all(_WHOLE.fullmatch(part) for part in parts):
            raise InvalidRequest(f"{name}: randint is between two whole numbers, not {','.join(parts)[:60]}")
        low, high = map(float, parts)
    else:
        try:
            low, high = map(float, parts)
        except ValueError:
            raise InvalidRequest(f"{name}: {kind} is between two numbers, not {','.join(parts)[:60]}") from None
    if not (math.isfinite(low) and math.isfinite(high) and math.isfinite(high - low)):
        raise InvalidRequest(f"{name}: {kind} is between two finite numbers")
    if low > high or (low == high and kind != "randint"):
        raise InvalidRequest(f"{name}: the first number of {kind} is the smaller one")
    return low, high


def _one_number(option: str, texts: Sequence[str]) -> int | None:
    if len(texts) > 1:
        raise InvalidRequest(f"{option} is given twice")
    if texts and _WHOLE.fullmatch(texts[0]) is None:
        raise InvalidRequest(f"{option} takes a whole number, not {texts[0][:40]!r}")
    return int(texts[0]) if texts else None
