"""The GPU probe, through the real nvidia-ml-py, on a stub of NVML's C library."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsconsole_agent.probe import gpu as gpu_module
from opsconsole_agent.probe.gpu import GpuProbe, GpuReport, GpuSample
from opsconsole_agent.probe.nvml import LIBRARY_NOT_FOUND, NvmlError
from tests.nvml import DRIVER_NOT_LOADED, NO_PERMISSION, TIMEOUT, UNKNOWN, VERSION_MISMATCH, FakeGpus
from tests.waiting import until_sync

RESET_REQUIRED, UNINITIALIZED = 16, 1


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def gpus(tmp_path: Path) -> Iterator[FakeGpus]:
    fake = FakeGpus(tmp_path, count=2)
    with fake.loaded():
        yield fake


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def probe(clock: Clock) -> Iterator[GpuProbe]:
    probe = GpuProbe(clock=clock)
    yield probe
    probe.close()


def sampled_elsewhere(environment: dict[str, str]) -> dict[str, Any]:
    """Sample in a fresh process, which finds the library by its name as an agent does."""
    script = (
        "import dataclasses, json; from opsconsole_agent.probe.gpu import GpuProbe\n"
        "print(json.dumps(dataclasses.asdict(GpuProbe().sample())))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, check=True, timeout=60
    )
    report: dict[str, object] = json.loads(answer.stdout)
    return report


def states(report: GpuReport) -> list[str]:
    return [gpu.state for gpu in report.gpus]


def test_every_reading_comes_through_the_binding(gpus: FakeGpus, probe: GpuProbe) -> None:
    gpus.set(1, name="NVIDIA A100-SXM4 80GB", memory_total_mb=81_920, memory_used_mb=1_234, utilization_percent=87)
    gpus.set(1, temperature_c=71, power_w=312.5, power_limit_w=400.0, ecc_errors=0)
    report = probe.sample()
    assert (report.state, report.message) == ("ok", "")
    assert (report.driver_version, report.cuda_version) == ("999.01-stub", "13.0")
    assert report.gpus[1] == GpuSample(
        index=1,
        uuid="GPU-00000001-0000-0000-0000-000000000000",
        name="NVIDIA A100-SXM4 80GB",
        memory_total_mb=81_920,
        memory_used_mb=1_234,
        utilization_percent=87,
        temperature_c=71,
        power_w=312.5,
        power_limit_w=400.0,
        ecc_errors=0,
    )


def test_the_next_sample_sees_what_changed(gpus: FakeGpus, probe: GpuProbe) -> None:
    assert probe.sample().gpus[0].memory_used_mb == 512
    gpus.set(0, memory_used_mb=20_000, utilization_percent=99)
    after = probe.sample().gpus[0]
    assert (after.memory_used_mb, after.utilization_percent) == (20_000, 99)


def test_processes_are_named_and_measured(gpus: FakeGpus, probe: GpuProbe) -> None:
    gpus.process(0, os.getpid(), 700, utilization_percent=60)
    gpus.process(0, 4_000_000_000, -1)
    ours, foreign = probe.sample().gpus[0].processes
    assert (ours.pid, ours.memory_mb, ours.utilization_percent) == (os.getpid(), 700, 60)
    assert ours.name == Path("/proc/self/comm").read_text(encoding="utf-8").strip()
    assert (foreign.pid, foreign.name, foreign.memory_mb, foreign.utilization_percent) == (4_000_000_000, "", None, 0)
    assert (ours.is_compute, foreign.is_compute) == (True, True)
    gpus.end_process(os.getpid())
    assert [process.pid for process in probe.sample().gpus[0].processes] == [4_000_000_000]


def test_what_draws_does_not_count_as_computing(gpus: FakeGpus, probe: GpuProbe) -> None:
    gpus.process(0, 100, 300)
    gpus.process(0, 200, 80)
    gpus.draw(0, 200, 80)
    gpus.draw(0, 300, 60)
    found = {one.pid: (one.memory_mb, one.is_compute) for one in probe.sample().gpus[0].processes}
    assert found == {100: (300, True), 200: (80, False), 300: (60, False)}


def test_more_processes_than_fit_a_first_guess(gpus: FakeGpus, probe: GpuProbe) -> None:
    gpus.set(0, processes=dict.fromkeys(range(100000, 100200), (1, -1)))
    assert len(probe.sample().gpus[0].processes) == 200


@pytest.mark.parametrize(
    ("reading", "field"),
    [
        ("memory", "memory_used_mb"),
        ("utilization", "utilization_percent"),
        ("temperature", "temperature_c"),
        ("power", "power_w"),
        ("limit", "power_limit_w"),
        ("ecc", "ecc_errors"),
    ],
)
def test_an_unsupported_reading_is_none(gpus: FakeGpus, probe: GpuProbe, reading: str, field: str) -> None:
    gpus.set(0, ecc_errors=0)
    assert getattr(probe.sample().gpus[0], field) is not None
    gpus.fail(0, reading)
    sample = probe.sample().gpus[0]
    assert (sample.state, getattr(sample, field)) == ("ok", None)


def test_a_reading_that_fails_oddly_costs_only_itself(gpus: FakeGpus, probe: GpuProbe) -> None:
    gpus.fail(0, "power", UNKNOWN)
    gpus.fail(0, "processes", NO_PERMISSION)
    sample = probe.sample().gpus[0]
    assert (sample.state, sample.power_w, sample.processes, sample.temperature_c) == ("ok", None, (), 40)


def test_process_utilisation_that_is_not_supported_is_not_known(gpus: FakeGpus, probe: GpuProbe) -> None:
    gpus.process(0, os.getpid(), 700, utilization_percent=60)
    gpus.fail(0, "shares")
    assert probe.sample().gpus[0].processes[0].utilization_percent is None


@pytest.mark.parametrize("seen_before", [True, False])
def test_a_lost_gpu_is_shown_with_what_to_do(gpus: FakeGpus, probe: GpuProbe, seen_before: bool) -> None:
    if seen_before:
        probe.sample()
    gpus.lose(1)
    report = probe.sample()
    assert report.state == "ok"
    assert states(report) == ["ok", "lost"]
    lost = report.gpus[1]
    assert lost.message == report.message
    assert "fell off the bus" in lost.message
    assert "nvidia-smi --gpu-reset -i 1" in lost.message
    assert "reboot" in lost.message
    assert (lost.index, lost.memory_used_mb, lost.utilization_percent, lost.processes) == (1, None, None, ())
    if seen_before:
        assert (lost.uuid, lost.name) == (gpus.gpus[1].uuid, gpus.gpus[1].name)
        assert lost.memory_total_mb == 24_576


def test_a_gpu_that_is_lost_between_two_readings(gpus: FakeGpus, probe: GpuProbe) -> None:
    gpus.fail(1, "utilization", 15)
    lost = probe.sample().gpus[1]
    assert (lost.state, lost.uuid, lost.memory_total_mb) == ("lost", gpus.gpus[1].uuid, 24_576)


def test_a_lost_gpu_that_comes_back_is_ok_again(gpus: FakeGpus, probe: GpuProbe) -> None:
    gpus.lose(0)
    assert states(probe.sample()) == ["lost", "ok"]
    gpus.recover(0)
    report = probe.sample()
    assert states(report) == ["ok", "ok"]
    assert report.message == ""


def test_all_gpus_lost_and_back_after_a_fresh_start_of_the_library(
    gpus: FakeGpus, probe: GpuProbe, clock: Clock
) -> None:
    probe.sample()
    gpus.lose(0)
    gpus.lose(1)
    assert states(probe.sample()) == ["lost", "lost"]
    gpus.recover(0)
    assert states(probe.sample()) == ["lost", "lost"]  # not tried again yet
    clock.now += 5
    assert states(probe.sample()) == ["ok", "lost"]


def test_gpus_behind_one_that_vanished_keep_their_index(gpus: FakeGpus, probe: GpuProbe) -> None:
    gpus.set(2, name="third")
    probe.sample()
    gpus.remove(1)
    report = probe.sample()
    assert [(gpu.index, gpu.name, gpu.state) for gpu in report.gpus][1:] == [
        (1, "NVIDIA Test 24GB", "lost"),
        (2, "third", "ok"),
    ]
    assert "no longer listed" in report.message


def test_a_gpu_that_needs_a_reset_or_cannot_be_read(gpus: FakeGpus, probe: GpuProbe) -> None:
    gpus.fail(0, "memory", RESET_REQUIRED)
    gpus.fail(1, "handle", TIMEOUT)
    report = probe.sample()
    assert states(report) == ["error", "error"]
    assert "GPU 0 needs a reset" in report.gpus[0].message
    assert "Timeout" in report.gpus[1].message


def test_memory_errors_are_told(gpus: FakeGpus, probe: GpuProbe) -> None:
    gpus.set(1, ecc_errors=3)
    report = probe.sample()
    assert states(report) == ["ok", "error"]
    assert report.gpus[1].ecc_errors == 3
    assert report.gpus[1].memory_used_mb == 512, "it can be read all the same"
    assert "3 uncorrected memory errors: reset it" in report.message
    gpus.set(1, ecc_errors=0)  # as a reset leaves it
    assert states(probe.sample()) == ["ok", "ok"]


def test_a_memory_row_that_cannot_be_remapped_is_told(gpus: FakeGpus, probe: GpuProbe) -> None:
    gpus.set(0, worn=True)
    report = probe.sample()
    assert states(report) == ["error", "ok"]
    assert "have it replaced" in report.message


@pytest.mark.parametrize("number", [48, 62, 63, 64, 74, 79, 92, 94, 95, 119, 120])
def test_an_xid_of_the_hardware_marks_its_gpu_for_good(gpus: FakeGpus, clock: Clock, number: int) -> None:
    at_s = 1_764_072_240.0
    probe = GpuProbe(clock=clock, wall=lambda: at_s)
    assert states(probe.sample()) == ["ok", "ok"]
    gpus.xid(1, number)
    report = probe.sample()
    assert states(report) == ["ok", "error"]
    when = time.strftime("%d %b at %H:%M", time.localtime(at_s))
    assert report.message.startswith(f"GPU 1 reported Xid {number} on {when}, ")
    assert report.gpus[1].memory_used_mb == 512, "it can be read all the same"
    assert probe.sample() == report, "it stays"
    gpus.lose(1)
    assert states(probe.sample()) == ["ok", "lost"]
    gpus.recover(1)
    assert probe.sample() == report, "whatever the driver does"
    probe.close()
    assert states(probe.sample()) == ["ok", "error"], "also if the library is started afresh"
    probe.close()
    fresh = GpuProbe(clock=clock)
    assert states(fresh.sample()) == ["ok", "ok"], "the next agent begins anew"
    fresh.close()


@pytest.mark.parametrize("number", [8, 13, 31, 32, 43, 45, 68, 69, 137, 99_999])
def test_an_xid_of_a_program_says_nothing_of_the_gpu(gpus: FakeGpus, probe: GpuProbe, number: int) -> None:
    probe.sample()
    gpus.xid(0, number)
    assert states(probe.sample()) == ["ok", "ok"]


def test_xids_of_all_gpus_are_heard_in_one_sample(gpus: FakeGpus, probe: GpuProbe) -> None:
    probe.sample()
    for _ in range(20):
        gpus.xid(0, 31)
    gpus.xid(0, 63)
    gpus.xid(1, 79)
    gpus.lose(1)
    report = probe.sample()
    assert states(report) == ["error", "lost"]
    assert "Xid 63" in report.gpus[0].message
    assert "Xid 79" in report.gpus[1].message


def test_xids_that_the_driver_does_not_tell_cost_one_question(
    gpus: FakeGpus, probe: GpuProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pynvml

    asked: list[str] = []
    real = pynvml.nvmlDeviceRegisterEvents

    def register(*given: object) -> None:
        asked.append("register")
        real(*given)

    monkeypatch.setattr(pynvml, "nvmlDeviceRegisterEvents", register)
    monkeypatch.setattr(pynvml, "nvmlEventSetWait", lambda *_: asked.append("wait"))
    for index in range(2):
        gpus.fail(index, "register")
    for _ in range(3):
        assert states(probe.sample()) == ["ok", "ok"]
    assert asked == ["register", "register"]


def test_a_binding_without_events(gpus: FakeGpus, probe: GpuProbe, monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    monkeypatch.delattr(pynvml, "nvmlEventSetWait")
    for _ in range(2):
        assert states(probe.sample()) == ["ok", "ok"]


def test_a_host_without_gpu_is_none(tmp_path: Path, probe: GpuProbe) -> None:
    with FakeGpus(tmp_path).loaded():
        report = probe.sample()
    assert (report.state, report.gpus, report.driver_version) == ("none", (), "999.01-stub")
    assert "sees no GPU" in report.message


@pytest.mark.parametrize(
    ("code", "state", "advice"),
    [
        (DRIVER_NOT_LOADED, "no_driver", "modprobe nvidia"),
        (VERSION_MISMATCH, "error", "reboot"),
        (NO_PERMISSION, "error", "/dev/nvidiactl"),
        (UNKNOWN, "error", "dmesg"),
    ],
)
def test_a_driver_that_refuses_to_start(gpus: FakeGpus, probe: GpuProbe, code: int, state: str, advice: str) -> None:
    gpus.driver(init=code)
    report = probe.sample()
    assert (report.state, report.gpus) == (state, ())
    assert advice in report.message
    assert "\n" not in report.message


def test_it_is_tried_again_with_growing_pauses(gpus: FakeGpus, probe: GpuProbe, clock: Clock) -> None:
    gpus.driver(init=DRIVER_NOT_LOADED)
    assert probe.sample().state == "no_driver"
    gpus.driver()
    clock.now += 4.9
    assert probe.sample().state == "no_driver"
    gpus.driver(init=DRIVER_NOT_LOADED)
    clock.now += 0.1
    assert probe.sample().state == "no_driver"
    gpus.driver()
    clock.now += 9.9
    assert probe.sample().state == "no_driver"
    clock.now += 0.1
    assert probe.sample().state == "ok"


def test_pauses_end_at_a_minute(gpus: FakeGpus, probe: GpuProbe, clock: Clock) -> None:
    gpus.driver(init=DRIVER_NOT_LOADED)
    for _ in range(20):
        probe.sample()
        clock.now += 60
    gpus.driver()
    assert probe.sample().state == "ok"


@pytest.mark.parametrize("code", [UNINITIALIZED, VERSION_MISMATCH, UNKNOWN])
def test_a_driver_that_goes_away_keeps_identities_and_comes_back(
    gpus: FakeGpus, probe: GpuProbe, clock: Clock, code: int
) -> None:
    before = probe.sample()
    gpus.driver(calls=code)
    report = probe.sample()
    assert report.state == "error"
    assert [(gpu.uuid, gpu.state, gpu.memory_used_mb) for gpu in report.gpus] == [
        (gpu.uuid, "error", None) for gpu in before.gpus
    ]
    assert report.driver_version == "999.01-stub"
    gpus.driver(init=NO_PERMISSION)
    assert probe.sample() == report  # left alone for a while,
    clock.now += 5
    assert "refuses this user" in probe.sample().message  # then started afresh
    gpus.driver()
    clock.now += 10
    assert probe.sample() == before


def test_a_driver_that_hangs_is_given_up_on(gpus: FakeGpus) -> None:
    probe = GpuProbe(timeout_s=0.2)
    assert probe.sample().state == "ok"
    gpus.driver(slow_ms=1500)
    report = probe.sample()
    assert report.state == "error"
    assert states(report) == ["error", "error"]
    assert "did not answer within 0.2 s" in report.message
    assert probe.sample().state == "error"  # at once: the call under way isn't waited for again
    gpus.driver()
    until_sync(lambda: probe.sample().state == "ok", what="the driver to answer again")
    probe.close()


def test_a_binding_that_surprises_is_no_crash(
    gpus: FakeGpus, probe: GpuProbe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import pynvml

    def broken() -> int:
        raise RuntimeError("surprise")

    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", broken)
    report = probe.sample()
    assert (report.state, report.gpus) == ("error", ())
    assert "surprise" in report.message
    assert "the GPU probe failed" in caplog.text


@pytest.mark.parametrize(
    ("missing", "field"),
    [
        ("nvmlDeviceGetTotalEccErrors", "ecc_errors"),
        ("nvmlDeviceGetPowerUsage", "power_w"),
        ("nvmlDeviceGetUtilizationRates", "utilization_percent"),
        ("nvmlDeviceGetTemperature", "temperature_c"),
    ],
)
def test_a_binding_without_a_function(
    gpus: FakeGpus, probe: GpuProbe, monkeypatch: pytest.MonkeyPatch, missing: str, field: str
) -> None:
    import pynvml

    gpus.set(0, ecc_errors=0)
    monkeypatch.delattr(pynvml, missing)
    sample = probe.sample().gpus[0]
    assert (sample.state, getattr(sample, field)) == ("ok", None)


def test_an_old_binding_knows_only_the_first_memory_call(
    gpus: FakeGpus, probe: GpuProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pynvml

    monkeypatch.delattr(pynvml, "nvmlMemory_v2")
    assert probe.sample().gpus[0].memory_used_mb == 512


def test_an_old_binding_answers_bytes(gpus: FakeGpus, probe: GpuProbe, monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda _device: b"Tesla K80")
    assert probe.sample().gpus[0].name == "Tesla K80"


def test_without_the_binding(monkeypatch: pytest.MonkeyPatch, probe: GpuProbe) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    report = probe.sample()
    assert report.state == "error"
    assert "nvidia-ml-py is not installed" in report.message


def test_a_fresh_process_finds_the_library_by_name(tmp_path: Path) -> None:
    gpus = FakeGpus(tmp_path, count=1)
    gpus.process(0, os.getpid(), 64)
    report = sampled_elsewhere({**os.environ, **gpus.environment()})
    assert report["state"] == "ok"
    (gpu,) = report["gpus"]
    assert gpu["processes"][0]["memory_mb"] == 64


def test_an_old_driver_without_the_newer_functions(tmp_path: Path) -> None:
    gpus = FakeGpus(tmp_path, count=1, old_driver=True)
    gpus.process(0, os.getpid(), 64, utilization_percent=50)
    report = sampled_elsewhere({**os.environ, **gpus.environment()})
    (gpu,) = report["gpus"]
    assert (report["state"], gpu["state"], gpu["memory_used_mb"]) == ("ok", "ok", 512)
    assert (gpu["processes"][0]["memory_mb"], gpu["processes"][0]["utilization_percent"]) == (64, None)


def test_a_host_without_any_driver(tmp_path: Path) -> None:
    """An empty file in the library's place is what no driver looks like to the loader, also on a host that has one."""
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"")
    report = sampled_elsewhere({**os.environ, "LD_LIBRARY_PATH": str(tmp_path)})
    assert (report["state"], report["gpus"]) == ("no_driver", [])
    assert "libnvidia-ml.so.1" in str(report["message"])


