"""The checker finds what it is there for: a quiet fleet is well, and every lie told about it is a violation."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from opsconsole_coordinator.core.model import Attempt
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState
from tests.chaos import ledger
from tests.chaos.checker import Checker
from tests.chaos.fleet import Fleet
from tests.chaos.ledger import End, Ledger
from tests.chaos.operator import Told, new_id, words
from tests.process.lab import lab


@pytest.fixture(scope="module", name="fleet")
def _fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """All there is to be wrong about: a success, a retry, a failure, and a task that was cancelled."""
    with lab(tmp_path_factory.mktemp("quiet")) as made, closing(Fleet(made, 0, {"gpu-a": 4})) as fleet:
        fleet.begin()
        commands = tuple(words(made.folder, lines=10, seconds=0, codes=codes) for codes in ("0", "7,0", "3"))
        spec = JobSpec(command=commands[0], task_commands=commands, num_tasks=3, max_retries_failure=1)
        fleet.operators.submit(msgspec.structs.replace(spec, max_task_failures=3))
        long = fleet.operators.submit(JobSpec(command=words(made.folder, lines=1, seconds=100)))
        made.wait(lambda: fleet.count_starts(long) == 1, "the long one to start")
        fleet.operators.act("cancel", long)
        fleet.settle()
        yield fleet


@pytest.fixture(name="database")
def _database(fleet: Fleet, tmp_path: Path) -> Path:
    """A copy of the store."""
    with closing(sqlite3.connect(fleet.database)) as whole, closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        whole.backup(copy)
    return tmp_path / "copy.db"


def truth(fleet: Fleet) -> Ledger:
    return ledger.read(fleet.lab.folder / "ledger")


def violations(fleet: Fleet, told: Ledger, database: Path | None = None, checker: Checker | None = None) -> set[str]:
    """The kinds of what is wrong."""
    checker = checker or Checker(fleet.told(), told)
    checker.check(database or fleet.database, fleet.read_log)
    return {violation.partition(":")[0] for violation in checker.violations}


def test_a_quiet_fleet_is_well(fleet: Fleet) -> None:
    checks = fleet.check()
    assert checks["results are true"] > 10
    assert len(truth(fleet).starts) == 6  # the success, two and two attempts, and the long one


def first(told: Ledger, code: int) -> AttemptId:
    """An attempt that ended with this code."""
    return next(uid for uid, [end] in told.ends.items() if end.code == code)


def start_twice(told: Ledger) -> None:
    told.starts[first(told, 0)] *= 2


def fail_secretly(told: Ledger) -> None:
    told.ends[first(told, 0)] = [End(pid=1, at_ms=0, code=9)]


def succeed_secretly(told: Ledger) -> None:
    told.ends[first(told, 3)] = [End(pid=1, at_ms=0, code=0)]


def fail_otherwise(told: Ledger) -> None:
    told.ends[first(told, 7)] = [End(pid=1, at_ms=0, code=8)]


def write_one_more_line(told: Ledger) -> None:
    [start] = told.starts[first(told, 0)]
    told.starts[first(told, 0)] = [replace(start, lines=start.lines + 1)]


def overfill(told: Ledger) -> None:
    [start] = told.starts[first(told, 0)]
    told.starts[first(told, 0)] = [replace(start, peers=4)]


def run_unknown(told: Ledger) -> None:
    told.starts[AttemptId("nobody.0.0.x")] = told.starts[first(told, 0)]


def run_for_another(told: Ledger) -> None:
    [start] = told.starts[first(told, 0)]
    told.starts[first(told, 0)] = [replace(start, attempt=start.attempt + 1)]


@pytest.mark.parametrize(
    ("lie", "kinds"),
    [
        (start_twice, {"no attempt twice"}),
        (fail_secretly, {"results are true"}),
        (succeed_secretly, {"results are true"}),
        (fail_otherwise, {"results are true"}),
        (write_one_more_line, {"every log line once"}),
        (overfill, {"slots"}),
        (run_unknown, {"no acknowledged fact lost"}),
        (run_for_another, {"results are true"}),
    ],
)
def test_what_really_happened_differs(fleet: Fleet, lie: Callable[[Ledger], None], kinds: set[str]) -> None:
    told = truth(fleet)
    lie(told)
    assert violations(fleet, told) == kinds


def test_operators_were_told_otherwise(fleet: Fleet) -> None:
    told = fleet.told()
    job, _ = told.record.submitted
    lost = replace(told.record, submitted=[*told.record.submitted, new_id()])
    checker = Checker(replace(told, record=lost), truth(fleet))
    assert violations(fleet, truth(fleet), checker=checker) == {"acknowledged means durable"}
    acts = replace(told.record, told=[Told("cancel", job, at_ms=0)], asked={("cancel", job)})
    checker = Checker(replace(told, record=acts), truth(fleet))
    assert violations(fleet, truth(fleet), checker=checker) == {"cancelled means dead"}


def rewrite(database: Path, table: str, change: Callable[[Task | Attempt], bool]) -> None:
    """Change the first stored entity that `change` says it has changed."""
    kind: type[Task | Attempt] = Task if table == "tasks" else Attempt
    with closing(sqlite3.connect(database)) as connection, connection:
        for (data,) in connection.execute(f"SELECT data FROM {table}").fetchall():
            found = msgspec.msgpack.decode(data, type=kind)
            if change(found):
                connection.execute(f"UPDATE {table} SET data = ? WHERE data = ?", (msgspec.msgpack.encode(found), data))
                return
    raise AssertionError("nothing was changed")


def count_a_loss(task: Task | Attempt) -> bool:
    assert isinstance(task, Task)
    task.preemptions += 1
    return task.failures == 0


def count_a_failure(task: Task | Attempt) -> bool:
    assert isinstance(task, Task)
    task.failures += 1
    return task.failures == 2


def give_up(attempt: Task | Attempt) -> bool:
    assert isinstance(attempt, Attempt)
    is_first = attempt.state is AttemptState.FAILED and attempt.number == 0
    attempt.state = AttemptState.WORKER_FAILED
    return is_first


@pytest.mark.parametrize(
    ("table", "change", "kind"),
    [
        ("tasks", count_a_loss, "losses count once"),
        ("tasks", count_a_failure, "failures count once"),
        ("attempts", give_up, "losses are real"),
    ],
)
def test_the_store_is_wrong(
    fleet: Fleet, database: Path, table: str, change: Callable[[Task | Attempt], bool], kind: str
) -> None:
    rewrite(database, table, change)
    assert kind in violations(fleet, truth(fleet), database)


def test_something_is_left(fleet: Fleet, database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE attempts SET is_open = 1")
    assert violations(fleet, truth(fleet), database) == {"everything settles"}
