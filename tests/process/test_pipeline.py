"""The pipeline of `examples/`: real agents that share nothing; the results of one job are the inputs of another, elsewhere."""

import json
import shutil
from pathlib import Path

from tests.process.lab import Lab

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pipeline"


def inputs_of(lab: Lab, job_id: str) -> list[str]:
    """By which names a job finds what it is given."""
    return [one.name for one in lab.ask(lambda client: client.show(job_id)).inputs]


def test_results_go_from_job_to_job_over_workers_that_share_nothing(lab: Lab, tmp_path: Path) -> None:
    lab.serve()
    lab.agent("gpu-a")
    lab.agent("gpu-b")
    folder = tmp_path / "pipeline"
    shutil.copytree(EXAMPLE, folder)
    file = folder / "pipeline.toml"
    text = file.read_text().replace("[jobs.prepare]", '[jobs.prepare]\nworker = "gpu-a"')
    file.write_text(text.replace("[jobs.fit]", '[jobs.fit]\nworker = "gpu-b"'))
    dry = lab.run("submit", "-f", str(file), "--dry-run")
    assert [line for line in dry.stdout.splitlines() if not line.startswith(" ")] == [
        "prepare",
        "fit, 3 tasks: with the results of prepare",
        "choose: with the results of prepare, with the results of fit",
    ]
    assert not lab.run("jobs").stdout.strip().splitlines()[1:], "nothing was submitted"
    done = lab.run("submit", "-f", str(file), "--wait", timeout_s=120)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [(name, state) for _, name, state in rows] == [(name, "succeeded") for name in ("prepare", "fit", "choose")]
    best = json.loads((folder / "best.json").read_text())
    assert best["degree"] >= 2
    assert best["loss"] < 0.01
    fit = lab.job(rows[1][0])
    assert {attempt["worker"] for task in fit["tasks"] for attempt in task["attempts"]} == {"gpu-b"}
    assert [inputs_of(lab, row[0]) for row in rows] == [[], ["prepare"], ["prepare", "fit-0", "fit-1", "fit-2"]]
    later = lab.run(
        "submit", "--take", f"{rows[0][0]}:points", "--wait", "--", "sh", "-c", "ls $OPSCONSOLE_INPUT_0/data"
    ).stdout
    job_id = later.split()[0]
    assert lab.run("logs", job_id).stdout == "test.csv\ntrain.csv\n", "it has ended long ago, and its results are kept"
    fit_id = rows[1][0]
    after = lab.run("submit", "--after", f"{fit_id}/2", "--wait", "--", "true").stdout.split()
    assert lab.job(after[0])["state"] == "succeeded", "it has ended long ago, and its task 2 well"
    refused = lab.run("submit", "--after", f"{fit_id}/3", "--", "true", code=None)
    assert f"--after {fit_id}/task-3: that job has 3 tasks, from task-0 to task-2" in refused.stderr
    graph = lab.ask(lambda client: client.graph(fit_id))
    assert [(one.job.name, [need.id for need in one.needs]) for one in graph.jobs] == [
        ("prepare", []),
        ("fit", [rows[0][0]]),
        ("choose", [rows[0][0], fit_id]),
        ("true", [fit_id]),
    ]
