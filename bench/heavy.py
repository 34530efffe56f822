"""Heavy hours: workers fail, thousands of changes come within a second, and all operators reload, all at once."""

import json
import sqlite3
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.deployment import Deployment, wait_for
from bench.process_usage import read_cpu_s
from bench.row import Row
from bench.simulation import Simulation
from opsconsole import JobSpec

AGENTS = 1_000
SLOTS = 11
TASKS = AGENTS * SLOTS
TASKS_A_JOB = 100
FAILING = 50
CHANGES = 10_000
OPERATORS = 100
RELOADS = 3
RELOAD_EVERY_S = 2.0
SETTLE_S = 6.0
TIMEOUT_S = 300.0


def run(base: Path) -> Iterator[Row]:
    """Yield rows of latencies, then of what must not have happened."""
    with (
        Deployment(base) as deployment,
        Simulation("bench.simulated_agents", deployment.url, deployment.token, AGENTS, SLOTS) as agents,
    ):
        deployment.client.submit(
            [JobSpec(command=("train",), num_tasks=TASKS_A_JOB) for _ in range(TASKS // TASKS_A_JOB)]
        )
        wait_for(lambda: agents.ask("state")["logs_stored"] == TASKS, "the tasks and their logs", TIMEOUT_S, 0.5)
        with Simulation("bench.simulated_operators", deployment.url, deployment.token, OPERATORS) as operators:
            time.sleep(SETTLE_S)
            quiet = operators.ask("reload", rounds=1, every_s=0.0)
            silent_before = _silent(deployment)
            before_s, began_s = read_cpu_s(deployment.coordinator.pid), time.monotonic()
            agents.ask("fail", number=FAILING)
            agents.begin("end", number=CHANGES, within_s=1.0, spare=FAILING)
            operators.begin("reload", rounds=RELOADS, every_s=RELOAD_EVERY_S)
            told_s = agents.finish()["took_s"]
            wait_for(lambda: not agents.ask("state")["states"].get("succeeded"), "all to be stored", TIMEOUT_S, 0.1)
            digested_s = time.monotonic() - began_s
            heavy = operators.finish()
            cpu_s = read_cpu_s(deployment.coordinator.pid) - before_s
            wait_for(
                lambda: len(_silent(deployment) - silent_before) >= FAILING, "the failed to be missed", TIMEOUT_S, 0.2
            )
            wait_for(lambda: not agents.ask("links")["unanswered"], "the last heartbeats' answers", TIMEOUT_S, 0.05)
            links = agents.ask("links")
            views = _settled(deployment, operators)
            succeeded, others = _succeeded(deployment), len(_silent(deployment) - silent_before - _failing())
    at_once = (
        f"{FAILING} of {AGENTS:,} workers fail, {CHANGES:,} changes in {told_s:.1f} s, {OPERATORS} operators reload"
    )
    method = (
        f"{at_once} all lists {RELOADS} times, every {RELOAD_EVERY_S:g} s; {cpu_s:.1f} s of the coordinator's processor"
    )
    p50, p99 = _percentiles([one for times in heavy.values() for one in times])
    by_list = ", ".join(f"{name} {_ms(_percentiles(times))}" for name, times in heavy.items())
    yield Row("heavy", "a list in heavy hours, p50 / p99", _ms((p50, p99)), f"{method}; {by_list}", bar="p99 < 1 s",
        met=p99 < 1_000)  # fmt: skip
    calm = _percentiles([one for times in quiet.values() for one in times])
    yield Row("heavy", f"the same, {OPERATORS} operators reload and nothing else happens", _ms(calm), "one round")
    yield Row("heavy", f"{CHANGES:,} changes stored, and their agents told so", f"{digested_s:.1f} s", at_once)
    yield Row("heavy", "heartbeats unanswered, workers falsely silent", f"{links['unanswered']}, {others}",
        f"{links['beats']:,} heartbeats; the slowest answer took {links['ack_ms_max']:.0f} ms, joining included",
        bar="none", met=not (links["unanswered"] or others))  # fmt: skip
    yield Row("heavy", "changes missing, operators' views that differ from the store", f"{CHANGES - succeeded}, {views}",
        "jobs, workers and events, folded from the start by every other operator and anew by the rest",
        bar="none", met=succeeded == CHANGES and not views)  # fmt: skip


def _failing() -> set[str]:
    return {f"box{number:04}" for number in range(FAILING)}


def _settled(deployment: Deployment, operators: Simulation) -> int:
    """Return how many views still differ when the last update has had time to arrive."""
    answer: dict[str, Any] = {}

    def agree() -> bool:
        nonlocal answer
        answer = operators.ask("compare", database=str(deployment.data_dir / "opsconsole.db"))
        return not answer["differing"]

    try:
        wait_for(agree, "the views", TIMEOUT_S / 2, 3.0)
    except TimeoutError:
        print(json.dumps(answer))
    if answer["failures"]:
        raise RuntimeError(f"operators were turned away: {answer['failures']}")
    return sum(answer["differing"].values())


def _silent(deployment: Deployment) -> set[str]:
    """Return the workers that were ever called silent."""
    return {name for (name,) in _select(deployment, "SELECT subject FROM events WHERE kind = 'silent'")}


def _succeeded(deployment: Deployment) -> int:
    [(number,)] = _select(deployment, "SELECT count(*) FROM attempts WHERE state = 'succeeded' AND is_open = 0")
    return int(number)


def _select(deployment: Deployment, statement: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{deployment.data_dir}/opsconsole.db?mode=ro", uri=True)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def _percentiles(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def _ms(figures: tuple[float, float]) -> str:
    return f"{figures[0]:.0f} / {figures[1]:.0f} ms"
