"""put, get, ls and transfers, as they are typed and told."""

import json
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from opsconsole.transfer import history, pending
from opsconsole.transfer.pending import PendingFetch, PendingGet, PendingOffer
from opsconsole.transfer.row import TransferKind, TransferPhase, TransferRow
from opsconsole_console.cli.progress_line import ProgressLine, summary, text
from opsconsole_console.model.transfer_words import end_words
from opsconsole_protocol import api
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.file_listing import FileEntry, FileKind, FilePage
from opsconsole_protocol.ids import ContentId, JobId
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.stream.message import FileRoot, RootKind, Via, Way
from tests.client.fake_server import FakeServer
from tests.client.row import NOW_MS
from tests.client.transfer.far_end import FarEnd
from tests.console.cli.conftest import Run

JOB = "aaaaaaaaaa"


@pytest.fixture(autouse=True)
def _worker(server: FakeServer) -> None:
    mounts = [{"label": "lab", "path": "/mnt/lab", "writable": True}]
    server.add_worker("gpu-a", properties={"io_paths": {"input": "/mnt/in", "output": "/mnt/out"}, "mounts": mounts})


def finished(server: FakeServer, far: FarEnd, **files: str) -> None:
    server.add_job(JOB)
    server.finish(JOB)
    folder = far.outputs("gpu-a", FileRoot(kind=RootKind.OUTPUT, job_id=JOB))
    for name, words in files.items():
        (folder / name).write_text(words)


def test_put_tells_the_way_and_what_was_sent(run: Run, far: FarEnd, here: Path) -> None:
    ran = run("put", "data.csv", "code", "gpu-a:lab:x", "--via", "relay")
    assert (ran.code, ran.out) == (0, "")
    lines = ran.err.splitlines()
    assert lines[0] == "  direct: both are here"
    assert lines[1].startswith("data.csv and 1 more to gpu-a:/mnt/lab/x: 2 files, 12 B by a direct connection in ")
    assert (far.mount("lab") / "x" / "code" / "train.py").read_text() == "print()"
    assert far.asked[0][1:] == ("gpu-a", Via.RELAY)


def test_put_as_an_object(run: Run, far: FarEnd, here: Path) -> None:
    row = json.loads(run("put", "data.csv", "gpu-a", "--json").out)
    assert (row["phase"], row["kind"], row["way"], row["bytes_total"]) == ("done", "put", "direct", 5)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("data.csv", "gpu-b"), 1, "there is no worker 'gpu-b': did you mean gpu-a?"),
        (("data.csv",), 2, "name a file and a worker"),
        (("none", "gpu-a"), 1, "there is no file or folder 'none' here"),
        (("data.csv", "gpu-a:../x"), 2, "leads out of its folder"),
        (("data.csv", "gpu-a:/etc"), 1, "is below none of the folders of gpu-a, which has input (/mnt/in)"),
        (("data.csv", "gpu-a:output:x"), 1, "takes no files"),
        (("data.csv", "gpu-a:labb:x"), 1, "gpu-a has no mount 'labb', which has input (/mnt/in)"),
        (("data.csv", "gpu-a:lab"), 2, "did you mean gpu-a:lab: ?"),
        (("data.csv", "here/../data.csv", "gpu-a"), 1, "have the same name"),
    ],
)
def test_what_cant_be_put(run: Run, far: FarEnd, here: Path, words: tuple[str, ...], code: int, said: str) -> None:
    (here / "here").mkdir()
    ran = run("put", *words)
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert ran.code in {code, 2}


def test_get_prints_where_the_files_lie(run: Run, server: FakeServer, far: FarEnd, here: Path) -> None:
    finished(server, far, **{"a.pt": "aa", "b\x1b[2J": "b"})
    ran = run("get", JOB[:4], "--to", "out")
    assert ran.code == 0, ran.err
    assert (here / "out" / "a.pt").read_text() == "aa"
    assert "\x1b" not in ran.out + ran.err
    assert ran.out.splitlines()[0] == "out/a.pt"
    found = json.loads(run("get", JOB, "a*", "--json").out)
    assert found["files"] == [{"path": "a.pt", "size_bytes": 2}]
    assert found["missing"] == []


