"""How many `/bin/true` a second go through the keeper, against starting them directly. Run: `python bench/keeper.py`."""

import argparse
import asyncio
import os
import platform
import tempfile
import time
from pathlib import Path

from opsconsole_agent.keeper_client.keeper_client import KeeperClient
from opsconsole_agent.keeper_client.message import AttemptExited, StartCommand
from opsconsole_protocol.ids import AttemptId

PROGRAM = "/bin/true"


async def through_keeper(folder: Path, tasks: int, slots: int) -> float:
    """Return tasks a second; each is started, seen to end, and forgotten."""
    client = await KeeperClient.connect(folder / f"state-{slots}", idle_s=5)
    env = dict(os.environ)
    output = str(folder / "output")

    def command(number: int) -> StartCommand:
        return StartCommand(AttemptId(f"bench.{number}.0.0000"), [PROGRAM], str(folder), env, output, output)

    begin = time.perf_counter()
    started = min(slots, tasks)
    pending = {client.start(command(number)) for number in range(started)}
    ended = 0
    async for batch in client.batches():
        exits = [event.attempt_id for event in batch if isinstance(event, AttemptExited)]
        ended += len(exits)
        for number in range(started, min(tasks, started + len(exits))):
            pending.add(client.start(command(number)))
        started = min(tasks, started + len(exits))
        if exits:
            client.forget(exits)
        pending = {task for task in pending if not task.done()}
        if ended == tasks:
            break
    elapsed_s = time.perf_counter() - begin
    await asyncio.gather(*pending)
    await client.quit()
    return tasks / elapsed_s


def directly(folder: Path, tasks: int, slots: int) -> float:
    """Return tasks a second of nothing but posix_spawn and wait."""
    env = dict(os.environ)
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    actions = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
    begin = time.perf_counter()
    for number in range(tasks + slots):
        if number >= slots:
            os.wait4(-1, 0)
        if number < tasks:
            os.posix_spawn(PROGRAM, [PROGRAM], env, file_actions=actions, setsid=True)
    os.close(output)
    return tasks / (time.perf_counter() - begin)


def main() -> None:
    """Print tasks a second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--slots", type=int, nargs="+", default=[2, 4])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{os.cpu_count()} cores, Python {platform.python_version()}, in {name}")
        for slots in arguments.slots:
            direct = directly(folder, arguments.tasks, slots)
            through = asyncio.run(through_keeper(folder, arguments.tasks, slots))
            print(
                f"{slots} slots: {through:,.0f} tasks/s through the keeper, {direct:,.0f} directly, ratio {through / direct:.2f}"
            )


if __name__ == "__main__":
    main()
