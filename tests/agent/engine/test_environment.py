"""What a task finds in its environment."""

from dataclasses import replace
from typing import Any

from opsconsole_agent.engine.environment import Place, base_environment, task_environment
from opsconsole_protocol.ids import AttemptId, ContentId, JobId, TaskId, WorkerId
from opsconsole_protocol.job_content import Bundle
from opsconsole_protocol.link import Gang
from tests.agent.core.script import make_launch

ATTEMPT = AttemptId("j0b0000000.3.1.abcd")
PLACE = Place(WorkerId("worker-1"), "wss://host:7373", ports={"http": 8000})


def environment(base: dict[str, str] | None = None, place: Place = PLACE, **launch: Any) -> dict[str, str]:
    """The environment of one attempt."""
    return task_environment(base_environment(base or {}), ATTEMPT, make_launch(**launch), place)


def test_who_it_is_is_told_under_both_names() -> None:
    made = environment(
        job_id=JobId("j0b0000000"), task_id=TaskId("j0b0000000/task-3"), task_index=3, num_tasks=8, attempt=1
    )
    expected = {
        "JOB_ID": "j0b0000000",
        "TASK_ID": "j0b0000000/task-3",
        "TASK_INDEX": "3",
        "NUM_TASKS": "8",
        "ATTEMPT_ID": "1",
        "WORKER_ID": "worker-1",
        "CONTROLLER_ADDRESS": "wss://host:7373",
        "BIND_HOST": "127.0.0.1",
        "PORT_HTTP": "8000",
    }
    for key, value in expected.items():
        assert made[f"OPSCONSOLE_{key}"] == value
        assert made[f"IRIS_{key}"] == value
    assert made["OPSCONSOLE_ATTEMPT_UID"] == ATTEMPT
    assert "OPSCONSOLE_BUNDLE_GCS_PATH" not in made


def test_the_agent_s_own_secrets_stay_with_the_agent() -> None:
    made = environment({"OPSCONSOLE_TOKEN": "s3cret", "OPSCONSOLE_URL": "wss://x", "HOME": "/root", "PATH": "/bin"})
    assert "s3cret" not in made.values()
    assert "OPSCONSOLE_URL" not in made
    assert (made["HOME"], made["PATH"]) == ("/root", "/bin")


def test_the_submitter_sets_everything_but_who_the_task_is() -> None:
    made = environment(
        {"PATH": "/bin"},
        environment={
            "PATH": "/opt/bin",
            "IRIS_JOB_ID": "forged",
            "OPSCONSOLE_ATTEMPT_UID": "forged",
            "CUDA_VISIBLE_DEVICES": "0,1",
            "PYTHONUNBUFFERED": "",
            "OPSCONSOLE_BUNDLE_GCS_PATH": "gs://bundle",
        },
    )
    assert made["PATH"] == "/opt/bin"
    assert "forged" not in made.values()
    assert made["CUDA_VISIBLE_DEVICES"] == ""
    assert made["PYTHONUNBUFFERED"] == ""
    assert made["IRIS_BUNDLE_GCS_PATH"] == "gs://bundle"


def test_a_task_sees_its_gpus_by_uuid_and_no_other() -> None:
    made = environment({"CUDA_VISIBLE_DEVICES": "0,1,2"}, gpu_ids=("GPU-a", "unknown-3"))
    assert made["CUDA_VISIBLE_DEVICES"] == made["NVIDIA_VISIBLE_DEVICES"] == "GPU-a,3"
    assert made["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    without = environment({"CUDA_VISIBLE_DEVICES": "0,1,2"})
    assert (without["CUDA_VISIBLE_DEVICES"], without["NVIDIA_VISIBLE_DEVICES"]) == ("", "void")


def test_lines_come_when_they_are_written() -> None:
    assert environment()["PYTHONUNBUFFERED"] == "1"


def test_files_are_named_where_there_are_some() -> None:
    place = Place(WorkerId("w"), "ws://h:1", output_path="/out", input_path="/in", inputs=("/in/a", "/in/b"))
    made = environment(place=place)
    assert (made["OPSCONSOLE_OUTPUT_PATH"], made["OPSCONSOLE_INPUT_PATH"]) == ("/out", "/in")
    assert made["OPSCONSOLE_INPUT_0"] == made["OPSCONSOLE_INPUT_FILE"] == made["OPSCONSOLE_INPUT_FILE_0"] == "/in/a"
    assert made["OPSCONSOLE_INPUT_1"] == made["OPSCONSOLE_INPUT_FILE_1"] == "/in/b"
    assert made["OPSCONSOLE_INPUTS"] == "/in/a\n/in/b"
    assert not any(key.startswith(("OPSCONSOLE_INPUT", "OPSCONSOLE_OUTPUT")) for key in environment())


def test_the_code_is_named_by_its_folder_and_by_its_hash() -> None:
    bundle = Bundle(content_id=ContentId("ab" * 32), size_bytes=1, files=1)
    made = environment(place=replace(PLACE, bundle_path="/w"), bundle=bundle)
    assert made["OPSCONSOLE_BUNDLE_PATH"] == "/w"
    assert made["OPSCONSOLE_BUNDLE_GCS_PATH"] == made["IRIS_BUNDLE_GCS_PATH"] == "ab" * 32
    own = environment(bundle=bundle, environment={"IRIS_BUNDLE_GCS_PATH": "gs://bundle"})
    assert own["OPSCONSOLE_BUNDLE_GCS_PATH"] == "gs://bundle"


def test_what_a_setup_made_comes_first_unless_the_submitter_says_otherwise() -> None:
    place = replace(PLACE, setup_path="/s")
    made = environment({"PATH": "/bin"}, place)
    assert made["OPSCONSOLE_SETUP_PATH"] == made["VIRTUAL_ENV"] == made["UV_PROJECT_ENVIRONMENT"] == "/s"
    assert made["PATH"] == "/s/bin:/bin"
    own = environment({"PATH": "/bin"}, place, environment={"PATH": "/opt/bin", "OPSCONSOLE_SETUP_PATH": "forged"})
    assert (own["PATH"], own["OPSCONSOLE_SETUP_PATH"]) == ("/opt/bin", "/s")


def test_a_gang_is_told_what_torchrun_mpi_and_gloo_need() -> None:
    """Hard use 34."""
    place = Gang(rank=1, size=2, address="10.0.0.1", host="10.0.0.2", hosts=("10.0.0.1", "10.0.0.2"), port=29_500)
    made = environment(gang=place)
    told = {"HOSTS": "10.0.0.1,10.0.0.2", "RANK": "1", "SIZE": "2", "ADDRESS": "10.0.0.1", "PORT": "29500"}
    assert {key: made[f"OPSCONSOLE_GANG_{key}"] for key in told} == told
    assert made["OPSCONSOLE_BIND_HOST"] == "10.0.0.2"
    names = ("RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    assert [made[name] for name in names] == ["1", "1", "2", "10.0.0.1", "29500"]
    own = environment(gang=place, environment={"MASTER_PORT": "1234"})
    assert (own["MASTER_PORT"], own["OPSCONSOLE_GANG_PORT"]) == ("1234", "29500")
    assert "RANK" not in environment()
