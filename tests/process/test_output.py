"""Where results are, and what became of what a task left behind, on a real fleet (hard use 21, 22, 30)."""

from pathlib import Path

from tests.process.lab import Lab


def test_a_retry_finds_its_checkpoint_and_the_result_is_where_it_is_looked_for(lab: Lab) -> None:
    lab.serve()
    out = lab.folder / "out"
    out.mkdir()
    lab.agent("gpu-a", "--output-path", str(out))
    script = 'cd "$OPSCONSOLE_OUTPUT_PATH/models"; echo epoch >> ck; [ "$(wc -l < ck)" -eq 2 ] || exit 3'
    job = lab.wait_state(lab.give(script, max_retries_failure=2), "succeeded")
    (task,) = job["tasks"]
    assert len(task["attempts"]) == 2
    assert job["output_path"] == task["output_path"] == str(out / "jobs" / job["id"])
    assert (Path(job["output_path"]) / "models" / "ck").read_text() == "epoch\nepoch\n"

    sweep = lab.wait_state(lab.give('touch "$OPSCONSOLE_OUTPUT_PATH/done"', num_tasks=3), "succeeded")
    folders = [out / "jobs" / sweep["id"] / f"task-{index}" for index in range(3)]
    assert [task["output_path"] for task in sweep["tasks"]] == [str(folder) for folder in folders]
    assert all((folder / "done").exists() for folder in folders)


def test_show_names_the_working_folder_and_who_was_left(house: Lab) -> None:
    job = house.wait_state(house.give("echo x > model.pt; sleep 3600 & exit 0"), "succeeded")
    (attempt,) = job["tasks"][0]["attempts"]
    assert (Path(attempt["workdir"]) / "model.pt").read_text() == "x\n"
    assert "1 process outlived its parent and was ended: " in attempt["note"]
    assert f"what it left in {attempt['workdir']} is removed after 7 days" in attempt["note"]
    shown = house.run("show", job["id"]).stdout
    assert attempt["workdir"] in shown
    assert "outlived its parent" in shown
    assert any("is removed after 7 days" in event["text"] for event in job["events"])
    assert "outlived its parent" in house.run("logs", job["id"], "--source", "error").stderr


def test_what_was_left_is_shown_and_removed_when_it_is_asked_for(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    go = lab.folder / "go"
    live = lab.give('echo x > keep; while [ ! -e "$GO" ]; do sleep 0.05; done', environment={"GO": str(go)})
    ended = lab.wait_state(lab.give("head -c 3000000 /dev/zero > model.pt"), "succeeded")
    workdir = Path(ended["tasks"][0]["attempts"][0]["workdir"])
    lab.wait_state(live, "running")
    lab.wait(lambda: not (workdir.parent / "spec.json").exists(), "the worker to forget it")
    assert "nothing that has lain there for 1d" in lab.run("clean").stderr
    shown = lab.run("clean", "gpu-a", "--older-than", "0s")
    assert str(workdir.parent) in shown.stdout
    assert "would free 3.0 MB; --yes removes it" in shown.stderr
    assert workdir.exists()
    (row,) = lab.rows("clean", "--older-than", "0s", "--yes")
    assert (row["worker"], row["path"], row["removed"]) == ("gpu-a", str(workdir.parent), True)
    assert row["bytes"] >= 3_000_000
    assert not workdir.exists()
    assert "1 things that ended tasks had left were removed" in lab.run("events").stdout
    go.touch()
    lab.wait_state(live, "succeeded")