def test_what_is_missing_is_said_and_a_failure(run: Run, server: FakeServer, far: FarEnd, here: Path) -> None:
    server.add_job(JOB, JobSpec(command=("true",), num_tasks=2))
    server.finish(JOB, 0)
    server.finish(JOB, 1, worker="gpu-b")
    (far.outputs("gpu-a", FileRoot(kind=RootKind.OUTPUT, job_id=JOB, task_index=0)) / "m").write_text("m")
    far.away.add("gpu-b")
    ran = run("get", JOB)
    assert (ran.code, ran.out) == (1, "task-0/m\n")
    assert ran.err.splitlines()[-1] == "opsconsole: not brought: task-1: gpu-b is not connected"


def test_what_is_here_and_differs_stays_unless_forced(run: Run, server: FakeServer, far: FarEnd, here: Path) -> None:
    finished(server, far, a="new", b="b", c="c", d="d", e="e")
    for name in "abcd":
        (here / name).write_text("mine")
    (here / "e").write_text("e")
    ran = run("get", JOB)
    assert (ran.code, ran.out) == (1, "e\n")
    assert ran.err.splitlines()[-1] == (
        "opsconsole: not brought: a, b, c and 1 more: what is here already differ; --force replaces them, "
        "--to takes another folder"
    )
    assert {(here / name).read_text() for name in "abcd"} == {"mine"}
    assert json.loads(run("get", JOB, "--json").out)["differing"] == ["a", "b", "c", "d"]
    assert run("get", JOB, "--force").code == 0
    assert (here / "a").read_text() == "new"
    again = run("get", JOB)
    assert (again.code, again.err.splitlines()[-1]) == (0, f"results of {JOB}: 5 files, 7 B, already here")


