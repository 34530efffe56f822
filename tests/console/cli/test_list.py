"""Lists and single things, for people and as JSON."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from opsconsole_console.cli.output import width_of
from opsconsole_protocol import api
from opsconsole_protocol.api import Parameter, ProjectRow, TemplateRow
from opsconsole_protocol.dataset import JobDataset
from opsconsole_protocol.estimate import Estimate
from opsconsole_protocol.link import TaskProgress
from opsconsole_protocol.spec import JobSpec
from tests.client.fake_server import FakeServer
from tests.client.row import NOW_MS, event_row, gpu
from tests.console.cli.conftest import Run
from tests.protocol import content_sample

JOB = "aaaaaaaaaa"
_JOB_FIELDS = [
    "id",
    "name",
    "project",
    "state",
    "reason",
    "priority",
    "num_tasks",
    "task_counts",
    "worker",
    "output_path",
    "submitted_by",
    "created_at_ms",
    "started_at_ms",
    "finished_at_ms",
]
_WORKER_FIELDS = ["id", "name", "status", "connection", "tags", "properties", "gpus", "running_tasks", "last_seen_ms"]
_GPU_FIELDS = [
    "index",
    "uuid",
    "name",
    "memory_total_mb",
    "memory_used_mb",
    "utilization_percent",
    "temperature_c",
    "power_w",
]
_TASK_FIELDS = [
    "id",
    "index",
    "state",
    "exit_code",
    "error",
    "worker",
    "attempt",
    "attempt_id",
    "started_at_ms",
    "finished_at_ms",
    "resource_usage",
    "attempts",
]


def test_workers_say_where_to_place_files(run: Run, server: FakeServer) -> None:
    server.add_worker("gpu-a")
    ran = run("workers")
    assert ran.out.splitlines() == [
        "gpu-a  available  0/1 tasks  [lab]",
        "  GPU 0:  A100-80GB  1/80G  7 %  41 °C",
        "  Filesystem: vast",
        "  Input:  /mnt/vast/inputs  <- Place your files here",
        "  Output: /mnt/vast/outputs",
    ]


def test_a_worker_without_gpu_and_paths_says_so(run: Run, server: FakeServer) -> None:
    server.add_worker(
        "cpu", gpus=(), properties={}, gpu_message="no NVIDIA driver", connection="silent", attention="old"
    )
    assert run("workers").out.splitlines() == [
        "cpu  available, silent  0/1 tasks  [lab]",
        "  GPU:    none (no NVIDIA driver)",
        "  Note:   old",
    ]


def test_workers_as_json_have_every_stable_field(run: Run, server: FakeServer) -> None:
    server.add_worker("gpu-a")
    server.add_worker("cpu", properties={}, gpus=(gpu(memory_used_mb=None, power_w=None),))
    rows = [json.loads(line) for line in run("workers", "--json").out.splitlines()]
    for row in rows:
        assert set(_WORKER_FIELDS) <= set(row)
        assert set(row["properties"]["io_paths"]) == {"input", "output", "filesystem"}
        assert set(_GPU_FIELDS) <= set(row["gpus"][0])
    assert rows[1]["gpus"][0]["memory_used_mb"] is None
    assert rows[1]["properties"]["io_paths"]["input"] is None


def test_jobs_for_people_and_as_json(run: Run, server: FakeServer) -> None:
    server.add_job(JOB, reason="needs 40G free")
    table = run("jobs").out.splitlines()
    assert table[0].split() == ["ID", "NAME", "PROJECT", "STATE", "PRIO", "TASKS", "WORKER", "AGE", "TIME", "PROGRESS"]
    assert table[1].split()[:4] == [JOB, "true", "default", "pending"]
    assert "needs 40G free" in table[1]
    (line,) = run("jobs", "--json").out.splitlines()
    row = json.loads(line)
    assert set(_JOB_FIELDS) <= set(row)
    assert row["state"] == "pending"
    assert row["created_at_ms"] == NOW_MS
    assert row["worker"] is None


def test_filters_are_handed_on(run: Run, server: FakeServer) -> None:
    run("jobs", "state=running", "priority>=5", "--project", "pose", "-n", "7")
    run("workers", "gpu_memory_mb>=40000")
    asked = [one for one in server.asked if isinstance(one, (api.ListJobs, api.ListWorkers))]
    assert asked[0] == api.ListJobs(filter="state=running priority>=5", project="pose", limit=8)
    assert asked[1] == api.ListWorkers(filter="gpu_memory_mb>=40000")


def test_nothing_to_list_says_so_on_stderr_and_prints_nothing(run: Run, server: FakeServer) -> None:
    for verb in ("jobs", "workers", "projects", "templates", "events"):
        ran = run(verb)
        assert ran.code == 0
        assert ran.out == ""
        assert ran.err.startswith("no ")
        assert run(verb, "--json").out == ""


def test_a_name_cant_steer_the_terminal(run: Run, server: FakeServer) -> None:
    server.add_job(JOB, reason="\x1b[2Jgone\nsecond line")
    out = run("jobs").out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2


def test_columns_line_up_for_wide_characters(run: Run, server: FakeServer) -> None:
    server.add_job("aaaaaaaaaa", JobSpec(command=("x",), name="学習"))
    server.add_job("bbbbbbbbbb", JobSpec(command=("x",), name="train"))
    places = {width_of(line[: line.index("default")]) for line in run("jobs").out.splitlines()[1:]}
    assert len(places) == 1


def test_projects_and_templates(run: Run, server: FakeServer) -> None:
    server.projects.append(
        ProjectRow(name="pose", description="d", status="paused", created_at_ms=1, updated_at_ms=2,
                   job_counts={"running": 2})
    )  # fmt: skip
    lr = Parameter(name="lr", kind="float", default=0.1, required=False)
    server.templates.append(TemplateRow(name="train", command=("python", "{lr}"), parameters=(lr,)))
    assert run("projects").out.splitlines()[1].split() == ["pose", "paused", "2", "running", "d"]
    assert "lr:float=0.1" in run("templates").out
    assert json.loads(run("projects", "--json").out)["job_counts"] == {"running": 2}
    assert json.loads(run("templates", "--json").out)["parameters"][0]["default"] == 0.1


def test_show_as_json_has_tasks_attempts_and_events(run: Run, server: FakeServer) -> None:
    server.add_job(JOB)
    server.finish(JOB, exit_code=3, error="exit code 3")
    server.events.append(event_row(1, subject=JOB))
    (line,) = run("show", "aaa", "--json").out.splitlines()
    found = json.loads(line)
    assert set(_JOB_FIELDS) | {"tasks", "events"} <= set(found)
    (task,) = found["tasks"]
    assert set(_TASK_FIELDS) <= set(task)
    assert (task["exit_code"], task["resource_usage"]) == (3, {})
    assert task["attempts"][0]["worker"] == "gpu-a"
    assert {"at_ms", "actor", "kind", "text"} <= set(found["events"][0])


def test_show_for_people(run: Run, server: FakeServer) -> None:
    from opsconsole_protocol.spec import JobSpec, Resources

    spec = JobSpec(command=("python", "a b.py"), resources=Resources(gpus=2, memory_mb=8192), requirements=("zone=a",),
                   num_tasks=4, gang=True, timeout_ms=90_000, job_timeout_ms=7_200_000)  # fmt: skip
    server.add_job(JOB, spec)
    server.finish(JOB, exit_code=None, signal=9, error="out of memory")
    server.events.append(event_row(1, subject=JOB))
    out = run("show", JOB).out
    assert "Command:   python 'a b.py'" in out
    assert "Needs:     2 GPUs, 8G memory, zone=a" in out
    assert "Gang:      4 tasks, all at once or none" in out
    assert "Time-out:  1m30s for a task, 2h for the whole job" in out
    assert "signal 9" in out
    assert "out of memory" in out
    assert "event 1" in out


def test_what_a_job_was_given_and_what_it_made_is_shown(run: Run, server: FakeServer) -> None:
    """A contract with scripts: `inputs[{name, size, hash, from}]`, `outputs{path, files, bytes}`."""
    from opsconsole_protocol.api import CollectedRow

    spec = replace(content_sample.SPEC, inputs=("a.npy",))
    server.add_job(JOB, spec, output_path="/out/jobs/a", output_files=3, output_bytes=2_000)
    (task,) = server.tasks[JOB]
    kept = CollectedRow(state="kept", attempt_id="a", worker="gpu-a", files=2, bytes=1_500)
    server.tasks[JOB] = [replace(task, collected=kept)]
    found = json.loads(run("show", JOB, "--json").out)
    assert found["inputs"] == [
        {"name": "a.npy", "size": None, "hash": None, "from": "worker"},
        {"name": "data.slp", "size": 12_000_000_000, "hash": content_sample.TREE, "from": "mbp-7"},
    ]
    assert found["outputs"] == {"path": "/out/jobs/a", "files": 3, "bytes": 2_000}
    assert found["spec"]["bundle"]["commit"] == "0123abc"
    assert found["tasks"][0]["collected"]["state"] == "kept"
    out = run("show", JOB).out
    assert "Input:     a.npy, data.slp/, 3 files, 12 GB from mbp-7\n" in out
    assert "Bundle:    /home/ana/study at 0123abc with changes, 40 files, 2.0 kB\n" in out
    assert "Set-up:    uv sync\n" in out
    assert "Output:    /out/jobs/a, 3 files, 2.0 kB\n" in out
    assert "Collect:   models/* (2 files kept, 1.5 kB)\n" in out
    server.tasks[JOB] = [replace(task, collected=replace(kept, state="wanted", reason="gpu-a went away"))]
    assert "Collect:   models/* (1 task to come: gpu-a went away)\n" in run("show", JOB).out


def test_a_job_that_made_nothing_yet_has_outputs_without_numbers(run: Run, server: FakeServer) -> None:
    server.add_job(JOB)
    found = json.loads(run("show", JOB, "--json").out)
    assert (found["inputs"], found["outputs"]) == ([], {"path": None, "files": None, "bytes": None})


def test_one_task_can_be_shown(run: Run, server: FakeServer) -> None:
    server.add_job(JOB, JobSpec(command=("x",), num_tasks=3))
    found = json.loads(run("show", f"{JOB}/task-1", "--json").out)
    assert [task["index"] for task in found["tasks"]] == [1]


def test_a_task_of_a_sweep_is_shown_with_its_own_command(run: Run, server: FakeServer) -> None:
    commands = tuple(("train", "--lr", str(place)) for place in range(6))
    server.add_job(JOB, JobSpec(command=commands[0], task_commands=commands, num_tasks=6))
    assert "Command:   train --lr 4\n" in run("show", f"{JOB}/task-4").out
    assert "Command:   train --lr 0   and 5 more\n" in run("show", JOB).out


@pytest.mark.parametrize(
    ("state", "ended", "words"),
    [("paused", False, "was paused"), ("failed", True, "failed"), ("killed", True, "was killed")],
)
def test_how_far_a_job_was_when_it_stopped_is_shown(
    run: Run, server: FakeServer, state: str, ended: bool, words: str
) -> None:
    fields: dict[str, Any] = {"state": state, "started_at_ms": NOW_MS, "finished_at_ms": NOW_MS + 1 if ended else None}
    server.add_job(JOB, advance=TaskProgress(done=1_234_567, total=2_000_000.5), **fields)
    assert f"Progress:  1,234,567 of 2,000,000.5 when it {words}\n" in run("show", JOB).out


def test_how_far_several_tasks_are_is_a_part_of_them_all(run: Run, server: FakeServer) -> None:
    """It was "0.093 of 3", which no one reads as tasks."""
    server.add_job(
        JOB, num_tasks=3, state="running", started_at_ms=NOW_MS, advance=TaskProgress(done=0.93, total=3, eta_ms=60_000)
    )
    assert "Progress:  31 % of 3 tasks, about 1m 00s left\n" in run("show", JOB).out


def test_each_dataset_has_a_line_of_its_own(run: Run, server: FakeServer) -> None:
    spec = JobSpec(command=("x",), datasets=(JobDataset("a.csv", "train"), JobDataset("b.csv", "test")))
    server.add_job(JOB, spec)
    lines = run("show", JOB).out.splitlines()
    (first,) = (place for place, line in enumerate(lines) if line.startswith("Dataset:   "))
    assert "a.csv" in lines[first]
    assert "b.csv" not in lines[first]
    assert lines[first + 1].startswith(f"{'':11}")
    assert "b.csv" in lines[first + 1]


def test_jobs_say_how_far_they_are_in_eighty_columns(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = time.time_ns() // 1_000_000
    server.add_job(JOB, state="running", started_at_ms=now_ms, created_at_ms=now_ms, worker="gpu-a",
                   advance=TaskProgress(done=41, total=100, eta_ms=180_000))  # fmt: skip
    server.add_job("bbbbbbbbbb", state="paused", started_at_ms=now_ms, created_at_ms=now_ms, reason="paused by ana",
                   advance=TaskProgress(done=1, total=2))  # fmt: skip
    out = {line.split()[0]: line for line in run("jobs").out.splitlines()}
    assert out[JOB].endswith("  41 %, 3m left")
    assert out["bbbbbbbbbb"].endswith("  50 %; paused by ana")
    monkeypatch.setattr("opsconsole_console.cli.output._terminal_columns", lambda: 80)
    narrow = run("jobs").out.splitlines()
    assert all(width_of(line) <= 80 for line in narrow)
    assert any("41 %" in line for line in narrow)


def test_the_hint_of_the_last_failure_stays_while_the_task_is_tried_again(run: Run, server: FakeServer) -> None:
    """It was in an event only, once the next attempt had begun."""
    server.add_job(JOB)
    server.finish(JOB, exit_code=85, error="exit code 85")
    (task,) = server.tasks[JOB]
    failed = replace(task.attempts[0], error="exit code 85", hint="a checkpoint was saved")
    again = replace(failed, attempt=1, error="", hint="", state="running", finished_at_ms=None)
    server.tasks[JOB] = [replace(task, state="running", hint="", attempts=(failed, again))]
    assert "Hint:      attempt 0, exit code 85: a checkpoint was saved\n" in run("show", JOB).out
    server.tasks[JOB] = [replace(task, state="succeeded", hint="", attempts=(failed, again))]
    assert "Hint:" not in run("show", JOB).out


def test_ports_are_shown(run: Run, server: FakeServer) -> None:
    server.add_job(JOB)
    server.move(JOB, state="running", attempt=0, worker="gpu-a")
    (task,) = server.tasks[JOB]
    server.tasks[JOB] = [replace(task, attempts=(replace(task.attempts[0], ports={"http": 4711}),))]
    out = run("show", JOB).out
    assert "Ports:     http 4711" in out
    assert "ports http=4711" in out


def test_a_lost_worker_is_not_available(run: Run, server: FakeServer) -> None:
    server.add_worker("gone", connection="lost", running_tasks=1, max_concurrent_jobs=2, last_seen_ms=None)
    server.add_worker("left", connection="lost", status="maintenance", last_seen_ms=NOW_MS)
    gone, left = (line for line in run("workers").out.splitlines() if not line.startswith(" "))
    assert gone == "gone  lost  1/2 tasks  [lab]"
    assert left.startswith("left  maintenance, lost, last heard of ")


@pytest.mark.parametrize("json_", [(), ("--json",)])
def test_a_list_of_jobs_that_goes_on_says_so(run: Run, server: FakeServer, json_: tuple[str, ...]) -> None:
    for number in range(5):
        server.add_job(f"aaaaaaaa{number}a")
    ran = run("jobs", "-n", "4", *json_)
    assert len(ran.out.splitlines()) == 4 + (not json_)
    assert ran.err == "the newest 4 are listed, and there are more: -n N lists up to N\n"
    assert run("jobs", "-n", "4", "--sort", "name", *json_).err.startswith("the first 4 are listed")
    assert not run("jobs", "-n", "5", *json_).err


def test_events_are_paged_and_the_newest_comes_last(run: Run, server: FakeServer) -> None:
    server.events = [event_row(number) for number in range(1_500)]
    ran = run("events", "--limit", "1200")
    assert ran.err == "the newest 1,200 are listed, and there are more: -n N lists up to N\n"
    lines = ran.out.splitlines()
    assert len(lines) == 1_201
    assert not run("events", "--limit", "1500").err
    assert lines[-1].endswith("event 1499")
    assert lines[1].endswith("event 300")


def test_health(run: Run, server: FakeServer) -> None:
    ran = run("health")
    assert (ran.code, ran.out) == (0, "healthy, up 1m 01s, 1 worker, 0 tasks running, 0 waiting\n")
    assert json.loads(run("health", "--json").out)["healthy"] is True


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "retry", "hold", "release"])
def test_verbs_say_what_happened_to_each(run: Run, server: FakeServer, verb: str) -> None:
    server.add_job(JOB)
    server.add_job("bbbbbbbbbb")
    ran = run(verb, "aaa", "bbb", "--reason", "tea")
    assert ran.out.splitlines() == [f"{JOB}  {verb} done", f"bbbbbbbbbb  {verb} done"]
    assert server.asked[-1] == api.Act(verb=verb, ids=("aaa", "bbb"), reason="tea")
    assert json.loads(run(verb, "aaa", "--json").out) == {"id": JOB, "result": f"{verb} done"}


@pytest.mark.parametrize(("text", "number", "relative"), [("7", 7, False), ("+2", 2, True), ("-3", -3, True)])
def test_priority(run: Run, server: FakeServer, text: str, number: int, relative: bool) -> None:
    assert run("priority", JOB, text).code == 0
    assert server.asked[-1] == api.SetPriority(id=JOB, priority=number, relative=relative)


def test_wait_is_1_unless_all_succeeded(run: Run, server: FakeServer) -> None:
    server.add_job(JOB)
    server.add_job("bbbbbbbbbb")
    server.finish(JOB)
    assert run("wait", JOB).code == 0
    late = run("wait", JOB, "bbb", "--timeout", "50ms")
    assert late.code == 1
    assert late.err == "opsconsole: not ended in time: bbbbbbbbbb\n"
    server.move("bbbbbbbbbb", state="blocked")
    assert run("wait", JOB, "bbb").code == 1


def test_why(run: Run, server: FakeServer) -> None:
    server.add_job(JOB)
    verdict = api.Verdict(
        worker_id="w",
        worker="gpu-a",
        accepted=False,
        reason="",
        checks=(("gpus>=2", False, "has 1"), ("zone=a", True, "")),
    )
    server.answers[api.Why] = lambda fake, _: api.WhyAnswer(job=fake.jobs[JOB], text="waits", verdicts=(verdict,))
    out = run("why", JOB).out
    assert out.splitlines()[0] == f"{JOB}  pending: waits"
    assert "gpus>=2 (has 1)" in out
    assert "zone=a" not in out
    assert json.loads(run("why", JOB, "--json").out)["text"] == "waits"


def test_why_says_everything_once(run: Run, server: FakeServer) -> None:
    """A worker's reason that the first line has, and an estimate that is the same everywhere, aren't said again for each worker."""
    server.add_job(JOB)
    takes = Estimate(60_000, 90_000, 120_000, runs=3, alike="train")
    other = Estimate(60_000, 90_000, 7_200_000, runs=3, alike="train")
    said = [
        api.Verdict(worker_id=name, worker=name, accepted=False, reason=reason, takes=takes, said=name == "gpu-a")
        for name, reason in (("gpu-a", "is full: 2 of 2 slots taken by a (1)"), ("gpu-b", "has 1 of the 2 GPUs needed"))
    ]
    text = f"gpu-a {said[0].reason}"

    def told(*verdicts: api.Verdict) -> list[str]:
        answer = api.WhyAnswer(job=server.jobs[JOB], text=text, verdicts=verdicts, ahead=1, ahead_jobs=("x",))
        server.answers[api.Why] = lambda _fake, _: answer
        return run("why", JOB).out.splitlines()

    assert told(*said) == [
        f"{JOB}  pending: {text}",
        "  1 job is ahead of it, as things stand: x",
        "  takes 1m–2m (by 3 runs of train)",
        "WORKER      REASON",
        "gpu-b   no  has 1 of the 2 GPUs needed",
    ]
    assert told(said[0])[2:] == ["  takes 1m–2m (by 3 runs of train)"]
    differing = told(said[0], replace(said[1], takes=other))
    assert differing[-2] == f"gpu-a   no  {said[0].reason}; takes 1m–2m (by 3 runs of train)"
    assert differing[-1] == "gpu-b   no  has 1 of the 2 GPUs needed; takes 1m–2h (by 3 runs of train)"


def test_a_graph_is_a_tree_with_what_each_job_waits_for(run: Run, server: FakeServer) -> None:
    other = "bbbbbbbbbb"
    server.add_job(JOB)
    server.add_job(other)
    rows = (
        api.GraphRow(job=server.jobs[JOB], needs=()),
        api.GraphRow(job=server.jobs[other], needs=(api.NeedRow(id=JOB, end="after_any", part="*"),)),
    )
    server.answers[api.AskGraph] = lambda _fake, _: api.GraphAnswer(id=other, jobs=rows, more=False)
    head, _, first, second = run("graph", other).out.splitlines()
    assert head == "1 job before and after it"
    assert JOB in first
    assert "◂" not in first
    assert second.startswith("└─ ")
    assert all(words in second for words in (" ◂", other, "after any end, task by task"))
    told = [json.loads(line) for line in run("graph", other, "--json").out.splitlines()]
    assert [row["job"]["id"] for row in told] == [JOB, other]
    assert told[1]["needs"] == [{"id": JOB, "end": "after_any", "part": "*"}]


def test_why_of_a_failed_job_tells_what_happened_shows_its_last_lines_and_what_to_do(
    run: Run, server: FakeServer
) -> None:
    """Triage (hard use): the command line says as much of a failure as the console does."""
    server.add_job(JOB)
    for line in ("epoch 1", "Traceback (most recent call last):", "  f(0)", "ValueError: \x1b[2Jbad"):
        server.log(JOB, line)
    server.finish(JOB, exit_code=127, hint="the command wasn't found on that worker")
    assert "Hint:      the command wasn't found on that worker\n" in run("show", JOB).out
    out = run("why", JOB).out
    assert "the command wasn't found on that worker" in out
    assert "epoch 1" not in out
    assert "  | Traceback (most recent call last):\n  |   f(0)\n  | ValueError: " in out
    assert "\x1b" not in out
    assert out.splitlines()[-3:] == [f"opsconsole {verb} {JOB}" for verb in ("logs", "retry", "clone")]
    server.add_job("bbbbbbbbbb")
    server.finish("bbbbbbbbbb")
    assert run("why", "bbb").out == "bbbbbbbbbb  succeeded: because\n"


def test_workers_are_drained_by_name(run: Run, server: FakeServer) -> None:
    server.add_worker("gpu-a")
    server.add_worker("gpu-b")
    assert run("worker", "drain", "gpu-a", "gpu-b").out.count("maintenance") == 2
    assert run("worker", "undrain", "gpu-a").out == "gpu-a  available  0 tasks running\n"
    missing = run("worker", "revoke", "gpu-z")
    assert (missing.code, missing.err) == (1, "opsconsole: there is no worker gpu-z\n")


def test_invite_prints_the_line_to_paste_and_nothing_else_on_stdout(run: Run, server: FakeServer) -> None:
    ran = run("invite", "--ttl", "10m", "--uses", "2", "--name", "gpu-a", "--tag", "lab", "--tag", "zone=a")
    assert ran.out == f"opsconsole agent --join '{server.url}#-.abcdefgh.{'0' * 52}'\n"
    assert server.asked[-1] == api.Invite(ttl_ms=600_000, uses=2, name="gpu-a", tags=("lab", "zone=a"))
    assert f"--listen 0.0.0.0:{urlsplit(server.url).port} " in ran.err
    person = run("invite", "--role", "viewer")
    assert person.out.startswith("opsconsole --connect 'ws://")
    assert json.loads(run("invite", "--json").out)["role"] == "worker"


def test_projects_are_set(run: Run, server: FakeServer) -> None:
    assert run("project", "set", "pose", "--status", "paused").out == "project pose set\n"
    assert server.asked[-1] == api.SetProject(name="pose", status="paused")


def test_config_example_path_and_check(run: Run, tmp_path: Path) -> None:
    assert "[worker.io]" in run("config", "example").out
    path = run("config", "path").out.strip()
    assert path.endswith("opsconsole/config.toml")
    assert run("config", "check").out == f"{path} doesn't exist: all defaults\n"
    Path(path).parent.mkdir(parents=True)
    Path(path).write_text("[worker]\nnmae = 'x'\n")
    ran = run("config", "check")
    assert (ran.code, ran.err) == (2, f"opsconsole: {path} line 2: [worker] has no key 'nmae': did you mean 'name'?\n")


def test_points_are_added_to_a_sweep(run: Run, server: FakeServer) -> None:
    server.add_job(JOB)
    assert run("add", JOB, "--zip", "lr=0.1,1", "--zip", "wd=0,1", "--repeat", "2").out == f"4 added to {JOB}\n"
    asked = next(one for one in server.asked if isinstance(one, api.AddTasks))
    assert asked.points[2] == {"lr": "1", "wd": "1", "repeat": "0"}
    assert run("add", JOB).err == "opsconsole: say which points to add, for example --sweep lr=0.1,0.01\n"


def test_a_verb_takes_some_tasks_of_a_job(run: Run, server: FakeServer) -> None:
    server.add_job(JOB)
    assert run("retry", f"{JOB}/failed", f"{JOB}/lr<0.1").code == 0
    assert [one.ids for one in server.asked if isinstance(one, api.Act)] == [(f"{JOB}/failed", f"{JOB}/lr<0.1")]
