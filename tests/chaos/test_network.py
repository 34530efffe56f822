"""Networks that are slow, silent, flapping or half open, and agents that live behind them."""

from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from opsconsole_protocol.spec import JobSpec
from tests.chaos.fleet import Fleet
from tests.chaos.operator import words
from tests.chaos.proxy import DOWN, UP
from tests.process.lab import Lab

PAIR = ("one", "two")
"""One of them is lost, and the other takes its task over."""
OTHERS = ("slow", "unheard", "deafened", "flapping", "half")
LOST_AFTER_MS = 15_000


pytestmark = pytest.mark.timeout(300)  # a quarter of a minute or half, on a machine with nothing else to do


@pytest.fixture(name="fleet")
def _fleet(lab: Lab) -> Iterator[Fleet]:
    def arguments(name: str) -> Sequence[str]:
        return ("--tag", "pair") if name in PAIR else ()

    with closing(Fleet(lab, 0, dict.fromkeys((*PAIR, *OTHERS), 2), arguments, behind_proxies=True)) as made:
        made.begin()
        yield made


def test_what_a_network_does_loses_nothing_and_starts_nothing_twice(lab: Lab, fleet: Fleet) -> None:
    town = fleet.proxies
    town["slow"].slow(0.2)
    waiting = words(lab.folder, lines=100, seconds=2, manners="waits")
    patient = {name: fleet.operators.submit(JobSpec(command=waiting, name=name, worker=name)) for name in OTHERS}
    # Deaf, so that it still has its slot there for a while when its worker is back and gets other work.
    stubborn = words(lab.folder, lines=100, seconds=2, manners="waits deaf")
    spec = JobSpec(command=stubborn, name="moving", requirements=("pair",), lost_after_ms=LOST_AFTER_MS, grace_ms=1_000)
    moving = fleet.operators.submit(spec)
    short = words(lab.folder, lines=20, seconds=0.1)
    for name in ("slow", "flapping", "half"):
        fleet.operators.submit(JobSpec(command=short, num_tasks=12, name="short", worker=name))
    lab.wait(lambda: {*patient.values(), moving} <= fleet.started(), "all to start")
    victim = lab.job(moving)["worker"]
    [other] = {*PAIR} - {victim}

    town[victim].stall()
    town["unheard"].stall(UP)
    town["deafened"].stall(DOWN)
    town["half"].half_open("coordinator")
    for _ in range(5):
        accepted = town["flapping"].accepted
        town["flapping"].cut()
        lab.wait(lambda before=accepted: town["flapping"].accepted > before, "it to come back")
    for name in (victim, "unheard"):
        lab.wait(lambda name=name: lab.worker(name)["connection"] == "silent", f"{name} to be silent")
    assert lab.state(patient["unheard"]) == "running", "silence alone changes nothing"
    lab.wait(lambda: fleet.count_starts(moving) == 2, "the task to run elsewhere", 40)
    assert lab.job(moving)["tasks"][0]["worker"] == other

    for proxy in town.values():
        proxy.heal()
    fleet.out_of_reach.append(victim)
    fleet.operators.submit(JobSpec(command=short, num_tasks=6, name="new work", worker=victim))
    fleet.see_replaced(moving, victim, other, patient)
    fleet.check()
