"""What a dataset is, under its field in the new-job dialog."""

import msgspec
import pytest

from opsconsole_console.screen.new_job import dataset_look, new_job_screen
from opsconsole_console.screen.new_job.dataset_look import DatasetLook
from opsconsole_console.screen.new_job.dataset_text import answer_lines
from opsconsole_console.screen.part.line_view import Line
from opsconsole_protocol import api
from opsconsole_protocol.dataset import (
    DatasetColumn,
    DatasetDescription,
    DatasetFault,
    DatasetFormat,
    DatasetSplit,
    JobDataset,
)
from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage
from tests.console.app.test_new_job import dialog, fill

DIGITS = api.DatasetAnswer(
    worker="gpu-a",
    description=DatasetDescription(
        format=DatasetFormat.PARQUET, rows=1_797, columns_total=3, size_bytes=17_000, files=2,
        columns=(DatasetColumn("label", "int64", 0), DatasetColumn("text", "string", 258), DatasetColumn("p0", "double")),
        splits=(DatasetSplit("test", 297), DatasetSplit("train", 1_500)),
        first_rows=(("7", "", "0.5"), ("8", "a long\ntext that is cut", "0.25")), note="the README is left out",
    ),
)  # fmt: skip
BROKEN = api.DatasetAnswer(
    worker="gpu-a", fault=DatasetFault("has 1 value where there are 2 columns", "s3://lab/bad.csv", 3)
)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_job_screen, "DEBOUNCE_S", 0.01)
    monkeypatch.setattr(new_job_screen, "ASK_AGAIN_S", 3_600)
    monkeypatch.setattr(dataset_look, "URL_WAIT_S", 0.0)


@pytest.fixture
def able(source: RecordedSource) -> RecordedSource:
    """Every worker can look at datasets, and has a mount `lab`."""
    more = {"datasets": ["text", "arrow", "s3"], "mounts": [{"label": "lab", "path": "/mnt/lab"}]}
    workers = tuple(
        msgspec.structs.replace(worker, properties={**worker.properties, **more}) for worker in source.snapshot.workers
    )
    source.snapshot = msgspec.structs.replace(source.snapshot, workers=workers)
    source.datasets = {"s3://lab/digits": DIGITS, "s3://lab/bad.csv": BROKEN}
    return source


def texts(lines: list[Line]) -> list[str]:
    return [line.left.text.rstrip() for line in lines]


def test_a_description_in_lines() -> None:
    assert texts(answer_lines(JobDataset("s3://lab/digits", "t"), DIGITS, 60)) == [
        "✓ t: Parquet, 1,797 rows, 3 columns, 2 files, 17 kB, on",
        "  gpu-a",
        "  splits test 297, train 1,500",
        "  label int64 · text string (258 nulls) · p0 double",
        "  label  text            p0",
        "  7                      0.5",
        "  8      a long text t…  0.25",
        "! the README is left out",
    ]
    assert texts(answer_lines(JobDataset("s3://lab/bad.csv"), BROKEN, 60)) == [
        "✗ s3://lab/bad.csv, line 3: has 1 value where there are 2",
        "  columns",
    ]


@pytest.mark.parametrize("size", [(160, 45), (80, 24)])
async def test_it_is_shown_while_one_types_and_a_broken_one_is_not_submitted(
    able: RecordedSource, size: tuple[int, int]
) -> None:
    async with stage(able, size) as there:
        await dialog(there)
        await there.type("train")
        await fill(there, "datasets", "t=s3://lab/digits")
        await there.until(lambda: "✓ t: Parquet, 1,797 rows" in there.text() and "splits test 297" in there.text())
        await fill(there, "datasets", "s3://lab/bad.csv")
        await there.until(lambda: "✗ s3://lab/bad.csv, line 3: has 1 value" in there.text())
        await there.press("ctrl+s")
        await there.until(lambda: "a dataset is broken, as is said there" in there.text())
        assert able.asked(api.SubmitJobs) == []
        await fill(there, "datasets", "s3://lab/digits")
        await there.until(lambda: "✓ Parquet" in there.text())
        await there.press("ctrl+s")
        await there.until(lambda: able.asked(api.SubmitJobs))
    (request,) = able.asked(api.SubmitJobs)
    assert isinstance(request, api.SubmitJobs)
    assert request.submissions[0].spec.datasets == (JobDataset("s3://lab/digits"),)


async def test_whoever_is_asked_has_to_have_it(able: RecordedSource) -> None:
    worker = able.snapshot.workers[0]
    look = DatasetLook(able, lambda: None)
    here, away = JobDataset("lab:digits"), JobDataset("hf://datasets/a/b")
    verdict = api.Verdict(worker_id=worker.id, worker=worker.name, accepted=True, reason="")

    def with_check(state: api.InputState, detail: str = "") -> api.Verdict:
        return msgspec.structs.replace(verdict, inputs=(api.InputCheck(name=here.where, state=state, detail=detail),))

    def lines(verdict: api.Verdict, dataset: JobDataset = here) -> str:
        return " ".join(texts(look.lines(worker, verdict, dataset, 200)))

    assert look.open_questions(None, None, (here,)) == ()
    assert "looks for it" in lines(with_check(api.InputState.ASKING))
    missing = with_check(api.InputState.MISSING, "is not there")
    assert (lines(missing), look.open_questions(worker, missing, (here,))) == (f"✗ {worker.name}: is not there", ())
    assert "can't read hf://: pip install 'opsconsole[dataset]'" in lines(verdict, away)
    found = with_check(api.InputState.FOUND)
    questions = look.open_questions(worker, found, (here, away))
    assert questions == ((worker.id, here),)
    await look.ask(worker, questions)
    assert lines(found) == "✗ lab:digits is not there"
    able.datasets["lab:digits"] = DIGITS
    assert look.open_questions(worker, found, (here,)) == (), (
        "what was refused is asked again once something was changed"
    )
    look.forget_refusals()
    await look.ask(worker, look.open_questions(worker, found, (here,)))
    assert lines(found).startswith("✓ Parquet, 1,797 rows")
