"""How workers, jobs and tasks are written."""

import pytest
from msgspec.structs import replace

from opsconsole_console.model.job_progress import progress
from opsconsole_console.screen.job.job_facts import job_facts, task_grid
from opsconsole_console.screen.part import job_cell, worker_cell
from opsconsole_console.screen.part.facts import side_by_side, wrapped
from opsconsole_console.screen.part.io_line import io_lines
from opsconsole_console.screen.part.line_view import Line
from opsconsole_console.screen.part.spec_text import resources_text, spec_lines
from opsconsole_console.screen.part.task_line import TaskLine, task_lines
from opsconsole_console.screen.worker.gpu_lines import gpu_lines
from opsconsole_console.screen.worker.worker_facts import worker_facts
from opsconsole_console.widget.cell import cell
from opsconsole_protocol.api import JobRow, SharedGpu, WorkerRow
from opsconsole_protocol.link import Gpu
from opsconsole_protocol.spec import JobSpec, Resources
from tests.console.app import recorded
from tests.console.app.recorded import NOW_MS

WORKERS = recorded.WORKERS


def job(name: str) -> JobRow:
    return recorded.JOBS[name]


def text(lines: list[Line]) -> str:
    return "\n".join(line.left.text + (line.right.text if line.right else "") for line in lines)


@pytest.mark.parametrize(
    ("name", "memory_mb", "label"),
    [
        ("NVIDIA A100-SXM4-80GB", 81_920, "A100-80"),
        ("NVIDIA H100 80GB HBM3", 81_559, "H100-80"),
        ("NVIDIA GeForce RTX 4090", 24_564, "RTX 4090"),
        ("NVIDIA RTX A6000", 49_140, "RTX A6000"),
        ("Tesla V100-SXM2-32GB", 32_768, "V100-32"),
        ("Tesla T4", 15_360, "T4"),
        ("NVIDIA L40S", 46_068, "L40S"),
        ("NVIDIA", None, "NVIDIA"),
    ],
)
def test_cards_are_named_as_people_name_them(name: str, memory_mb: int | None, label: str) -> None:
    assert worker_cell.model_label(Gpu(index=0, uuid="u", name=name, memory_total_mb=memory_mb)) == label


@pytest.mark.parametrize(
    ("name", "status", "gpus", "memory"),
    [
        ("gpu-a", "◉ busy 1/2", "2×A100-80", "62/160G"),
        ("gpu-b", "◉ busy 3/4", "4×H100-80", "118/319G"),
        ("cloud-t4", "◌ silent", "1×T4", "5.9/15G"),
        ("v100-old", "◐ draining 1", "4×V100-32", "19/128G"),
        ("cpu-01", "◉ busy 3/16", "no GPU", "–"),
        ("spare-node-with-a-long-name", "↯ lost", "2×A100-80", "76/160G"),
    ],
)
def test_a_worker_in_a_line(name: str, status: str, gpus: str, memory: str) -> None:
    worker = WORKERS[name]
    assert worker_cell.status_cell(worker).text == status
    assert worker_cell.gpu_label(worker) == gpus
    assert worker_cell.memory_cell(worker).text == memory


def test_a_drained_worker_without_tasks_says_drained() -> None:
    assert worker_cell.status_cell(replace(WORKERS["v100-old"], running_tasks=0)).text == "◐ drained"


def folders(worker: WorkerRow | None, cells: int) -> str:
    return text(io_lines(worker, cells))


def test_folders_are_said_in_full_where_they_fit() -> None:
    line = folders(WORKERS["gpu-a"], 80)
    assert "/mnt/vast/inputs  ← place your files here" in line
    assert "/mnt/vast/outputs" in line
    assert "no input or output folder" in folders(WORKERS["cloud-t4"], 80)
    assert "no NVIDIA driver" in folders(WORKERS["cpu-01"], 80)
    assert folders(None, 80) == ""


@pytest.mark.parametrize("cells", [20, 40, 50, 60, 100])
def test_folders_fit_any_width(cells: int) -> None:
    first = io_lines(WORKERS["gpu-a"], cells)[0]
    assert first.left.text.lstrip().startswith("/mnt")


