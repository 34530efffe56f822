"""Long curves are read in parts: a run of a million steps could not be exported at all, since an answer was too large."""

import pytest

from opsconsole import points
from opsconsole_protocol import api

RUNS = {"a/task-0": {"loss": 25, "acc": 3}, "a/task-1": {"loss": 10, "acc": 0}}


class Coordinator:
    """Answers like one, and notes how many points each answer had."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def ask(self, asked: api.ReadMetrics) -> api.MetricsAnswer:
        chosen = [one for one in RUNS if asked.id in {"a", one}]
        page = chosen[asked.tasks_from : asked.tasks_from + asked.tasks_limit]
        runs = tuple(
            api.RunRow(
                task_id=one, job="a", state="running",
                metrics=tuple(self._row(asked, name, count, name in asked.names) for name, count in RUNS[one].items()),
                gpus=(self._row(asked, "memory_mb", 12, asked.gpus),) if asked.gpus else (),
            )
            for one in page
        )  # fmt: skip
        self.sizes.append(sum(len(row.x) for run in runs for row in (*run.metrics, *run.gpus)))
        return api.MetricsAnswer(runs=runs, more=asked.tasks_from + asked.tasks_limit < len(chosen))

    def _row(self, asked: api.ReadMetrics, name: str, count: int, has_points: bool) -> api.MetricRow:
        first = asked.points_from or 0
        x = tuple(map(float, range(count)[first : first + asked.points_max])) if has_points else ()
        return api.MetricRow(name=name, points=count, last=0, last_step=0, least=0, greatest=0, x=x, y=x)


@pytest.mark.parametrize("points_max", [4, 9, 10, 20, 25, 100])
async def test_no_answer_is_too_large_and_all_points_come(points_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "ANSWER_POINTS_MAX", 10)
    coordinator = Coordinator()
    wanted = api.ReadMetrics(id="a", names=("loss", "acc"), points_max=points_max)
    first, second = await points.read_runs(coordinator.ask, wanted)
    assert max(coordinator.sizes) <= 10
    assert [len(row.x) for row in first.metrics] == [
        25 if points_max >= 25 else min(points_max, 10),
        min(points_max, 3),
    ]
    assert [len(row.x) for row in second.metrics] == [min(points_max, 10), 0]
    assert first.metrics[0].x == tuple(map(float, range(len(first.metrics[0].x))))


async def test_what_was_measured_of_gpus_comes_whole_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "ANSWER_POINTS_MAX", 10)
    coordinator = Coordinator()
    runs = await points.read_runs(coordinator.ask, api.ReadMetrics(id="a", gpus=True, points_max=10_000_000))
    assert [len(run.gpus[0].x) for run in runs] == [12, 12]
    assert max(coordinator.sizes) <= 10


async def test_summaries_alone_take_one_question() -> None:
    coordinator = Coordinator()
    runs = await points.read_runs(coordinator.ask, api.ReadMetrics(id="a", points_max=10_000_000))
    assert [run.task_id for run in runs] == list(RUNS)
    assert coordinator.sizes == [0]
