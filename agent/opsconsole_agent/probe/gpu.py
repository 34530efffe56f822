"""The GPUs of this host: what they are, how busy they are, which processes use them, and what to do when one fails."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from opsconsole_agent.probe import nvml
from opsconsole_agent.probe.nvml import Nvml, NvmlError, Share
from opsconsole_agent.probe.timed_call import TimedCall
from opsconsole_agent.probe.xid import XidHistory

_log = logging.getLogger(__name__)

_RETRY_FIRST_S, _RETRY_LAST_S = 5.0, 60.0
_PCI_DEVICES = Path("/sys/bus/pci/devices")
_PCI_VENDOR_NVIDIA = "0x10de"


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that holds memory of a GPU; `name` is empty where we can't see it, None means not known."""

    pid: int
    name: str
    memory_mb: int | None
    utilization_percent: int | None = None
    is_compute: bool = False
    """It computes and doesn't draw."""


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One GPU. Memory in MiB; readings that the card doesn't support are None.

    `index` stays with the `uuid` for as long as the probe lives, also when the driver gives GPUs other numbers after one
    was lost, so CUDA has to be told uuids. A GPU that is `lost` or in `error` keeps its identity and has a `message` that
    says what to do; it has readings only where it could still be read.
    """

    index: int
    uuid: str
    name: str
    memory_total_mb: int | None = None
    memory_used_mb: int | None = None
    utilization_percent: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    ecc_errors: int | None = None
    """Uncorrected memory errors since the driver was loaded or the GPU reset."""
    state: Literal["ok", "lost", "error"] = "ok"
    message: str = ""
    processes: tuple[GpuProcess, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuReport:
    """All GPUs. `state` is the driver's: `ok`, `none` (it lists no GPU), `no_driver` or `error`.

    `message` says why, in one line; with `ok` it is the first GPU's that has one, else "".
    """

    state: Literal["ok", "none", "no_driver", "error"]
    message: str = ""
    driver_version: str | None = None
    cuda_version: str | None = None
    """The newest CUDA that the driver can run, as `13.0`."""
    gpus: tuple[GpuSample, ...] = ()

    def to_properties(self) -> dict[str, object]:
        """What a worker advertises: `gpu_count`, `gpu_model` and `gpu_memory_mb` of the largest GPU, `cuda_version`, …

        Only GPUs that work count. What isn't known is left out, so that no requirement on it matches.
        """
        working = [gpu for gpu in self.gpus if gpu.state == "ok"]
        properties: dict[str, object] = {"gpu_count": len(working)}
        if working:
            largest = max(working, key=lambda gpu: gpu.memory_total_mb or 0)
            properties |= {"gpu_model": largest.name, "gpu_memory_mb": largest.memory_total_mb}
        properties |= {"cuda_version": self.cuda_version, "driver_version": self.driver_version}
        return {key: value for key, value in properties.items() if value is not None}


@dataclass(slots=True)
class _Known:
    """What is remembered between samples: the GPUs, the time of the last process sample of each, and their Xids."""

    gpus: dict[str, GpuSample] = field(default_factory=dict)
    stamps_us: dict[str, int] = field(default_factory=dict)
    xids: XidHistory = field(default_factory=XidHistory)

    def gpu_at(self, index: int, seen: set[str]) -> GpuSample:
        """Return the known GPU that the driver must mean by one at `index` that it can't identify."""
        for gpu in self.gpus.values():
            if gpu.index == index and gpu.uuid not in seen:
                return gpu
        return GpuSample(self.free_index(index), "", "unknown GPU")

    def free_index(self, wish: int) -> int:
        taken = {gpu.index for gpu in self.gpus.values()}
        return wish if wish not in taken else max(taken) + 1


