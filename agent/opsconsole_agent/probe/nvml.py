"""NVML through nvidia-ml-py: a reading that card, driver or binding doesn't have is None, any other failure an NvmlError.

The binding is imported on first use, as that takes about 150 ms and a host may have no GPU. Cards, drivers and bindings
of many years are in use together, so every function is looked up by name and may be missing in either.
"""

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

LIBRARY_NOT_FOUND = 12
DRIVER_NOT_LOADED = 9
UNINITIALIZED = 1
NO_PERMISSION = 4
NOT_FOUND = 6
GPU_IS_LOST = 15
RESET_REQUIRED = 16
VERSION_MISMATCH = 18

DRIVER_WIDE = {UNINITIALIZED, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, VERSION_MISMATCH}
"""Errors that are about every GPU alike."""

_UNSUPPORTED = {3, NO_PERMISSION, 13, 21, 25, 26}
"""Not supported, no permission, function not found, no data, argument version mismatch, deprecated."""

_GRAVE = DRIVER_WIDE | {GPU_IS_LOST, RESET_REQUIRED}

_ECC_UNCORRECTED, _ECC_VOLATILE = 1, 0
_XID_EVENT = 8
_XIDS_AT_ONCE = 64
_MIB = 1 << 20


class NvmlError(Exception):
    """Raised for an error of NVML; `code` is its number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Holding(NamedTuple):
    """What a process holds of a GPU. `size`: bytes, None where the driver doesn't say; `is_compute`: it computes and doesn't draw."""

    size: int | None
    is_compute: bool


class Memory(NamedTuple):
    """A GPU's memory in bytes."""

    total: int
    used: int


class Share(NamedTuple):
    """How much of a GPU a process used, and the driver's time stamp (µs) of that sample."""

    pid: int
    percent: int
    stamp_us: int


def binding() -> Any:
    """Import nvidia-ml-py. Raises ImportError."""
    import pynvml

    return pynvml


