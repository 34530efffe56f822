"""Tasks of an agent of root that run as somebody else (hard use 58, 51): nothing of the agent's is theirs to read or touch,
and logs, results, pause and cancel are as ever."""

import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_protocol.job_content import Bundle, Upload
from tests.agent.transfer.tree import keep_tree, make_tree
from tests.process.lab import Lab, lab
from tests.process.test_files import give

USER = "nobody"
COUNT = 'i=1000; while :; do i=$((i+1)); echo $i; echo $i 1<> "$COUNTER"; sleep 0.02; done'
"""The file is never empty: it is written over, and all numbers have the same length."""


@pytest.fixture
def house() -> Iterator[Lab]:
    """A lab in a folder that every user passes through."""
    if os.geteuid() != 0:
        pytest.skip("only an agent of root runs tasks as another user")
    folder = Path(tempfile.mkdtemp(prefix="opsconsole-lab-"))
    folder.chmod(0o711)
    (folder / "out").mkdir()
    try:
        with lab(folder) as made:
            made.serve()
            yield made
    finally:
        shutil.rmtree(folder)


def start(house: Lab) -> None:
    house.agent("gpu-a", "--run-as", USER, "--output-path", str(house.folder / "out"))


def test_a_task_reads_nothing_of_its_agent(house: Lab) -> None:
    start(house)
    state = house.state_dir("gpu-a")
    account = pwd.getpwnam(USER)
    secrets = [state / "credential.json", state / "store.json", state / "exit.log", state / "keeper.log", state]
    script = "\n".join(
        [
            'echo "$(id -u) $(id -g) $(id -G) $HOME $USER"',
            "echo opened anew > /dev/stdout",
            'pwd > where; cat where; echo result > "$OPSCONSOLE_OUTPUT_PATH/models/result"',
            *(f"(ls '{one}/' || cat '{one}') >/dev/null 2>&1 && echo 'could read {one}'" for one in secrets),
            f"echo > '{state}/exit.log' && echo 'could write'",
            f"rm -rf '{state}'/credential.json '{state}'/attempts/* 2>/dev/null; cat ../spec.json && echo 'could read its spec'",
            "kill -9 $PPID && echo 'could kill the keeper'",
            "grep -q OPSCONSOLE /proc/$PPID/environ && echo 'could look into the keeper'",
            "true",
        ]
    )
    job_id = house.give(script)
    job = house.wait_state(job_id, "succeeded", "failed")
    groups = " ".join(map(str, os.getgrouplist(USER, account.pw_gid)))
    lines = house.lines(job_id)
    assert f"{account.pw_uid} {account.pw_gid} {groups} {account.pw_dir} {USER}" in lines
    assert "opened anew" in lines
    assert any(line.startswith(str(state / "attempts")) and line.endswith("/work") for line in lines)
    assert not [line for line in lines if line.startswith("could")], lines
    assert job["state"] == "succeeded"
    result = Path(job["output_path"]) / "models" / "result"
    assert (result.read_text(), result.stat().st_uid) == ("result\n", account.pw_uid)
    assert (house.folder / "out" / "jobs").stat().st_uid == 0
    for path in (path for path in state.rglob("*") if not {"work", "sdk"} & set(path.parts) and path.is_file()):
        assert path.stat().st_mode & 0o077 == 0, path


def test_pause_resume_cancel_and_the_end_of_agent_and_keeper(house: Lab) -> None:
    start(house)
    counter = house.folder / "counter"
    counter.write_text("1000\n")
    counter.chmod(0o666)
    job_id = house.give(COUNT, environment={"COUNTER": str(counter)})

    def moved() -> None:
        before = counter.read_text()
        house.wait(lambda: counter.read_text() != before, "the task to go on")

    house.wait_state(job_id, "running")
    moved()
    house.act("pause", job_id)
    house.wait_state(job_id, "paused")
    stands = counter.read_text()
    house.wait(lambda: stands.strip() in house.lines(job_id), "what it printed before the pause")
    assert counter.read_text() == stands
    house.act("resume", job_id)
    moved()
    house.kill(house.processes["gpu-a"], signal.SIGKILL)
    for keeper in house.keepers("gpu-a"):
        keeper.kill()
    start(house)
    moved()
    seen = len(house.lines(job_id))
    house.wait(lambda: len(house.lines(job_id)) > seen, "more lines")
    house.act("cancel", job_id)
    house.wait_state(job_id, "killed")
    lines = house.lines(job_id)
    assert lines == [str(number) for number in range(1001, 1001 + len(lines))]


