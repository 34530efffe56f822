"""What ran, by kind of job, and the range that follows from it: by the most specific likeness of which enough runs are known. Pure."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

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

    __slots__ = ("_found", "_held", "_judged", "models", "parameters", "runs", "workers")

    def __init__(self) -> None:
        self.runs: deque[Run] = deque()
        self.workers: Counter[WorkerId] = Counter()
        """How many of them were on each worker."""
        self.models: Counter[str] = Counter()
        """How many of them had each GPU model."""
        self.parameters: Counter[int] = Counter()
        """How many of them had the same parameters."""
        self._judged = self._held = 0
        self._found: dict[Like, Estimate] = {}

    def add(self, run: Run) -> None:
        """One more has succeeded."""
        self._found.clear()
        if len(self.runs) == RUNS_REMEMBERED:
            self._count(self.runs.popleft(), -1)
        self.runs.append(run)
        self._count(run, 1)

    def _count(self, run: Run, sign: int) -> None:
        self._judged += sign * (run.expected is not None)
        self._held += sign * run.is_held
        _count(self.workers, run.worker_id, sign)
        _count(self.models, run.gpu_model, sign)
        _count(self.parameters, run.parameters, sign)

    def expect(self, like: Like, name: str, worker_name: str) -> Estimate:
        """The range for one more. `name`: the kind's, in words; `worker_name` that of `like.worker_id`."""
        found = self._found.get(like)
        if found is None:
            found = self._found[like] = self._range(like, name, worker_name)
        return found

    def _range(self, like: Like, name: str, worker_name: str) -> Estimate:
        for alike, what in _alike_in_what(self.runs, like):
            if len(alike) < ENOUGH:
                continue
            for took, where in _alike_in_where(alike, like, worker_name):
                if len(took) >= ENOUGH:
                    return self._estimate(took, name + what + where)
        return self._estimate([run.took_ms for run in self.runs], name)

    def _estimate(self, took: list[float], alike: str) -> Estimate:
        took.sort()
        low, mid, high = spread(took)
        return Estimate(round(low), round(mid), round(high), len(took), alike, self._judged, self._held)


_T = TypeVar("_T")


def _count(counts: Counter[_T], key: _T, sign: int) -> None:
    counts[key] += sign
    if not counts[key]:
        del counts[key]


def _alike_in_what(runs: Sequence[Run], like: Like) -> Iterator[tuple[Sequence[Run], str]]:
    """Those that are alike in what they did, the most specific first."""
    parameters, size, _, _ = like
    same = [one for one in runs if one.parameters == parameters]
    yield (
        [one for one in same if one.size == size],
        " with these parameters and inputs of this size",
    )
    yield same, " with these parameters"
    yield [one for one in runs if one.size == size], " with inputs of this size"
    yield runs, ""


def _alike_in_where(runs: Sequence[Run], like: Like, worker_name: str) -> Iterator[tuple[list[float], str]]:
    """How long they took that are alike in that. Those on the same worker are like those on its GPU model, and more so."""
    _, _, worker_id, model = like
    if worker_id is not None:
        yield [one.took_ms for one in runs if one.worker_id == worker_id], f" on {worker_name}"
    if model:
        yield [one.took_ms for one in runs if one.gpu_model == model], f" on {model}"
    yield [one.took_ms for one in runs], ""


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
