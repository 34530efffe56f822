"""Jobs that wait for each other, try again, run out of time, come in many variants, or are ended in part."""

from tests.process.lab import Lab, words


def test_a_failure_blocks_what_comes_after_and_a_retry_frees_it(house: Lab) -> None:
    fixed = house.folder / "fixed"
    first = house.give("test -e $FIXED", environment={"FIXED": str(fixed)}, name="first")
    second = house.give("echo second", after=(first,))
    third = house.give("echo third", after=(second, first))
    house.wait_state(first, "failed")
    house.wait_state(second, "blocked")
    assert first in house.job(second)["reason"]
    assert house.run("wait", second, code=1).returncode == 1
    assert house.state(third) in {"blocked", "pending"}
    fixed.touch()
    house.run("retry", first)
    for job_id in (first, second, third):
        house.wait_state(job_id, "succeeded")
    one, two, three = (house.job(job_id) for job_id in (first, second, third))
    assert one["finished_at_ms"] <= two["started_at_ms"] <= two["finished_at_ms"] <= three["started_at_ms"]
    assert [attempt["state"] for attempt in one["tasks"][0]["attempts"]] == ["failed", "succeeded"]
    assert "no job zzzz" in house.run("submit", "--after", "zzzz", "--", "true", code=1).stderr


def test_a_failed_task_is_tried_again_as_often_as_allowed(house: Lab) -> None:
    script = 'n=$(cat $COUNT 2>/dev/null || echo 0); echo $((n+1)) > $COUNT; echo "try $n"; test $n -ge 2'
    counts = [house.folder / name for name in ("count-1", "count-2")]
    enough = house.submit(
        "--max-retries-failure", "2", "--env", f"COUNT={counts[0]}", *words(script)
    )  # fmt: skip
    short = house.give(script, environment={"COUNT": str(counts[1])}, max_retries_failure=1)
    done = house.wait_state(enough, "succeeded")
    assert [attempt["state"] for attempt in done["tasks"][0]["attempts"]] == ["failed", "failed", "succeeded"]
    assert [attempt["exit_code"] for attempt in done["tasks"][0]["attempts"]] == [1, 1, 0]
    assert done["tasks"][0]["attempt"] == 2
    assert house.lines(enough) == ["try 2"]
    assert house.run("logs", enough, "--attempt", "0").stdout == "try 0\n"
    assert house.run("logs", "-f", enough, "--attempt", "1").stdout == "try 1\n"
    assert len(house.wait_state(short, "failed")["tasks"][0]["attempts"]) == 2
    assert counts[1].read_text() == "2\n"


def test_time_runs_out(house: Lab) -> None:
    late = house.submit("--timeout", "0.4s", "--grace", "0.2s", *words("trap '' TERM; while :; do sleep 0.05; done"))
    asleep = house.give("true", requirements=("zone=nowhere",), scheduling_timeout_ms=300)
    task = house.wait_state(late, "failed")["tasks"][0]
    assert "timed out after" in task["error"]
    assert task["finished_at_ms"] - task["started_at_ms"] >= 400
    assert "found no worker within" in house.wait_state(asleep, "unschedulable")["tasks"][0]["reason"]
    assert house.run("wait", asleep, code=1).returncode == 1


def test_the_time_of_a_whole_job_runs_out(house: Lab) -> None:
    job_id = house.submit("--job-timeout", "0.5s", "--tasks", "6", *words("sleep 60"))
    job = house.wait_state(job_id, "failed")
    assert {task["state"] for task in job["tasks"]} == {"failed"}
    assert {task["reason"] for task in job["tasks"]} == {"job timed out after 500ms"}


def test_a_gang_meets_and_starts_over_together(house: Lab) -> None:
    meet = house.folder / "meet"
    meet.mkdir()
    script = (
        "n=$OPSCONSOLE_ATTEMPT_ID; touch $MEET/$n-$OPSCONSOLE_TASK_INDEX; "
        "while [ $(ls $MEET | grep -c ^$n-) -lt 3 ]; do sleep 0.02; done; echo met; "
        "[ $n = 1 ] && exit 0; [ $OPSCONSOLE_TASK_INDEX = 1 ] && exit 3; sleep 60"
    )
    job_id = house.submit(
        "--gang", "--tasks", "3", "--max-retries-failure", "1", "--env", f"MEET={meet}", *words(script)
    )
    job = house.wait_state(job_id, "succeeded")
    ends = [[attempt["state"] for attempt in task["attempts"]] for task in job["tasks"]]
    assert ends == [["preempted", "succeeded"], ["failed", "succeeded"], ["preempted", "succeeded"]]
    assert job["tasks"][0]["attempts"][0]["error"] == "task-1 of its gang failed: exit code 3"
    big = house.submit("--gang", "--tasks", "9", *words("true"))
    house.wait(lambda: "at most 4 would fit" in house.job(big)["reason"], "the gang says why it waits")
    assert "at most 4 would fit" in house.run("why", big).stdout
    house.run("cancel", big)


