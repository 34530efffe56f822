"""A value from outside never raises in the core (hard use 46, 53, 59): one odd worker is refused or unfit, in words.

Arbitrary trees as properties go through registration, update, discovery, placement, requirements, rows and JSON.
"""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsconsole_coordinator.core import view
from opsconsole_protocol import link, requirement
from opsconsole_protocol.error import OpsconsoleError, ProtocolError
from opsconsole_protocol.ids import WorkerId
from opsconsole_protocol.link.codec import coordinator_codec
from opsconsole_protocol.spec import JobSpec, Resources
from opsconsole_protocol.state import TaskState
from tests.coordinator.core.world import World, gpus

KEYS = st.sampled_from(["cuda_version", "cpus", "memory_mb", "io_paths", "status", "gpu_model", "hostname", "a.b"])
DIGITS = "9" * 5_000
LEAVES = (
    st.none() | st.booleans() | st.floats() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text(max_size=20)
    | st.sampled_from([DIGITS, f"12.{DIGITS}", "x" * 9_000, "12.4", "é" * 50, "\u202e", "0x1", "1_0", "٣.٤"])
    | st.binary(max_size=4) | st.builds(msgspec.msgpack.Ext, st.integers(0, 100), st.binary(max_size=4)) | st.datetimes()
)  # fmt: skip
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.integers(), inner, max_size=3)
)
PROPERTIES = st.dictionaries(KEYS, TREES, max_size=4)
LINES = (
    "cuda_version>=12.4", "cuda_version<13", f"hostname>={DIGITS[:3_000]}", "gpu_model~(.|.|.|.)*X$", "a.b in 1,2,x",
    "io_paths.input", "!cpus", "memory_mb>1e300", "status=available", 'hostname!="a b"', "tags~t",
)  # fmt: skip


def on_the_wire(message: link.Register | link.UpdateMetadata) -> Any:
    """The message as the coordinator decodes it."""
    frame = msgspec.msgpack.encode([message])
    return coordinator_codec().decode(frame)[0]


@settings(max_examples=150)
@given(PROPERTIES, PROPERTIES)
def test_whatever_a_worker_says_of_itself_hurts_nobody(first: dict[str, Any], second: dict[str, Any]) -> None:
    world = World()
    world.worker("good", gpus=gpus(1))
    for tree in (first, second):
        session = world.next_session()
        register = link.Register(
            protocol=1, agent_version="1", worker_id=WorkerId("id-of-odd"), name="odd",
            run_id="r", gpus=gpus(1), properties=tree,
        )  # fmt: skip
        try:
            world.reactor.on_register(session, on_the_wire(register), set(), world.now_ms)
            odd = world.fleet.workers[register.worker_id]
            update = link.UpdateMetadata(properties=second)
            world.reactor.on_update_metadata(odd, on_the_wire(update), world.now_ms)
        except (OpsconsoleError, OverflowError):
            continue  # refused in words, or nothing that msgpack could carry
    world.fleet.drain()
    for worker in world.fleet.workers.values():
        facts = worker.facts()
        for line in LINES:
            for one in requirement.parse(line):
                one.matches(facts)
                assert len(one.explain(facts)) < 5_000
        row = view.worker_row(world.fleet, worker, world.now_ms)
        msgspec.msgpack.encode(row)
        msgspec.json.encode(row)
    spec = JobSpec(command=("true",), requirements=LINES, inputs=("a",), resources=Resources(cpus=1, memory_mb=5))
    view.candidates(world.fleet, spec, world.now_ms)


def test_a_property_of_five_thousand_digits_is_only_unfit() -> None:
    world = World()
    odd = world.worker("odd", properties={"cuda_version": DIGITS})
    good = world.worker("good", properties={"cuda_version": "12.10"})
    job = world.submit(requirements=("cuda_version>=12.4", "cuda_version<13"))
    world.turn()
    assert not odd.record.live
    assert next(iter(good.record.live.values())).job_id == job.id


@pytest.mark.parametrize("status", [["available"], {"a": 1}, 5, "x" * 10_000])
def test_a_status_that_is_none_is_refused_in_one_short_line(status: Any) -> None:
    world = World()
    worker = world.worker()
    with pytest.raises(ProtocolError) as error:
        world.reactor.on_update_metadata(
            worker.record, link.UpdateMetadata(properties={"status": status}), world.now_ms
        )
    assert len(error.value.message) < 200


def test_properties_do_not_grow_without_end_by_updates() -> None:
    world = World()
    worker = world.worker()
    world.reactor.on_update_metadata(worker.record, link.UpdateMetadata(properties={"a": "x" * 10_000}), world.now_ms)
    with pytest.raises(ProtocolError, match="larger than"):
        world.reactor.on_update_metadata(
            worker.record, link.UpdateMetadata(properties={"b": "x" * 10_000}), world.now_ms
        )
    assert set(worker.record.properties) == {"a"}


def test_a_job_whose_stored_spec_cannot_be_used_waits_with_a_word_and_holds_up_nobody() -> None:
    world = World()
    worker = world.worker(slots=2)
    job = world.submit(requirements=("cpus>=1",))
    fault = "can't be placed: 'x~(' is not a regular expression. Cancel it and submit it anew"
    job.terms = msgspec.structs.replace(job.terms, requirements=(), fault=fault)
    world.fleet.queue(job)
    other = world.submit()
    world.turn()
    assert job.state is TaskState.PENDING
    assert "can't be placed" in world.why(job)
    assert "can't be placed" in job.reason
    assert [attempt.job_id for attempt in worker.record.live.values()] == [other.id]
    assert world.act("cancel", job).startswith("cancel")
