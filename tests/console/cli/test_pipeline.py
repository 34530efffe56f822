"""submit -f: what a pipeline file may say, what is wrong with it and where, and that all of it is submitted or nothing."""

from pathlib import Path

import pytest

from opsconsole_console.cli.pipeline_file import read_pipeline
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import JobSpec
from tests.client.fake_server import FakeServer
from tests.console.cli.conftest import Run

FILE = """
[defaults]
project = "pose"
env = { A = "1" }

[jobs.prepare]
command = "python3 prepare.py 'two words'"
collect = ["data/*"]
gpus = 0

[jobs.train]
command = ["python3", "train.py", "--lr", "{lr}"]
sweep = { lr = [0.1, 0.01] }
take = ["prepare:data"]
timeout = "2h"
hold = true
env = { B = "x=y" }

[jobs.tell]
command = "true"
after_failure = "train"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "pipeline.toml"
    path.write_text(text)
    return path


def submitted(server: FakeServer) -> list[JobSpec]:
    return [job.spec for one in server.asked if isinstance(one, api.SubmitJobs) for job in one.submissions]


def test_a_file_is_submitted_in_one_request(run: Run, server: FakeServer, tmp_path: Path) -> None:
    ran = run("submit", "-f", str(write(tmp_path, FILE)))
    assert ran.code == 0, ran.err
    assert len([one for one in server.asked if isinstance(one, api.SubmitJobs)]) == 1
    prepare, train, tell = submitted(server)
    ids = [line.split()[0] for line in ran.out.splitlines()]
    assert [line.split()[1] for line in ran.out.splitlines()] == ["prepare", "train", "tell"]
    assert (prepare.name, prepare.project, prepare.command[2], prepare.collect) == (
        "prepare",
        "pose",
        "two words",
        ("data/*",),
    )
    assert (train.num_tasks, train.timeout_ms, train.held) == (2, 7_200_000, True)
    assert train.task_commands[1][-1] == "0.01"
    assert (train.takes, tell.after_failure) == ((f"{ids[0]}:data",), (ids[1],))
    assert (prepare.environment, train.environment) == ({"A": "1"}, {"B": "x=y"})


def test_a_dry_run_submits_nothing_and_says_what_waits_for_what(run: Run, server: FakeServer, tmp_path: Path) -> None:
    server.add_worker("gpu-a")
    ran = run("submit", "-f", str(write(tmp_path, FILE)), "--dry-run")
    assert [line for line in ran.out.splitlines() if not line.startswith(" ")] == [
        "prepare",
        "train, 2 tasks: with the results of prepare:data",
        "tell: after a failure of train",
    ]
    assert not submitted(server)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[jobs.a\n", r"line 1"),
        ("", "it has no job"),
        ("[job.a]\ncommand='x'", r"at the top has an unknown key 'job': did you mean jobs\?"),
        ("[jobs.a]\ncommand='x'\nproirity=1", r"\[jobs.a\] has an unknown key 'proirity': did you mean priority\?"),
        ("[jobs.a]\ncommand='x'\nmax-retries-failure=1", r"did you mean max_retries_failure\?"),
        ("[defaults]\ngpu=1\n[jobs.a]\ncommand='x'", r"\[defaults\] has an unknown key 'gpu': did you mean gpus\?"),
        ("[jobs.a]\ncommand='x'\ngpus=-1", r"\[jobs.a\] gpus: "),
        ("[jobs.a]\ncommand='x'\ntimeout='soon'", r"\[jobs.a\] timeout: .*soon"),
        ("[jobs.a]\ncommand='x'\nhold='yes'", "hold is 'yes', and true or false is expected"),
        ("[jobs.a]\ncommand='x'\nname=['b']", "name takes one value"),
        ("[jobs.a]\ncommand='x'\nafter=[true]", "after is True, and a text or a number is expected"),
        ("[jobs.a]\ncommand=3", "command is neither a text nor a list of texts"),
        ('[jobs.a]\ncommand="it\'s"', "can't be read"),
        ("jobs=3", "jobs is not a table"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InvalidRequest, match=message) as caught:
        read_pipeline(path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[jobs.a]\ncommand='x'\nafter='b'", "a: --after b: there is no job 'b' in this pipeline: there are a"),
        ("[jobs.a]\ncommand='x'\nafter='b'\n[jobs.b]\ncommand='y'\nafter='a'", "wait for each other: a → b → a"),
        ("[jobs.a]\nname='x'", "[jobs.a] has neither a command nor a template"),
        ("[jobs.a]\ncommand='x'\ntemplate='t'", "[jobs.a] there is no template 't'"),
        ("[jobs.a]\ncommand='x'\nupload='nosuch'", "[jobs.a] --upload nosuch: "),
        ("[jobs.a]\ncommand='x'\nrequire=''", "[jobs.a] --require is empty"),
        ("[jobs.a]\ncommand='x'\ntimeout='0'", "[jobs.a] --timeout is 0"),
    ],
)
def test_nothing_is_submitted_where_a_part_is_wrong(
    run: Run, server: FakeServer, tmp_path: Path, text: str, message: str
) -> None:
    ran = run("submit", "-f", str(write(tmp_path, text)))
    assert ran.code != 0
    assert message in ran.err
    assert not submitted(server)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--gpus", "1"), "write --gpus there, under [defaults]"),
        (("--", "true"), "leave out what stands behind --"),
        (("--follow",), "--follow is for one job"),
    ],
)
def test_beside_a_file_nothing_says_what_the_jobs_are(
    run: Run, server: FakeServer, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    ran = run("submit", "-f", str(write(tmp_path, FILE)), *words)
    assert message in ran.err
    assert not submitted(server)


def test_waiting_ends_well_where_only_a_job_after_a_failure_did_not_start(
    run: Run, server: FakeServer, tmp_path: Path
) -> None:
    ends = {"prepare": "succeeded", "train": "succeeded", "tell": "blocked", "clear": "blocked"}

    def end(job_id: str, spec: JobSpec) -> None:
        if ends[spec.name] == "blocked":
            server.move(job_id, state="blocked")
            return
        for index in range(spec.num_tasks):
            server.finish(job_id, index, exit_code=0)

    server.on_submit = end
    text = FILE.replace("hold = true\n", "").replace('take = ["prepare:data"]', "")
    path = write(tmp_path, f"{text}\n[jobs.clear]\ncommand = 'true'\nafter_any = ['tell', 'prepare']")
    ran = run("submit", "-f", str(path), "--wait")
    assert ran.code == 0, ran.err
    ends["prepare"] = "blocked"
    assert run("submit", "-f", str(path), "--wait").code == 1
