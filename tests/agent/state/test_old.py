"""State folders that landed versions wrote: they are read for ever. `old/` is added to and never written anew.

`old/v1` is from before attempts named their engine; its launches still carry the `job_token` that nobody ever filled.
"""

import shutil
from pathlib import Path

import pytest

from opsconsole_agent.core.event import AttemptExited, EngineHello, FoundAttempt, IntentsFound
from opsconsole_agent.core.intent import PROCESS, Intent, Stop, StopCause
from opsconsole_agent.state.membership import Membership, load_membership
from opsconsole_agent.state.state_folder import StateFolder, StoreMark
from opsconsole_protocol.ids import AttemptId
from tests.agent.core.script import Script

OLD = Path(__file__).parent / "old"
WAITING, PAUSED, STOPPING, ENDED = (AttemptId(f"7k3m9q2w4t.{index}.0.ab12") for index in range(4))


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    shutil.copytree(OLD / "v1", tmp_path / "state")
    for path in (tmp_path / "state").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)  # as the agent makes them; a checkout has other modes
    return StateFolder(tmp_path / "state")


def intents(state: StateFolder) -> dict[AttemptId, Intent]:
    found, damaged = state.load()
    assert damaged == ()
    return {intent.attempt_id: intent for intent in found}


def test_every_intent_is_read_whole(state: StateFolder) -> None:
    found = intents(state)
    assert list(found) == [WAITING, PAUSED, STOPPING, ENDED]
    assert {intent.engine for intent in found.values()} == {"process"}
    assert [intent.released for intent in found.values()] == [False, True, True, False]
    paused = found[PAUSED]
    assert paused.launch is not None
    assert paused.launch.gang is not None
    assert (paused.launch.command, paused.launch.environment) == (("python", "train.py"), {"LR": "0.1"})
    assert (paused.launch.gpu_ids, paused.launch.seal, paused.launch.gang.port) == (("GPU-1",), "sealed", 31_000)
    assert (paused.ports, paused.output_path) == ({"http": 31_000}, "/out/jobs/7k3m9q2w4t/task-1")
    assert (paused.timer_from_ms, paused.paused_at_ms) == (1_700_000_000_000, 1_700_000_060_000)
    assert (paused.build_started_ms, paused.build_from_cache, paused.image_tag) == (1_699_999_990_000, True, "img:1")
    assert found[STOPPING].stop == Stop(StopCause.TIMEOUT, "timed out after 2h", 1_700_000_000_000, 5_000)
    end = found[ENDED].end
    assert end is not None
    assert end.error == "input data.slp is not there"


def test_what_else_was_remembered_is_read(state: StateFolder) -> None:
    assert state.load_store_mark() == StoreMark("store-1", 99, "sealed")
    assert state.same_boot("boot-1")
    assert load_membership(state.path) == Membership("wss://host:7373", "ab" * 32)


def test_its_attempts_are_adopted(state: StateFolder) -> None:
    script = Script()
    script.now_ms = 1_700_000_100_000
    script.tell(IntentsFound(intents=tuple(intents(state).values())))
    exited = AttemptExited(attempt_id=STOPPING, at_ms=1_700_000_001_000, signal=15, started_at_ms=1)
    live = FoundAttempt(attempt_id=PAUSED, started_at_ms=1_700_000_000_000, is_paused=True)
    script.tell(EngineHello(engine=PROCESS, live=(live,), exits=(exited,)))
    script.measured(STOPPING)
    states = [script.state(one) for one in (WAITING, PAUSED, STOPPING, ENDED)]
    assert states == ["assigned", "paused", "failed", "failed"]
    assert script.observed(STOPPING).error == "timed out after 2h"


def test_what_is_written_back_is_read_again(state: StateFolder) -> None:
    before = intents(state)
    for intent in before.values():
        state.write_intent(intent)
    assert intents(state) == before
    assert b"job_token" not in (state.path / "attempts" / PAUSED / "spec.json").read_bytes()
