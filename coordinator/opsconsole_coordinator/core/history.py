"""What ran, by kind of job, and the range that follows from it: by the most specific likeness of which enough runs are known. Pure."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from opsconsole_protocol.estimate import Estimate
from opsconsole_protocol.ids import WorkerId

RUNS_REMEMBERED = 40
"""Of each kind of job, the newest."""
ENOUGH = 3
"""How many runs have to be known that are alike in something, for that likeness to count."""
SURE = 9
"""How many runs have to be known for four of five further ones to lie between the first and the last tenth. Below, the range is made wider."""


class Run(NamedTuple):
    """One that succeeded."""

    took_ms: float
    worker_id: WorkerId
    gpu_model: str
    """Empty where it had no GPU."""
    parameters: int
    size: int
    expected: Estimate | None
    """What was told before."""

    @property
    def is_held(self) -> bool:
        """Whether it took as long as the range said that was told before."""
        return self.expected is not None and self.expected.low_ms <= self.took_ms <= self.expected.high_ms


class Like(NamedTuple):
    """What a run is compared by. `parameters` and `worker_id` are None, and `gpu_model` empty, where nothing that ran is alike in it."""

    parameters: int | None
    size: int
    worker_id: WorkerId | None
    gpu_model: str


class Kind:
    """The runs of one kind of job, and what was found out of them since the last one ended."""

    __slots__ = ("_found", "runs")

    def __init__(self) -> None:
        self.runs: deque[Run] = deque(maxlen=RUNS_REMEMBERED)
        self._found: dict[Like, Estimate] = {}

    def add(self, run: Run) -> None:
        """One more has succeeded."""
        self.runs.append(run)
        self._found.clear()

    def expect(self, like: Like, name: str, worker_name: str) -> Estimate:
        """The range for one more. `name`: the kind's, in words; `worker_name` that of `like.worker_id`."""
        found = self._found.get(like)
        if found is None:
            found = self._found[like] = self._range(like, name, worker_name)
        return found

    def _range(self, like: Like, name: str, worker_name: str) -> Estimate:
        for test, words in _likenesses(like, worker_name):
            took = sorted(run.took_ms for run in self.runs if test(run))
            if len(took) >= ENOUGH:
                return self._estimate(took, name + words)
        return self._estimate(sorted(run.took_ms for run in self.runs), name)

    def _estimate(self, took: Sequence[float], alike: str) -> Estimate:
        low, mid, high = spread(took)
        judged = sum(run.expected is not None for run in self.runs)
        held = sum(run.is_held for run in self.runs)
        return Estimate(round(low), round(mid), round(high), len(took), alike, judged, held)


_Test = Callable[[Run], bool]


def _likenesses(like: Like, worker_name: str) -> Iterator[tuple[_Test, str]]:
    """In what runs may be alike, the most specific first. Runs on the same worker are like those on its GPU model, and more so."""
    parameters, size, worker_id, model = like
    places: list[tuple[_Test, str]] = []
    if worker_id is not None:
        places.append((lambda run: run.worker_id == worker_id, f" on {worker_name}"))
    if model:
        places.append((lambda run: run.gpu_model == model, f" on {model}"))
    places.append((lambda _: True, ""))
    things: list[tuple[_Test, str]] = [
        (
            lambda run: run.parameters == parameters and run.size == size,
            " with these parameters and inputs of this size",
        ),
        (lambda run: run.parameters == parameters, " with these parameters"),
        (lambda run: run.size == size, " with inputs of this size"),
        (lambda _: True, ""),
    ]
    for is_such, what in things:
        for is_there, where in places:
            yield _both(is_such, is_there), what + where


def _both(one: _Test, other: _Test) -> _Test:
    return lambda run: one(run) and other(run)


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The first tenth, the middle and the last tenth of what further values are expected to be. `values`: in order, one at least.

    Of n values that come by chance alike, a further one lies below the k-th with probability k / (n + 1). Nine are the fewest
    of which that says where the tenths are; where there are fewer, they are put beyond the least and the greatest of them:
    of a single one at its half and its double.
    """
    count = len(values)
    wider = 2 ** max(0.0, (SURE - count) / (SURE - 1))
    return _quantile(values, 0.1) / wider, _quantile(values, 0.5), _quantile(values, 0.9) * wider


def _quantile(values: Sequence[float], part: float) -> float:
    place = min(max(part * (len(values) + 1) - 1, 0), len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (place - below) * (values[above] - values[below])
