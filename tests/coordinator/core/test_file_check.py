"""Each worker's answer about each input file stands by itself, as data (hard use 37)."""

from opsconsole_coordinator.core import view
from opsconsole_protocol import link
from opsconsole_protocol.spec import JobSpec, Resources
from tests.coordinator.core.world import World

IN = {"io_paths": {"input": "/in"}}


def states(world: World, *names: str, gpus: int = 0) -> dict[str, list[tuple[str, str]]]:
    """What a form would show: each worker's answers by file name."""
    spec = JobSpec(command=("/bin/true",), inputs=names, resources=Resources(gpus=gpus))
    world.reactor.on_ask_candidates(spec, world.now_ms)
    rows = view.candidates(world.fleet, spec, world.now_ms).verdicts
    return {row.worker: [(check.name, check.state) for check in row.inputs] for row in rows}


def test_each_answer_stands_when_it_comes(world: World) -> None:
    first, second = world.worker("a", properties=IN), world.worker("b", properties=IN)
    world.worker("c")
    assert states(world, "x.npy") == {
        "a": [("x.npy", "asking")],
        "b": [("x.npy", "asking")],
        "c": [("x.npy", "no_folder")],
    }
    world.turn()
    first.missing("is not there")
    assert states(world, "x.npy")["a"] == [("x.npy", "missing")]
    assert states(world, "x.npy")["b"] == [("x.npy", "asking")]
    second.found()
    assert states(world, "x.npy")["b"] == [("x.npy", "found")]


def test_an_answer_about_one_name_is_none_about_another(world: World) -> None:
    worker = world.worker("a", properties=IN)
    states(world, "x.npy")
    world.turn()
    worker.found()
    assert states(world, "x.npy", "y.npy")["a"] == [("x.npy", "found"), ("y.npy", "asking")]
    world.turn()
    assert worker.take(link.InputFile).filename == "y.npy"


def test_a_worker_that_would_refuse_the_job_is_asked_too(world: World) -> None:
    worker = world.worker("a", properties=IN)
    assert states(world, "x.npy", gpus=8)["a"] == [("x.npy", "asking")]
    world.turn()
    assert worker.take(link.InputFile).filename == "x.npy"


def test_one_that_is_away_is_not_asked_for_ever(world: World) -> None:
    worker = world.worker("a", properties=IN)
    worker.disconnect()
    assert states(world, "x.npy")["a"] == [("x.npy", "unreachable")]
