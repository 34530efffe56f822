"""Reports on the disk: taken once however often they are sent, whole after any crash, and small in the end."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_coordinator.report import folder as folder_module
from opsconsole_coordinator.report.block import encode_block, read_blocks
from opsconsole_coordinator.report.folder import NOTES_OF_ATTEMPT_MAX, ReportFolder
from opsconsole_coordinator.report.series import Series
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.report import REPORT_LINE_BYTES_MAX, Checkpoint, Progress

ATTEMPT = AttemptId("7k3m9q2w4t.0.0.ab12")
OTHER = AttemptId("7k3m9q2w4t.1.0.cd34")


def lines(count: int, start: int = 0) -> bytes:
    return b"".join(
        b'{"at_ms":%d,"step":%d,"metrics":{"loss":%d,"lr":1}}\n' % (n, n, 2 * n) for n in range(start, start + count)
    )


def values(reports: ReportFolder, name: str = "loss", attempt: AttemptId = ATTEMPT) -> list[float]:
    return list(reports.series(attempt)[name].values)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "REPORT_BLOCK_BYTES", 200)


def test_what_is_said_last(tmp_path: Path) -> None:
    reports = ReportFolder(tmp_path)
    said = [
        {"at_ms": 1, "step": 1, "metrics": {"loss": 3}},
        {"at_ms": 2, "progress": {"done": 1, "total": 4}},
        {"at_ms": 3, "step": 2, "metrics": {"loss": 2, "acc": 0.5}},
        {"at_ms": 4, "checkpoint": {"path": "/c", "step": 2}},
        {"at_ms": 5, "note": "halved"},
    ]
    data = "".join(json.dumps(one) + "\n" for one in said).encode() + b"epoch 3\n"
    size, reported = reports.append(ATTEMPT, 0, data, 9)
    assert size == len(data) == reports.size(ATTEMPT)
    assert (reported.metrics, reported.step) == ({"loss": 2, "acc": 0.5}, 2)
    assert (reported.progress, reported.progress_at_ms) == (Progress(1, 4), 2)
    assert reported.checkpoint == Checkpoint("/c", 2, 4)
    assert reported.notes == [(5, "halved")]
    assert reported.faults == ["line 6: it is no JSON"]
    again = reports.append(ATTEMPT, 0, data, 9)[1]
    assert (again.notes, again.faults, again.metrics) == ([], [], reported.metrics)
    fresh = ReportFolder(tmp_path).append(ATTEMPT, size, b"\n", 9)[1]
    assert (fresh.notes, fresh.checkpoint, fresh.metrics) == ([], reported.checkpoint, reported.metrics)


@given(st.lists(st.tuples(st.integers(-30, 40), st.integers(1, 700), st.none() | st.binary(max_size=30))))
def test_in_any_pieces_sent_twice_over_a_gap_and_after_crashes_every_point_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[int, int, bytes | None]]
) -> None:
    whole = lines(60)
    tmp_path = tmp_path_factory.mktemp("reports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_module, "REPORT_BLOCK_BYTES", 300)
        reports, reached = ReportFolder(tmp_path), 0
        for shift, length, spoilt in [*sent, *[(0, 500, None)] * 20]:
            start = max(0, reached + shift)
            piece = whole[start : start + length]
            before, (reached, _) = reached, reports.append(ATTEMPT, start, piece, 1)
            assert reached == (max(before, start + len(piece)) if start <= before else before)
            if spoilt is not None:  # a crash, in the middle of writing a block
                points = tmp_path / "7k3m9q2w4t" / f"{ATTEMPT}.points"
                if points.exists():
                    points.write_bytes(points.read_bytes() + spoilt)
                reports = ReportFolder(tmp_path)
                assert reports.size(ATTEMPT) == reached
        assert values(reports) == [2 * n for n in range(60)]
        assert {name: one.points for name, one in reports.summaries(ATTEMPT)[0].items()} == {"loss": 60, "lr": 60}
        reports.seal(ATTEMPT)
        assert reports.unsealed() == []
        assert values(reports) == values(ReportFolder(tmp_path)) == [2 * n for n in range(60)]


@pytest.mark.usefixtures("small_blocks")
def test_only_the_points_that_are_asked_for_are_read(tmp_path: Path) -> None:
    reports = ReportFolder(tmp_path)
    reports.append(ATTEMPT, 0, lines(40), 1)
    assert reports.series(ATTEMPT, frozenset({"lr"})).keys() == {"lr"}
    assert reports.series(OTHER) == {}
    assert reports.size(OTHER) == 0


def test_sealed_points_take_a_part_of_the_lines_and_the_last_line_needs_no_end(tmp_path: Path) -> None:
    reports = ReportFolder(tmp_path)
    data = lines(20_000)[:-1]
    reports.append(ATTEMPT, 0, data, 1)
    reports.seal(ATTEMPT)
    assert values(reports)[-1] == 39_998
    assert reports.usage()["7k3m9q2w4t"] < len(data) / 4
    reports.delete("7k3m9q2w4t")
    assert reports.usage() == {}
    assert reports.series(ATTEMPT) == {}


def test_a_line_without_end_takes_no_memory_and_is_told_once(tmp_path: Path) -> None:
    reports, offset, faults = ReportFolder(tmp_path), 0, []
    for _ in range(5):
        offset, reported = reports.append(ATTEMPT, offset, b"x" * REPORT_LINE_BYTES_MAX, 1)
        faults += reported.faults
    offset, reported = reports.append(ATTEMPT, offset, b"x\n" + lines(2), 1)
    assert faults == [f"line 1: a line is longer than {REPORT_LINE_BYTES_MAX} bytes"]
    assert reported.metrics == {"loss": 2, "lr": 1}
    assert values(reports) == [0, 2]


def test_endless_notes_faults_and_names_are_bounded(tmp_path: Path) -> None:
    reports = ReportFolder(tmp_path)
    notes = b"".join(b'{"note": "%d"}\n' % n for n in range(NOTES_OF_ATTEMPT_MAX + 50))
    size, reported = reports.append(ATTEMPT, 0, notes + b"no\n" * 50, 1)
    assert (len(reported.notes), len(reported.faults)) == (NOTES_OF_ATTEMPT_MAX, 5)
    assert reported.faults[-1].endswith("; further ones are told by their number, once it is complete")
    assert reported.faults_left_out == 0
    names = b"".join(b'{"metrics": {"m%d": 1}}\n' % n for n in range(1_100))
    _, reported = reports.append(ATTEMPT, size, names, 1)
    assert len(reported.metrics) == 1_000
    again = ReportFolder(tmp_path)  # after a restart
    said = again.seal(ATTEMPT)
    assert said is not None
    assert (said.faults, said.faults_left_out) == ([], 145)
    assert len(said.metrics) == 1_000
    assert again.seal(ATTEMPT) is None


def test_a_block_that_was_changed_on_the_disk_ends_the_reading() -> None:
    import io

    one = Series()
    one.add(1, 2, 3)
    block = encode_block(10, {"loss": one})
    assert len(list(read_blocks(io.BytesIO(block * 3)))) == 3
    for place in range(len(block)):
        spoilt = block + block[:place] + bytes((block[place] ^ 1,)) + block[place + 1 :] + block
        assert len(list(read_blocks(io.BytesIO(spoilt)))) == 1, place


def said(source: str = "", **fields: object) -> bytes:
    return json.dumps(fields | ({"source": source} if source else {})).encode() + b"\n"


@pytest.mark.parametrize("recognised_first", [False, True])
@pytest.mark.usefixtures("small_blocks")
def test_what_a_task_reports_counts_more_than_what_it_prints(tmp_path: Path, recognised_first: bool) -> None:
    reports = ReportFolder(tmp_path)
    printed = b"".join(
        said("stdout", at_ms=1, step=n, metrics={"loss": 9, "acc": n}, progress={"done": 1, "total": 9}, mark={"to": n})
        for n in range(5)
    )
    told = said(at_ms=2, step=1, metrics={"loss": 0.5}) + said(at_ms=3, progress={"done": 3, "total": 4})
    data = printed + told if recognised_first else told + printed
    _, reported = reports.append(ATTEMPT, 0, data, 9)
    assert (reported.metrics, reported.recognised) == ({"loss": 0.5, "acc": 4}, {"acc"})
    assert reported.progress == Progress(3, 4)
    again = ReportFolder(tmp_path).append(ATTEMPT, len(data), b"\n", 9)[1]
    assert (again.metrics, again.recognised, again.progress) == (reported.metrics, {"acc"}, Progress(3, 4))
    for _ in range(2):
        assert (values(reports), values(reports, "acc")) == ([0.5], [0, 1, 2, 3, 4])
        assert list(reports.series(ATTEMPT, frozenset({"acc"}))) == ["acc"]
        summaries, recognised = reports.summaries(ATTEMPT)
        assert {name: one.points for name, one in summaries.items()} == {"loss": 1, "acc": 5}
        assert recognised == {"acc"}
        reports.seal(ATTEMPT)


def test_recognised_progress_has_the_time_that_is_left(tmp_path: Path) -> None:
    line = said("stderr", at_ms=1, progress={"done": 1, "total": 9, "left_ms": 5_000})
    _, reported = ReportFolder(tmp_path).append(ATTEMPT, 0, line, 9)
    assert reported.progress == Progress(1, 9, 5_000)


@pytest.mark.usefixtures("small_blocks")
def test_what_was_measured_of_gpus_is_kept_apart_from_what_the_task_reports(tmp_path: Path) -> None:
    reports = ReportFolder(tmp_path)
    said = b"".join(
        b'{"at_ms":%d,"gpu_sample":{"memory_mb":%d,"utilization_percent":50}}\n{"step":%d,"metrics":{"memory_mb":7}}\n'
        % (1_000 * n, n, n)
        for n in range(20)
    )
    _, told = reports.append(ATTEMPT, 0, said, 0)
    assert told.metrics == {"memory_mb": 7}
    for stage in ("here", "after a restart", "sealed"):
        reports = reports if stage == "here" else ReportFolder(tmp_path)
        if stage == "sealed":
            reports.seal(ATTEMPT)
        measured = reports.gpu_series(ATTEMPT)
        assert list(measured["memory_mb"].values) == list(range(20)), stage
        assert (
            list(measured["memory_mb"].by_time()[0])
            == list(measured["memory_mb"].steps)
            == [1_000 * n for n in range(20)]
        )
        assert measured.keys() == {"memory_mb", "utilization_percent"}
        summaries, recognised = reports.summaries(ATTEMPT)
        assert (set(summaries), recognised) == ({"memory_mb"}, frozenset())
        assert reports.series(ATTEMPT).keys() == {"memory_mb"}
        assert values(reports, "memory_mb") == [7] * 20


def test_samples_of_gpus_count_for_no_limit_of_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "METRICS_OF_ATTEMPT_MAX", 1)
    reports = ReportFolder(tmp_path)
    _, told = reports.append(ATTEMPT, 0, b'{"metrics":{"a":1}}\n{"gpu_sample":{"memory_mb":1}}\n', 0)
    assert not told.faults
    assert len(reports.gpu_series(ATTEMPT)["memory_mb"]) == 1
