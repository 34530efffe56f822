"""Networks that are slow, silent, flapping or half open, and agents that live behind them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing

import pytest

from opsconsole_protocol.spec import JobSpec
from tests.chaos.fleet import Fleet
from tests.chaos.ledger import is_alive
from tests.chaos.operator import words
from tests.chaos.proxy import DOWN, UP, Proxy
from tests.process.lab import Lab

PAIR = ("one", "two")
"""One of them is lost, and the other takes its task over."""
OTHERS = ("slow", "unheard", "deafened", "flapping", "half")
LOST_AFTER_MS = 15_000


class Town(dict[str, Proxy]):
    """Every agent behind a proxy of its own."""

    def __init__(self, lab: Lab, stack: ExitStack) -> None:
        super().__init__()
        self.fleet = stack.enter_context(closing(Fleet(lab, 0, dict.fromkeys((*PAIR, *OTHERS), 2), self._way)))
        self._lab = lab
        self._stack = stack

    def _way(self, name: str) -> Sequence[str]:
        """An agent's way to the coordinator."""
        if not self:
            self._lab.environ["OPSCONSOLE_TOKEN"] = self.fleet.token
        if name not in self:
            self[name] = self._stack.enter_context(closing(Proxy(self._lab.port)))
        return ("--connect", f"ws://127.0.0.1:{self[name].port}", *(("--tag", "pair") if name in PAIR else ()))


@pytest.fixture(name="town")
def _town(lab: Lab) -> Iterator[Town]:
    with ExitStack() as stack:
        made = Town(lab, stack)
        made.fleet.begin()
        yield made


def test_what_a_network_does_loses_nothing_and_starts_nothing_twice(lab: Lab, town: Town) -> None:
    fleet = town.fleet
    town["slow"].slow(0.2)
    waiting = words(lab.folder, lines=100, seconds=2, manners="waits")
    patient = {name: fleet.operators.submit(JobSpec(command=waiting, name=name, worker=name)) for name in OTHERS}
    spec = JobSpec(command=waiting, name="moving", requirements=("pair",), lost_after_ms=LOST_AFTER_MS)
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
    uid, start = fleet.first_start(moving)
    lab.wait(lambda: not is_alive(start, uid), "the replaced attempt to be stopped", 40)
    for name in town:
        lab.wait_connected(name)
    for name, job_id in patient.items():
        lab.wait(lambda job_id=job_id: lab.state(job_id) == "running", f"{name} to go on")
        assert len(lab.job(job_id)["tasks"][0]["attempts"]) == 1
    (lab.folder / "go").touch()
    fleet.settle()
    attempts = lab.job(moving)["tasks"][0]["attempts"]
    assert [attempt["state"] for attempt in attempts] == ["worker_failed", "succeeded"]
    assert [attempt["worker"] for attempt in attempts] == [victim, other]
    fleet.check()

