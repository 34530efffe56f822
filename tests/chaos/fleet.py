"""A real fleet under load: struck as a schedule says, healed, settled and checked."""

import re
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from opsconsole import SyncClient
from opsconsole_protocol.ids import AttemptId, JobId
from opsconsole_protocol.log import LogQuery
from opsconsole_protocol.state import TaskState, is_task_finished
from tests.chaos import ledger
from tests.chaos.checker import Checker, KeeperDeath, Story
from tests.chaos.operator import TIMEOUT_S, Operators, Record
from tests.chaos.proxy import Proxy
from tests.process.lab import Lab
from tests.waiting import until_sync

COORDINATOR = "serve"
_PAUSED = frozenset({TaskState.PAUSED, TaskState.HELD})
_SURPRISES = ("Traceback", "ignored: ", "never retrieved", "of our own")
_LINE = re.compile(r"\d+ \d+/\d+")
SETTLE_S = 90.0
"""How long a healed fleet may take on a busy machine."""


class Fleet:
    """A coordinator on a port of its own, agents, and operators at work. `story` says what happened."""

    def __init__(
        self,
        lab: Lab,
        seed: int,
        slots: dict[str, int],
        arguments: Callable[[str], Sequence[str]] = lambda _: (),
        within: Callable[[str], Sequence[str]] = lambda _: (),
        serve: Callable[[], object] | None = None,
        *,
        behind_proxies: bool = False,
    ) -> None:
        """`slots` by agent; `arguments` are an agent's own, asked for when the coordinator runs.

        `within`: a command that becomes an agent. `serve`: starts the coordinator; else it listens on loopback.
        `behind_proxies`: each agent's network is one that can be broken.
        """
        self.lab = lab
        self.slots = slots
        self._arguments = arguments
        self._within = within
        # A coordinator without TLS proves itself for its own port alone; who is in between is taken for an impostor.
        self._tls = ("--tls", "on") if behind_proxies else ()
        self._serve = serve or (lambda: lab.serve(*self._tls))
        self._behind_proxies = behind_proxies
        self.proxies: dict[str, Proxy] = {}
        self.keepers_killed: list[KeeperDeath] = []
        self.story: list[str] = []
        self.out_of_reach: list[str] = []
        self.operators = Operators(lab.folder, seed, self.say, self.watch)
        self._watchers: dict[JobId, tuple[subprocess.Popen[bytes], Path]] = {}
        self._began_s = time.monotonic()
        self._client: SyncClient | None = None
        self._listen = ""

    def say(self, text: str) -> None:
        """Add to the story."""
        self.story.append(f"{time.monotonic() - self._began_s:8.3f} {text}")

    @property
    def record(self) -> Record:
        """What operators did."""
        return self.operators.record

    # --- the fleet ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start everything, and let the operators in."""
        self._serve()
        self._listen = f"127.0.0.1:{self.lab.port}"
        for name in self.slots:
            if self._behind_proxies:
                self.proxies[name] = Proxy(self.lab.port)
            self.start(name)
        for name in self.slots:
            self.lab.wait_connected(name)
        self._client = SyncClient.connect(data_dir=self.lab.data_dir, retry_for_s=TIMEOUT_S)
        self.operators.connect(self._client)

    @property
    def token(self) -> str:
        """An operator's."""
        return (self.lab.data_dir / "operator.token").read_text().strip()

    @property
    def database(self) -> Path:
        """The store's file."""
        return self.lab.data_dir / "opsconsole.db"

    def watch(self, job_id: JobId) -> None:
        """Follow a job's log with the command line, whatever happens to the coordinator meanwhile."""
        process, path = self._watchers[job_id] = self.lab.follow(f"watch-{job_id}", "logs", job_id, "--follow")
        self.lab.wait(lambda: path.stat().st_size or process.poll() is not None, f"{job_id} to be followed")

    def started(self) -> set[JobId]:
        """The jobs of which anything has started."""
        return {JobId(start.task.partition("/")[0]) for starts in self.starts().values() for start in starts}

    def count_starts(self, job_id: JobId) -> int:
        """How often tasks of a job have started."""
        return sum(start.task.startswith(job_id) for starts in self.starts().values() for start in starts)

    def first_start(self, job_id: JobId) -> tuple[AttemptId, ledger.Start]:
        """The first attempt of a job's only task."""
        found = [(uid, one) for uid, [one] in self.starts().items() if one.task.startswith(job_id)]
        return min(found, key=lambda each: each[1].attempt)

    def starts(self) -> dict[AttemptId, list[ledger.Start]]:
        """Of all attempts so far, as they wrote it down themselves."""
        return ledger.read(self.lab.folder / "ledger").starts

    def see_replaced(self, moving: JobId, victim: str, other: str, patient: Mapping[str, JobId]) -> None:
        """The networks are healed: what was replaced is stopped, what only couldn't be heard goes on; then all may end."""
        lab = self.lab
        uid, start = self.first_start(moving)
        lab.wait(lambda: not ledger.is_alive(start, uid), "the replaced attempt to be stopped", 40)
        for name in self.slots:
            lab.wait_connected(name)
        for name, job_id in patient.items():
            lab.wait(lambda job_id=job_id: lab.state(job_id) == "running", f"{name} to go on")
            assert len(lab.job(job_id)["tasks"][0]["attempts"]) == 1
        (lab.folder / "go").touch()
        self.settle()
        attempts = lab.job(moving)["tasks"][0]["attempts"]
        assert [attempt["state"] for attempt in attempts] == ["worker_failed", "succeeded"]
        assert [attempt["worker"] for attempt in attempts] == [victim, other]

    def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()
        for proxy in self.proxies.values():
            proxy.close()

    def start(self, part: str) -> None:
        """Start a part, without waiting for it."""
        if part == COORDINATOR:
            self.lab.start(COORDINATOR, "serve", "--listen", self._listen, *self._tls)
            return
        arguments, environ = list(self._arguments(part)), dict[str, str]()
        if part in self.proxies:
            pinned = self.lab.endpoint["certificate_hash"]
            arguments += ["--connect", f"wss://127.0.0.1:{self.proxies[part].port}#{pinned}"]
            environ["OPSCONSOLE_TOKEN"] = self.token
        self.lab.agent(
            part, *arguments, slots=self.slots[part], environ=environ, join=False, within=self._within(part)
        )  # fmt: skip

    def check_alive(self, *parts: str) -> None:
        """These parts, or all, run."""
        for part in parts or (COORDINATOR, *self.slots):
            process = self.lab.processes[part]
            assert process.poll() is None, f"{part} ended with {process.returncode}: {self.lab.said(part)[-2000:]}"

    # --- calm --------------------------------------------------------------------------------------------------

    def check_paused(self) -> None:
        """What was paused and not resumed since stands still, if it hadn't ended by then; it is resumed."""
        told = self.record.told
        resumed = {one.job_id for one in told if one.verb == "resume"}
        for job_id in [one.job_id for one in told if one.verb == "pause" and one.job_id not in resumed]:
            self.lab.wait(lambda job_id=job_id: self._is_at_rest(job_id), f"{job_id} to stand still", SETTLE_S)
            self.say(f"{job_id} is {self._state(job_id)}")
            if self._state(job_id) in _PAUSED:
                before = self._written(job_id)
                self.lab.wait_state(self.lab.give("true"), "succeeded")
                assert self._written(job_id) == before, f"{job_id} goes on while it is paused"
                self.operators.act("resume", job_id)

    def _is_at_rest(self, job_id: JobId) -> bool:
        state = self._state(job_id)
        return state in _PAUSED or is_task_finished(state)

    def _state(self, job_id: JobId) -> TaskState:
        assert self._client is not None
        return TaskState(self._client.show(job_id).job.state)

    def _written(self, job_id: JobId) -> list[int]:
        """The sizes of the files that its attempts write to."""
        assert self._client is not None
        ids = [attempt.attempt_id for task in self._client.show(job_id).tasks for attempt in task.attempts]
        files = [self.lab.state_dir(name) / "attempts" / one / "stdout" for name in self.slots for one in ids]
        return [file.stat().st_size for file in files if file.exists()]

    def settle(self) -> None:
        """Wait until nothing goes on: every job has ended, and workers have forgotten it."""
        until_sync(lambda: not _unsettled(self.database), SETTLE_S, "the fleet to settle")
        until_sync(lambda: not self._remembered(), SETTLE_S, "workers to forget what is committed")
        self.check_alive()

    def _remembered(self) -> list[Path]:
        return [path for name in self.slots for path in self.lab.state_dir(name).glob("attempts/*/spec.json")]

    def told(self) -> Story:
        """What was done, for a checker."""
        return Story(self.record, self.slots, tuple(self.keepers_killed), self.out_of_reach)

    def check(self) -> Counter[str]:
        """Hold everything against the ledger; what was checked how often. Raises AssertionError with all violations."""
        checker = Checker(self.told(), ledger.read(self.lab.folder / "ledger"))
        checker.check(self.database, self.read_log)
        checker.check_dead()
        for name in self.slots:
            keepers = self.lab.keepers(name)
            checker.require(len(keepers) <= 1, "one keeper", f"{name} has {keepers}")
        for said in (*self.lab.folder.glob("*.log"), *self.lab.folder.glob("state-*/keeper.log")):
            _check_said(checker, said)
        for job_id, (process, path) in self._watchers.items():
            self._check_watcher(checker, job_id, process, path)
        if checker.violations:
            raise AssertionError("\n".join([f"{len(checker.violations)} violations", *checker.violations[:40]]))
        return checker.checks

    def _check_watcher(self, checker: Checker, job_id: JobId, process: subprocess.Popen[bytes], path: Path) -> None:
        """Whoever followed a log has seen every line once, whatever else he was told in between."""
        code = self.lab.wait_ended(process)
        seen = [line for line in path.read_text().splitlines() if _LINE.fullmatch(line)]
        stored = self.read_log(job_id, 0, 0)
        text = f"{len(seen)} of {len(stored)} lines of {job_id} were followed: {path.read_text()[-500:]}"
        checker.require((code, seen) == (0, stored), "every log line once", text)

    def read_log(self, job_id: JobId, index: int, attempt: int) -> list[str]:
        """One attempt's whole lines, as the coordinator gives them out."""
        assert self._client is not None
        client, lines, query = self._client, dict[int, str](), LogQuery()
        while True:
            answer = client.run(client.client.read_log(job_id, query, task_index=index, attempt=attempt))
            for line in answer.page.lines:
                lines[line.line_number] = lines.get(line.line_number, "") + line.data
            if answer.page.end:
                return [lines[number] for number in sorted(lines)]
            query = LogQuery(cursor=answer.page.next_cursor)


def _check_said(checker: Checker, path: Path) -> None:
    """No part was surprised by what happened to another."""
    text = path.read_text(errors="replace")
    strange = [line for line in text.splitlines() if any(word in line for word in _SURPRISES)]
    checker.require(not strange, "no surprise", f"{path.name} says {strange[:3]}\n{text[-3000:]}")


def _unsettled(database: Path) -> int:
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    try:
        live = connection.execute("SELECT count(*) FROM jobs WHERE is_live = 1").fetchone()[0]
        held = connection.execute("SELECT count(*) FROM attempts WHERE is_open = 1").fetchone()[0]
        return int(live + held)
    finally:
        connection.close()
