"""All that came after a job is found, however much that is, in whatever order it came and wherever a step ends."""

import sqlite3
from random import Random

import pytest
from msgspec.structs import replace

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.store import waiting
from opsconsole_coordinator.store.schema import prepare
from opsconsole_coordinator.store.waiting import DependentSearch
from opsconsole_protocol.ids import JobId, WorkerId
from tests.coordinator.store import history

JOBS = 60
KINDS = ("after", "after_failure", "after_any", "takes")


@pytest.mark.parametrize("seed", range(20))
def test_a_search_finds_what_came_after_a_job_and_after_that(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(seed)  # noqa: S311 - chance that repeats itself
    monkeypatch.setattr(waiting, "JOBS_AT_ONCE", random.choice([1, 2, 7, JOBS, 1_000]))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    prepare(connection)
    fleet = Fleet(random.getrandbits, store_id="store", name="lab")
    worker = Worker(id=WorkerId("w"), name="w")
    ids: list[JobId] = []
    made_ms = history.NOW_MS
    expected: dict[JobId, set[JobId]] = {}
    for number in range(JOBS):
        made_ms += random.choice([0, 0, 1])  # several come at once, and their ids are in any order
        job, attempts = history._job(random, number, 1, made_ms, [worker])
        needs = random.sample(ids[-10:], min(len(ids), random.choice([0, 0, 1, 2])))
        spec = replace(job.spec, command=("echo", random.choice(["after", "takes", "x"])))
        for one in needs:
            kind = random.choice(KINDS)
            part = random.choice(["", "/0", ":*"]) if kind != "takes" else random.choice(["", ":data"])
            spec = replace(spec, **{kind: (*getattr(spec, kind), f"{one}{part}")})
            expected.setdefault(one, set()).add(job.id)
        job.spec = spec
        history._insert(connection, fleet, job, attempts)
        ids.append(job.id)

    first = random.choice(ids[:20])
    search = DependentSearch(first, JOBS)
    while search.step(connection):
        pass
    found, left = {first}, [first]
    while left:
        for one in expected.get(left.pop(), ()):
            if one not in found:
                found.add(one)
                left.append(one)
    assert search.dependents == {one: expected[one] for one in found if one in expected}
    few = DependentSearch(first, 0)
    while few.step(connection):
        assert not few.dependents, "it stops where more than it may were found"


def test_a_job_that_is_gone_has_nothing_after_it() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    prepare(connection)
    search = DependentSearch(JobId("gone"), 5)
    assert not search.step(connection)
    assert not search.dependents
