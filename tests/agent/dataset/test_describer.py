"""The process that looks: what it is asked, what it may use, and what becomes of it."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from opsconsole_agent.dataset.describer import Describer, describe
from opsconsole_agent.dataset.limit import Limits
from opsconsole_agent.probe.file_child import UserIds
from opsconsole_agent.probe.file_look import FilePlace
from opsconsole_protocol.dataset import BrokenDataset, DatasetDescription
from opsconsole_protocol.error import Conflict, InvalidRequest, LimitExceeded, NotFound, Unavailable
from tests.agent.dataset.dataset_lab import CSV, parquet_bytes, saved, write
from tests.waiting import until_sync


def test_files_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.csv": CSV, "b.parquet": parquet_bytes(), "ragged.csv": b"a,b\n1\n"})
    write(tmp_path / "saved", saved())
    (tmp_path / "link.csv").symlink_to("a.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [describe(name).rows for name in ("a.csv", "b.parquet", "saved", "~/link.csv")] == [3, 3, 3, 3]
    with pytest.raises(NotFound, match=r"gone\.csv is not there"):
        describe("gone.csv")
    (tmp_path / "astray.csv").symlink_to("gone.csv")
    with pytest.raises(NotFound, match=r"^astray\.csv is a link that leads nowhere$"):
        describe("astray.csv")
    with pytest.raises(BrokenDataset) as broken:
        describe("ragged.csv")
    assert broken.value.message == f"{tmp_path}/ragged.csv, line 2: has 1 value where there are 2 columns"


def test_nothing_leads_out_of_the_folder(tmp_path: Path) -> None:
    lab = write(tmp_path / "lab", {"in.csv": CSV})
    write(tmp_path, {"out.csv": CSV})
    (lab / "link.csv").symlink_to("../out.csv")
    (lab / "inside.csv").symlink_to("in.csv")
    place, describer = FilePlace(str(lab)), Describer()
    assert describer.describe_at(place, b"inside.csv").rows == 3
    for path in (b"link.csv", b"../out.csv"):
        with pytest.raises((Conflict, InvalidRequest), match=r"leads out|no path below"):
            describer.describe_at(place, path)
    assert describer.describe_at(place, b"").files == 2  # the folder, as far as it is in the folder


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(Conflict, match="is not a regular file"):
        describe(str(tmp_path / "pipe.csv"))


@pytest.mark.parametrize(
    ("url", "lacks"),
    [
        ("s3://", "bucket"), ("s3:///x", "bucket"), ("s3://key:geheim@/x", "bucket"), ("http://", "server"),
        ("https:///x.csv", "server"), ("http://?token=geheim", "server"), ("hf://", "repository"), ("hf://nope", "repository"),
        ("hf:///datasets/x", "repository"), ("HF://datasets", "repository"),
    ],
)  # fmt: skip
def test_a_url_that_names_nothing_is_refused_in_words(url: str, lacks: str) -> None:
    with pytest.raises(InvalidRequest, match=f"names no {lacks}") as refused:
        describe(url)
    assert "geheim" not in refused.value.message


@pytest.mark.parametrize(
    "url", ["ftp://h/a.csv", "file:///etc/passwd", "memory://a", "zip://a.csv::http://h/a.zip", "local::/a"]
)
def test_other_kinds_of_url_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="can't be read"):
        describe(url)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_it_looks_as_the_user_of_tasks(tmp_path: Path) -> None:
    nobody: UserIds = (65534, 65534, [])
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    write(tmp_path, {"mine.parquet": parquet_bytes(), "all.parquet": parquet_bytes()})
    (tmp_path / "mine.parquet").chmod(0o600)
    (tmp_path / "all.parquet").chmod(0o644)
    describer = Describer(nobody)
    assert describer.describe_at(FilePlace(str(tmp_path)), b"all.parquet").rows == 3
    with pytest.raises(Conflict, match="Permission denied"):
        describer.describe_at(FilePlace(str(tmp_path)), b"mine.parquet")


def program(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "program.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_one_that_hangs_is_killed(tmp_path: Path) -> None:
    text = f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    describer = Describer(limits=Limits(timeout_s=2.0), program=program(tmp_path, text))
    with pytest.raises(Unavailable, match="could not be described within 2 s: does its mount or server hang"):
        describer.describe_url("https://ana:geheim@h/a.csv?signature=geheim")
    pid = int((tmp_path / "pid").read_text())
    until_sync(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 11)", "print('no JSON')"])
def test_one_that_breaks_down(tmp_path: Path, end: str) -> None:
    describer = Describer(program=program(tmp_path, f"import os\n{end}\n"))
    with pytest.raises(LimitExceeded, match=r"https://h/a\.csv is too much for its reader"):
        describer.describe_url("https://ana:geheim@h/a.csv?signature=geheim")


def test_it_ends_even_where_nobody_waits(tmp_path: Path) -> None:
    """Its own alarm rings a second after its caller has given up."""
    text = (
        "import signal, time\nfrom opsconsole_agent.dataset.child import _limit\n"
        "from opsconsole_agent.dataset.limit import Limits\n_limit(Limits(timeout_s=0.5))\ntime.sleep(600)\n"
    )
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", text], timeout=60, check=False)
    assert ended.returncode == -14
    assert time.monotonic() - began < 30


def test_memory_is_bounded(tmp_path: Path) -> None:
    rows = b"".join(b'{"c%d": 1}\n' % number for number in range(9_000))
    write(tmp_path, {"a.jsonl": b'{"a": "' + b"x" * (15 << 20) + b'"}\n' + rows})
    with pytest.raises((LimitExceeded, Unavailable)) as refused:
        describe(str(tmp_path / "a.jsonl"), Limits(memory_bytes_max=60 << 20))
    assert "memory" in refused.value.message


def test_without_the_extra_text_is_read_and_all_else_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child is run as it is where nothing of the extra is installed."""
    child = Path(sys.modules[Describer.__module__].__file__ or "").with_name("child.py")
    hidden = [
        "pyarrow",
        "pyarrow.parquet",
        "fsspec",
        "aiohttp",
        "s3fs",
        "huggingface_hub",
        "botocore",
        "botocore.session",
    ]
    text = (
        f"import runpy, sys\nfor name in {hidden!r}:\n    sys.modules[name] = None\n"
        f"runpy.run_path({str(child)!r}, run_name='__main__')\n"
    )
    files = {"a.csv": CSV, "b.parquet": parquet_bytes(), "c.csv": b"\x28\xb5\x2f\xfdxx", "d.csv.gz": b""}
    write(tmp_path, files)
    describer = Describer(program=program(tmp_path, text))
    place = FilePlace(str(tmp_path))
    assert describer.describe_at(place, b"a.csv").rows == 3
    for path, what in ((b"b.parquet", "to read Parquet"), (b"c.csv", "to read what zst has compressed")):
        with pytest.raises(InvalidRequest, match=rf"^{what}, pip install 'opsconsole\[dataset\]'"):
            describer.describe_at(place, path)
    for url in ("http://127.0.0.1:1/a.csv", "s3://b/a.csv", "hf://datasets/a/b"):
        with pytest.raises(InvalidRequest, match=rf"^to read {url[:4].rstrip(':/')}.*opsconsole\[dataset\]"):
            describer.describe_url(url)


def test_an_answer_is_never_too_large_for_the_way_back(tmp_path: Path) -> None:
    names = ["é" * 150 + str(number) for number in range(1_000)]
    text = ",".join(names) + "\n" + (",".join(["é" * 80] * 1_000) + "\n") * 20
    write(tmp_path, {"a.csv": text.encode()})
    found = describe(str(tmp_path / "a.csv"))
    assert found.rows == 20
    assert len(msgspec.json.encode(found)) < 1 << 20
    assert isinstance(found, DatasetDescription)
