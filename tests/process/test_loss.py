"""Workers that fall silent, are lost, come back, or lose their keeper: said as it is, and no task runs more than it must."""

import signal

from tests.process.lab import Lab
from tests.seen_process import is_alive

COUNT = 'echo "$OPSCONSOLE_WORKER_ID $$" >> $LAB/starts; while [ ! -e $LAB/go ]; do sleep 0.05; done; echo done'


def test_silence_is_shown_and_a_lost_workers_task_runs_elsewhere_once(lab: Lab) -> None:
    lab.serve()
    for name, slots in (("asleep", 2), ("one", 1), ("two", 1)):
        lab.agent(name, slots=slots, join=False)
    for name in ("asleep", "one", "two"):
        lab.wait_connected(name)
    environment = {"LAB": str(lab.folder)}
    patient = lab.give(COUNT, worker="asleep", environment=environment)
    moving = lab.give(COUNT, requirements=("name!=asleep",), environment=environment, lost_after_ms=3_000)
    lab.wait(lambda: (lab.folder / "starts").exists() and len(starts(lab)) == 2, "both tasks")
    first = lab.job(moving)["worker"]
    other = {"one": "two", "two": "one"}[first]
    lab.kill(lab.processes[first])
    lab.processes["asleep"].send_signal(signal.SIGSTOP)
    began = lab.worker("asleep")["last_seen_ms"]
    lab.wait(lambda: lab.worker("asleep")["connection"] == "silent", "the silence to be shown", 20)
    lab.wait(lambda: told_ms(lab, "asleep", "silent"), "the event, which is shown once it is committed")
    assert told_ms(lab, "asleep", "silent")[0] - began <= 15_000
    assert lab.state(patient) == "running", "silence alone changes nothing"

    lab.wait(lambda: len(starts(lab)) == 3, "the task to run elsewhere", 20)
    assert lab.job(moving)["tasks"][0]["worker"] == other
    lab.wait(lambda: lab.state(moving) == "running", "the second attempt to be reported")
    lab.processes["asleep"].send_signal(signal.SIGCONT)
    lab.wait_connected("asleep")
    assert lab.job(patient)["tasks"][0]["attempt"] == 0

    # The lost worker comes back: what was replaced is stopped there, and what runs elsewhere goes on.
    old_pid = next(int(line.split()[1]) for line in starts(lab) if line.split()[0] == lab.worker(first)["id"])
    assert is_alive(old_pid)
    lab.agent(first)
    lab.wait(lambda: not is_alive(old_pid), "the replaced attempt to be stopped")
    (lab.folder / "go").touch()
    for job_id in (patient, moving):
        lab.wait_state(job_id, "succeeded")
    assert len(starts(lab)) == 3
    attempts = lab.job(moving)["tasks"][0]["attempts"]
    assert [attempt["state"] for attempt in attempts] == ["worker_failed", "succeeded"]
    assert [attempt["worker"] for attempt in attempts] == [first, other]
    lab.wait_lines(moving, "done")


def told_ms(lab: Lab, subject: str, kind: str) -> list[int]:
    """When events of this kind happened."""
    rows = lab.ask(lambda client: client.run(client.client.events(subject)))
    return [row.at_ms for row in rows if row.kind == kind]


def starts(lab: Lab) -> list[str]:
    """One line for each start of a task: its worker's id and its pid."""
    return (lab.folder / "starts").read_text().splitlines()


def test_an_exit_that_nobody_saw_is_told_as_unknown(lab: Lab) -> None:
    lab.serve()
    agent = lab.agent("gpu-a")
    environment = {"LAB": str(lab.folder)}
    job_id = lab.give(COUNT, environment=environment)
    survivor = lab.give(COUNT, environment=environment)
    lab.wait(lambda: (lab.folder / "starts").exists() and len(starts(lab)) == 2, "the tasks")
    pids = {lab.job(one)["tasks"][0]["attempt_id"]: one for one in (job_id, survivor)}
    assert len(pids) == 2
    [keeper] = lab.keepers("gpu-a")
    lab.kill(agent)
    keeper.kill()
    (lab.folder / "go").touch()  # both end while nobody looks
    lab.wait(lambda: not any(is_alive(int(line.split()[1])) for line in starts(lab)), "the tasks to end")
    lab.agent("gpu-a")
    for one in (job_id, survivor):
        task = lab.wait_state(one, "failed")["tasks"][0]
        assert task["exit_code"] is None
        # What it printed while neither keeper nor agent lived went with the pipe: docs/reliability.md, "Not promised".
        assert task["error"].endswith("its last lines may be missing"), task["error"]
    assert len(starts(lab)) == 2
    fresh = lab.give("true")
    lab.wait_state(fresh, "succeeded")


def test_tasks_that_outlive_their_keeper_are_not_started_twice(lab: Lab) -> None:
    lab.serve()
    agent = lab.agent("gpu-a")
    job_id = lab.give(COUNT, environment={"LAB": str(lab.folder)})
    lab.wait(lambda: (lab.folder / "starts").exists() and len(starts(lab)) == 1, "the task")
    [keeper] = lab.keepers("gpu-a")
    lab.kill(agent)
    keeper.kill()
    lab.agent("gpu-a")
    pid = int(starts(lab)[0].split()[1])
    assert is_alive(pid)
    lab.act("cancel", job_id)
    lab.wait_state(job_id, "killed", "failed")
    assert not is_alive(pid)
    assert len(starts(lab)) == 1