def test_progress_comes_from_tasks_or_else_from_like_jobs() -> None:
    sweep = progress(job("sweep"), NOW_MS)
    assert (round(sweep.fraction or 0, 2), sweep.guessed) == (0.34, False)
    train = progress(job("train-lr3"), NOW_MS)
    assert (round(train.fraction or 0, 2), train.guessed) == (0.52, True)
    assert job_cell.eta_cell(job("train-lr3"), NOW_MS).text == "14m–15m"
    assert job_cell.progress_cell(job("train-lr3"), NOW_MS, 16).text.endswith("~52 %")
    assert progress(job("eval"), NOW_MS).fraction is None
    assert job_cell.eta_cell(job("segment-v2"), NOW_MS).text == "", "paused time has no end"
    assert job_cell.eta_cell(job("résumé-模型"), NOW_MS).text == "0s–26m"
    assert job_cell.eta_cell(job("résumé-模型"), NOW_MS + 2 * 3_600_000).text == "late"


def test_a_job_of_unknown_length_says_how_long_it_runs() -> None:
    unknown = replace(job("train-lr3"), duration_ms_estimate=None)
    assert job_cell.progress_cell(unknown, NOW_MS, 16).text == "15m so far"
    assert job_cell.eta_cell(unknown, NOW_MS).text == "–"


@pytest.mark.parametrize(
    ("name", "state", "said"),
    [
        ("nightly-eval", "◇ held", "held by ana: data not ready"),
        ("build-env", "◔ building", "on gpu-b"),
        (
            "train-lr2",
            "✗ failed",
            (
                "exit code 1: ran out of GPU memory: it tried to allocate 2.00 GiB; GPU 0 has 1.31 GiB free of 39.39 GiB "
                "(train.py, line 212) · 1h ago"
            ),
        ),
        ("train-lr1", "✓ succeeded", "took 32m · 3h ago · on gpu-d"),
        ("report", "⊠ blocked", "c0p3x7d4ne didn't succeed (retry it to unblock)"),
        ("sweep", "▶ 4 ✓ 11 ⋯ 17", None),
        ("segment-v2", "‖ paused", None),
    ],
)
def test_a_job_in_a_line(name: str, state: str, said: str | None) -> None:
    assert job_cell.state_cell(job(name)).text == state
    remark = job_cell.remark(job(name), NOW_MS)
    assert (None if remark is None else remark.text) == said


def test_where_a_job_is() -> None:
    assert job_cell.where(job("train-lr3")) == "gpu-a"
    assert job_cell.where(job("sweep")) == "4 tasks"
    assert job_cell.where(job("eval")) == ""


def test_earlier_attempts_stand_under_their_task() -> None:
    lines = task_lines(recorded.tasks_of("train-lr3"))
    assert list(lines) == ["0", "0.0"]
    assert lines["0"].state == "running"
    assert lines["0.0"].state == "worker_failed"
    assert lines["0"].output_path == "/mnt/vast/outputs/jobs/42f0k9x2mq"


def test_the_grid_has_a_block_a_task_and_shows_the_worst_of_many() -> None:
    tasks = recorded.tasks_of("sweep")
    assert text(task_grid(tasks, 40)) == "■" * 32
    assert task_grid(tasks[:1], 40) == []
    bad = recorded.tasks_of("grid-ablation-with-a-rather-long-name")
    squeezed = task_grid((*bad, *tasks, *tasks), 10)
    assert len(squeezed) <= 3
    assert squeezed[0].left.spans[0][1] == "state-failed"


def test_facts_of_a_job_in_one_or_two_columns() -> None:
    row, spec = job("train-lr3"), recorded.spec_of("train-lr3")
    wide, narrow = text(job_facts(row, spec, NOW_MS, 150)), text(job_facts(row, spec, NOW_MS, 78))
    for said in ("14m–15m left", "/mnt/vast/outputs/jobs/42f0k9x2mq", "16m ago by ana to pose", "gpu-a"):
        assert said in wide
    assert "submitted" not in narrow
    assert "/mnt/vast/outputs/jobs/42f0k9x2mq" in narrow


def test_facts_say_how_much_a_job_wrote() -> None:
    row = replace(job("train-lr3"), output_files=50, output_bytes=3_000_000_000)
    for cells in (150, 78):
        assert "wrote  50 files, 3.0 GB; f lists them" in text(job_facts(row, None, NOW_MS, cells))
    assert "wrote" not in text(job_facts(replace(row, output_files=0), None, NOW_MS, 150))


