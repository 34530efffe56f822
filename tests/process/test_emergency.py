"""What docs/security.md tells to do when the data folder leaked (hard use 57), word for word: afterwards nothing that was
in it, or was good before, is accepted."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.process.lab import Lab, lab

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def steps() -> list[str]:
    """The blocks of commands of that section."""
    page = (ROOT / "docs" / "security.md").read_text()
    section = page.partition("### When the data folder leaked\n")[2].partition("\n## ")[0]
    return [block.strip() for block in _BLOCK.findall(section)]


def test_the_emergency_procedure_shuts_everybody_out(tmp_path: Path) -> None:
    remove, serve, revoke = steps()
    with lab(tmp_path) as house:
        first = house.serve("--tls", "on")
        before = house.endpoint["certificate_hash"]
        address = f"wss://127.0.0.1:{house.port}"
        admin = {"HOME": str(tmp_path / "admin")}
        house.run("people", "--connect", house.invite("admin"), environ=admin)
        house.agent("gpu-a", "--join", house.invite())
        assert all(row["revoked_at_ms"] is None for row in house.rows("people"))
        unused = [house.invite("admin"), house.invite()]
        stolen = tmp_path / "stolen"
        shutil.copytree(house.data_dir, stolen)
        port = house.port
        house.kill(first)

        shell(house, remove)
        assert serve == "opsconsole serve --listen 127.0.0.1:7373"
        alone = house.serve()  # on a free port, for the machine may have a coordinator
        shell(house, revoke)
        house.kill(alone)

        house.serve("--tls", "on", listen=f"127.0.0.1:{port}")
        after = house.endpoint["certificate_hash"]
        assert after != before
        pinned = f"{address}#{after}"
        token = (stolen / "operator.token").read_text().strip()
        assert "not valid here" in house.run("jobs", "--connect", pinned, "--token", token, code=1).stderr
        assert "revoked" in house.run("jobs", "--connect", pinned, code=1, environ=admin).stderr
        house.kill(house.processes["gpu-a"])
        agent = house.agent("gpu-a", "--connect", pinned, join=False)
        assert house.wait_ended(agent) == 1
        assert "the token was revoked" in house.said("gpu-a").splitlines()[-1]
        for number, line in enumerate(unused):
            forged = line.replace(before, after)
            told = house.run("jobs", "--connect", forged, code=1, environ={"HOME": str(tmp_path / f"thief-{number}")})
            assert "taken back" in told.stderr or "for workers" in told.stderr
        house.run("people", "--connect", house.invite("admin"), environ={"HOME": str(tmp_path / "anew")})
        assert [row["revoked_at_ms"] is None for row in house.rows("people")].count(True) == 2


def shell(house: Lab, script: str) -> None:
    """Run it as a person would, with `opsconsole` on the path."""
    path = f"{Path(sys.executable).parent}:{house.environ['PATH']}"
    subprocess.run(("sh", "-eu", "-c", script), env=house.environ | {"PATH": path}, check=True, timeout=120)
