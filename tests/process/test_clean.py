"""What ended jobs left is shown before it is removed, by command and by policy, on a real fleet (hard use 36)."""

from pathlib import Path
from typing import Any

from opsconsole_protocol.quantity import size_words
from tests.process.lab import Lab


def rows(lab: Lab, *arguments: str) -> list[dict[str, Any]]:
    """What `clean` says, of whatever age."""
    return lab.rows("clean", "--older-than", "0s", *arguments)


def count_left(lab: Lab, *, outputs: bool = False, logs: bool = False) -> int:
    """How much could be removed, by the client library."""
    return len(
        lab.ask(lambda client: client.run(client.client.clean(attempts=False, outputs=outputs, logs=logs))).leavings
    )


def make_out(lab: Lab) -> Path:
    """An output folder in which others have something, too: a job of some other coordinator, and a link."""
    out = lab.folder / "out"
    (out / "jobs" / "j0thers").mkdir(parents=True)
    (out / "jobs" / "j0thers" / "model.pt").write_text("precious")
    return out


def test_outputs_of_ended_jobs_go_when_asked_and_nothing_else_does(lab: Lab) -> None:
    out = make_out(lab)
    lab.serve()
    for name in ("gpu-a", "gpu-b"):  # one host, one folder
        lab.agent(name, "--output-path", str(out), "--max-concurrent-jobs", "1")
        lab.wait_connected(name)
    go = lab.folder / "go"
    write = 'head -c 3000000 /dev/zero > "$OPSCONSOLE_OUTPUT_PATH/models/m"; ln -s / "$OPSCONSOLE_OUTPUT_PATH/root"'
    meet = 'touch "$MEET/$OPSCONSOLE_TASK_INDEX"; until [ -e "$MEET/0" ] && [ -e "$MEET/1" ]; do sleep 0.02; done'
    both = lab.give(f"{write}; {meet}", num_tasks=2, environment={"MEET": str(lab.folder)})
    lab.wait_state(both, "succeeded")
    read = lab.wait_state(lab.give(write), "succeeded")["id"]
    live = lab.give('until [ -e "$GO" ]; do sleep 0.05; done', environment={"GO": str(go)}, after=(read,))
    lab.wait_state(live, "running")
    lab.wait(lambda: count_left(lab, outputs=True), "the first job to be over for its workers, too")

    assert "nothing that has lain there for 1d" in lab.run("clean", "--outputs").stderr
    (row,) = rows(lab, "--outputs")
    assert (row["what"], row["job"], row["path"], row["removed"]) == ("outputs", both, str(out / "jobs" / both), False)
    assert 6_000_000 <= row["bytes"] < 7_000_000
    shown = lab.run("clean", "--outputs", "--older-than", "0s")
    assert f"1 thing: would free {size_words(row['bytes'])}; --yes removes it" in shown.stderr
    assert (out / "jobs" / both).exists()
    (row,) = rows(lab, "--outputs", "--yes")
    assert row["removed"]
    assert {path.name for path in (out / "jobs").iterdir()} == {read, live, "j0thers"}
    assert f"1 outputs of ended jobs were removed ({size_words(row['bytes'])})" in lab.run("events").stdout
    go.touch()
    lab.wait_state(live, "succeeded")


def test_logs_and_history_of_ended_jobs_are_rows_of_the_coordinator(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    go = lab.folder / "go"
    live = lab.give('echo hello; until [ -e "$GO" ]; do sleep 0.05; done', environment={"GO": str(go)})
    lab.wait_lines(live, "hello")
    job = lab.wait_state(lab.give("echo hello"), "succeeded")["id"]
    lab.wait(lambda: count_left(lab, logs=True), "its log to be whole")
    (row,) = rows(lab, "--logs")
    assert (row["worker"], row["what"], row["job"]) == ("", "logs", job)
    assert Path(row["path"]).is_dir()
    assert row["bytes"] > 0
    assert [one["removed"] for one in rows(lab, "--logs", "--yes")] == [True]
    assert not Path(row["path"]).exists()
    assert lab.state(job) == "succeeded"
    (row,) = rows(lab, "--logs", "--history")
    assert (row["what"], row["job"]) == ("history", job)
    assert lab.run("clean", "--history", "--older-than", "0s", "--yes").stderr.startswith("removed: 1 thing")
    assert "there is no job" in lab.run("show", job, code=None).stderr
    assert "1 ended jobs' history removed" in lab.run("events").stdout
    assert lab.lines(live) == ["hello"]
    go.touch()


def test_a_job_is_removed_with_its_results_log_and_record(lab: Lab) -> None:
    out = make_out(lab)
    lab.serve()
    lab.agent("gpu-a", "--output-path", str(out))
    gone, stays = (
        lab.wait_state(lab.give('echo hello; echo 1 > "$OPSCONSOLE_OUTPUT_PATH/a"'), "succeeded")["id"]
        for _ in range(2)
    )
    lab.wait(lambda: count_left(lab, outputs=True, logs=True) == 4, "both jobs to be over for their worker, too")
    assert "is running: cancel it" in _refusal_of_a_live_job(lab)
    shown = lab.run("remove", gone)
    assert "3 things: would free" in shown.stderr
    assert "--yes removes it" in shown.stderr
    assert lab.state(gone) == "succeeded"
    found = [(row["what"], row["removed"]) for row in lab.rows("remove", gone, "--yes")]
    assert found == [("outputs", True), ("logs", True), ("history", True)]
    left = {path.name for path in (out / "jobs").iterdir()}
    assert gone not in left
    assert {stays, "j0thers"} <= left
    assert "there is no job" in lab.run("show", gone, code=None).stderr
    assert "there is no job" in lab.run("remove", gone, "--yes", code=None).stderr
    assert lab.state(stays) == "succeeded"


def _refusal_of_a_live_job(lab: Lab) -> str:
    job = lab.give("sleep 100")
    lab.wait_state(job, "running")
    words = lab.run("remove", job, "--yes", code=None).stderr
    lab.run("cancel", job)
    lab.wait_state(job, "killed")
    return words


def test_the_policy_is_shown(lab: Lab) -> None:
    (lab.folder / "worker.toml").write_text("[worker]\nkeep_attempt_days = 3\nkeep_output_days = 90\n")
    lab.serve()
    lab.agent("gpu-a", "--config", str(lab.folder / "worker.toml"))
    lab.agent("gpu-b")
    for name in ("gpu-a", "gpu-b"):
        lab.wait_connected(name)
    said = {(row["worker"], row["setting"]): row["value"] for row in lab.rows("clean", "--policy")}
    assert said == {
        ("", "keep_finished_days"): 365,
        ("", "keep_log_gb"): 50,
        ("", "keep_store_gb"): 20,
        ("gpu-a", "keep_attempt_days"): 3,
        ("gpu-a", "keep_output_days"): 90,
        ("gpu-b", "keep_attempt_days"): 7,
        ("gpu-b", "keep_output_days"): 30,
    }
    shown = lab.run("clean", "--policy", "--yes").stdout
    assert "keep_output_days    90     90 days after the end of its job an output folder goes" in shown
    assert "(coordinator)" in shown