class Nvml:
    """The initialised library. Methods raise NvmlError.

    Identity and memory are None only where they are unsupported. Every other reading is None on any error, unless that is
    about the GPU or the driver as a whole.
    """

    def __init__(self) -> None:
        """Load and initialise it. Raises NvmlError, or ImportError when nvidia-ml-py isn't installed."""
        pynvml = self._binding = binding()
        self._events: Any = None
        self._watched: dict[int | None, str] = {}
        self._has_xid_events = False
        self._errors = (pynvml.NVMLError, getattr(pynvml, "NVMLLibraryMismatchError", pynvml.NVMLError))
        self._call("nvmlInit")

    def close(self) -> None:
        """Close the library. Never raises."""
        if self._events is not None:
            self._try("nvmlEventSetFree", self._events)
        self._try("nvmlShutdown")

    def driver_version(self) -> str | None:
        """The driver's version."""
        return _text(self._try("nvmlSystemGetDriverVersion"))

    def cuda_version(self) -> str | None:
        """The newest CUDA that the driver can run, as `13.0`."""
        for name in ("nvmlSystemGetCudaDriverVersion_v2", "nvmlSystemGetCudaDriverVersion"):
            number = self._try(name)
            if number:
                return f"{number // 1000}.{number % 1000 // 10}"
        return None

    def count(self) -> int:
        """Number of GPUs that the driver lists."""
        return int(self._call("nvmlDeviceGetCount"))

    def device(self, index: int) -> Any:
        """The handle of a GPU, good until the library is closed."""
        return self._call("nvmlDeviceGetHandleByIndex", index)

    def uuid(self, device: Any) -> str | None:
        """The card's id, `GPU-…`, which never changes."""
        return _text(self._read("nvmlDeviceGetUUID", device))

    def name(self, device: Any) -> str | None:
        """The card's model."""
        return _text(self._read("nvmlDeviceGetName", device))

    def memory(self, device: Any) -> Memory | None:
        """Total and used memory, by the newer call without the driver's own, as in nvidia-smi."""
        version = getattr(self._binding, "nvmlMemory_v2", None)
        found = None
        if version is not None:
            found = self._read("nvmlDeviceGetMemoryInfo", device, version=version)
        if found is None:
            found = self._read("nvmlDeviceGetMemoryInfo", device)
        return None if found is None else Memory(int(found.total), int(found.used))

    def utilization_percent(self, device: Any) -> int | None:
        """In how much of the last sample period a kernel ran."""
        found = self._read_optional("nvmlDeviceGetUtilizationRates", device)
        return None if found is None else int(found.gpu)

    def temperature_c(self, device: Any) -> int | None:
        """The chip's temperature."""
        found = self._read_optional("nvmlDeviceGetTemperature", device, 0)
        if found is None:  # the function above is deprecated
            found = self._read_optional("nvmlDeviceGetTemperatureV", device, 0)
        return None if found is None else int(found)

    def power_w(self, device: Any) -> float | None:
        """The power that the GPU draws now."""
        return _watts(self._read_optional("nvmlDeviceGetPowerUsage", device))

    def power_limit_w(self, device: Any) -> float | None:
        """The power limit in force."""
        return _watts(self._read_optional("nvmlDeviceGetEnforcedPowerLimit", device))

    def ecc_errors(self, device: Any) -> int | None:
        """Uncorrected memory errors since the driver was loaded or the GPU reset."""
        found = self._read_optional("nvmlDeviceGetTotalEccErrors", device, _ECC_UNCORRECTED, _ECC_VOLATILE)
        return None if found is None else int(found)

    def is_memory_worn(self, device: Any) -> bool:
        """Whether a broken row of its memory could not be replaced by a spare one."""
        found = self._read_optional("nvmlDeviceGetRemappedRows", device)
        return found is not None and bool(found[3])

    def watch(self, uuid: str, device: Any) -> None:
        """Have `xids` return this GPU's Xid errors from now on. A driver that can't is asked once only."""
        address = _address(device)
        if address in self._watched:
            return
        if self._events is None:
            self._events = self._read_optional("nvmlEventSetCreate")
        if self._events is not None:
            try:
                self._call("nvmlDeviceRegisterEvents", device, _XID_EVENT, self._events)
                self._has_xid_events = True
            except NvmlError as error:
                if error.code in _GRAVE:
                    raise
        self._watched[address] = uuid

    def xids(self) -> list[tuple[str, int]]:
        """Return the Xid errors of watched GPUs since the last call, as uuid and number. Never waits."""
        found: list[tuple[str, int]] = []
        while self._has_xid_events and len(found) < _XIDS_AT_ONCE:
            try:
                event = self._call("nvmlEventSetWait", self._events, 0)
            except NvmlError as error:
                if error.code in DRIVER_WIDE:
                    raise
                self._has_xid_events = error.code not in _UNSUPPORTED
                break
            uuid = self._watched.get(_address(event.device))
            if uuid is not None and event.eventType == _XID_EVENT:
                found.append((uuid, int(event.eventData)))
        return found

    def processes(self, device: Any) -> dict[int, Holding] | None:
        """Return what each process holds, by pid; one that does both compute and graphics counts once."""
        found: dict[int, Holding] = {}
        answers = [self._running(f"nvmlDeviceGet{kind}RunningProcesses", device) for kind in ("Compute", "Graphics")]
        for answer, is_compute in zip(answers, (True, False), strict=True):
            for process in answer or ():
                held = process.usedGpuMemory
                known = found.get(process.pid)
                size = known.size if known is not None else None
                found[process.pid] = Holding(size if held is None else max(held, size or 0), is_compute)
        return None if answers[0] is None else found

    def shares(self, device: Any, since_us: int) -> list[Share] | None:
        """Return how much each process used the GPU, in samples newer than `since_us`, or None if unsupported."""
        try:
            samples = self._call("nvmlDeviceGetProcessUtilization", device, since_us)
        except NvmlError as error:
            if error.code in (0, NOT_FOUND):  # the binding raises "success" for an empty list
                return []
            if error.code in _GRAVE:
                raise
            return None
        # Some drivers return stale or unwritten entries, with impossible time stamps or percentages.
        return [
            Share(int(sample.pid), int(sample.smUtil), int(sample.timeStamp))
            for sample in samples
            if sample.timeStamp > since_us and 0 <= sample.smUtil <= 100
        ]

    def _running(self, name: str, device: Any) -> Any:
        for version in ("_v3", "_v2", ""):
            found = self._read_optional(name + version, device)
            if found is not None:
                return found
        return None

    def _try(self, name: str, *arguments: Any) -> Any:
        try:
            return self._call(name, *arguments)
        except NvmlError:
            return None

    def _read(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call a function about one GPU. Return None if card, driver or binding don't support it."""
        try:
            return self._call(name, *arguments, **options)
        except NvmlError as error:
            if error.code in _UNSUPPORTED:
                return None
            raise

    def _read_optional(self, name: str, *arguments: Any) -> Any:
        """Call a function about one GPU. Return None for any error that is about this reading only."""
        try:
            return self._call(name, *arguments)
        except NvmlError as error:
            if error.code in _GRAVE:
                raise
            return None

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        function: Callable[..., Any] | None = getattr(self._binding, name, None)
        if function is None:
            raise NvmlError(13, f"nvidia-ml-py has no {name}")
        try:
            return function(*arguments, **options)
        except self._errors as error:
            raise NvmlError(getattr(error, "value", 13), str(error)) from error


def _text(answer: str | bytes | None) -> str | None:
    """Return text; older bindings return bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer


def _address(device: Any) -> int | None:
    """Return what two handles of one GPU have in common, also when the GPU can't be read any more."""
    return ctypes.cast(device, ctypes.c_void_p).value


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else round(milliwatts / 1000, 1)


def mebibytes(size: int | None) -> int | None:
    """Whole MiB, rounded down."""
    return None if size is None else size // _MIB
