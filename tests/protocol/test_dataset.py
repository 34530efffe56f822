"""A job's datasets: how they are typed, what is refused, and which workers can look at them."""

import pytest

from opsconsole_protocol.dataset import (
    ARROW,
    TEXT,
    DatasetColumn,
    DatasetDescription,
    DatasetFormat,
    DatasetSplit,
    JobDataset,
    check_datasets,
    found_dataset,
    inability,
    read_dataset,
)
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.spec import JobSpec
from tests.protocol import sample


@pytest.mark.parametrize(
    ("text", "name", "where"),
    [
        ("lab:digits/", "", "lab:digits"),
        (" train=lab:digits/train.csv ", "train", "lab:digits/train.csv"),
        ("/mnt/lab/year=2024/a.csv", "", "/mnt/lab/year=2024/a.csv"),
        ("t=a=b.csv", "t", "a=b.csv"),
        ("t=", "", "t="),
        ("s3://lab/digits", "", "s3://lab/digits"),
        ("t=https://h/a.csv?x=1", "t", "https://h/a.csv?x=1"),
        ("hf://datasets/ana/digits@main", "", "hf://datasets/ana/digits@main"),
    ],
)
def test_what_is_typed(text: str, name: str, where: str) -> None:
    found = read_dataset(text)
    assert found == JobDataset(where, name)
    assert read_dataset(found.typed) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a dataset is empty"),
        ("digits/train.csv", "contains a folder"),
        ("/", "is a folder"),
        ("lab:../a.csv", "leads out of its folder"),
        ("ftp://h/a.csv", "a dataset at ftp:// can't be read"),
        ("file:///a.csv", "name the path itself"),
        ("s3://k:geheim@lab/a.csv", "the dataset s3://lab/a.csv has a user or password in its URL"),
        ("https://ana:ge/heim@h/a.csv", "the dataset https://… has a user or password"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_dataset(text)
    assert said in error.value.message
    assert "geheim" not in error.value.message
    assert "heim" not in error.value.message


@pytest.mark.parametrize(
    ("datasets", "said"),
    [
        ((JobDataset("a"), JobDataset("b")), "two of them have no name: write train=a, for example"),
        ((JobDataset("a", "t"), JobDataset("b", "T")), "two of them are called t"),
        ((JobDataset("a", "1t"),), "'1t' is no name for a dataset"),
    ],
)
def test_names_of_a_jobs_datasets(datasets: tuple[JobDataset, ...], said: str) -> None:
    with pytest.raises(InvalidRequest, match=f"--dataset: {said}"):
        check_datasets(datasets)


def test_what_has_to_lie_on_the_worker() -> None:
    upload = Upload(name="mine.csv", content_id=sample.CONTENT, size_bytes=1, files=1)
    datasets = tuple(map(JobDataset, ("lab:a.csv", "mine.csv", "s3://lab/a"), "abc"))
    assert JobSpec(command=("a",), uploads=(upload,), datasets=datasets).datasets_there == ("lab:a.csv",)


@pytest.mark.parametrize(
    ("known", "where", "said"),
    [
        (True, "a.csv", "its agent is too old to look at datasets"),
        (None, "a.csv", "its agent is too old to look at datasets"),
        ([TEXT], "a.csv", ""),
        ([TEXT], "digits", ""),
        ([TEXT], "a.Parquet", "can't read Parquet and Arrow: pip install 'opsconsole[dataset]'"),
        ([TEXT, ARROW], "a.parquet", ""),
        ([TEXT, ARROW], "S3://lab/a.csv", "can't read s3://: pip install 'opsconsole[dataset]'"),
        ([TEXT, "s3"], "s3://lab/a.csv", ""),
    ],
)
def test_which_workers_can_look_at_it(known: object, where: str, said: str) -> None:
    found = inability(known, JobDataset(where))
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_a_description_in_a_line() -> None:
    description = DatasetDescription(
        format=DatasetFormat.CSV, compression="gz", rows=1_003, columns=(DatasetColumn("x", "int64"),), columns_total=1,
        size_bytes=2_000, files=2, splits=(DatasetSplit("train", 1_000), DatasetSplit("test")), note="n",
    )  # fmt: skip
    found = found_dataset(JobDataset("s3://lab/a?x=1", "t"), description)
    assert (found.where, found.name) == ("s3://lab/a", "t")
    assert found.words == "CSV in gz, 1,003 rows, 1 column, 2.0 kB, train 1,000, test ?; n"
