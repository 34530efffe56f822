"""Every opsconsole line of the README works as pasted from a fresh clone (hard use 39); names in capitals are filled in."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nvml import FakeGpus
from tests.process.lab import Lab, lab
from tests.process.test_trust import free_port

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SCREEN = "opsconsole"
"""The console itself wants a terminal: tests/terminal opens it."""


def lines() -> list[str]:
    """The command lines of the README, in order, and what is pasted in between."""
    blocks = _BLOCK.findall((ROOT / "README.md").read_text())
    return [line for block in blocks for line in block.splitlines() if line.startswith(("opsconsole", "cd ", "cat "))]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git would give somebody: no file that it doesn't know."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ("git", "ls-files", "-co", "--exclude-standard", "-z"), cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A machine on which `pip install .` was done."""
    with lab(tmp_path_factory.mktemp("readme")) as made:
        command = made.folder / "bin" / "opsconsole"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m opsconsole_console "$@"\n')
        command.chmod(0o755)
        made.environ["PATH"] = f"{command.parent}:{made.environ['PATH']}"
        yield made


class Reader:
    """Somebody who pastes line after line, in a clone."""

    def __init__(self, shared_lab: Lab, clone: Path) -> None:
        self._lab = shared_lab
        self._folder = clone
        self._port = free_port()
        self._joining = ""
        self._job = ""

    def paste(self, line: str) -> str:
        """Run a line to its end; what it printed."""
        done = subprocess.run(
            ["bash", "-c", line], cwd=self._folder, env=self._lab.environ, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        return done.stdout

    def do(self, line: str) -> None:
        """What one does with a line."""
        verb = line.split()[1] if " " in line else ""
        if line.startswith("cd "):
            self._folder /= verb
            return
        line = line.replace("7373", str(self._port)).replace("/mnt/vast", f"{self._lab.folder}/vast")
        if verb in ("serve", "agent"):
            self._begin(verb, line)
        elif verb == "invite":
            self._joining = re.sub(r"//[^:/]+:", "//127.0.0.1:", shlex.split(self.paste(line))[-1])
        elif "JOB" in line:
            self._on_a_job(verb, line)
        elif line != SCREEN:
            out = self.paste(line)
            epochs = re.search(r"--epochs (\d+)", line)
            if epochs:
                assert f"epoch {epochs[1]}/{epochs[1]}" in out
            elif verb == "submit" and "--follow" not in line:
                self._lab.run("wait", out.strip())

    def _begin(self, verb: str, line: str) -> None:
        """In a terminal of its own."""
        words = [self._joining if word.endswith("#…") else word for word in shlex.split(line)[1:]]
        if verb == "agent":
            words += ["--state-dir", str(self._lab.state_dir("agent"))]
        self._lab.start(verb, *words, environ=FakeGpus(self._lab.folder, count=4).environment())
        sign = "listens on" if verb == "serve" else "connected to"
        self._lab.wait(lambda: sign in self._lab.said(verb), verb)

    def _on_a_job(self, verb: str, line: str) -> None:
        self._job = self._job or self.paste("opsconsole submit --name long -- sleep 600").strip()
        if verb == "logs":
            ended = self.paste("opsconsole submit -- echo hello").strip()
            assert self.paste(line.replace("JOB", ended)) == "hello\n"
            return
        if verb != "clone":
            self._lab.wait_state(self._job, "paused" if verb == "resume" else "running")
        out = self.paste(line.replace("JOB", self._job[:6])).strip()
        if verb == "clone":
            self._lab.run("cancel", out)
        else:
            assert self._job in out


def test_every_line_works_as_pasted(shared_lab: Lab, clone: Path) -> None:
    for folder in ("inputs", "outputs"):
        (shared_lab.folder / "vast" / folder).mkdir(parents=True)
    reader = Reader(shared_lab, clone)
    pasted = lines()
    for line in pasted:
        reader.do(line)
    verbs = {line.split()[1] for line in pasted if " " in line}
    assert verbs >= {"run", "serve", "invite", "agent", "submit", "pause", "resume", "cancel", "logs", "why", "clone"}
