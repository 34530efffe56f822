"""The table by which a line is recognised that says why a program failed: the words for it, and what to do."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from opsconsole_protocol.end_cause import SAVED_EXIT_CODE, Cause, EndCause

Words = str | Callable[[re.Match[str]], str]


class Rule(NamedTuple):
    """A line that `pattern` finds is told as `words` (empty: as it stands; `{0}`: the pattern's first group).

    `statuses`: exit codes, as a shell gives them, with which alone it says why. `wraps`: it only says that another program
    failed, which may have said why before.
    """

    pattern: re.Pattern[str]
    words: Words = ""
    hint: str = ""
    cause: Cause = ""
    statuses: tuple[int, ...] = ()
    wraps: bool = False


_GIB = 1 << 30
_TRIED = re.compile(r"[Tt]ried to allocate ([\d.]+ (?:[KMGT]?i?B|bytes))")
_TRIED_BYTES = re.compile(r"(?:to allocate|allocating|allocate:) (\d{4,}) bytes")
_TOTAL = re.compile(r"total capac\w+ of ([\d.]+ [KMGT]?i?B)|([\d.]+ [KMGT]?i?B) total capac")
_FREE = re.compile(r"of which ([\d.]+ (?:[KMGT]?i?B|bytes)) is free|([\d.]+ (?:[KMGT]?i?B|bytes)) free")
_GPU = re.compile(r"\bGPU (\d+)\b")


def _gpu_memory(match: re.Match[str]) -> str:
    """With the numbers that PyTorch, JAX and others give."""
    line = match.string
    tried, tried_bytes = _TRIED.search(line), _TRIED_BYTES.search(line)
    total, free, gpu = _TOTAL.search(line), _FREE.search(line), _GPU.search(line)
    parts = []
    if tried is not None:
        parts.append(f"it tried to allocate {tried[1]}")
    elif tried_bytes is not None:
        parts.append(f"it tried to allocate {int(tried_bytes[1]) / _GIB:.2f} GiB")
    if total is not None and free is not None:
        name = f"GPU {gpu[1]}" if gpu is not None else "the GPU"
        parts.append(f"{name} has {free[1] or free[2]} free of {total[1] or total[2]}")
    return f"ran out of GPU memory{': ' * bool(parts)}{'; '.join(parts)}"


def _host_memory(match: re.Match[str]) -> str:
    tried = re.search(r"(?:Unable to allocate|you tried to allocate) ([\d.]+ (?:[KMGT]?i?B|bytes))", match.string)
    if tried is None:
        return "ran out of memory"
    number, unit = tried[1].split(" ")
    size = f"{int(float(number)) / _GIB:.2f} GiB" if unit == "bytes" else tried[1]
    return f"ran out of memory: it tried to allocate {size}"


_LESS = "use a smaller batch, or gradient accumulation; or ask for a larger GPU: --require 'gpu_memory_mb>=…'"
_MORE_MEMORY = "use less at a time (smaller batches, fewer loader workers), or ask for more: --memory"
_NO_GPU = "a task sees only the GPUs that it asked for: submit it with --gpus 1"
_INSTALL = "install it with --bundle DIR --setup 'pip install …', or run the command with the Python that has it"
_WHERE_IS_IT = (
    "is it on that worker? --input names what lies there ($OPSCONSOLE_INPUT_0 is its path), --upload brings a file along, "
    "--bundle the code"
)
_RANKS = "look at the other ranks' logs: one of them failed or hung before; NCCL_DEBUG=INFO says more"
_NOT_THERE = "is its name right? Name it by its whole path on that worker, or install it with --bundle DIR --setup CMD"
_ROOM = "make room on that worker's disk, or write less; `opsconsole clean` shows what could go"
_SHM = "use fewer loader workers (num_workers), or enlarge /dev/shm on that worker"
_ARGUMENTS = "look at the command with `opsconsole show`, and clone it with other words after --"
_PORT = "ask for a free port with --port NAME and listen on $OPSCONSOLE_PORT_NAME"


RULES: tuple[Rule, ...] = (
    # memory
    Rule(re.compile(
        r"(?i:(?:CUDA|HIP)(?: error:)? out of memory|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|torch(?:\.cuda)?\.OutOfMemoryError"
        r"|(?:CUBLAS|CUDNN)_STATUS_ALLOC_FAILED|RESOURCE_EXHAUSTED: (?:Out of memory|OOM when allocating)|OOM when allocating tensor)"),
        _gpu_memory, _LESS, EndCause.GPU_OUT_OF_MEMORY,
    ),
    Rule(re.compile(r"out of shared memory|insufficient shared memory|unable to (?:open|mmap|allocate) shared memory|No space left on device.*/dev/shm"),
          "ran out of shared memory (/dev/shm)", _SHM),
    Rule(re.compile(r"DataLoader worker \(pid\(?s?\)? [\d, ]+\) is killed by signal: Killed"),
          "a worker of its DataLoader was killed, most often for want of memory", _MORE_MEMORY, EndCause.OUT_OF_MEMORY),
    Rule(re.compile(r"DataLoader worker \(pid\(?s?\)? [\d, ]+\) (?:is killed by signal: Bus error|exited unexpectedly)"),
          "a worker of its DataLoader died, most often for want of shared memory", _SHM, wraps=True),
    Rule(re.compile(r"^(?:numpy\.\S+\.)?_?(?:Array)?MemoryError\b|std::bad_alloc|Cannot allocate memory|can't allocate memory: you tried"
          r"|java\.lang\.OutOfMemoryError|JavaScript heap out of memory|fatal error: runtime: out of memory|memory allocation of \d+ bytes failed"
          r"|^ERROR: (?:LoadError: )?OutOfMemoryError"),
          _host_memory, _MORE_MEMORY, EndCause.OUT_OF_MEMORY),
    # GPUs
    Rule(re.compile(r"no kernel image is available for execution on the device"),
          "it was built for other GPUs: no kernel image is available for this one",
          "install a build for this GPU's architecture, or choose other GPUs with --require"),
    Rule(re.compile(r"No CUDA GPUs are available|Found no NVIDIA driver|no CUDA-capable device is detected|cuda\.is_available\(\) is False"
          r"|CUDA_ERROR_NO_DEVICE|Torch not compiled with CUDA enabled|CUDA unknown error"), "", _NO_GPU),
    Rule(re.compile(r"device-side assert triggered"), "", "an index is out of range, most likely: run it with CUDA_LAUNCH_BLOCKING=1 to see where"),
    Rule(re.compile(r"an illegal memory access was encountered|CUDA error: (?:misaligned address|unspecified launch failure)"), "",
          "run it with CUDA_LAUNCH_BLOCKING=1 to see where; compute-sanitizer says more"),
    Rule(re.compile(r"uncorrectable (?:NVLink|ECC) error|GPU has fallen off the bus|CUDA error: (?:hardware stack|device is busy)"), "",
          "the GPU may be broken: `opsconsole workers` shows its state; try another worker"),
    Rule(re.compile(r"CUDA driver version is insufficient|driver on your system is too old"), "",
          "the worker's driver is older than the program's CUDA: install a build for an older CUDA, or choose a worker with --require"),
    # distributed
    Rule(re.compile(r"Watchdog caught collective operation timeout: WorkNCCL\(.*?OpType=(\w+).*?Timeout\(ms\)=(\d+)\d{3}\)"),
          "NCCL timed out: {0} was not answered by every rank within {1}s", _RANKS),
    Rule(re.compile(r"Watchdog caught collective operation timeout|Exception \(either an error or timeout\) detected by watchdog|Some NCCL operations have failed or timed out|NCCL communicator was aborted"
          r"|ncclRemoteError|Socket Timeout|ProcessGroup\w+ .*[Tt]imed out"),
          "the ranks lost each other: a collective operation timed out or was aborted", _RANKS, wraps=True),
    Rule(re.compile(r"DistStoreError: Timed out after (\d+) seconds waiting for clients\. (\d+)/(\d+) clients joined"),
          "only {1} of {2} ranks came together within {0}s", "did every task start? Is MASTER_ADDR reachable from the other workers?"),
    Rule(re.compile(r"client socket has (?:failed to connect|timed out after).*\(([^()]+, ?\d+)\)"),
          "rank 0 can't be reached at ({0})", "did its task start? Is MASTER_ADDR reachable from this worker?"),
    Rule(re.compile(r"NCCL error in: \S+ (\w[^,(]*?) *[,(]"), "NCCL error: {0}", _RANKS),
    # ports
    Rule(re.compile(r"(?i:address already in use|EADDRINUSE|port \d+ is (?:already )?in use)"), "", _PORT, EndCause.PORT_TAKEN),
    # disks and files
    Rule(re.compile(r"No space left on device|Disk quota exceeded|ENOSPC|PytorchStreamWriter failed writing file|not enough free disk space"),
          "", _ROOM, EndCause.DISK_FULL),
    Rule(re.compile(r"Read-only file system"), "", "write to $OPSCONSOLE_OUTPUT_PATH"),
    Rule(re.compile(r"^(?:ModuleNotFoundError: |ImportError: )?.*No module named '?([\w.]+)'?"), "no module named {0}", _INSTALL),
    Rule(re.compile(r"^ImportError: (lib\S+|\S+\.so\S*): cannot open shared object file|error while loading shared libraries: (\S+):"),
          "a shared library is missing: {0}{1}", "install it on that worker, or set LD_LIBRARY_PATH with --env"),
    Rule(re.compile(r"^ERROR: No matching distribution found for (\S+)|^\s*× No solution found"), "there is no package {0} for that worker's Python",
          "is its name right, and is that version there for this Python and this system?"),
    Rule(re.compile(r"version `(GLIBC\S*)' not found"), "that worker's C library is older than {0}, which it was built for",
          "build it for an older system, or use a container image"),
    Rule(re.compile(r"can't open file '([^']+)': \[Errno 2\]"), "the script {0} isn't there", _WHERE_IS_IT),
    Rule(re.compile(r"^FileNotFoundError: .*No such file or directory: '([^'/.]+)'$"), "no such file or program: {0}", _WHERE_IS_IT),
    Rule(re.compile(r"^FileNotFoundError: .*No such file or directory: '([^']+)'"), "no such file or folder: {0}", _WHERE_IS_IT),
    Rule(re.compile(r"^(?:ERROR: LoadError: )?SystemError: opening file \"?([^\":]+)\"?: No such file"), "no such file or folder: {0}", _WHERE_IS_IT),
    Rule(re.compile(r"^PermissionError: .*: '([^']+)'"), "permission denied: {0}",
          "write to $OPSCONSOLE_OUTPUT_PATH, or let the user that the agent runs as have it"),
    Rule(re.compile(r"^(?:IndentationError|TabError|SyntaxError): "), "", "its code can't be read: run it once where you edit it"),
    # network
    Rule(re.compile(r"Temporary failure in name resolution|Name or service not known|nodename nor servname|NameResolutionError|Could not resolve host"), "",
          "that worker can't resolve the name: has it a way to that network? --upload brings files along without one"),
    Rule(re.compile(r"GatedRepo|401 Client Error|403 Client Error|Unauthorized|Invalid (?:user token|credentials)|AccessDenied|NoCredentialsError"), "",
          "credentials are missing or wrong there: --env passes them on"),
    Rule(re.compile(r"Connection refused|ConnectionRefusedError|Max retries exceeded|Network is unreachable|No route to host"), "",
          "is what it connects to running, and reachable from that worker?"),
    # shells
    Rule(re.compile(r"\$'\\r': command not found|\^M: bad interpreter"), "the script has the line ends of Windows", "save it with those of Unix (dos2unix)"),
    Rule(re.compile(r"(?:line \d+: |: \d+: |^)(?:exec: )?((?:\S+/)?[^\s:]+): (?:command )?not found$"), "command not found: {0}", _NOT_THERE,
          EndCause.COMMAND_NOT_FOUND, (127, 1, 2)),
    Rule(re.compile(r"^(?:/usr/bin/)?env: [‘'](.+?)\\?r?[’']: No such file or directory"), "command not found: {0}", _NOT_THERE, EndCause.COMMAND_NOT_FOUND,
          (127,)),
    Rule(re.compile(r"(?:bad interpreter|cannot execute: required file not found)"), "", "the first line of the script names a program that isn't there",
          EndCause.COMMAND_NOT_FOUND, (126, 127)),
    Rule(re.compile(r"^make(?:\[\d+\])?: (\S+): No such file or directory$"), "command not found: {0}", _NOT_THERE, EndCause.COMMAND_NOT_FOUND, (2,)),
    Rule(re.compile(r"(?:line \d+: |: \d+: )(\S+): No such file or directory$"), "command not found: {0}", _NOT_THERE, EndCause.COMMAND_NOT_FOUND, (127,)),
    Rule(re.compile(r"(?:line \d+: |: \d+: )(\S+): Permission denied$"), "permission denied: {0}", "is it executable (chmod +x)?",
          EndCause.PERMISSION_DENIED, (126,)),
    Rule(re.compile(r"(\S+): cannot execute binary file(?:: Exec format error)?"), "{0} can't be executed here",
          "it was built for another processor or system", EndCause.PERMISSION_DENIED, (126,)),
    Rule(re.compile(r"(?:line |: )\d+: (\w+): (unbound variable|parameter (?:null or )?not set)"), "{0}: {1}", "set it with --env"),
    Rule(re.compile(r"line \d+: (syntax error.*)"), "{0}", "run `bash -n` on the script"),
    Rule(re.compile(r"line \d+: +\d+ Killed\b|^Killed$"), "something in it was killed (SIGKILL)", "most often for want of memory: ask for more with --memory", "", (137,)),
    Rule(re.compile(r"(?:error|fail)\S*: .*No such file or directory|: No such file or directory$"), "", _WHERE_IS_IT),
    # arguments
    Rule(re.compile(r"^\S+: error: "), "", _ARGUMENTS, "", (2,)),
    Rule(re.compile(r"^(?:Error|error): (?:No such (?:option|command)|Missing (?:option|argument|parameter)|Invalid value|unexpected argument|Got unexpected|the following)"),
          "", _ARGUMENTS, "", (2,)),
    Rule(re.compile(r"FATAL Flags parsing error"), "", _ARGUMENTS, "", (1, 2)),
    Rule(re.compile(r"(?:unrecognized|invalid|illegal|unknown) option\b"), "", _ARGUMENTS),
    # crashes
    Rule(re.compile(r"^Fatal Python error: (.+)"), "Python crashed: {0}", "a compiled module did it: the frames in its log say where", "", (132, 134, 135, 136, 139)),
    Rule(re.compile(r"^terminate called after throwing an instance of '([^']+)'(?: what\(\):\s*(.*))?"), "it was ended by a C++ exception: {0} {1}", "", "", (134, 1)),
    Rule(re.compile(r"^libc\+\+abi: terminating due to uncaught exception(?: of type)? (.+)"), "it was ended by a C++ exception: {0}", "", "", (134, 1)),
    Rule(re.compile(r"Assertion [`'](.+)' failed"), "assertion failed: {0}", "", "", (134, 1)),
    Rule(re.compile(r"^(?:free\(\): |malloc\(\): |munmap_chunk\(\): |double free |corrupted |realloc\(\): )(.*)"), "",
          "it spoilt its memory: run it under valgrind, or built with -fsanitize=address", "", (134,)),
    Rule(re.compile(r"stack smashing detected"), "it wrote beyond a variable on its stack", "build it with -fsanitize=address to see where", "", (134,)),
    Rule(re.compile(r"ERROR: (AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer): (.*?)(?: on (?:unknown )?address.*)?$"), "{0}: {1}"),
    Rule(re.compile(r"^thread '(.*?)' (?:\(\d+\) )?panicked at '(.*)', \S+:\d+:\d+$"), "Rust panicked: {1}", "RUST_BACKTRACE=1 says where", "", (101, 134, 1)),
    Rule(re.compile(r"^thread '(.*?)' (?:\(\d+\) )?panicked at (\S+?):(\d+):\d+: (.*)$"), "Rust panicked: {3} ({1}, line {2})", "RUST_BACKTRACE=1 says where", "",
          (101, 134, 1)),
    Rule(re.compile(r"^(?:panic|fatal error): (.*)"), "Go panicked: {0}", "", "", (2, 1)),
    Rule(re.compile(r"^ERROR: (?:LoadError: )?ArgumentError: Package (\S+) not found"), "Julia has no package {0}", "add it with --bundle DIR --setup \"julia -e 'using Pkg; …'\""),
    Rule(re.compile(r"^ERROR: LoadError: (.*)"), "Julia: {0}"),
    Rule(re.compile(r"^Caused by: (\S+)(?:: (.*))?$"), "{0}: {1}"),
    Rule(re.compile(r'^Exception in thread "[^"]+" (.+)'), "{0}"),
    Rule(re.compile(r"^Error: Cannot find module '([^']+)'"), "no module named {0}", "install it with --bundle DIR --setup 'npm install'"),
    Rule(re.compile(r"^Error in (.+?) ?: ?(.*)"), "R: error in {0}: {1}"),
    Rule(re.compile(r"AssertionError"), "", ""),
    # programs that ran another one
    Rule(re.compile(r"^make(?:\[\d+\])?: \*\*\* .*Error \d+"), "make failed", "", "", (2,), wraps=True),
    Rule(re.compile(r"^make(?:\[\d+\])?: \*\*\* (.+?)\.* *(?:Stop\.)?$"), "make: {0}", "", "", (2,)),
    Rule(re.compile(r"^srun: error: (.*)"), "srun: {0}", wraps=True),
    Rule(re.compile(r"subprocess\.CalledProcessError: Command (.+) returned non-zero exit status (\d+)\.?"), "{0} ended with exit code {1}", wraps=True),
    Rule(re.compile(r"subprocess\.CalledProcessError: Command (.+) died with (<Signals\.)?(\w+).*"), "{0} was killed by {2}", wraps=True),
    Rule(re.compile(r"ChildFailedError"), "a process of torchrun failed", wraps=True),
    Rule(re.compile(r"torch\.multiprocessing\.spawn\.ProcessExitedException: process (\d+) terminated with (.*)"), "process {0} ended with {1}", wraps=True),
    Rule(re.compile(r"conda run .* failed|^npm ERR! "), "", wraps=True),
)  # fmt: skip
"""The first that fits a line tells of it."""

STATUS_HINTS: Mapping[int, str] = {
    2: "often wrong arguments, or a file that isn't there",
    SAVED_EXIT_CODE: "this code means that a checkpoint was saved to go on from, and nobody had asked for that",
    126: "the command is there, but may not be run: is it executable?",
    127: "the command wasn't found on that worker",
    134: "it gave up by itself (SIGABRT): an assertion, most likely",
    137: "something in it was killed (SIGKILL), most often for want of memory",
    139: "it touched memory that isn't its own (SIGSEGV)",
    143: "something asked it to end (SIGTERM)",
}
"""What a bare exit code means, where its last lines say nothing."""
SIGNAL_HINTS: Mapping[int, str] = {
    4: "it met an instruction that this processor doesn't have: built for another one?",
    6: "it gave up by itself: an assertion, most likely",
    7: "it touched memory that couldn't be had: is /dev/shm or a disk full?",
    9: "nothing can refuse this one; nobody here sent it",
    11: "it touched memory that isn't its own",
}
"""What a bare signal means."""
CAUSE_HINTS: Mapping[str, str] = {
    EndCause.COMMAND_NOT_FOUND: _NOT_THERE,
    EndCause.PERMISSION_DENIED: "is it executable (chmod +x)?",
    EndCause.OUT_OF_MEMORY: _MORE_MEMORY,
}
"""What to do where how it ended says all."""