@pytest.mark.parametrize(
    ("command", "workdir", "words"),
    [
        (("no-such-program",), None, "command not found: no-such-program"),
        (("/root/x/tool",), None, "/root/x/tool"),
        (("true",), "private", "can't enter the working folder"),
    ],
)
def test_what_can_not_be_started_says_why(
    house: Lab, command: tuple[str, ...], workdir: str | None, words: str
) -> None:
    start(house)
    (house.folder / "private").mkdir(mode=0o700)
    folder = None if workdir is None else str(house.folder / workdir)
    job_id = house.give(command, workdir=folder, max_retries_failure=0)
    job = house.wait_state(job_id, "failed", "worker_failed")
    assert words in job["tasks"][0]["error"]
    later = house.give("true")
    house.wait_state(later, "succeeded")


def test_who_can_not_be_had_is_refused_in_one_line(house: Lab) -> None:
    (house.folder / "closed").mkdir(mode=0o700)
    for arguments, words in (
        (("--run-as", "no-such-user"), "there is no user no-such-user on this machine"),
        (("--run-as", "root"), "root is root"),
        (("--run-as", USER, "--output-path", str(house.folder / "closed")), f"{USER}, whom tasks run as, can't enter"),
    ):
        process = house.agent("gpu-b", *arguments, join=False)
        assert house.wait_ended(process) != 0
        assert words in house.said("gpu-b").splitlines()[-1]


def test_files_code_and_setup_are_the_users_and_the_kept_trees_are_nobodys_to_change(house: Lab) -> None:
    """What other tasks get, too, isn't writable for a task; its own copy of the code is."""
    code = make_tree(house.folder / "code", train_py="print('trained')", requirements_txt="")
    data = make_tree(house.folder / "pictures", sub__a_txt="right")
    state = house.state_dir("gpu-a")
    for folder, tree in (("code", code), ("pictures", data)):
        keep_tree(state, house.folder / folder, tree)
    house.agent("gpu-a", "--run-as", USER)
    script = "\n".join(
        [
            'cat "$OPSCONSOLE_INPUT_0/sub/a.txt"; echo; echo more >> train.py && echo "own copy"',
            'ls -R "$OPSCONSOLE_INPUT_0" > /dev/null && ls ../inputs && cat "$OPSCONSOLE_SETUP_PATH/who"',
            '(chmod u+w "$OPSCONSOLE_INPUT_0" || echo x > "$OPSCONSOLE_INPUT_0/sub/a.txt") 2>/dev/null && echo "could write"',
            f"ls {state}/content {state}/content/trees {state}/setups 2>/dev/null && echo 'could look'",
            'echo result > "$OPSCONSOLE_OUTPUT_PATH/models/result"; stat -c %U . train.py "$OPSCONSOLE_SETUP_PATH"',
        ]
    )
    setup = 'id -un > "$OPSCONSOLE_SETUP_PATH/who"; mkdir -p built && touch built/it'
    bundle = Bundle(content_id=code.content_id, size_bytes=code.size_bytes, files=code.files)
    upload = Upload(name="pictures", content_id=data.content_id, size_bytes=5, files=1, is_folder=True)
    expected = ["it", "right", "own copy", "pictures", USER, USER, USER, USER]
    for _ in range(2):
        job_id = give(house, f"ls built; {script}", bundle=bundle, uploads=(upload,), setup=setup)
        job = house.wait_state(job_id, "succeeded", "failed", timeout_s=90)
        house.wait(lambda job_id=job_id: house.lines(job_id, sources=("stdout",)) == expected, "what it printed")
        assert job["state"] == "succeeded"
        result = Path(job["output_path"]) / "models" / "result"
        assert (result.read_text(), result.owner()) == ("result\n", USER)
        assert result.is_relative_to(state / "outputs")


def test_what_is_run_in_a_task_runs_as_its_user(house: Lab) -> None:
    start(house)
    job_id = house.give("sleep 600")
    house.wait_state(job_id, "running")
    account = pwd.getpwnam(USER)
    done = house.run(
        "exec", job_id, "--", "sh", "-c", 'echo "$(id -u) $(id -g) $HOME"; cat; echo new > /dev/stderr; pwd'
    )
    assert done.stdout.splitlines()[0] == f"{account.pw_uid} {account.pw_gid} {account.pw_dir}"
    assert done.stdout.splitlines()[1].startswith(str(house.state_dir("gpu-a")))
    house.act("cancel", job_id)
