"""What is recognised in files becomes lines of a report: each point once, whatever dies, and never too many."""

import asyncio
import errno
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsconsole_agent.recognise import output as output_module
from opsconsole_agent.recognise.output import BEHIND_BYTES_MAX, LOOK_BYTES_MAX, Output
from opsconsole_agent.recognise.pace import LINES_AT_ONCE, LINES_PER_S, STAGE_BYTES, Pace, thinned
from opsconsole_agent.recognise.recogniser import Recogniser
from opsconsole_agent.recognise.stream import Finding
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.log import Source
from opsconsole_protocol.report import parse_line


class Attempt:
    """The files of one attempt, and whoever looks at them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_ms = 1_000_000
        self.output = Output(self.names)

    def names(self, source: Source) -> tuple[str, str]:
        return str(self.folder / source), ""

    def put(self, source: Source, text: str) -> None:
        with (self.folder / source).open("a") as file:
            file.write(text)

    def look(self, times: int = 1) -> bool:
        self.now_ms += 1_000
        looks = [self.output.look(self.now_ms) for _ in range(times)]
        return any(looks)

    def restart(self) -> None:
        self.output = Output(self.names)

    @property
    def lines(self) -> list[dict[str, Any]]:
        path = self.folder / Source.REPORT
        found = path.read_bytes().splitlines() if path.exists() else []
        for line in found:
            parse_line(line, 0)
        return [json.loads(line) for line in found]

    def points(self, name: str = "loss") -> list[tuple[float | None, float]]:
        return [(line.get("step"), line["metrics"][name]) for line in self.lines if name in line.get("metrics", {})]


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path)


def test_lines_say_where_they_come_from(attempt: Attempt) -> None:
    attempt.put(Source.STDOUT, "step=1 loss=0.5\n")
    attempt.put(Source.STDERR, "\r 50%|##  | 5/10 [00:01<00:01]")
    attempt.look()
    attempt.look()
    first, second = attempt.lines
    assert (first["source"], first["step"], first["metrics"], first["mark"]["to"]) == ("stdout", 1, {"loss": 0.5}, 16)
    assert (second["source"], second["progress"]) == ("stderr", {"done": 5, "total": 10, "left_ms": 1_000})
    attempt.look()
    assert len(attempt.lines) == 2


def test_what_is_no_number_stays_what_it_is_and_comes_once(attempt: Attempt) -> None:
    text = "epoch=1 loss=inf\nepoch=2 loss=-inf\nepoch=3 loss=nan\n"
    attempt.put(Source.STDOUT, text)
    attempt.look()
    attempt.restart()
    attempt.put(Source.STDOUT, "epoch=3 loss=nan\nepoch=4 loss=0.5\n")
    attempt.look()
    lines = (attempt.folder / Source.REPORT).read_bytes().splitlines()
    told = [told for line in lines if (told := parse_line(line, 0).metrics) is not None]
    found = [(one.step, one.values["loss"]) for one in told]
    assert repr(found) == "[(1.0, inf), (2.0, -inf), (3.0, nan), (4.0, 0.5)]"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.sampled_from(["print", "bar", "look", "restart", "half"]), max_size=40))
def test_each_point_comes_once_whatever_dies(tmp_path_factory: pytest.TempPathFactory, story: list[str]) -> None:
    attempt = Attempt(tmp_path_factory.mktemp("attempt"))
    printed = drawn = 0
    for act in story:
        if act == "print":
            printed += 1
            attempt.put(Source.STDOUT, f"step={printed} loss={printed}\n")
        elif act == "bar":
            drawn += 1
            attempt.put(Source.STDERR, f"\r 1%|#  | {(drawn - 1) % 4 + 1}/4 [00:01<00:01, acc={drawn}]")
        elif act == "half":
            attempt.put(Source.STDOUT, "some")
            attempt.put(Source.STDOUT, "thing\n")
        elif act == "restart":
            attempt.restart()
        else:
            attempt.look()
    attempt.output.finish(attempt.now_ms)
    attempt.restart()
    attempt.output.finish(attempt.now_ms)
    assert attempt.points() == [(number, number) for number in range(1, printed + 1)]
    assert attempt.points("acc") == [(number, number) for number in range(1, drawn + 1)]


def test_a_disk_that_was_full_loses_no_point(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, data: bytes) -> bool:
        raise OSError(errno.ENOSPC, "no space left on device")

    attempt.put(Source.STDOUT, "step=1 loss=1\n")
    attempt.look()
    with monkeypatch.context() as patch:
        patch.setattr(output_module, "append", full)
        attempt.put(Source.STDOUT, "step=2 loss=2\n")
        with pytest.raises(OSError, match="no space"):
            attempt.look()
    attempt.look()
    assert attempt.points() == [(1, 1), (2, 2)]


def test_what_the_task_reports_is_left_to_it(attempt: Attempt) -> None:
    attempt.put(Source.REPORT, '{"step":1,"metrics":{"loss":9}}\n{"progress":{"done":1,"total":2}}\n')
    attempt.put(Source.STDOUT, "step 1/10 loss=0.5 acc=0.25\n")
    attempt.look()
    assert attempt.lines[2:] == [
        {"at_ms": attempt.now_ms, "step": 1, "metrics": {"acc": 0.25}, "source": "stdout", "mark": attempt.lines[-1]["mark"]}
    ]  # fmt: skip


def test_a_flood_is_thinned_and_its_end_is_read(attempt: Attempt) -> None:
    attempt.put(Source.STDOUT, "".join(f"step={n} loss={n}\n" for n in range(60_000)))
    size = (attempt.folder / Source.STDOUT).stat().st_size
    assert size > BEHIND_BYTES_MAX
    attempt.look()
    first, _ = attempt.points()[0]
    assert first is not None
    assert 0 < first < 60_000 - BEHIND_BYTES_MAX / 25
    attempt.look(20)
    attempt.output.finish(attempt.now_ms)
    assert attempt.points()[-1] == (59_999, 59_999)
    assert len(attempt.lines) <= LINES_AT_ONCE + 40


def test_one_look_reads_so_much_and_no_more(attempt: Attempt) -> None:
    attempt.put(Source.STDOUT, "x\n" * LOOK_BYTES_MAX)
    assert attempt.look(2)
    assert not attempt.look()


def test_a_report_at_its_limit_ends_it(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "append", lambda *_: False)
    attempt.put(Source.STDOUT, "step=1 loss=1\n")
    attempt.look()
    monkeypatch.undo()
    attempt.put(Source.STDOUT, "step=2 loss=2\n")
    assert not attempt.look()
    attempt.output.finish(attempt.now_ms)
    assert attempt.lines == []


def test_the_pace_halves_as_the_report_grows() -> None:
    pace = Pace()
    assert pace.allowed(0) == LINES_AT_ONCE
    pace.spend(LINES_AT_ONCE, STAGE_BYTES - 1)
    assert (pace.allowed(0), pace.allowed(10_000)) == (0, 10 * LINES_PER_S)
    pace.spend(int(10 * LINES_PER_S), 2 * STAGE_BYTES + 1)
    assert pace.allowed(20_000) == 10 * LINES_PER_S / 8
    assert pace.allowed(5_000) == pace.allowed(5_000)


@given(st.integers(0, 300), st.integers(1, 50))
def test_thinning_keeps_the_last_of_each(count: int, most: int) -> None:
    found = [Finding(None, n, {"loss": n}) if n % 50 else Finding(None, n, {"eval_loss": n}) for n in range(count)]
    kept = thinned(found, most)
    assert len(kept) <= most + 2
    assert [one.step for one in kept] == sorted({one.step for one in kept if one.step is not None})
    for name in ("loss", "eval_loss"):
        of_name = [one for one in found if name in one.values]
        assert not of_name or of_name[-1] in kept


def test_a_fault_at_one_task_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = AttemptId("a"), AttemptId("b")
    (tmp_path / sound).mkdir()
    look = Output.look
    attempt = Attempt(tmp_path / sound)
    attempt.put(Source.STDOUT, "step=1 loss=1\n")

    def look_or_fail(self: Output, now_ms: int) -> bool:
        if str(tmp_path / broken) in self._files(Source.STDOUT)[0]:
            raise ValueError("a fault")
        return look(self, now_ms)

    monkeypatch.setattr(Output, "look", look_or_fail)
    recogniser = Recogniser(lambda attempt_id: Attempt(tmp_path / attempt_id).names)
    recogniser.look({broken: "", sound: ""})
    recogniser.close()
    assert attempt.points() == [(1, 1)]
    assert "a fault of this program: what a prints isn't recognised" in caplog.text


def test_quiet_tasks_are_looked_at_more_rarely_and_all_have_their_turn(tmp_path: Path) -> None:
    first, second = AttemptId("a"), AttemptId("b")
    for one in (first, second):
        (tmp_path / one).mkdir()
    recogniser = Recogniser(lambda attempt_id: Attempt(tmp_path / attempt_id).names)
    wanted = dict.fromkeys((first, second), "")
    for _ in range(20):
        recogniser.look(wanted)
    for one in (first, second):
        Attempt(tmp_path / one).put(Source.STDOUT, "step=1 loss=1\n")
    for _ in range(4):
        recogniser.look(wanted)
    assert [Attempt(tmp_path / one).points() for one in wanted] == [[(1, 1)], [(1, 1)]]
    recogniser.close()


async def test_a_line_of_another_is_there_before_the_end_is_told(attempt: Attempt) -> None:
    attempt.put(Source.STDOUT, "step=1 loss=0.5\n")
    recogniser = Recogniser(lambda _: attempt.names)
    over = asyncio.Event()
    try:
        recogniser.add(AttemptId("a"), b'{"at_ms":5,"gpu_sample":{"memory_mb":7}}\n')
        recogniser.finish(AttemptId("a"), "", over.set)
        async with asyncio.timeout(20):
            await over.wait()
    finally:
        recogniser.close()
    assert [line.get("gpu_sample") for line in attempt.lines] == [{"memory_mb": 7}, None]
    assert attempt.points() == [(1, 0.5)]
