"""A sweep as a grid: what goes down and across, and what stands in a cell."""

from opsconsole_console.model.comparison import Of, Run
from opsconsole_console.model.sweep_grid import fact_of, grid_of, pairs, varying
from opsconsole_protocol.api import MetricRow


def run(index: int, state: str = "succeeded", loss: float | None = None, **parameters: str) -> Run:
    metrics = {} if loss is None else {
        "loss": MetricRow(name="loss", points=1, last=loss, last_step=0, least=loss / 2, greatest=loss)
    }  # fmt: skip
    return Run(f"aaaaaaaaaa/task-{index}", "sweep", state, parameters, metrics)


RUNS = [
    run(place, lr=lr, seed=str(seed), repeat=str(again))
    for place, (lr, seed, again) in enumerate(
        (lr, seed, again) for lr in ("1e-3", "10", "2", "x") for seed in (0, 1) for again in range(5)
    )
]


def test_what_varies_most_goes_down_and_repeats_are_grouped() -> None:
    assert varying(RUNS) == ["lr", "seed", "repeat"]
    assert pairs(varying(RUNS))[:3] == [("lr", "seed"), ("seed", "lr"), ("lr", "repeat")]
    grid = grid_of(RUNS, ("lr", "seed"))
    assert grid.rows == ("1e-3", "2", "10", "x"), "numbers by size, then texts"
    assert (grid.columns, grid.others) == (("0", "1"), ("repeat",))
    assert [one.parameters["repeat"] for one in grid.runs((1, 1))] == list("01234")
    assert sum(map(len, grid.cells.values())) == len(RUNS)


def test_one_parameter_is_one_column_and_none_is_no_grid() -> None:
    assert pairs(["lr"]) == [("lr", "")]
    assert grid_of(RUNS, ("lr", "")).columns == ("",)
    assert varying([run(0), run(1)]) == []


def test_a_cell_says_how_its_tasks_stand_and_what_they_reached() -> None:
    some = [run(0, "running", 1.0), run(1, "failed", 3.0), run(2, "succeeded")]
    assert fact_of(some, "loss", Of.LAST).text == "2 ×3 ✗1"
    assert fact_of(some, "loss", Of.LEAST).value == 1.0
    assert (fact_of(some, None, Of.LAST).text, fact_of(some, "none", Of.LAST).state) == ("×3 ✗1", "running")
    assert fact_of(some[1:2], "loss", Of.LAST).text == "3"
    assert fact_of([run(0, loss=float("nan"))], "loss", Of.LAST).value is None
