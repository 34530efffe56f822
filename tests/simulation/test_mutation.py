"""A simulator that finds nothing proves nothing: every planted bug comes to light within a bounded number of seeds."""

import pytest

from tests.simulation.mutation import MUTATIONS, SEEN_AT, Mutation
from tests.simulation.plan import make_plan
from tests.simulation.world import run


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name.replace(" ", "-"))
def test_the_simulator_finds_it(mutation: Mutation) -> None:
    for seed in (SEEN_AT.get(mutation.name, 0), *range(mutation.seeds)):
        plan = make_plan(seed, only=mutation.faults)
        if run(plan, mutate=mutation.plant).violation:
            assert not run(plan).violation, "without the planted bug this schedule is well"
            return
    pytest.fail(f"{mutation.name} was not found within {mutation.seeds} seeds")
