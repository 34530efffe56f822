"""An agent to be killed: starts what its arguments say and then only listens. `STATE_DIR FOLDER NAME SCRIPT …`."""

import asyncio
import os
import sys
from pathlib import Path

from opsconsole_agent.keeper_client.keeper_client import KeeperClient
from opsconsole_agent.keeper_client.message import StartCommand
from opsconsole_protocol.ids import AttemptId


async def main(state_dir: str, folder: str, *pairs: str) -> None:
    link = await KeeperClient.connect(Path(state_dir), idle_s=30)
    for name, script in zip(pairs[::2], pairs[1::2], strict=True):
        output = f"{folder}/{name}.out"
        argv = ["/bin/sh", "-c", script]
        await link.start(StartCommand(AttemptId(name), argv, folder, {"PATH": os.environ["PATH"]}, output, output))
    print("started", flush=True)
    async for _ in link.events():
        pass


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