class GpuProbe:
    """Samples all GPUs through NVML, in about 0.2 ms each. Never raises, never hangs."""

    def __init__(
        self,
        *,
        timeout_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """The library is loaded with the first sample. A driver that takes longer than `timeout_s` is reported as hung."""
        self._clock = clock
        self._wall = wall
        self._timeout_s = timeout_s
        self._timed_sample = TimedCall(self._sample_driver, timeout_s)
        self._nvml: Nvml | None = None
        self._known = _Known()
        self._report = GpuReport("none")
        self._retry_at = 0.0
        self._retry_s = _RETRY_FIRST_S

    def sample(self) -> GpuReport:
        """Read all GPUs. After an error of the driver the last report is returned until the next try, after 5 s to 60 s."""
        if self._clock() < self._retry_at:
            return self._report
        try:
            nvml.binding()
            self._report = self._timed_sample.call()
        except TimeoutError:
            late = f"the NVIDIA driver did not answer within {self._timeout_s:g} s"
            self._report = self._driver_failed("error", f"{late}: look at dmesg, reboot the host if it stays so")
            return self._report
        except ImportError:
            self._report = self._driver_failed("error", "nvidia-ml-py is not installed: install opsconsole anew")
        except NvmlError as error:
            self._report = self._driver_failed(*_driver_problem(error))
        except Exception as error:  # noqa: BLE001 – no error of the binding may end the agent
            _log.exception("the GPU probe failed")
            self._report = self._driver_failed("error", f"the GPU probe failed: {error!r}")
        self._schedule_retry(self._nvml is None)
        return self._report

    def close(self) -> None:
        """Close the library. The probe may be used again."""
        try:
            TimedCall(self._close_library, self._timeout_s).call()
        except TimeoutError:
            _log.warning("the NVIDIA driver did not let go within %g s", self._timeout_s)

    def _schedule_retry(self, failed: bool) -> None:
        if not failed:
            self._retry_at, self._retry_s = 0.0, _RETRY_FIRST_S
            return
        self._retry_at = self._clock() + self._retry_s
        self._retry_s = min(2 * self._retry_s, _RETRY_LAST_S)

    def _driver_failed(self, state: Literal["no_driver", "error"], message: str) -> GpuReport:
        gpus = tuple(_without_readings(gpu, "error", message) for gpu in self._known.gpus.values())
        return replace(self._report, state=state, message=message, gpus=tuple(sorted(gpus, key=lambda gpu: gpu.index)))

    # --- in the probe's own thread -------------------------------------------------------------------------------

    def _sample_driver(self) -> GpuReport:
        try:
            if self._nvml is None:
                self._nvml = Nvml()
            gpus = self._read(self._nvml)
            for uuid, number in self._nvml.xids():
                is_grave = self._known.xids.add(uuid, number, self._wall())
                _log.log(logging.WARNING if is_grave else logging.INFO, "GPU %s reported Xid %d", uuid, number)
            gpus = [self._with_xid(gpu) for gpu in gpus]
            message = (
                next((gpu.message for gpu in gpus if gpu.message), "") if gpus else "the NVIDIA driver sees no GPU"
            )
            state: Literal["ok", "none"] = "ok" if gpus else "none"
            versions = self._nvml.driver_version(), self._nvml.cuda_version()
        except BaseException:
            self._close_library()
            raise
        if not any(gpu.state == "ok" or gpu.memory_used_mb is not None for gpu in gpus):
            self._close_library()  # GPUs that come back are listed only after a new start of the library
        return GpuReport(state, message, *versions, tuple(gpus))

    def _with_xid(self, gpu: GpuSample) -> GpuSample:
        """Return the GPU as failed if it has reported a hardware error, even if it seems to work, as no task should use it."""
        xid = self._known.xids.last(gpu.uuid)
        if xid is None:
            return gpu
        state: Literal["lost", "error"] = "lost" if gpu.state == "lost" else "error"
        return replace(gpu, state=state, message=xid.words(gpu.index))

    def _close_library(self) -> None:
        library, self._nvml = self._nvml, None
        if library is not None:
            library.close()

    def _read(self, library: Nvml) -> list[GpuSample]:
        gpus: list[GpuSample] = []
        unidentified: list[tuple[int, NvmlError]] = []
        for index in range(library.count()):
            try:
                gpus.append(self._read_gpu(library, index))
            except NvmlError as error:
                if error.code in nvml.DRIVER_WIDE:
                    raise
                unidentified.append((index, error))
        seen = {gpu.uuid for gpu in gpus}
        for index, failure in unidentified:
            gpu = self._known.gpu_at(index, seen)
            seen.add(gpu.uuid)
            gpus.append(_gpu_failed(gpu, failure))
        missing = [gpu for uuid, gpu in self._known.gpus.items() if uuid not in seen]
        gpus += [_without_readings(gpu, "lost", _missing_text(gpu.index)) for gpu in missing]
        return sorted(gpus, key=lambda gpu: gpu.index)

    def _read_gpu(self, library: Nvml, index: int) -> GpuSample:
        """Read one GPU. Raises NvmlError where its identity can't be read; later errors are in the sample."""
        device = library.device(index)
        uuid = library.uuid(device) or f"unknown-{index}"
        gpu = self._known.gpus.get(uuid)
        if gpu is None:
            gpu = GpuSample(self._known.free_index(index), uuid, library.name(device) or "unknown GPU")
            self._known.gpus[uuid] = gpu
        try:
            memory = library.memory(device)
            if memory is not None:
                gpu = self._known.gpus[uuid] = replace(gpu, memory_total_mb=nvml.mebibytes(memory.total))
            library.watch(uuid, device)
            ecc_errors = library.ecc_errors(device)
            message = _memory_problem(gpu.index, ecc_errors or 0, library.is_memory_worn(device))
            return replace(
                gpu,
                memory_used_mb=None if memory is None else nvml.mebibytes(memory.used),
                utilization_percent=library.utilization_percent(device),
                temperature_c=library.temperature_c(device),
                power_w=library.power_w(device),
                power_limit_w=library.power_limit_w(device),
                ecc_errors=ecc_errors,
                state="error" if message else "ok",
                message=message,
                processes=self._processes(library, device, uuid),
            )
        except NvmlError as error:
            if error.code in nvml.DRIVER_WIDE:
                raise
            return _gpu_failed(gpu, error)

    def _processes(self, library: Nvml, device: Any, uuid: str) -> tuple[GpuProcess, ...]:
        held = library.processes(device)
        if not held:
            return ()
        shares = library.shares(device, self._known.stamps_us.get(uuid, 0))
        if shares:
            self._known.stamps_us[uuid] = max(share.stamp_us for share in shares)
        percents = None if shares is None else _mean_percents(shares)
        return tuple(
            GpuProcess(
                pid,
                _process_name(pid),
                nvml.mebibytes(holding.size),
                None if percents is None else percents.get(pid, 0),
                holding.is_compute,
            )
            for pid, holding in sorted(held.items())
        )


def _mean_percents(shares: list[Share]) -> dict[int, int]:
    samples: dict[int, list[int]] = {}
    for share in shares:
        samples.setdefault(share.pid, []).append(share.percent)
    return {pid: round(sum(percents) / len(percents)) for pid, percents in samples.items()}


def _process_name(pid: int) -> str:
    """Return the process's name; "" in another PID namespace, and when it has just ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _without_readings(gpu: GpuSample, state: Literal["lost", "error"], message: str) -> GpuSample:
    return GpuSample(gpu.index, gpu.uuid, gpu.name, gpu.memory_total_mb, state=state, message=message)


def _gpu_failed(gpu: GpuSample, error: NvmlError) -> GpuSample:
    reset = f"drain this worker, then reset it (nvidia-smi --gpu-reset -i {gpu.index}) or reboot the host"
    if error.code == nvml.GPU_IS_LOST:
        return _without_readings(gpu, "lost", f"GPU {gpu.index} fell off the bus: {reset}")
    if error.code == nvml.RESET_REQUIRED:
        return _without_readings(gpu, "error", f"GPU {gpu.index} needs a reset: {reset}")
    return _without_readings(gpu, "error", f"GPU {gpu.index} can't be read, the driver says {str(error)!r}: {reset}")


def _missing_text(index: int) -> str:
    return f"GPU {index} is no longer listed by the driver: reboot the host, or restart the agent if it was taken out"


def _memory_problem(index: int, uncorrected: int, is_worn: bool) -> str:
    if is_worn:
        return f"GPU {index} has run out of spare memory rows for a broken one: have it replaced"
    if uncorrected:
        errors = f"{uncorrected} uncorrected memory error{'s' if uncorrected > 1 else ''}"
        return f"GPU {index} has had {errors}: reset it (nvidia-smi --gpu-reset -i {index}) or reboot the host"
    return ""


def _driver_problem(error: NvmlError) -> tuple[Literal["no_driver", "error"], str]:
    if error.code == nvml.LIBRARY_NOT_FOUND:
        if _nvidia_on_the_bus():
            return (
                "no_driver",
                "there is an NVIDIA device, but no driver library (libnvidia-ml.so.1): install the driver",
            )
        return "no_driver", "no NVIDIA driver on this host (libnvidia-ml.so.1 not found)"
    if error.code == nvml.DRIVER_NOT_LOADED:
        return "no_driver", "the NVIDIA driver is installed but not loaded: run modprobe nvidia, or reboot the host"
    if error.code == nvml.VERSION_MISMATCH:
        return "error", "the NVIDIA driver was updated while its old kernel module runs: reboot the host"
    if error.code == nvml.NO_PERMISSION:
        return "error", "the NVIDIA driver refuses this user: let it open /dev/nvidiactl and /dev/nvidia0 and so on"
    return "error", f"the NVIDIA driver can't be used, it says {str(error)!r}: look at dmesg, or reboot the host"


def _nvidia_on_the_bus() -> bool:
    try:
        vendors = [(device / "vendor").read_text().strip() for device in _PCI_DEVICES.iterdir()]
    except OSError:
        return False
    return _PCI_VENDOR_NVIDIA in vendors
