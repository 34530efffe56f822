"""A coordinator is killed while thousands of tasks run: how soon it serves again, and how soon it agrees with its agents."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from bench.deployment import Deployment, wait_for
from bench.process_usage import read_cpu_s
from bench.row import Row
from bench.simulation import Simulation
from opsconsole import JobSpec

AGENTS = 1_000
SLOTS = 10
TASKS = AGENTS * SLOTS
JOBS = 100
ROUNDS = 3
TIMEOUT_S = 120.0


def run(base: Path) -> Iterator[Row]:
    """Yield rows of the worst of some rounds; each round goes on with what the one before left running."""
    with (
        Deployment(base) as deployment,
        Simulation("bench.simulated_agents", deployment.url, deployment.token, AGENTS, SLOTS) as agents,
    ):
        deployment.client.submit([JobSpec(command=("train",), num_tasks=TASKS // JOBS) for _ in range(JOBS)])
        wait_for(lambda: agents.ask("state")["logs_stored"] == TASKS, "the tasks and their logs", TIMEOUT_S, 0.5)
        wait_for(lambda: _stored(deployment) == (TASKS, TASKS), "their states in the store", TIMEOUT_S, 0.5)
        rounds = [_round(deployment, agents, number) for number in range(1, ROUNDS + 1)]
        state = agents.ask("state")
        wrong = _differences(deployment, agents)
        size_mb = sum(one.stat().st_size for one in deployment.data_dir.glob("opsconsole.db*")) / 1e6
    method = f"worst of {ROUNDS} rounds of kill -9 and a start; {AGENTS:,} agents × {SLOTS}; store of {size_mb:.0f} MB"
    serving_s, agreed_s, cpu_s = (max(figures) for figures in zip(*rounds, strict=True))
    title = f"coordinator killed with {TASKS:,} live tasks"
    yield Row("recovery", f"{title}: start → serving", f"{serving_s:.2f} s", f"{method}; until /health answers 200",
        bar="≤ 2 s", met=serving_s <= 2)  # fmt: skip
    yield Row(
        "recovery", f"{title}: start → agreement", f"{agreed_s:.2f} s",
        f"{method}; until the last agent, back by its own back-off, was told its whole set; "
        f"{cpu_s:.1f} s of the coordinator's processor in all",
    )  # fmt: skip
    lost = state["unwanted"] + TASKS - state["states"].get("running", 0)
    method = "by the agents' own count of starts, and attempt by attempt against the store's file"
    yield Row("recovery", f"{title}: lost, started twice, differing", f"{lost}, {state['started_twice']}, {wrong}", method,
        bar="none", met=not (lost or state["started_twice"] or wrong))  # fmt: skip


def _round(deployment: Deployment, agents: Simulation, number: int) -> tuple[float, float, float]:
    """Return the seconds from the start to serving and to agreement, and the coordinator's processor time in all."""
    began_s = deployment.restart()
    wait_for(deployment.answers, "the coordinator", TIMEOUT_S)
    serving_s = time.monotonic() - began_s

    def all_are_back() -> bool:
        state = agents.ask("links")
        return bool(state["registrations_min"] > number and state["connected"] == AGENTS)

    wait_for(all_are_back, "agreement", TIMEOUT_S, 0.2)
    agreed_s = float(agents.ask("links")["agreed_at_s"]) - began_s
    return serving_s, agreed_s, read_cpu_s(deployment.coordinator.pid)


def _stored(deployment: Deployment) -> tuple[int, int]:
    """Return how many tasks and attempts run, by the store's file."""
    with sqlite3.connect(f"file:{deployment.data_dir}/opsconsole.db?mode=ro", uri=True) as connection:
        [tasks] = connection.execute("SELECT count(*) FROM tasks WHERE state = 'running'").fetchone()
        [attempts] = connection.execute("SELECT count(*) FROM attempts WHERE state = 'running'").fetchone()
    connection.close()
    return tasks, attempts


def _differences(deployment: Deployment, agents: Simulation) -> int:
    """Return how many attempts differ between the agents and the store."""
    path = deployment.folder / "attempts"
    agents.ask("dump", path=str(path))
    with sqlite3.connect(f"file:{deployment.data_dir}/opsconsole.db?mode=ro", uri=True) as connection:
        stored = {f"{one} {state}" for one, state in connection.execute("SELECT attempt_id, state FROM attempts")}
    connection.close()
    return len(stored ^ set(path.read_text().splitlines()))
