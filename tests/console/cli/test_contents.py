"""submit: what a job brings along, and what is brought back, as it is typed and told."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from opsconsole.transfer import pending
from opsconsole.transfer.pending import PendingOffer
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import ContentId, JobId
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.stream.message import FileRoot, RootKind
from tests.client.fake_server import FakeServer
from tests.client.transfer.far_end import FarEnd
from tests.console.cli.conftest import Run

BRING = ("--bundle", "code", "--upload", "data.csv:points.csv", "--setup", "uv sync", "--collect", "logs/*")


def submitted(server: FakeServer) -> JobSpec:
    found = [one for one in server.asked if isinstance(one, api.SubmitJobs)]
    return found[-1].submissions[0].spec


def leave_results(server: FakeServer, far: FarEnd, **files: str) -> None:
    """Every job ends at once, and has left these."""

    def finish(job_id: str, _: JobSpec) -> None:
        folder = far.outputs("gpu-a", FileRoot(kind=RootKind.OUTPUT, job_id=job_id))
        for name, text in files.items():
            (folder / name).write_text(text)
        server.finish(job_id)

    server.on_submit = finish


def test_what_goes_along_is_sent_and_told(run: Run, server: FakeServer, far: FarEnd, here: Path) -> None:
    ran = run("submit", *BRING, "--", "python", "train.py")
    assert ran.code == 0, ran.err
    assert ran.err.splitlines()[:2] == ["bundle 1 file 7 B (7 B sent)", "upload points.csv, 5 B (5 B sent)"]
    spec = submitted(server)
    assert spec.bundle is not None
    assert (spec.setup, spec.collect) == ("uv sync", ("logs/*",))
    for content_id in (spec.bundle.content_id, spec.uploads[0].content_id):
        assert far.store.has(content_id)
    again = run("submit", *BRING, "--", "python", "train.py")
    assert [line.rpartition(" (")[2] for line in again.err.splitlines()[:2]] == ["nothing to send)"] * 2
    assert submitted(server) == spec


def test_quietly_nothing_is_told(run: Run, server: FakeServer, far: FarEnd, here: Path) -> None:
    ran = run("submit", "-q", *BRING, "--json", "--", "true")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["id"] in server.jobs


def test_a_mistake_is_found_before_anything_is_sent(run: Run, server: FakeServer, far: FarEnd, here: Path) -> None:
    for words, code, said in (
        ((*BRING,), 2, "there is no command"),
        (("--upload", "none", "--", "true"), 1, "--upload none: there is no file or folder 'none' here"),
        (("--bundle", "data.csv", "--", "true"), 1, "--bundle: there is no such folder: data.csv"),
        (("--fetch", "../x", "--", "true"), 2, "--fetch ../x: the pattern '../x' leads out of the folder"),
        (("--fetch", "x:data.csv/y", "--", "true"), 2, "data.csv is no folder: name another folder behind the colon"),
        (("--upload", "/", "--", "true"), 2, "--upload /: this is the whole machine: name a folder of it"),
        (("--bundle", "code", "--bundle-max", "1", "--", "true"), 1, "the largest: train.py 7 B"),
        (("--upload", "data.csv", "--upload", "code:data.csv", "--", "true"), 2, "two uploads are called 'data.csv'"),
    ):
        ran = run("submit", *words)
        assert ran.code == code, ran.err
        assert said in ran.err
        assert ran.err.count("\n") == 1
    assert far.asked == []
    assert not any(isinstance(one, api.SubmitJobs) for one in server.asked)


def test_a_dry_run_asks_about_what_would_be_brought_and_sends_nothing(
    run: Run, server: FakeServer, far: FarEnd, here: Path
) -> None:
    server.add_worker("gpu-a")
    ran = run("submit", "--dry-run", *BRING, "--", "true")
    assert ran.code == 0, ran.err
    assert ran.err.splitlines()[:2] == ["bundle 1 file 7 B (would be sent)", "upload points.csv, 5 B (would be sent)"]
    assert far.asked == []
    assert not any(isinstance(one, api.SubmitJobs) for one in server.asked)
    (asked,) = (one for one in server.asked if isinstance(one, api.AskCandidates))
    assert run("submit", *BRING, "--", "true").code == 0
    assert asked.spec == submitted(server)  # so each worker says how far it has just that
    assert asked.spec.bundle is not None
    assert set(asked.supplied) == {asked.spec.bundle.content_id, asked.spec.uploads[0].content_id}
    far.keep_bytes_max = 4
    (here / "data.csv").write_text("more")
    (here / "large.csv").write_text("larger")
    ran = run("submit", "--dry-run", "--upload", "data.csv", "--upload", "large.csv", "--", "true")
    assert [line.rpartition(" (")[2] for line in ran.err.splitlines()[:2]] == [
        "would be sent)", "goes to the worker once it is known)",
    ]  # fmt: skip
    assert pending.offers() == []


@pytest.mark.parametrize("words", [(), ("--dry-run",)], ids=["in earnest", "dry"])
def test_a_dry_run_refuses_what_a_submission_refuses(
    run: Run, server: FakeServer, far: FarEnd, here: Path, words: tuple[str, ...]
) -> None:
    os.mkfifo(here / "code" / "pipe")
    ran = run("submit", *words, "--upload", "code", "--", "true")
    assert ran.code == 1
    assert ran.err.startswith("opsconsole: 'pipe' is a fifo")
    assert run("submit", *words, "--bundle", "code", "--bundle-max", "1", "--", "true").code == 1
    far.keep_bytes_max = 4
    ran = run("submit", *words, "--bundle", "code", "--", "true")
    assert "more than the coordinator keeps" in ran.err
    assert far.asked == []


def test_results_come_when_the_job_ends(run: Run, server: FakeServer, far: FarEnd, here: Path) -> None:
    leave_results(server, far, **{"m.pt": "model", "other": "x"})
    ran = run("submit", "--fetch", "m*:out", "--fetch", "other", "--wait", "--", "true")
    assert ran.code == 0, ran.err
    assert (here / "out" / "m.pt").read_text() == "model"
    assert sorted(ran.err.splitlines()[-2:]) == ["fetched m.pt 5 B to ./out", "fetched other 1 B to ."]
    assert pending.fetches() == []


def test_results_that_arent_there_are_a_failure(run: Run, server: FakeServer, far: FarEnd, here: Path) -> None:
    leave_results(server, far)
    ran = run("submit", "-q", "--fetch", "m", "--wait", "--", "true")
    assert ran.code == 1
    assert ran.err.startswith("opsconsole: not fetched: ")
    assert ran.err.count("\n") == 1


def test_a_worker_that_is_away_keeps_them_pending(run: Run, server: FakeServer, far: FarEnd, here: Path) -> None:
    leave_results(server, far, m="model")
    far.away.add("gpu-a")
    ran = run("submit", "--fetch", "m", "--wait", "--", "true")
    assert ran.code == 1
    assert "opsconsole: not fetched: gpu-a is not connected" in ran.err
    (waiting,) = pending.fetches()
    far.away.clear()
    ran = run("wait", waiting.job_id)
    assert ran.code == 0
    assert "fetched m 5 B to ." in ran.err
    assert (here / "m").read_text() == "model"


def test_who_doesnt_wait_is_told_how_they_come(run: Run, server: FakeServer, far: FarEnd, here: Path) -> None:
    ran = run("submit", "--fetch", "m", "--", "true")
    assert ran.err.splitlines()[-1].startswith(
        "its results come once it has ended: an open console, or `opsconsole transfers resume`"
    )
    (waiting,) = pending.fetches()
    listed = run("transfers")
    assert waiting.id in listed.out
    assert [json.loads(line)["pending"] for line in run("transfers", "--json").out.splitlines()] == ["fetch"]
    assert run("transfers", "forget", waiting.id).code == 0
    assert pending.fetches() == []
    assert run("transfers", "forget", waiting.id).code == 1


def test_a_job_that_is_refused_leaves_nothing_pending(run: Run, server: FakeServer, far: FarEnd, here: Path) -> None:
    def refuse(_: FakeServer, __: object) -> api.AnyAnswer:
        raise InvalidRequest("no such project")

    server.answers[api.SubmitJobs] = refuse
    assert run("submit", "--fetch", "m", "--", "true").code == 2
    assert pending.fetches() == []


def test_a_clone_keeps_what_its_model_brought_unless_something_else_is_named(
    run: Run, server: FakeServer, far: FarEnd, here: Path
) -> None:
    job = run("submit", *BRING, "--", "true").out.strip()
    before = submitted(server)
    assert run("clone", job).code == 0
    assert submitted(server) == before
    assert run("clone", job, "--upload", "code:other", "--collect", "x").code == 0
    after = submitted(server)
    assert ([one.name for one in after.uploads], after.collect) == (["other"], ("x",))
    assert after.bundle == before.bundle


def test_a_clone_brings_the_same_results_to_the_same_folder_unless_others_are_named(
    run: Run, server: FakeServer, far: FarEnd, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_results(server, far, m="model", other="x")
    job = run("submit", "--fetch", "m:out", "--fetch", "other", "--wait", "--", "true").out.strip()
    (here / "out" / "m").unlink()
    monkeypatch.chdir(here / "code")  # results go to where they went, wherever the clone is typed
    ran = run("clone", job[:6], "--wait")
    assert ran.code == 0, ran.err
    clone = ran.out.strip()
    assert (here / "out" / "m").read_text() == "model"
    assert run("clone", job, "--fetch", "other:only").code == 0
    assert [(one.pattern, one.folder.decode()) for one in pending.fetches()] == [("other", str(here / "code/only"))]
    (here / "out" / "m").unlink()
    assert run("clone", clone, "--wait").code == 0  # and a clone of a clone
    assert (here / "out" / "m").exists()


def test_a_run_collects_nothing(run: Run) -> None:
    ran = run("run", "--collect", "x", "--", "true")
    assert (ran.code, ran.err) == (
        2,
        "opsconsole: --collect goes with `opsconsole submit`: a run has a coordinator of its own\n",
    )


@pytest.mark.parametrize("name", ["new\nline", "\x1b[31mred", "\u202eback"])
def test_names_that_act_on_a_terminal_dont(run: Run, server: FakeServer, far: FarEnd, here: Path, name: str) -> None:
    (here / name).write_text("x")
    ran = run("submit", "--upload", name, "--", "true")
    assert ran.code == 0
    assert name not in ran.err


def test_a_template_says_what_goes_along(run: Run, server: FakeServer, far: FarEnd, here: Path) -> None:
    defaults = {
        "bundle": "code",
        "uploads": "'data.csv:my data'",
        "setup": "uv sync",
        "collect": "a 'b c'",
        "fetch": "m",
    }
    server.templates.append(api.TemplateRow(name="train", command=("true",), defaults=defaults))
    leave_results(server, far, m="model")
    ran = run("submit", "--template", "train", "--wait")
    assert ran.code == 0, ran.err
    spec = submitted(server)
    assert ([one.name for one in spec.uploads], spec.collect, spec.setup) == (["my data"], ("a", "b c"), "uv sync")
    assert spec.bundle is not None
    assert (here / "m").read_text() == "model"
    assert run("submit", "--template", "train", "--upload", "code").code == 0
    assert [one.name for one in submitted(server).uploads] == ["code"]


def test_whoever_follows_the_log_has_the_results_brought_at_the_end(
    run: Run, server: FakeServer, far: FarEnd, here: Path
) -> None:
    job = run("submit", "--fetch", "m", "--", "true").out.strip()
    assert run("logs", job).code == 0
    assert len(pending.fetches()) == 1  # it hasn't ended
    (far.outputs("gpu-a", FileRoot(kind=RootKind.OUTPUT, job_id=job)) / "m").write_text("model")
    server.finish(job)
    ran = run("logs", "-f", job)
    assert ran.code == 0, ran.err
    assert "fetched m 5 B to ." in ran.err
    assert pending.fetches() == []


def test_offers_of_jobs_that_have_ended_are_let_go(run: Run, server: FakeServer, far: FarEnd, here: Path) -> None:
    offer = PendingOffer(
        store_id="store", content_id=ContentId("a" * 64), path=b"/x", name="x", is_folder=False, size_bytes=5, files=1,
        job_ids=(JobId("aaaaaaaaaa"), JobId("bbbbbbbbbb")),
    )  # fmt: skip
    pending.save(offer)
    for job in offer.job_ids:
        server.add_job(job)
    server.finish("aaaaaaaaaa")
    assert "bbbbbbbbbb" in run("transfers").out
    (left,) = pending.offers()
    assert left.job_ids == ("bbbbbbbbbb",)
    server.finish("bbbbbbbbbb")
    assert run("transfers").out == ""


@pytest.mark.parametrize("how", ["--wait", "--json"])
def test_what_goes_to_the_worker_from_here_is_offered_before_the_job_could_wait_for_it(
    run: Run, server: FakeServer, far: FarEnd, here: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It was said that the job waits for this machine, which isn't connected."""
    far.keep_bytes_max = 2
    leave_results(server, far, m="m")
    server.answers[api.OfferContents] = lambda _, request: api.OfferAnswer(unwanted=request.content_ids)
    monkeypatch.setattr("opsconsole_console.cli.contents._LOOK_S", 0.01)
    assert run("submit", "--upload", "data.csv", how, "--", "true").code == 0
    told = [
        type(one) for one in server.asked if isinstance(one, api.OfferContents | api.AskCandidates | api.SubmitJobs)
    ]
    assert told[0] is api.OfferContents
    assert told.index(api.AskCandidates) < told.index(api.SubmitJobs)


def test_a_submission_that_is_left_before_it_is_one_offers_nothing(
    run: Run, server: FakeServer, far: FarEnd, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def leave(*_: object) -> None:
        raise asyncio.CancelledError

    far.keep_bytes_max = 2
    server.answers[api.OfferContents] = lambda *_: api.OfferAnswer()
    monkeypatch.setattr("opsconsole_console.cli.submit.tell_candidates", leave)
    assert run("submit", "--upload", "data.csv", "--", "true").code
    assert pending.offers() == []
    assert server.jobs == {}
