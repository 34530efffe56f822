"""nvidia-ml-py, tamed: readings that a card, driver or binding doesn't have are None, all else is one error type.

The binding is imported lazily: it costs about 150 ms, and most hosts of a coordinator have no GPU. Cards, drivers and
bindings of many years are in use together, so every function is looked up by name and may be missing on either side.
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
"""Errors that say the same of every GPU."""

_UNSUPPORTED = {3, NO_PERMISSION, 13, 21, 25, 26}
"""Not supported, no permission, function not found, no data, argument version mismatch, deprecated."""

_GRAVE = DRIVER_WIDE | {GPU_IS_LOST, RESET_REQUIRED}

_ECC_UNCORRECTED, _ECC_VOLATILE = 1, 0
_XID_EVENT = 8
_XIDS_AT_ONCE = 64
_MIB = 1 << 20


class NvmlError(Exception):
    """NVML answered an error; `code` is its number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Memory(NamedTuple):
    """Bytes."""

    total: int
    used: int


class Share(NamedTuple):
    """How much of a GPU a process used lately, and the driver's time stamp (µs) of that sample."""

    pid: int
    percent: int
    stamp_us: int


def binding() -> Any:
    """Import nvidia-ml-py; ImportError when it isn't installed."""
    import pynvml

    return pynvml


