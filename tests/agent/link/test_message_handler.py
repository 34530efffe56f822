"""How an agent introduces itself, and what it remembers of the coordinator's store."""

import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from opsconsole_agent.core.intent import PROCESS
from opsconsole_agent.core.reactor import Reactor
from opsconsole_agent.core_runner import CoreRunner
from opsconsole_agent.dataset.describer import Describer
from opsconsole_agent.engine.engine import StepProgress
from opsconsole_agent.link.dataset_answerer import DatasetAnswerer
from opsconsole_agent.link.file_answerer import FileAnswerer
from opsconsole_agent.link.leaving_answerer import LeavingAnswerer
from opsconsole_agent.link.message_handler import Description, MessageHandler
from opsconsole_agent.log.shipper import LogShipper
from opsconsole_agent.probe.file_look import FileLook
from opsconsole_agent.probe.gpu import GpuReport, GpuSample
from opsconsole_agent.probe.host import host_identity
from opsconsole_agent.probe.io_path import WorkerIOConfig
from opsconsole_agent.state.departure import Departure
from opsconsole_agent.state.file_place import FilePlaces
from opsconsole_agent.state.state_folder import StateFolder, StoreMark
from opsconsole_agent.telemetry import Telemetry
from opsconsole_agent.transfer.transfers import Transfers
from opsconsole_protocol import link
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.ids import AttemptId, WorkerId
from opsconsole_protocol.requirement import NUMBERS
from tests.agent.test_core_runner import FakeEngine, FakeLink


def describe(**properties: object) -> Description:
    """A worker with one user's properties."""
    return Description(WorkerId("worker-1"), "box", "run", host_identity(), WorkerIOConfig(), 3, (), properties)


async def make_handler(tmp_path: Path, io: WorkerIOConfig | None = None, *, able: bool = False) -> MessageHandler:
    """A handler in front of an idle agent."""
    state, shipper = StateFolder(tmp_path), LogShipper()
    core_runner = CoreRunner(Reactor(3, PROCESS), state, shipper)
    core_runner.engine, core_runner.link = FakeEngine(), FakeLink()
    telemetry = Telemetry(state)
    places = FilePlaces(state, WorkerIOConfig())
    file_answerer = FileAnswerer(places, FileLook())
    leaving_answerer = LeavingAnswerer(state, WorkerIOConfig(), 0, (), lambda _: None)
    store = ContentStore(tmp_path / secrets.token_hex(4), 1 << 20)
    transfers = Transfers(core_runner.link.send, store, Home("ws://127.0.0.1:1", None), places.find)
    return MessageHandler(
        replace(describe(), io=io or WorkerIOConfig(), datasets=("text", "arrow") if able else ("text",)),
        core_runner,
        state,
        shipper,
        telemetry,
        file_answerer,
        DatasetAnswerer(places, Describer()),
        leaving_answerer,
        transfers,
        Departure(tmp_path),
        lambda _: None,
    )


def test_the_users_word_beats_what_is_measured() -> None:
    """The documented `cuda_version` was silently replaced by the driver's (hard use 40)."""
    report = GpuReport("ok", "", "550.1", "12.4", (GpuSample(0, "GPU-1", "RTX 4090", 24_564),))
    own = {"cuda_version": "11.8", "hostname": "my-box", "supported_models": ["base"]}
    properties = describe(**own, io_paths="mine", max_concurrent_jobs=99).to_properties(report)
    assert {key: properties[key] for key in own} == own
    assert (properties["gpu_model"], properties["gpu_memory_mb"], properties["gpu_count"]) == ("RTX 4090", 24_564, 1)
    assert properties["driver_version"] == "550.1"
    assert properties["cpu_count"] >= 1
    # What placement lives by is told by what tells it elsewhere, not twice.
    assert properties["max_concurrent_jobs"] == 3
    assert properties["io_paths"] == {"input": None, "output": None, "filesystem": "local"}


def test_what_is_measured_as_a_number_is_compared_with_numbers_only() -> None:
    report = GpuReport("ok", "", "550.1", "12.4", (GpuSample(0, "GPU-1", "RTX 4090", 24_564),))
    properties = describe().to_properties(report)
    assert {name for name, value in properties.items() if type(value) in {int, float}} == NUMBERS


async def test_the_store_heard_of_last_is_remembered_at_its_highest(tmp_path: Path) -> None:
    handler = await make_handler(tmp_path)
    answers = [("one", 5), ("one", 9), ("one", 7), ("two", 3)]
    marks = []
    for store_id, store_seq in answers:
        handler.connected(link.Registered(protocol=1, coordinator="c", store_id=store_id, store_seq=store_seq))
        marks.append(StateFolder(tmp_path).load_store_mark())
    assert marks == [StoreMark("one", 5), StoreMark("one", 9), StoreMark("one", 9), StoreMark("two", 3)]
    handler.receive(link.HeartbeatAck(at_ms=1, store_seq=8))
    register = (await make_handler(tmp_path)).registration("10.0.0.7")
    assert (register.store_id, register.store_seq) == ("two", 8)
    assert register.properties["advertise_host"] == "10.0.0.7"