def test_a_card_without_its_driver_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_module, "_PCI_DEVICES", tmp_path)
    error = NvmlError(LIBRARY_NOT_FOUND, "")
    assert "no NVIDIA driver" in gpu_module._driver_problem(error)[1]
    (tmp_path / "0000:3b:00.0").mkdir()
    (tmp_path / "0000:3b:00.0" / "vendor").write_text("0x10de\n", encoding="utf-8")
    assert "install the driver" in gpu_module._driver_problem(error)[1]


def test_nothing_is_imported_before_the_first_sample() -> None:
    script = (
        "import sys; from opsconsole_agent.probe.gpu import GpuProbe; GpuProbe(); sys.exit('pynvml' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0


def test_properties_have_the_advertised_names(gpus: FakeGpus, probe: GpuProbe) -> None:
    gpus.set(1, name="NVIDIA A100", memory_total_mb=81_920)
    assert probe.sample().to_properties() == {
        "gpu_count": 2,
        "gpu_model": "NVIDIA A100",
        "gpu_memory_mb": 81_920,
        "cuda_version": "13.0",
        "driver_version": "999.01-stub",
    }
    gpus.lose(1)
    assert probe.sample().to_properties()["gpu_model"] == "NVIDIA Test 24GB"
    assert GpuReport("no_driver").to_properties() == {"gpu_count": 0}


def test_closing_twice_and_sampling_again(gpus: FakeGpus) -> None:
    probe = GpuProbe()
    probe.sample()
    probe.close()
    probe.close()
    assert probe.sample().state == "ok"
    probe.close()