@pytest.mark.parametrize("pattern", [os.fsdecode(b"odd \xff"), "odd \ufffd"], ids=["as it is", "as it is shown"])
def test_a_name_that_isnt_utf8_can_be_got_by_itself(
    run: Run, server: FakeServer, far: FarEnd, here: Path, pattern: str
) -> None:
    finished(server, far, other="x", **{os.fsdecode(b"odd \xff"): "odd"})
    ran = run("get", JOB, pattern, "--to", "out")
    assert ran.code == 0, ran.err
    assert [os.fsencode(path.name) for path in (here / "out").iterdir()] == [b"odd \xff"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((JOB, "none"), 1, "has left nothing that matches 'none'"),
        ((JOB, "../x"), 2, "leads out of the folder"),
        (("zzzz",), 1, "zzzz"),
        (("gpu-z:x",), 1, "there is no worker and no job 'gpu-z': did you mean gpu-a?"),
        (("q" * 5_000 + ":x",), 1, "workers are gpu-a"),
        (("gpu-a:nowhere:",), 1, "gpu-a has no mount 'nowhere', which has input (/mnt/in), "),
        (("gpu-a",), 2, "gpu-a is a worker: name a folder of it, gpu-a:FOLDER, or gpu-a: for its input folder"),
        (("",), 2, "'' names no job and no worker"),
        ((":x",), 2, "':x' names no job and no worker"),
        ((JOB, ""), 2, "the pattern '' names no files"),
        (("gpu-a:lab:", "/a"), 2, "opsconsole: the pattern '/a' leads out of the folder"),
        (("gpu-a:lab:", "."), 2, "opsconsole: the pattern '.' names no files"),
        (("gpu-a:lab:none", "a*"), 1, "gpu-a has nothing in lab:none that matches 'a*'"),
        (("gpu-a:lab",), 1, "gpu-a has nothing in input:lab that can be sent; did you mean gpu-a:lab: ?"),
        (("gpu-a:lab:x/*.csv",), 1, "a pattern goes by itself: opsconsole get gpu-a:lab:x '*.csv'"),
        ((f"{JOB}:models/*",), 1, f"a pattern goes by itself: opsconsole get {JOB}:models '*'"),
        ((f"{JOB}/task-7",), 1, f"{JOB} has no task-7: it has 1, from task-0 on"),
    ],
)
def test_what_cant_be_got(
    run: Run, server: FakeServer, far: FarEnd, here: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    finished(server, far, a="a")
    for folder in (far.mount("lab") / "none", far.mount("lab") / "x/*.csv", far.mount("input") / "lab"):
        folder.mkdir(parents=True)
    ran = run("get", *words)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err.splitlines()[-1]


def test_a_folder_of_a_job_is_got(run: Run, server: FakeServer, far: FarEnd, here: Path) -> None:
    finished(server, far, a="a", b="b")
    (far.outputs("gpu-a", FileRoot(kind=RootKind.OUTPUT, job_id=JOB)) / "models[1]").mkdir()
    (far.outputs("gpu-a", FileRoot(kind=RootKind.OUTPUT, job_id=JOB)) / "models[1]" / "m").write_text("m")
    assert run("get", f"{JOB[:4]}:models[1]/", "--to", "out").out == "out/models[1]/m\n"
    assert run("get", f"{JOB}:models[1]", "n*").code == 1


def test_options_may_stand_before_the_patterns(run: Run, far: FarEnd, here: Path) -> None:
    """`get gpu-a:lab: --to DIR '*'` was an unknown argument, of which it was said that a command goes after --."""
    (far.mount("lab") / "f").write_text("f")
    ran = run("get", "gpu-a:lab:", "--to", "out", "*", "--json")
    assert (ran.code, json.loads(ran.out)["files"]) == (0, [{"path": "f", "size_bytes": 1}])


def test_a_folder_of_a_mount_is_got(run: Run, far: FarEnd, here: Path) -> None:
    (far.mount("lab") / "x").mkdir()
    (far.mount("lab") / "x" / "f").write_text("f")
    ran = run("get", "gpu-a:lab:x", "--to", "out")
    assert (ran.code, ran.out) == (0, "out/f\n")


def test_the_history_is_listed(run: Run, far: FarEnd, here: Path) -> None:
    assert run("transfers").err == "nothing has been transferred from this machine yet\n"
    run("put", "data.csv", "gpu-a")
    run("put", "data.csv", "gpu-a:output:")
    listed = run("transfers").out.splitlines()
    assert [line.split()[2:4] for line in listed[1:]] == [["put", "failed"], ["put", "done"]]
    rows = [json.loads(line) for line in run("transfers", "--json", "-n", "1").out.splitlines()]
    assert [(row["pending"], row["phase"]) for row in rows] == [(None, "failed")]
    assert run("transfers", "resume").err == "nothing waits to be sent or brought\n"
    for words in (("forget",), ("list", "x")):
        assert run("transfers", *words).code == 2


def test_resume_says_what_it_is_going_to_do_and_what_it_did(
    run: Run, server: FakeServer, far: FarEnd, here: Path
) -> None:
    """Off a terminal it said nothing, and who had killed a `get` didn't find it in the list."""
    finished(server, far, a="a", b="b")
    pending.save(PendingFetch(store_id="store", job_id=JobId(JOB), pattern="a", folder=os.fsencode(here / "to")))
    pending.save(PendingGet(store_id="store", job=JOB, patterns=("b",), folder=os.fsencode(here / "to")))
    listed = [line.split(None, 4)[1:] for line in run("transfers").out.splitlines()[1:3]]
    assert listed == [["bring", "a", JOB, f"to {here}/to"], ["bring", "b", JOB, f"to {here}/to: interrupted"]]
    ran = run("transfers", "resume")
    assert ran.code == 0
    assert ran.err.splitlines()[:2] == [
        f"a is brought to {here}/to once {JOB} has ended", f"b of {JOB} is brought to {here}/to, where it was interrupted"
    ]  # fmt: skip
    assert ran.err.count("fetched results of") == 2
    assert {path.name for path in (here / "to").iterdir()} == {"a", "b"}
    assert run("transfers", "resume").err == "nothing waits to be sent or brought\n"


# --- ls ------------------------------------------------------------------------------------------------------------


def listing(server: FakeServer, *entries: FileEntry, truncated: bool = False) -> None:
    def answer(_: FakeServer, request: api.ListFiles) -> api.FileList:
        end = request.query.offset + request.query.limit
        page = FilePage(
            entries=entries[request.query.offset : end],
            total=len(entries),
            more=end < len(entries),
            truncated=truncated,
        )
        return api.FileList(page=page, worker="gpu-a")

    server.answers[api.ListFiles] = answer


ENTRIES = (
    FileEntry(b"data", FileKind.FOLDER, mtime_ms=NOW_MS, mode=0o755),
    FileEntry(b"a\n\xff", FileKind.FILE, size=12_345, mtime_ms=NOW_MS, mode=0o644),
    FileEntry(b"link", FileKind.LINK, mode=0o777, leads_to=FileKind.FILE),
    FileEntry(b"pipe", FileKind.OTHER, special="p"),
)


def asked(server: FakeServer) -> api.ListFiles:
    return next(one for one in reversed(server.asked) if isinstance(one, api.ListFiles))


def test_a_workers_folder_is_listed(run: Run, server: FakeServer) -> None:
    listing(server, *ENTRIES)
    ran = run("ls", "gpu-a:lab:x/y", "--sort", "size", "-r")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "data/\na \ufffd\nlink@\npipe\n"
    query = asked(server).query
    assert (query.root.mount, query.folder, query.sort, query.descending) == ("lab", b"x/y", "size", True)
    long = run("ls", "gpu-a", "-l").out.splitlines()
    assert [line.split()[0] for line in long[1:]] == ["drwxr-xr-x", "-rw-r--r--", "lrwxrwxrwx", "p---------"]
    assert "12 kB" in long[2]
    assert asked(server).query.root.mount == "input"


def test_as_objects_every_name_can_be_told(run: Run, server: FakeServer) -> None:
    listing(server, *ENTRIES)
    rows = [json.loads(line) for line in run("ls", "gpu-a", "--json").out.splitlines()]
    assert rows[1] == {
        "name": "a\n\ufffd", "name_base64": "YQr/", "kind": "file", "size_bytes": 12_345, "mtime_ms": NOW_MS,
        "mode": "0644", "leads_to": None,
    }  # fmt: skip
    assert (rows[2]["leads_to"], rows[0]["name_base64"]) == ("file", None)


def test_a_jobs_folders_are_listed(run: Run, server: FakeServer) -> None:
    server.add_job(JOB)
    listing(server, *ENTRIES)
    assert run("ls", f"{JOB[:3]}/task-0:models", "--of", "work", "--find", "*.pt").code == 0
    query = asked(server).query
    assert (query.root, query.folder, query.pattern) == (
        FileRoot(kind=RootKind.WORK, job_id=JOB, task_index=0), b"models", "*.pt"
    )  # fmt: skip
    assert run("ls", f"{JOB}:../x").code == 2
    assert run("ls", "gpu-a", "--of", "work").code == 2


def test_a_long_folder_comes_in_pages_and_what_is_left_out_is_said(run: Run, server: FakeServer) -> None:
    listing(server, *(FileEntry(f"{number}".encode(), FileKind.FILE) for number in range(2_500)))
    ran = run("ls", "gpu-a", "-n", "2100")
    assert len(ran.out.splitlines()) == 2_100
    assert ran.err == "… 2,100 of 2,500: -n shows more\n"
    listing(server, *ENTRIES, truncated=True)
    assert run("ls", "gpu-a").err == "… 4 of 4+: the folder is too large to be listed whole\n"


# --- progress ------------------------------------------------------------------------------------------------------

ROW = TransferRow(
    id="1", kind=TransferKind.PUT, phase=TransferPhase.MOVING, title="data to gpu-a", way=Way.RELAY, bytes_done=41,
    bytes_total=100, files_done=3, files_total=12, rate_bytes_s=95e6, left_ms=125_000, started_at_ms=NOW_MS,
)  # fmt: skip


def test_a_line_says_how_far_it_is() -> None:
    assert text(ROW) == "data to gpu-a: 41 % of 100 B, 3 of 12 files, 95 MB/s, 2m 05s left"


def test_a_summary_says_what_moved_and_how() -> None:
    done = replace(ROW, phase=TransferPhase.DONE, bytes_skipped=10, ended_at_ms=NOW_MS + 2_000)
    assert summary(done) == "12 files, 100 B (10 B of it was there already) by the coordinator's relay in 2s, 95 MB/s"
    rtc = replace(done, way=Way.WEBRTC, engine="aiortc")
    assert "100 B (10 B of it was there already, 70 B of it is empty)" in summary(
        replace(done, bytes_skipped=80, bytes_empty=70)
    )
    assert summary(replace(done, bytes_skipped=100, bytes_empty=100)).startswith(
        "12 files, 100 B (100 B of it is empty)"
    )
    assert summary(rtc).endswith(") by WebRTC with aiortc in 2s, 95 MB/s")
    assert end_words(rtc) == "12 files, 100 B in 2s, 95 MB/s (webrtc with aiortc)"


def test_a_terminals_line_is_written_over_and_taken_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    line = ProgressLine()
    line.show(ROW)
    line.say("done")
    drawn, _, rest = capsys.readouterr().err.partition("left")
    assert drawn.startswith("\r\x1b[Kdata to gpu-a: 41 %")
    assert rest == "\r\x1b[Kdone\n"


def test_a_long_name_is_cut_in_the_history(run: Run) -> None:
    row = TransferRow(id="a", kind=TransferKind.PUT, phase=TransferPhase.FAILED, title="x" * 10_000, error="y" * 10_000)
    history.add(row)
    ran = run("transfers")
    assert "put   failed  xxx" in ran.out
    assert max(map(len, ran.out.splitlines())) < 400


def test_a_cancelled_transfer_is_listed_as_that(run: Run) -> None:
    history.add(TransferRow(id="a", kind=TransferKind.PUT, phase=TransferPhase.CANCELLED, title="m to gpu-a"))
    assert (
        run("transfers")
        .out.splitlines()[-1]
        .endswith("put   cancelled  m to gpu-a: cancelled, the rest is brought next time")
    )


def test_what_a_running_job_has_got_isnt_told_to_wait(run: Run, server: FakeServer) -> None:
    offer = PendingOffer(
        store_id="store", content_id=ContentId("a" * 64), path=b"/x", name="big.csv", is_folder=False, size_bytes=5,
        files=1, job_ids=(JobId(JOB),),
    )  # fmt: skip
    pending.save(offer)
    server.add_job(JOB)
    assert "big.csv" in run("transfers").out
    server.jobs[JOB] = replace(server.jobs[JOB], state="running", task_counts={"running": 1})
    ran = run("transfers")
    assert (ran.out, ran.err) == (
        "", f"big.csv has arrived; it stays offered until {JOB} has ended, for a retry elsewhere ({offer.id})\n",
    )  # fmt: skip
    assert json.loads(run("transfers", "--json").out)["arrived"] is True
    assert pending.offers() == [offer]


def test_what_waits_says_for_whom(run: Run) -> None:
    pending.save(PendingFetch(store_id="s", job_id=JobId(JOB), pattern="m", folder=b"/o", why="gpu-a is not connected"))
    assert run("transfers").out.splitlines()[1].endswith("to /o: gpu-a is not connected")


def test_all_tasks_of_a_job_are_searched_as_far_as_they_can_be(run: Run, server: FakeServer) -> None:
    server.add_job(JOB, JobSpec(command=("true",), num_tasks=4))

    def find(_: FakeServer, request: api.ListFiles) -> api.AnyAnswer:
        index = request.query.root.task_index
        assert request.query.pattern == "*.pt"
        if index == 2:
            raise Unavailable("gpu-b is not connected")
        names = [b"a.pt", b"m/b.pt"][: request.query.limit] if index != 3 else []
        return api.FileList(
            page=FilePage(entries=tuple(FileEntry(one, FileKind.FILE) for one in names), total=len(names))
        )

    server.answers[api.ListFiles] = find
    ran = run("ls", JOB, "--find", "*.pt")
    assert ran.out.splitlines() == ["task-0/a.pt", "task-0/m/b.pt", "task-1/a.pt", "task-1/m/b.pt"]
    assert ran.err == "opsconsole: task-2: gpu-b is not connected\n"
    assert run("ls", JOB, "--find", "*.pt", "-n", "3").out.splitlines() == [
        "task-0/a.pt",
        "task-0/m/b.pt",
        "task-1/a.pt",
    ]


@pytest.mark.parametrize("words", [("big/*",), ()])
def test_what_a_worker_that_is_away_may_have_isnt_said_not_to_be_there(
    run: Run, server: FakeServer, far: FarEnd, here: Path, words: tuple[str, ...]
) -> None:
    """What the coordinator has collected has nothing of it."""
    server.add_job(JOB)
    server.finish(JOB)
    far.collected.add("gpu-a")
    ran = run("get", JOB, *words)
    assert ran.code == 1
    assert "gpu-a can't be asked, and nothing of this was collected" in ran.err


def test_a_job_that_cant_be_scheduled_says_why_it_has_no_results(run: Run, server: FakeServer, here: Path) -> None:
    server.add_job(JOB, state="pending", reason="has 2 of the 8 GPUs needed")
    assert (
        f"{JOB} has not been started yet, so that it has no results: has 2 of the 8 GPUs needed" in run("get", JOB).err
    )