class Nvml:
    """The initialised library. Methods raise NvmlError.

    Identity and memory must be readable, or at least known to be unsupported (None). Every other reading is None for
    whatever error it answers, unless that error is about the GPU or the driver as a whole.
    """

    def __init__(self) -> None:
        """Load and initialise it; raises NvmlError, or ImportError when nvidia-ml-py isn't installed."""
        pynvml = self._binding = binding()
        self._events: Any = None
        self._watched: dict[int | None, str] = {}
        self._hears_xids = False
        self._errors = (pynvml.NVMLError, getattr(pynvml, "NVMLLibraryMismatchError", pynvml.NVMLError))
        self._do("nvmlInit")

    def close(self) -> None:
        """Let go of the driver. Never raises."""
        if self._events is not None:
            self._try("nvmlEventSetFree", self._events)
        self._try("nvmlShutdown")

    def driver_version(self) -> str | None:
        """As the driver spells it."""
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
        return int(self._do("nvmlDeviceGetCount"))

    def device(self, index: int) -> Any:
        """The handle of a GPU, good until the library is closed."""
        return self._do("nvmlDeviceGetHandleByIndex", index)

    def uuid(self, device: Any) -> str | None:
        """`GPU-…`, the same for as long as the card exists."""
        return _text(self._read("nvmlDeviceGetUUID", device))

    def name(self, device: Any) -> str | None:
        """The model."""
        return _text(self._read("nvmlDeviceGetName", device))

    def memory(self, device: Any) -> Memory | None:
        """Total and used; the newer call leaves out what the driver keeps for itself, as nvidia-smi does."""
        version = getattr(self._binding, "nvmlMemory_v2", None)
        found = None
        if version is not None:
            found = self._read("nvmlDeviceGetMemoryInfo", device, version=version)
        if found is None:
            found = self._read("nvmlDeviceGetMemoryInfo", device)
        return None if found is None else Memory(int(found.total), int(found.used))

    def utilization_percent(self, device: Any) -> int | None:
        """Part of the last sample period in which a kernel ran."""
        found = self._glance("nvmlDeviceGetUtilizationRates", device)
        return None if found is None else int(found.gpu)

    def temperature_c(self, device: Any) -> int | None:
        """Of the chip."""
        found = self._glance("nvmlDeviceGetTemperature", device, 0)
        if found is None:  # on its way out of the binding
            found = self._glance("nvmlDeviceGetTemperatureV", device, 0)
        return None if found is None else int(found)

    def power_w(self, device: Any) -> float | None:
        """Drawn now."""
        return _watts(self._glance("nvmlDeviceGetPowerUsage", device))

    def power_limit_w(self, device: Any) -> float | None:
        """The limit in force."""
        return _watts(self._glance("nvmlDeviceGetEnforcedPowerLimit", device))

    def ecc_errors(self, device: Any) -> int | None:
        """Uncorrected memory errors since the driver was loaded or the GPU reset."""
        found = self._glance("nvmlDeviceGetTotalEccErrors", device, _ECC_UNCORRECTED, _ECC_VOLATILE)
        return None if found is None else int(found)

    def is_memory_worn(self, device: Any) -> bool:
        """Whether a broken row of its memory could not be replaced by a spare one."""
        found = self._glance("nvmlDeviceGetRemappedRows", device)
        return found is not None and bool(found[3])

    def watch(self, uuid: str, device: Any) -> None:
        """Have this GPU's Xid errors kept for `xids` from now on; asked once, as not every driver can."""
        address = _address(device)
        if address in self._watched:
            return
        if self._events is None:
            self._events = self._glance("nvmlEventSetCreate")
        if self._events is not None:
            try:
                self._do("nvmlDeviceRegisterEvents", device, _XID_EVENT, self._events)
                self._hears_xids = True
            except NvmlError as error:
                if error.code in _GRAVE:
                    raise
        self._watched[address] = uuid

    def xids(self) -> list[tuple[str, int]]:
        """The Xid errors of watched GPUs since the last call: uuid and number. Never waits."""
        found: list[tuple[str, int]] = []
        while self._hears_xids and len(found) < _XIDS_AT_ONCE:
            try:
                event = self._do("nvmlEventSetWait", self._events, 0)
            except NvmlError as error:
                if error.code in DRIVER_WIDE:
                    raise
                self._hears_xids = error.code not in _UNSUPPORTED
                break
            uuid = self._watched.get(_address(event.device))
            if uuid is not None and event.eventType == _XID_EVENT:
                found.append((uuid, int(event.eventData)))
        return found

    def processes(self, device: Any) -> dict[int, int | None] | None:
        """Bytes held by each process id, compute and graphics together; a process that does both counts once."""
        found: dict[int, int | None] = {}
        answers = [self._running(f"nvmlDeviceGet{kind}RunningProcesses", device) for kind in ("Compute", "Graphics")]
        for process in (process for answer in answers if answer is not None for process in answer):
            held = process.usedGpuMemory
            known = found.get(process.pid)
            found[process.pid] = known if held is None else max(held, known or 0)
        return None if answers[0] is None else found

    def shares(self, device: Any, since_us: int) -> list[Share] | None:
        """Samples newer than `since_us` of how much each process used the GPU; none: no process did."""
        try:
            samples = self._do("nvmlDeviceGetProcessUtilization", device, since_us)
        except NvmlError as error:
            if error.code in (0, NOT_FOUND):  # the binding raises "success" for an empty list
                return []
            if error.code in _GRAVE:
                raise
            return None
        # Some drivers hand out stale and never written entries: they show in stamps and percentages that can't be.
        return [
            Share(int(sample.pid), int(sample.smUtil), int(sample.timeStamp))
            for sample in samples
            if sample.timeStamp > since_us and 0 <= sample.smUtil <= 100
        ]

    def _running(self, name: str, device: Any) -> Any:
        for version in ("_v3", "_v2", ""):
            found = self._glance(name + version, device)
            if found is not None:
                return found
        return None

    def _try(self, name: str, *arguments: Any) -> Any:
        try:
            return self._do(name, *arguments)
        except NvmlError:
            return None

    def _read(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call a function about one GPU; None if card, driver or binding don't support it."""
        try:
            return self._do(name, *arguments, **options)
        except NvmlError as error:
            if error.code in _UNSUPPORTED:
                return None
            raise

    def _glance(self, name: str, *arguments: Any) -> Any:
        """Call a function about one GPU; None for any error that is about this reading only."""
        try:
            return self._do(name, *arguments)
        except NvmlError as error:
            if error.code in _GRAVE:
                raise
            return None

    def _do(self, name: str, *arguments: Any, **options: Any) -> Any:
        function: Callable[..., Any] | None = getattr(self._binding, name, None)
        if function is None:
            raise NvmlError(13, f"nvidia-ml-py has no {name}")
        try:
            return function(*arguments, **options)
        except self._errors as error:
            raise NvmlError(getattr(error, "value", 13), str(error)) from error


def _text(answer: str | bytes | None) -> str | None:
    """Older bindings answer bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer


def _address(device: Any) -> int | None:
    """What makes two handles the same; the GPU itself may not be able to tell any more."""
    return ctypes.cast(device, ctypes.c_void_p).value


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else round(milliwatts / 1000, 1)


def mebibytes(size: int | None) -> int | None:
    """Whole MiB, rounded down."""
    return None if size is None else size // _MIB