def test_facts_name_the_folders_of_the_task_or_attempt_under_the_cursor() -> None:
    """Hard use 22: what was written to the current folder is found in the console as `show` finds it."""
    attempt = recorded.tasks_of("train-lr3")[0].attempts[0]
    attempt = replace(attempt, workdir="/state/attempts/a.0.0/work", output_path="/out/a", finished_at_ms=None)
    task = replace(recorded.tasks_of("train-lr3")[0], output_path="/out/a", attempts=(attempt,))
    row, spec = replace(job("train-lr3"), output_path=None), recorded.spec_of("train-lr3")
    for cells in (150, 78):
        said = text(job_facts(row, spec, NOW_MS, cells, TaskLine(task)))
        assert "runs in  /state/attempts/a.0.0/work" in said
        assert "output  /out/a" in said
    long = replace(
        attempt, workdir="/home/ana/.local/state/opsconsole/agent/attempts/" + "7xmw2mgwzt.0.0.92cw/work" * 3
    )
    narrow = text(job_facts(row, spec, NOW_MS, 78, TaskLine(replace(task, attempts=(long,)))))
    assert "".join(narrow.split()).endswith("7xmw2mgwzt.0.0.92cw/work"), "a path is never cut"
    ended = TaskLine(task, replace(attempt, finished_at_ms=NOW_MS))
    assert "ran in  /state/attempts/a.0.0/work" in text(job_facts(row, spec, NOW_MS, 150, ended))


def test_facts_of_a_worker() -> None:
    said = text(worker_facts(WORKERS["rtx-03"], NOW_MS, 150))
    for word in ("/nas/ml/in", "/nas/ml/out", "rtx-03.lab.example", "1.9 TB free", "cuda 12.4"):
        assert word in said


def test_every_card_with_its_users_foreign_ones_too() -> None:
    worker = WORKERS["rtx-03"]
    lines = text(gpu_lines(worker, lambda attempt: f"name of {attempt}", 90))
    assert "not one of ours" in lines
    assert "Xorg" in lines
    assert "taken" in lines, "the coordinator gives it to nobody"
    ours = WORKERS["gpu-a"]
    lines = text(gpu_lines(ours, lambda a: f"name of {a}", 60))
    assert f"name of {recorded.tasks_of('train-lr3')[0].attempt_id}" in lines
    assert "free" in lines


def test_a_card_that_tasks_share_says_how_much_is_left() -> None:
    worker = WORKERS["gpu-a"]
    shared = SharedGpu(uuid=worker.gpus[0].uuid, tasks=3, asked_mb=18_432, left_mb=6_144)
    assert "shared by 3, 6G left" in text(gpu_lines(replace(worker, gpus_shared=(shared,)), str, 60))


def test_a_lost_card_says_so() -> None:
    gpu = Gpu(index=0, uuid="u", name="NVIDIA L40S", state="lost", message="fell off the bus")
    assert "✗ lost: fell off the bus" in text(gpu_lines(replace(WORKERS["rtx-03"], gpus=(gpu,), gpus_free=()), str, 90))


def test_a_spec_is_told_whole() -> None:
    spec = JobSpec(
        command=("python", "x y.py"), task_commands=(("a",), ("b",)), num_tasks=2, ports=("http",), held=True,
        environment={"K": "v"}, requirements=("zone=a",), worker="gpu-a", gang=True, job_timeout_ms=5_400_000,
    )  # fmt: skip
    said = text(spec_lines(spec, 80))
    for word in (
        "python 'x y.py'", "task 1", "zone=a", "K=v", "http", "until released", "100 after lost workers",
        "all start at once or none does", "1h30m",
    ):  # fmt: skip
        assert word in said


def test_resources_in_words() -> None:
    assert resources_text(Resources()) == "a slot, no GPU"
    assert resources_text(Resources(gpus=2, gpu_memory_mb=40_960, cpus=1, memory_mb=512)) == (
        "2 GPUs with 40G, 1 CPU, 512M memory"
    )


def test_long_text_is_wrapped_at_spaces_and_loses_nothing() -> None:
    lines = wrapped("one two three four five six", 12, first="> ", rest="  ")
    assert " ".join(line.left.text[2:] for line in lines) == "one two three four five six"
    assert max(len(line.left.text) for line in lines) <= 12
    whole = wrapped("x" * 50, 20)
    assert "".join(line.left.text for line in whole) == "x" * 50


def test_two_columns_stand_side_by_side() -> None:
    lines = side_by_side([Line(cell("a"))], [Line(cell("b")), Line(cell("c"))], 10)
    assert [line.left.text for line in lines] == ["a         b", "          c"]
