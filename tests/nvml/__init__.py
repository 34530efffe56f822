"""GPUs that aren't there: a stub of NVML's C library for the real nvidia-ml-py, in this process or in a started one.

    gpus = FakeGpus(tmp_path, count=2)
    subprocess.Popen(command, env={**os.environ, **gpus.environment()})     # a real agent with two GPUs
    with gpus.loaded(): GpuProbe().sample()                                 # or right here
    gpus.set(0, memory_used_mb=20_000); gpus.process(0, pid, 512); gpus.lose(1)   # seen at the next call

Needs gcc: without it the test is skipped, but fails where the environment variable CI is set.
"""

import atexit
import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("nvml_stub.c")
_LIBRARY = "libnvidia-ml.so.1"

NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED, TIMEOUT, VERSION_MISMATCH, UNKNOWN = 3, 4, 9, 10, 18, 999


@functools.cache
def library(*, old_driver: bool = False) -> Path:
    """Compile the stub, once a process, and return the library's path. `old_driver`: without the newer functions."""
    compiler = shutil.which("gcc")
    if compiler is None:
        if os.environ.get("CI"):
            pytest.fail("gcc is missing: the GPU tests need it to build the NVML stub")
        pytest.skip("needs gcc to build the NVML stub")
    folder = Path(tempfile.mkdtemp(prefix="opsconsole-nvml-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-Wl,-soname,{_LIBRARY}"]
    variant = ["-DOLD_DRIVER"] if old_driver else []
    subprocess.run([compiler, *flags, *variant, "-o", str(folder / _LIBRARY), str(_SOURCE)], check=True)
    return folder / _LIBRARY


@dataclass(frozen=True)
class FakeGpu:
    """What one made-up GPU answers. `failing` maps a reading's name (see the stub's source) to an NVML error code."""

    uuid: str
    name: str = "NVIDIA Test 24GB"
    memory_total_mb: int = 24_576
    memory_used_mb: int = 512
    utilization_percent: int = 0
    temperature_c: int = 40
    power_w: float = 60.0
    power_limit_w: float = 350.0
    ecc_errors: int | None = None
    worn: bool = False
    """Whether a broken row of its memory could not be remapped."""
    lost: bool = False
    failing: dict[str, int] = field(default_factory=dict)
    processes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By pid: memory in MiB (-1: not known) and utilisation in percent (-1: no sample)."""
    drawing: dict[int, int] = field(default_factory=dict)
    """What draws, by pid: memory in MiB."""

    def lines(self, index: int) -> list[str]:
        """The stub's statements about this GPU."""
        power = f"{round(self.power_w * 1000)} {round(self.power_limit_w * 1000)}"
        memory = f"{self.memory_total_mb} {self.memory_used_mb}"
        lines = [
            f"gpu {index} {memory} {self.utilization_percent} {self.temperature_c} {power} {self.uuid}",
            f"name {index} {self.name}",
        ]
        lines += [f"process {index} {pid} {mb} {share}" for pid, (mb, share) in self.processes.items()]
        lines += [f"draw {index} {pid} {mb}" for pid, mb in self.drawing.items()]
        lines += [f"fail {index} {reading} {code}" for reading, code in self.failing.items()]
        lines += [f"ecc {index} {self.ecc_errors}"] if self.ecc_errors is not None else []
        lines += [f"worn {index}"] if self.worn else []
        return lines + ([f"lost {index}"] if self.lost else [])


class FakeGpus:
    """The GPUs of one made-up host. Every change is seen by the next call into the library, in any process."""

    def __init__(self, folder: Path, count: int = 0, *, old_driver: bool = False) -> None:
        self._library = library(old_driver=old_driver)
        self.path = folder / "gpus.txt"
        self.gpus = [FakeGpu(f"GPU-{index:08x}-0000-0000-0000-000000000000") for index in range(count)]
        self._driver: dict[str, int] = {}
        self._xids: list[tuple[int, int]] = []
        self._write()

    def set(self, index: int, **changes: object) -> None:
        """Change fields of GPU `index` (see `FakeGpu`); `index` equal to their number adds one."""
        if index == len(self.gpus):
            self.gpus.append(FakeGpu(f"GPU-{index:08x}-0000-0000-0000-000000000000"))
        self.gpus[index] = replace(self.gpus[index], **changes)  # type: ignore[arg-type]
        self._write()

    def remove(self, index: int) -> None:
        """Take a GPU away as if it had never been there: the ones after it move up."""
        del self.gpus[index]
        self._write()

    def lose(self, index: int) -> None:
        """Let GPU `index` fall off the bus."""
        self.set(index, lost=True)

    def recover(self, index: int) -> None:
        """Bring it back."""
        self.set(index, lost=False)

    def fail(self, index: int, reading: str, code: int = NOT_SUPPORTED) -> None:
        """Let one reading of GPU `index` answer an error code; 0 ends it."""
        self.set(index, failing={**self.gpus[index].failing, reading: code})

    def xid(self, index: int, number: int) -> None:
        """Let the driver report an Xid error of GPU `index` to whoever listens by now."""
        self._xids.append((index, number))
        self._write()

    def process(self, gpu: int, pid: int, memory_mb: int, utilization_percent: int = -1) -> None:
        """Put a process on a GPU, or change what it uses there."""
        self.set(gpu, processes={**self.gpus[gpu].processes, pid: (memory_mb, utilization_percent)})

    def draw(self, gpu: int, pid: int, memory_mb: int) -> None:
        """Let a process draw on a GPU, one that computes there or another."""
        self.set(gpu, drawing={**self.gpus[gpu].drawing, pid: memory_mb})

    def end_process(self, pid: int) -> None:
        """Take a process off every GPU."""
        for index, gpu in enumerate(self.gpus):
            self.set(index, processes={other: use for other, use in gpu.processes.items() if other != pid})

    def driver(self, *, init: int = 0, calls: int = 0, slow_ms: int = 0) -> None:
        """What initialising and all other calls answer (0: all is well), and how long the driver takes to answer."""
        self._driver = {"init": init, "driver": calls, "slow": slow_ms}
        self._write()

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to see these GPUs."""
        search = os.environ.get("LD_LIBRARY_PATH")
        folder = str(self._library.parent)
        return {
            "LD_LIBRARY_PATH": f"{folder}{os.pathsep}{search}" if search else folder,
            "NVML_STUB_FILE": str(self.path),
        }

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Let nvidia-ml-py of this very process use the stub, whatever it had loaded before."""
        import pynvml

        before = pynvml.nvmlLib, dict(pynvml._nvmlGetFunctionPointer_cache), os.environ.get("NVML_STUB_FILE")
        stub = ctypes.CDLL(str(self._library))
        pynvml.nvmlLib = stub
        pynvml._nvmlGetFunctionPointer_cache.clear()
        os.environ["NVML_STUB_FILE"] = str(self.path)
        try:
            yield
        finally:
            stub.nvmlShutdown()
            pynvml.nvmlLib = before[0]
            pynvml._nvmlGetFunctionPointer_cache.clear()
            pynvml._nvmlGetFunctionPointer_cache.update(before[1])
            if before[2] is None:
                del os.environ["NVML_STUB_FILE"]
            else:
                os.environ["NVML_STUB_FILE"] = before[2]

    def _write(self) -> None:
        lines = [f"{word} {value}" for word, value in self._driver.items() if value]
        for index, gpu in enumerate(self.gpus):
            lines += gpu.lines(index)
        lines += [f"xid {index} {number}" for index, number in self._xids]
        fresh = self.path.with_suffix(".new")
        fresh.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        fresh.replace(self.path)
