"""What a spec may say, and how a refusal reads."""

from typing import Any

import msgspec
import pytest

from opsconsole_protocol.bound import COMMAND_BYTES_MAX
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.link import HEARTBEAT_MS
from opsconsole_protocol.spec import (
    FENCE_AFTER_MIN_MS,
    NUM_TASKS_MAX,
    JobSpec,
    Resources,
    check_fields,
    check_spec,
)


def spec(**fields: Any) -> JobSpec:
    return JobSpec(**{"command": ("/bin/true",), **fields})


def test_a_plain_spec_is_fine() -> None:
    check_spec(spec())
    check_spec(
        spec(
            num_tasks=2,
            task_commands=(("a", "1"), ("a", "2")),
            parameters=({"lr": 1}, {"lr": 2}),
            environment={"A": "", "B": "x=y"},
            workdir="/work",
            requirements=("gpu_memory_mb>=20000 zone=a", "tags=fast"),
            ports=("http", "grpc"),
        )
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"command": ("",)}, "the command is empty"),
        ({"metric_pattern": "("}, "is not a regular expression"),
        ({"metric_pattern": "(?=x)"}, "looks ahead"),
        ({"metric_pattern": "loss=(.*)"}, "names no metric"),
        ({"metric_pattern": r"(?P<step>\d+)"}, "names no metric"),
        ({"metric_pattern": r"(?P<done>\d+)"}, "progress has two groups"),
        ({"command": ("a", "b\0c")}, "NUL"),
        ({"command": ("a", "\udcff")}, "not UTF-8"),
        ({"command": ("a", "x" * COMMAND_BYTES_MAX)}, "longer than"),
        ({"num_tasks": 2, "task_commands": (("a",),)}, "1 task commands for 2 tasks"),
        ({"num_tasks": 2, "task_commands": (("a",), ())}, "the command is empty"),
        ({"num_tasks": 2, "task_commands": (("a",), ("a", "\0"))}, "NUL"),
        ({"num_tasks": 2, "parameters": ({"a": 1},)}, "1 sets of parameters for 2 tasks"),
        ({"environment": {"": "x"}}, "environment variable"),
        ({"environment": {"A=B": "x"}}, "environment variable"),
        ({"environment": {"A": "\0"}}, "environment variable"),
        ({"environment": {"A": "x" * 1024 * 1024}}, "larger than"),
        ({"workdir": "relative"}, "not absolute"),
        ({"workdir": "/a\0b"}, "--workdir"),
        ({"requirements": ("zone==",)}, "can't read"),
        ({"ports": ("a", "b", "a")}, "same name"),
    ],
)
def test_what_types_cannot_say(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        check_spec(spec(**fields))
    assert words in error.value.message
    assert "\n" not in error.value.message
    assert len(error.value.message) < 400


@pytest.mark.parametrize(
    "fields",
    [
        {"command": ()}, {"num_tasks": 0}, {"num_tasks": NUM_TASKS_MAX + 1}, {"priority": 1_000_001}, {"project": ""},
        {"name": "x" * 201}, {"max_retries_failure": -1}, {"timeout_ms": -1}, {"grace_ms": -1}, {"ports": ["a-b"]},
        {"resources": {"gpus": -1}}, {"resources": {"cpus": -0.5}}, {"environment": {"A": 1}}, {"command": ["a", 1]},
    ],
)  # fmt: skip
def test_what_types_say_is_checked_at_the_edge(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"command": ["/bin/true"], **fields}, JobSpec)


def test_a_fence_is_longer_than_a_healthy_link_is_silent() -> None:
    assert FENCE_AFTER_MIN_MS >= 2 * HEARTBEAT_MS
    check_spec(spec(fence_after_ms=FENCE_AFTER_MIN_MS))
    with pytest.raises(InvalidRequest, match=r"--fence-after 9.999s .* give 10s or more"):
        check_spec(spec(fence_after_ms=FENCE_AFTER_MIN_MS - 1))


def test_a_job_without_a_name_is_called_after_its_program() -> None:
    assert spec(command=("/usr/bin/python3", "train.py")).title == "train.py"
    assert spec(name="train").title == "train"


def test_a_sweep_has_a_command_for_each_task() -> None:
    sweep = spec(num_tasks=2, task_commands=(("a", "1"), ("a", "2")))
    assert [sweep.command_of(index) for index in range(2)] == [("a", "1"), ("a", "2")]
    assert spec(num_tasks=2).command_of(1) == ("/bin/true",)


def test_defaults_are_the_documented_ones() -> None:
    plain = spec()
    assert plain.max_retries_failure == 0
    assert plain.max_retries_preemption == 100
    assert plain.max_task_failures is None
    assert plain.grace_ms == 5_000
    assert plain.lost_after_ms == 60_000
    assert plain.resources == Resources()


def test_a_value_that_is_out_of_its_limits_is_refused_by_its_name() -> None:
    """Hard use 41: what is made in Python isn't checked by its types yet."""
    with pytest.raises(InvalidRequest, match=r"^num_tasks: must be at least 1$"):
        check_fields(spec(num_tasks=0))
    with pytest.raises(InvalidRequest, match=r"^priority: "):
        check_fields(spec(priority=10**9))
    check_fields(spec(num_tasks=2))


@pytest.mark.parametrize("pattern", ["../x", "/etc/*", "a/../../b"])
def test_results_elsewhere_are_refused_before_the_job_runs(pattern: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^--collect"):
        check_spec(JobSpec(command=("true",), collect=(pattern,)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"timeout_ms": 0}, "--timeout is 0"),
        ({"job_timeout_ms": 0}, "--job-timeout is 0"),
        ({"scheduling_timeout_ms": 0}, "--scheduling-timeout is 0"),
        ({"requirements": ("",)}, "--require is empty"),
        ({"requirements": ("zone=a", "  ")}, "--require is empty"),
    ],
)
def test_what_would_end_a_job_before_it_begins_or_says_nothing_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        check_spec(JobSpec(command=("a",), **fields))