async def test_messages_of_a_lost_connection_are_not_taken_into_the_next(tmp_path: Path) -> None:
    handler = await make_handler(tmp_path)
    handler.receive(link.Observe(exchange=1))
    handler.disconnected()
    handler.batch_received()
    fake = handler._core_runner.link
    assert isinstance(fake, FakeLink)
    assert fake.sent == []


async def test_every_message_of_a_coordinator_has_its_handler(tmp_path: Path) -> None:
    assert (await make_handler(tmp_path))._handlers.keys() == set(get_args(link.CoordinatorMessage))


async def test_a_heartbeat_tells_how_far_preparations_are(tmp_path: Path) -> None:
    handler = await make_handler(tmp_path)
    engine = handler._core_runner.engine
    assert isinstance(engine, FakeEngine)
    engine.steps = {AttemptId("a"): StepProgress("inputs", 1, 3)}
    assert (await handler.heartbeat()).progress == {"a": link.TaskProgress(done=1, total=3, text="inputs")}


# --- what is wrong with it (hard use 16, 61) ---------------------------------------------------------------------------


async def test_a_keeper_that_does_not_answer_is_a_trouble(tmp_path: Path) -> None:
    handler = await make_handler(tmp_path)
    engine = handler._core_runner.engine
    assert isinstance(engine, FakeEngine)
    assert (await handler.heartbeat()).troubles == ()
    engine.silent = "its keeper is stopped: `kill -CONT 7` on the worker lets it go on"
    (trouble,) = (await handler.heartbeat()).troubles
    assert (trouble.code, trouble.text, trouble.blocks) == (link.TroubleCode.KEEPER_SILENT, engine.silent, True)
    engine.silent = ""
    assert (await handler.heartbeat()).troubles == ()


async def test_what_was_set_aside_is_a_trouble_that_keeps_nobody_out(tmp_path: Path) -> None:
    handler = await make_handler(tmp_path)
    engine = handler._core_runner.engine
    assert isinstance(engine, FakeEngine)
    engine.damaged = ["x" * 1_000]
    (trouble,) = (await handler.heartbeat()).troubles
    assert (trouble.code, trouble.blocks) == (link.TroubleCode.STATE_DAMAGED, False)
    assert len(trouble.text) <= 500


async def test_a_dataset_may_be_a_folder_and_an_input_may_not(tmp_path: Path) -> None:
    (tmp_path / "in" / "digits" / "train").mkdir(parents=True)
    (tmp_path / "in" / "digits" / "train" / "0.csv").touch()
    handler = await make_handler(tmp_path / "state", WorkerIOConfig(input_path=tmp_path / "in"))
    fake = handler._core_runner.link
    assert isinstance(fake, FakeLink)
    for check_id, kind in enumerate((link.QuestionKind.DATASET, link.QuestionKind.INPUT)):
        await handler._check_input(link.InputFile(check_id=check_id, filename="digits", kind=kind))
    path = str(tmp_path / "in" / "digits")
    assert fake.sent == [
        link.FileExists(check_id=0, path=path, size_bytes=0, is_folder=True),
        link.FileNotFound(check_id=1, reason="is a folder, not a file"),
    ]


@pytest.mark.parametrize("able", [True, False])
@pytest.mark.parametrize("name", ["digits", "a.Parquet", "a.csv"])
async def test_what_only_the_extra_reads_is_refused_without_it(tmp_path: Path, name: str, able: bool) -> None:
    (tmp_path / "in" / "digits" / "train").mkdir(parents=True)
    for below in ("digits/train/0.parquet", "a.Parquet", "a.csv"):
        (tmp_path / "in" / below).write_text("x\n")
        os.utime(tmp_path / "in" / below, (1, 1))
    handler = await make_handler(tmp_path / "state", WorkerIOConfig(input_path=tmp_path / "in"), able=able)
    fake = handler._core_runner.link
    assert isinstance(fake, FakeLink)
    await handler._check_input(link.InputFile(check_id=1, filename=name, kind=link.QuestionKind.DATASET))
    (answer,) = fake.sent
    if able or name == "a.csv":
        assert isinstance(answer, link.FileExists)
    else:
        assert isinstance(answer, link.FileNotFound)
        assert answer.reason.startswith(
            "has Parquet or Arrow, which its agent can't read: pip install 'opsconsole[dataset]'"
        )
