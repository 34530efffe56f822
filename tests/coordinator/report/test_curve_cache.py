"""Curves that are kept between two looks are those that a fresh reading would give, and take a bounded room."""

import json
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_coordinator.report import curve_cache, folder
from opsconsole_coordinator.report.curve_cache import Asked, CurveCache
from opsconsole_coordinator.report.folder import ReportFolder
from opsconsole_coordinator.report.run import merged
from opsconsole_coordinator.report.series import Points, Series, Window
from opsconsole_coordinator.report.thinning import thin
from opsconsole_protocol.ids import AttemptId

ATTEMPTS = tuple(AttemptId(f"7k3m9q2w4t.0.{number}.ab12") for number in range(3))


def line(step: int | None, value: float, at_ms: int = 5, *, recognised: bool = False, name: str = "loss") -> bytes:
    said = {"at_ms": at_ms, "metrics": {name: value}, **({} if step is None else {"step": step})}
    return json.dumps(said | ({"source": "stdout"} if recognised else {})).encode() + b"\n"


def fresh(reports: ReportFolder, asked: Asked) -> Points:
    read = [reports.series(one, frozenset({asked.name})) for one in asked.attempt_ids]
    run = merged(read).get(asked.name, Series())
    return thin(*(run.by_time() if asked.over_time else run.by_step()), asked.window, asked.points_max)


def told(points: Points) -> str:
    return str((list(points.x), list(points.y), points.total))


def asked(name: str = "loss", points_max: int = 8, window: Window = Window()) -> Asked:  # noqa: B008 – a constant
    return Asked(ATTEMPTS, name, over_time=False, window=window, points_max=points_max)


class Told:
    """Attempts that go on reporting."""

    def __init__(self, path: Path) -> None:
        self.reports = ReportFolder(path)
        self._sizes = dict.fromkeys(ATTEMPTS, 0)

    def say(self, *lines: bytes, attempt: AttemptId = ATTEMPTS[0]) -> None:
        data = b"".join(lines)
        self._sizes[attempt], _ = self.reports.append(attempt, self._sizes[attempt], data, 1)


steps = st.none() | st.integers(0, 60)
said = st.tuples(
    st.just("say"), st.integers(0, 2), st.lists(st.tuples(steps, st.integers(-9, 9)), max_size=9), st.booleans()
)
rising = st.tuples(st.just("go on"), st.integers(0, 2), st.integers(1, 20), st.booleans())
others = st.tuples(st.sampled_from(("seal", "other", "restart")), st.integers(0, 2), st.just(0), st.booleans())


@given(
    st.lists(said | rising | rising | others, max_size=12),
    st.booleans(),
    st.sampled_from((Window(), Window(5, None), Window(3, 30), Window(None, 20))),
)
def test_whatever_comes_a_kept_curve_is_the_fresh_one(
    moves: list[tuple[str, int, object, bool]], over_time: bool, window: Window
) -> None:
    with tempfile.TemporaryDirectory() as path, mock.patch.object(folder, "REPORT_BLOCK_BYTES", 400):
        told_of = Told(Path(path))
        cache = CurveCache(told_of.reports)
        question = Asked(ATTEMPTS, "loss", over_time, window, 8)
        sealed: set[int] = set()
        greatest, clock = 0, 0
        for kind, number, what, recognised in moves:
            attempt = ATTEMPTS[number]
            if number in sealed:
                continue
            clock += 3
            match kind, what:
                case "say", list():
                    told_of.say(
                        *(line(step, value, clock - 5 * (value == 3), recognised=recognised) for step, value in what),
                        attempt=attempt,
                    )
                    greatest = max([greatest, *(step or 0 for step, _ in what)])
                case "go on", int():
                    told_of.say(
                        *(
                            line(greatest + one, one % 5, clock + one, recognised=recognised)
                            for one in range(1, what + 1)
                        ),
                        attempt=attempt,
                    )
                    greatest += what
                case "other", _:
                    told_of.say(*(line(one, 1, name="lr") for one in range(9)), attempt=attempt)
                case "restart", _:
                    told_of.reports._open.clear()
                case _:
                    told_of.reports.seal(attempt)
                    sealed.add(number)
            assert told(cache.points(question)) == told(fresh(told_of.reports, question))


@pytest.fixture
def job(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_only_what_came_since_is_read(job: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = CurveCache(job.reports)
    job.say(*(line(step, step) for step in range(100)))
    cache.points(asked())
    monkeypatch.setattr(cache, "_made", None)  # making it anew would fail
    job.say(*(line(step, step) for step in range(100, 150)))
    job.reports.seal(ATTEMPTS[0])
    assert cache.points(asked()).total == 150


def test_a_removed_job_leaves_nothing_behind(job: Told) -> None:
    cache = CurveCache(job.reports)
    for seals in (False, True):
        job.say(line(1, 2), line(2, 3), attempt=ATTEMPTS[seals])
        if seals:
            job.reports.seal(ATTEMPTS[1])
    assert cache.points(asked()).total
    job.reports.delete("7k3m9q2w4t")
    assert cache.points(asked()).total == 0


def test_the_room_that_curves_take_is_bounded(job: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve_cache, "CACHED_POINTS_MAX", 1_000)
    cache = CurveCache(job.reports)
    job.say(*(line(step, step) for step in range(100)))
    for first in range(50):
        cache.points(asked(points_max=100, window=Window(float(first))))
    cache.points(asked(points_max=curve_cache.CURVE_POINTS_MAX + 1))
    assert 0 < sum(len(one.curve) for one in cache._kept.values()) <= cache._size <= 1_000
    assert asked(points_max=curve_cache.CURVE_POINTS_MAX + 1) not in cache._kept
