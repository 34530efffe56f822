"""What jobs that wait have in common is kept once, and nothing of a spec is lost by that."""

from typing import Any

import msgspec
import pytest

from opsconsole_coordinator.core.estimate import Estimates, remember
from opsconsole_coordinator.core.story import SUBJECTS_MAX, Stories
from opsconsole_coordinator.core.terms import SPLIT_BYTES_MAX, split, split_spec, whole
from opsconsole_protocol.bound import VARIABLES_MAX
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.spec import JobSpec, Resources
from tests.coordinator.core.world import World

_SPECS = (
    JobSpec(command=("true",)),
    JobSpec(command=("python", "train.py", "--seed", "1"), name="train", resources=Resources(gpus=1), priority=3),
    JobSpec(command=("a",), environment={"SEED": "1"}, requirements=("cpus>=1",)),
    JobSpec(command=("a",), name="command", environment={"command": "name", "name": "a"}, project="command"),
    JobSpec(command=("command", "name"), name="", uploads=()),
    JobSpec(command=tuple(map(str, range(20))), after=("0000000001",), max_parallel=3),
)


@pytest.mark.parametrize("spec", _SPECS)
def test_a_spec_that_is_put_together_is_the_one_that_was_split(spec: JobSpec) -> None:
    terms, own = split_spec(spec)
    assert own
    assert whole(terms, own) == spec
    assert split(msgspec.msgpack.encode(spec))[0] is terms, "the store's is the same"


@pytest.mark.parametrize("spec", _SPECS)
def test_jobs_that_differ_in_their_own_part_share_the_rest(spec: JobSpec) -> None:
    terms, own = split_spec(spec)
    others = [{"command": ("other",)}] + [{"environment": {"B": "2"}}] * bool(spec.environment)
    for fields in others + [{"name": "other"}] * bool(spec.name):
        other, other_own = split_spec(msgspec.structs.replace(spec, **fields))
        assert other is terms
        assert other_own != own
    assert split_spec(msgspec.structs.replace(spec, num_tasks=2))[0] is not terms


@pytest.mark.parametrize(
    "spec",
    [
        JobSpec(command=("a",), num_tasks=2, parameters=({"a": 1}, {"a": 2})),
        JobSpec(command=("a",), num_tasks=2, task_commands=(("a",), ("b",))),
        JobSpec(command=("a" * SPLIT_BYTES_MAX,)),
    ],
)
def test_a_spec_that_is_mostly_its_own_is_kept_whole(spec: JobSpec) -> None:
    terms, own = split_spec(spec)
    assert not own
    assert terms.spec == spec


def test_a_stored_spec_with_too_many_variables_is_kept_and_says_so() -> None:
    environment = {str(number): "" for number in range(VARIABLES_MAX + 1)}
    terms, own = split_spec(JobSpec(command=("a",), environment=environment))
    assert "environment variables" in terms.fault
    assert not own


@pytest.mark.parametrize("field", [{"command": []}, {"command": [1]}, {"command": ["a"], "name": 1}, {"name": "a"}])
def test_what_is_no_spec_is_none_in_parts_either(field: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        split(msgspec.msgpack.encode(field))


@pytest.mark.parametrize(
    "fields", [{"command": ("",)}, {"command": ("a\0",)}, {"environment": {"a=b": ""}}, {"workdir": "here"}]
)
def test_each_part_of_a_submitted_spec_is_checked(fields: dict[str, Any]) -> None:
    world = World()
    world.submit()
    with pytest.raises(InvalidRequest):
        world.submit(**fields)
    assert len(world.fleet.jobs) == 1


def test_jobs_that_wait_are_looked_at_without_putting_their_specs_or_tasks_together() -> None:
    world = World()
    jobs = [world.submit(command=("train", str(number)), turn=False) for number in range(20)]
    world.turn()
    before = whole.cache_info().misses
    world.pass_ms(60_000)
    assert sum(not job.is_fresh for job in jobs) <= 1
    assert whole.cache_info().misses - before <= 1
    worker = world.worker()
    attempt = worker.started()
    first = world.fleet.jobs[attempt.job_id]
    assert not first.own, "one that runs has its spec at hand"
    assert first.spec.command == ("train", "0")
    assert all(job.own for job in jobs if job is not first)


def test_the_last_words_of_a_hundred_thousand_jobs_arent_all_kept() -> None:
    stories = Stories()
    for number in range(SUBJECTS_MAX + 5):
        stories.add(str(number), "submitted")
        stories.add("often", str(number))
    assert 0.9 * SUBJECTS_MAX <= len(stories) <= SUBJECTS_MAX
    assert stories.tell("0") == ""
    assert stories.tell(str(SUBJECTS_MAX + 4)) == "submitted"
    assert stories.tell("often").endswith(f"; {SUBJECTS_MAX + 4}")


def test_commands_that_never_ran_share_one_estimate() -> None:
    world = World()
    worker = world.worker()
    job = world.submit(name="train", command=("train", "0"))
    attempt = worker.started()
    world.pass_ms(1_000)
    worker.succeed(attempt)
    remember(world.fleet, job.spec, attempt)
    (kind,) = world.fleet.kinds.values()
    kind._found.clear()
    for number in range(1, 50):
        Estimates(world.fleet, JobSpec(name="train", command=("train", str(number)))).on(None)
    assert len(kind._found) == 1
    upload = Upload(name="a", content_id=ContentId("0" * 64), files=1, size_bytes=1 << 20)
    Estimates(world.fleet, JobSpec(name="train", command=("train", "0"), uploads=(upload,))).on(None)
    assert len(kind._found) == 2
