"""How fast one agent with its keeper runs /bin/true, against a coordinator in memory in a process of its own.

    .venv/bin/python bench/agent.py [--tasks 10000] [--slots 2] [--ahead 8] [--state-dir DIR] [--profile FILE]

Prints tasks a second, what bare posix_spawn does in the same run, and the processor time of agent and keeper. `--ahead` is
how many attempts beyond the slots are assigned before others have ended, as a coordinator does to keep its workers busy.
`--profile` writes a cProfile of the agent.
"""

import argparse
import asyncio
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.agent.fake_coordinator import TOKEN, FakeCoordinator  # noqa: E402
from tests.waiting import until  # noqa: E402

from bench.process_usage import keepers, read_cpu_s, read_memory_mb  # noqa: E402
from opsconsole_agent.probe.io_path import WorkerIOConfig  # noqa: E402
from opsconsole_agent.runtime import Agent, AgentConfig  # noqa: E402
from opsconsole_protocol.link import Observed  # noqa: E402
from opsconsole_protocol.state import is_attempt_finished  # noqa: E402


def run_agent(url: str, state_dir: str, slots: int, profile: str) -> None:
    """The agent's process."""
    config = AgentConfig(
        url=url,
        certificate_hash=None,
        token=TOKEN,
        name="bench",
        state_dir=Path(state_dir),
        io=WorkerIOConfig(),
        max_concurrent_jobs=slots,
    )

    async def main() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await Agent(config, lambda _: None).run(stop)

    if profile:
        import cProfile

        profiler = cProfile.Profile()
        profiler.runcall(asyncio.run, main())
        profiler.dump_stats(profile)
    else:
        asyncio.run(main())


async def measure(coordinator: FakeCoordinator, tasks: int, in_flight: int) -> float:
    """Return the seconds from the first assignment to the last reported end."""
    next_task = 0
    ended: set[str] = set()
    done = asyncio.Event()

    def assign_one() -> None:
        nonlocal next_task
        if next_task < tasks:
            coordinator.assign(f"a{next_task}", "/bin/true")
            next_task += 1

    def note(observed: Observed) -> None:
        if is_attempt_finished(observed.state) and observed.attempt_id not in ended:
            ended.add(observed.attempt_id)
            assign_one()
            if len(ended) == tasks:
                done.set()

    coordinator.on_report = note
    began_s = time.perf_counter()
    for _ in range(in_flight):
        assign_one()
    await done.wait()
    took_s = time.perf_counter() - began_s
    assert all(state == "succeeded" for states in coordinator.history.values() for state in states[-1:])
    return took_s


def bare_rate(tasks: int, slots: int) -> float:
    """Return tasks a second of nothing but posix_spawn and wait, as many at a time as there are slots."""
    began_s = time.perf_counter()
    for _ in range(slots):
        os.posix_spawn("/bin/true", ["/bin/true"], os.environ)
    for _ in range(tasks - slots):
        os.wait()
        os.posix_spawn("/bin/true", ["/bin/true"], os.environ)
    for _ in range(slots):
        os.wait()
    return tasks / (time.perf_counter() - began_s)


async def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--ahead", type=int, default=8)
    parser.add_argument("--state-dir", default="")
    parser.add_argument("--profile", default="")
    options = parser.parse_args()
    state_dir = options.state_dir or tempfile.mkdtemp(prefix="opsconsole-bench-")
    bare = bare_rate(min(options.tasks, 2_000), options.slots)
    async with FakeCoordinator(heartbeat_ms=5_000) as coordinator:
        arguments = (coordinator.url, state_dir, options.slots, options.profile)
        agent = multiprocessing.get_context("spawn").Process(target=run_agent, args=arguments)
        agent.start()
        assert agent.pid is not None
        await coordinator.until_connected()
        keeper = next(keepers(state_dir))
        idle_before_s = read_cpu_s(agent.pid), read_cpu_s(keeper)
        await asyncio.sleep(5)
        idle = (read_cpu_s(agent.pid) - idle_before_s[0]) / 5, (read_cpu_s(keeper) - idle_before_s[1]) / 5
        print(f"idle: agent {idle[0]:.2%} of a core, {read_memory_mb(agent.pid):.0f} MB; keeper {idle[1]:.2%}")
        before_s = read_cpu_s(agent.pid), read_cpu_s(keeper)
        took_s = await measure(coordinator, options.tasks, options.slots + options.ahead)
        used_s = read_cpu_s(agent.pid) - before_s[0], read_cpu_s(keeper) - before_s[1]
        rate = options.tasks / took_s
        print(f"{options.tasks} × /bin/true, {options.slots} slots: {rate:,.0f} tasks/s in {took_s:.2f} s")
        print(f"bare posix_spawn: {bare:,.0f} tasks/s; the agent reaches {rate / bare:.0%} of it")
        print(
            f"agent {used_s[0] / options.tasks * 1e6:.0f} µs/task, keeper {used_s[1] / options.tasks * 1e6:.0f} µs/task"
        )
        await until(lambda: len(set(coordinator.forgotten)) == options.tasks, 30)
        print(
            f"afterwards: agent {read_memory_mb(agent.pid):.0f} MB, keeper {read_memory_mb(keeper):.0f} MB; disk {state_dir}"
        )
        agent.terminate()
        agent.join(20)
        os.kill(keeper, signal.SIGKILL)  # nothing lives, but it may not have heard yet that all is safe
    if not options.state_dir:
        shutil.rmtree(state_dir, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())
