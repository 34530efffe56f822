"""Hosts with real networks between them, TLS and invitations, as in a lab; and silence where packets should be."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from opsconsole_protocol.spec import FENCE_AFTER_MIN_MS, JobSpec
from tests.chaos.fleet import Fleet
from tests.chaos.ledger import is_alive
from tests.chaos.namespace import Impossible, Town
from tests.chaos.operator import words
from tests.process.lab import Lab

PORT = 7373
HOSTS = ("one", "two", "unheard", "deafened", "fenced")
LOST_AFTER_MS = 15_000


pytestmark = pytest.mark.timeout(300)  # a quarter of a minute or half, on a machine with nothing else to do


@pytest.fixture(name="town")
def _town() -> Iterator[Town]:
    try:
        made = Town("lab", *HOSTS)
    except Impossible as error:
        # A run for all as root has to have them: a skip that nobody sees is a test that nobody has.
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            raise
        pytest.skip(str(error))
    with closing(made), made.inside("lab"):
        yield made


@pytest.fixture(name="fleet")
def _fleet(town: Town, lab: Lab) -> Iterator[Fleet]:
    def serve() -> None:
        lab.serve("--advertise", f"{town.address('lab')}:{PORT}", listen=f"0.0.0.0:{PORT}")

    def arguments(name: str) -> Sequence[str]:
        return ("--join", lab.invite(name=name, tags=("pair",) if name in {"one", "two"} else ()))

    with closing(Fleet(lab, 0, dict.fromkeys(HOSTS, 2), arguments, within=town.command, serve=serve)) as made:
        made.begin()
        yield made


def test_a_silent_partition_loses_nothing_and_starts_nothing_twice(lab: Lab, town: Town, fleet: Fleet) -> None:
    waiting = words(lab.folder, lines=100, seconds=2, manners="waits")
    submit = fleet.operators.submit
    patient = {
        name: submit(JobSpec(command=waiting, name=name, worker=name)) for name in ("unheard", "deafened")
    }  # fmt: skip
    moving = submit(JobSpec(command=waiting, name="moving", requirements=("pair",), lost_after_ms=LOST_AFTER_MS))
    fenced = submit(
        JobSpec(command=waiting, name="fenced", worker="fenced", fence_after_ms=FENCE_AFTER_MIN_MS, grace_ms=500)
    )
    lab.wait(lambda: {*patient.values(), moving, fenced} <= fleet.started(), "all to start")
    victim = lab.job(moving)["worker"]
    [other] = {"one", "two"} - {victim}

    for name in (victim, "fenced"):
        town.part(name, "lab")
    town.drop("unheard", "lab")
    town.drop("lab", "deafened")
    uid, start = fleet.first_start(fenced)
    lab.wait(lambda: not is_alive(start, uid), "the fence to end the task on a host that nobody reaches")
    assert lab.state(fenced) == "running", "nobody can have heard of it"
    for name in (victim, "unheard"):
        lab.wait(lambda name=name: lab.worker(name)["connection"] == "silent", f"{name} to be silent")
    lab.wait(lambda: fleet.count_starts(moving) == 2, "the task to run elsewhere", 40)
    assert lab.job(moving)["tasks"][0]["worker"] == other
    uid, start = fleet.first_start(moving)
    assert is_alive(start, uid), "nobody can have reached it"

    town.heal()
    fleet.out_of_reach += [victim, "fenced"]
    fleet.see_replaced(moving, victim, other, patient)
    attempts = lab.job(fenced)["tasks"][0]["attempts"]
    assert [attempt["state"] for attempt in attempts] == ["worker_failed", "succeeded"]
    assert "fence" in attempts[0]["error"], attempts
    fleet.check()