def test_a_sweep_has_a_task_for_each_combination(house: Lab) -> None:
    job_id = house.submit("--sweep", "lr=0.1,0.2", "--sweep", "seed=1,2,3", "--", "echo", "lr {lr}", "{seed}")
    job = house.wait_state(job_id, "succeeded")
    assert job["num_tasks"] == 6
    assert job["tasks"][5]["parameters"] == {"lr": 0.2, "seed": 3} or job["tasks"][5]["parameters"] == {
        "lr": "0.2",
        "seed": "3",
    }
    said = {house.lines(job_id, task=index)[0] for index in range(6)}
    assert said == {f"lr {lr} {seed}" for lr in ("0.1", "0.2") for seed in (1, 2, 3)}


def test_a_sweep_is_one_thing_of_which_parts_are_retried_and_to_which_points_are_added(house: Lab) -> None:
    fixed = house.folder / "lr-fixed"
    script = 'echo "$OPSCONSOLE_PARAMETERS" $OPSCONSOLE_REPEAT; test "$0" != 1 || test -e $FIXED'
    job_id = house.submit(
        "--sweep", "lr=1,0.1", "--repeat", "2", "--env", f"FIXED={fixed}", "--", "sh", "-c", script, "{lr}"
    )
    job = house.wait_state(job_id, "failed")
    assert [task["state"] for task in job["tasks"]] == ["failed", "failed", "succeeded", "succeeded"]
    assert house.lines(job_id, task=3) == ['{"lr": "0.1", "repeat": "1"} 1']
    fixed.touch()
    assert "no task of job" in house.run("retry", f"{job_id}/running", code=1).stderr
    assert "(tasks 0-1)" in house.run("retry", f"{job_id}/lr=1").stdout
    house.wait_state(job_id, "succeeded")
    assert house.run("add", job_id, "--sweep", "lr=0.1,0.01", "--repeat", "2").stdout.startswith("tasks 4-5 added by")
    assert "nothing to add" in house.run("add", job_id, "--sweep", "lr=0.01", "--repeat", "1").stdout
    job = house.wait_state(job_id, "succeeded")
    assert [len(task["attempts"]) for task in job["tasks"]] == [2, 2, 1, 1, 1, 1]
    assert {task["state"] for task in job["tasks"]} == {"succeeded"}
    assert "has ended" in house.run("priority", f"{job_id}/3", "5", code=1).stderr


def test_a_template_is_a_command_with_typed_parameters(house: Lab) -> None:
    house.run(
        "template", "set", "greet", "--param", "name", "--param", "times:int=2", "--", "echo", "{name}", "{times}"
    )
    assert [row["name"] for row in house.rows("templates")] == ["greet"]
    job_id = house.submit("--template", "greet", "--set", "name=ana")
    house.wait_state(job_id, "succeeded")
    assert house.lines(job_id) == ["ana 2"]
    assert "times" in house.run("submit", "--template", "greet", "--set", "times=x", "--set", "name=a", code=2).stderr
    assert "name" in house.run("submit", "--template", "greet", code=2).stderr
    assert "did you mean greet?" in house.run("submit", "--template", "gret", code=1).stderr


def test_pausing_what_waits_holds_it(house: Lab) -> None:
    job_id = house.give("true", requirements=("zone=nowhere",))
    house.wait(lambda: "zone" in house.job(job_id)["reason"], "a reason")
    house.run("pause", job_id)
    assert house.state(job_id) == "held"
    assert "paused by" in house.job(job_id)["tasks"][0]["reason"]
    house.run("resume", job_id)
    assert house.state(job_id) == "pending"
    house.run("cancel", job_id)
    assert house.state(job_id) == "killed"
    assert "can't pause" in house.run("pause", job_id, code=1).stderr


def test_one_task_of_several_is_cancelled_alone(house: Lab) -> None:
    go = house.folder / "go-one"
    job_id = house.give("while [ ! -e $GO ]; do sleep 0.05; done", environment={"GO": str(go)}, num_tasks=3)
    house.wait(lambda: house.job(job_id)["task_counts"] == {"running": 3}, "all three")
    house.run("cancel", f"{job_id}/task-1")
    house.wait(lambda: house.job(job_id)["tasks"][1]["state"] == "killed", "the end of one")
    assert house.job(job_id)["task_counts"] == {"running": 2, "killed": 1}
    go.touch()
    assert house.wait_state(job_id, "killed")["task_counts"] == {"succeeded": 2, "killed": 1}


def test_tasks_are_independent_unless_one_failure_is_to_end_them_all(house: Lab) -> None:
    script = "test $OPSCONSOLE_TASK_INDEX != 0 || exit 9; while [ ! -e $GO ]; do sleep 0.05; done"
    go = house.folder / "go-rest"
    strict = house.give(script, environment={"GO": str(go)}, num_tasks=3, max_task_failures=0)
    ended = house.wait_state(strict, "failed")
    assert ended["task_counts"] == {"failed": 1, "killed": 2}
    lenient = house.give(script, environment={"GO": str(go)}, num_tasks=3)
    house.wait(lambda: house.job(lenient)["tasks"][0]["state"] == "failed", "the failure")
    go.touch()
    assert house.wait_state(lenient, "failed")["task_counts"] == {"failed": 1, "succeeded": 2}
