"""Whatever is killed, the work goes on and the record is right."""

import signal

from tests.process.lab import Lab, words

COUNT = "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo line $i; sleep 0.01; done; while [ ! -e $LAB/go ]; do sleep 0.02; done; echo end; exit 4"


def lines(lab: Lab, job_id: str) -> list[str]:
    return lab.run("logs", job_id).stdout.splitlines()


def expected() -> list[str]:
    return [*(f"line {number}" for number in range(1, 201)), "end"]


def test_a_killed_coordinator_loses_nothing(lab: Lab) -> None:
    coordinator = lab.serve(listen="127.0.0.1:0")
    port = lab.port
    lab.agent("gpu-a")
    job_id = lab.submit(*words(COUNT))
    lab.wait_state(job_id, "running")
    lab.kill(coordinator)
    (lab.folder / "go").touch()
    lab.serve(listen=f"127.0.0.1:{port}")
    job = lab.wait_state(job_id, "failed")
    assert job["tasks"][0]["exit_code"] == 4, job["tasks"]
    assert len(job["tasks"][0]["attempts"]) == 1
    assert lines(lab, job_id) == expected()


def test_a_killed_agent_loses_nothing(lab: Lab) -> None:
    lab.serve()
    agent = lab.agent("gpu-a")
    job_id = lab.submit(*words(COUNT))
    lab.wait_state(job_id, "running")
    lab.kill(agent)
    (lab.folder / "go").touch()
    lab.agent("gpu-a")
    job = lab.wait_state(job_id, "failed")
    assert job["tasks"][0]["exit_code"] == 4, job["tasks"]
    assert len(job["tasks"][0]["attempts"]) == 1
    assert lines(lab, job_id) == expected()


def test_an_agent_sent_term_leaves_its_tasks(lab: Lab) -> None:
    lab.serve()
    agent = lab.agent("gpu-a")
    job_id = lab.submit(*words(COUNT))
    lab.wait_state(job_id, "running")
    lab.kill(agent, signal.SIGTERM)
    assert agent.returncode == 0
    (lab.folder / "go").touch()
    lab.agent("gpu-a")
    assert lab.wait_state(job_id, "failed")["tasks"][0]["exit_code"] == 4
    assert lines(lab, job_id) == expected()


def test_everything_killed_at_once_loses_nothing(lab: Lab) -> None:
    coordinator = lab.serve()
    port = lab.port
    agent = lab.agent("gpu-a")
    job_id = lab.submit(*words(COUNT))
    lab.wait_state(job_id, "running")
    lab.kill(agent)
    lab.kill(coordinator)
    (lab.folder / "go").touch()
    lab.serve(listen=f"127.0.0.1:{port}")
    lab.agent("gpu-a")
    job = lab.wait_state(job_id, "failed")
    assert job["tasks"][0]["exit_code"] == 4, job["tasks"]
    assert len(job["tasks"][0]["attempts"]) == 1
    assert lines(lab, job_id) == expected()
