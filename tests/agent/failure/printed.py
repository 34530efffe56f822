"""What programs print when they fail, written as their tools print it: name, exit code or 128 and the signal, stderr, what is told of it."""

from typing import NamedTuple


class Sample(NamedTuple):
    """`told` is the whole sentence; `hint` a part of the hint, and `cause` the code."""

    status: int
    stderr: str
    told: str
    hint: str = ""
    cause: str = ""


TRACEBACK = """\
Traceback (most recent call last):
  File "/work/train.py", line 40, in <module>
    main()
  File "/work/train.py", line 31, in main
    step(batch)
"""
CAUGHT = """\
Traceback (most recent call last):
  File "/work/train.py", line 31, in load
    return read(shard)
  File "/work/train.py", line 12, in read
    raise ValueError("bad shard")
ValueError: bad shard
"""
RANKS = """\
[rank0]: Traceback (most recent call last):
[rank1]: Traceback (most recent call last):
[rank0]:   File "/work/ddp.py", line 20, in <module>
[rank1]:   File "/work/ddp.py", line 18, in <module>
[rank0]:     loss.backward()
[rank1]:     raise ValueError("bad batch")
[rank1]: ValueError: bad batch
[rank0]: RuntimeError: Connection closed by peer
"""
TORCHRUN = """\
W1127 12:00:01.123000 140 torch/distributed/elastic/multiprocessing/api.py:897] Sending process 151 closing signal SIGTERM
E1127 12:00:01.456000 140 torch/distributed/elastic/multiprocessing/api.py:869] failed (exitcode: {code}) local_rank: 1 (pid: 152) of binary: /usr/bin/python3
Traceback (most recent call last):
  File "/usr/local/bin/torchrun", line 8, in <module>
    sys.exit(main())
             ^^^^^^
  File "/usr/local/lib/python3.11/site-packages/torch/distributed/run.py", line 919, in main
    run(args)
torch.distributed.elastic.multiprocessing.errors.ChildFailedError: 
============================================================
ddp.py FAILED
------------------------------------------------------------
Failures:
  <NO_OTHER_FAILURES>
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-27_12:00:01
  host      : gpu-a
  rank      : 1 (local_rank: 1)
  exitcode  : {code} (pid: 152)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
============================================================
"""  # noqa: W291
CHAIN = """\
Traceback (most recent call last):
  File "/work/train.py", line 5, in load
    return config["lr"]
           ~~~~~~^^^^^^
KeyError: 'lr'

{marker}

Traceback (most recent call last):
  File "/work/train.py", line 11, in <module>
    load()
  File "/work/train.py", line 7, in load
    raise RuntimeError("no learning rate") from error
RuntimeError: no learning rate
"""

FAILURES = {
    "python": Sample(1, TRACEBACK + "ValueError: bad lr\n", "ValueError: bad lr (train.py, line 31)"),
    "python, a library raised it": Sample(
        1,
        TRACEBACK + '  File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode\n    raise JSONDecodeError("x")\n'
        "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)\n",
        "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0) (train.py, line 31)",
    ),
    "python, several lines of message": Sample(
        1,
        TRACEBACK + "pydantic_core._pydantic_core.ValidationError: 1 validation error for Config\nlr\n"
        "  Input should be a valid number [type=float_parsing, input_value='x', input_type=str]\n",
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for Config (train.py, line 31)",
    ),
    "python, carets": Sample(
        1,
        TRACEBACK.replace("    main()\n", "    main()\n    ~~~~^^\n") + "TypeError: step() missing 1 required positional argument: 'x'\n",
        "TypeError: step() missing 1 required positional argument: 'x' (train.py, line 31)",
    ),
    "assertion without words": Sample(
        1,
        'Traceback (most recent call last):\n  File "t.py", line 3, in <module>\n    assert loss < 10\n           ^^^^^^^^^\nAssertionError\n',
        "AssertionError: assert loss < 10 (t.py, line 3)",
    ),
    "own exception": Sample(1, TRACEBACK + "__main__.Stopped: at step 3\n", "Stopped: at step 3 (train.py, line 31)"),
    "chained": Sample(
        1, CHAIN.format(marker="The above exception was the direct cause of the following exception:"),
        "RuntimeError: no learning rate (from KeyError: 'lr') (train.py, line 7)",
    ),
    "while handling": Sample(
        1, CHAIN.format(marker="During handling of the above exception, another exception occurred:"),
        "RuntimeError: no learning rate (while handling KeyError: 'lr') (train.py, line 7)",
    ),
    "group": Sample(
        1,
        '  + Exception Group Traceback (most recent call last):\n  |   File "/work/a.py", line 9, in <module>\n  |     asyncio.run(main())\n'
        "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)\n  +-+---------------- 1 ----------------\n"
        '    | Traceback (most recent call last):\n    |   File "/work/a.py", line 4, in work\n    |     raise ValueError("bad")\n'
        "    | ValueError: bad\n    +------------------------------------\n",
        "ValueError: bad (a.py, line 4)",
    ),
    "a process of a pool": Sample(
        1,
        'concurrent.futures.process._RemoteTraceback: \n"""\nTraceback (most recent call last):\n'
        '  File "/usr/lib/python3.11/concurrent/futures/process.py", line 256, in _process_worker\n    r = call_item.fn(*call_item.args)\n'
        '  File "/work/p.py", line 4, in f\n    1 / 0\nZeroDivisionError: division by zero\n"""\n\n'
        "The above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n"
        '  File "/work/p.py", line 9, in <module>\n    done.result()\nZeroDivisionError: division by zero\n',
        "ZeroDivisionError: division by zero (p.py, line 4)",
    ),
    "a child process": Sample(
        1,
        'Process SpawnProcess-1:\nTraceback (most recent call last):\n  File "/usr/lib/python3.11/multiprocessing/process.py", line 314, in _bootstrap\n'
        '    self.run()\n  File "/work/p.py", line 4, in work\n    raise OSError("gone")\nOSError: gone\n',
        "OSError: gone (p.py, line 4)",
    ),
    "spawned by torch": Sample(
        1,
        TRACEBACK + "torch.multiprocessing.spawn.ProcessRaisedException: \n\n-- Process 0 terminated with the following error:\n"
        'Traceback (most recent call last):\n  File "/usr/lib/python3/dist-packages/torch/multiprocessing/spawn.py", line 90, in _wrap\n    fn(i, *args)\n'
        '  File "/work/train.py", line 8, in work\n    raise ValueError("bad")\nValueError: bad\n',
        "ValueError: bad (train.py, line 8)",
    ),
    "subprocess": Sample(
        1, TRACEBACK + "subprocess.CalledProcessError: Command '['tar', 'xf', 'a.tar']' returned non-zero exit status 2.\n",
        "'['tar', 'xf', 'a.tar']' ended with exit code 2 (train.py, line 31)",
    ),
    "subprocess that said why": Sample(
        1,
        "tar: a.tar: Cannot open: No such file or directory\ntar: Error is not recoverable: exiting now\n"
        + TRACEBACK + "subprocess.CalledProcessError: Command '['tar', 'xf', 'a.tar']' returned non-zero exit status 2.\n",
        "tar: a.tar: Cannot open: No such file or directory", "--upload",
    ),
    "torchrun, the rank that failed first": Sample(
        1, RANKS + TORCHRUN.format(code=1), "rank 1: ValueError: bad batch (ddp.py, line 18)"
    ),
    "torchrun without a traceback": Sample(1, TORCHRUN.format(code=3), "rank 1 failed with exit code 3"),
    "torchrun, a rank killed": Sample(1, TORCHRUN.format(code=-9), "rank 1 was killed by signal 9 (SIGKILL)"),
    "torchrun, plain tracebacks": Sample(1, TRACEBACK + "ValueError: x\n" + TORCHRUN.format(code=1), "ValueError: x (train.py, line 31)"),
    "wandb after it": Sample(
        1,
        TRACEBACK + "ValueError: bad lr\nwandb: \nwandb: Run summary:\nwandb: loss 0.3\nwandb: 🚀 View run fine at: https://wandb.ai/x\n" * 1,
        "ValueError: bad lr (train.py, line 31)",
    ),
    "hydra": Sample(
        1,
        "Error executing job with overrides: ['lr=3']\n" + TRACEBACK
        + "ValueError: bad lr\n\nSet the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.\n",
        "ValueError: bad lr (train.py, line 31)",
    ),
    "rich": Sample(
        1,
        "╭───── Traceback (most recent call last) ─────╮\n│ /work/train.py:3 in <module>                │\n│ ❱ 3 boom()                                  │\n"
        "╰─────────────────────────────────────────────╯\nValueError: bad lr\n",
        "ValueError: bad lr",
    ),
    "GPU memory": Sample(
        1,
        TRACEBACK + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.15 GiB of which "
        "1.31 GiB is free. Including non-PyTorch memory, this process has 77.80 GiB memory in use. Of the allocated memory 76.00 GiB is "
        "allocated by PyTorch, and 500.00 MiB is reserved by PyTorch but unallocated.\n",
        "ran out of GPU memory: it tried to allocate 2.00 GiB; GPU 0 has 1.31 GiB free of 79.15 GiB (train.py, line 31)",
        "smaller batch", "gpu_out_of_memory",
    ),
    "GPU memory, older": Sample(
        1,
        TRACEBACK + "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 512.00 MiB (GPU 1; 23.69 GiB total capacity; "
        "21.00 GiB already allocated; 300.12 MiB free; 22.00 GiB reserved in total by PyTorch)\n",
        "ran out of GPU memory: it tried to allocate 512.00 MiB; GPU 1 has 300.12 MiB free of 23.69 GiB (train.py, line 31)",
        "smaller batch", "gpu_out_of_memory",
    ),
    "GPU memory, JAX": Sample(
        1,
        TRACEBACK + "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 bytes.\n",
        "ran out of GPU memory: it tried to allocate 16.00 GiB (train.py, line 31)", "", "gpu_out_of_memory",
    ),
    "GPU memory, a C++ program": Sample(
        134, "terminate called after throwing an instance of 'thrust::system_error'\n  what():  CUDA error: out of memory\n",
        "ran out of GPU memory", "", "gpu_out_of_memory",
    ),
    "GPU memory, CUDA's advice after it": Sample(
        1,
        TRACEBACK + "RuntimeError: CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call, so the "
        "stacktrace below might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\nCompile with `TORCH_USE_CUDA_DSA` to "
        "enable device-side assertions.\n\n",
        "ran out of GPU memory (train.py, line 31)", "", "gpu_out_of_memory",
    ),
    "host memory, numpy": Sample(
        1,
        TRACEBACK + "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 14.9 GiB for an array with shape (2000000000,) and data type float64\n",
        "ran out of memory: it tried to allocate 14.9 GiB (train.py, line 31)", "--memory", "out_of_memory",
    ),
    "host memory, torch": Sample(
        1,
        TRACEBACK + "RuntimeError: [enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
        "4294967296000 bytes. Error code 12 (Cannot allocate memory)\n",
        "ran out of memory: it tried to allocate 4000.00 GiB (train.py, line 31)", "", "out_of_memory",
    ),
    "MemoryError": Sample(1, TRACEBACK + "MemoryError\n", "ran out of memory (train.py, line 31)", "", "out_of_memory"),
    "std::bad_alloc": Sample(
        134, "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n", "ran out of memory", "", "out_of_memory"
    ),
    "killed in a script": Sample(
        137, "job.sh: line 3:  4242 Killed                  python train.py\n", "something in it was killed (SIGKILL)", "want of memory"
    ),
    "loader without shared memory": Sample(
        1,
        "ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared memory (shm).\n"
        + TRACEBACK + "RuntimeError: DataLoader worker (pid 4242) is killed by signal: Bus error. It is possible that dataloader's workers are "
        "out of shared memory. Please try to raise your shared memory limit.\n",
        "ran out of shared memory (/dev/shm) (train.py, line 31)", "num_workers",
    ),
    "loader killed": Sample(
        1, TRACEBACK + "RuntimeError: DataLoader worker (pid 4242) is killed by signal: Killed. \n",
        "a worker of its DataLoader was killed, most often for want of memory (train.py, line 31)", "", "out_of_memory",
    ),
    "GPU memory, none free": Sample(
        1,
        TRACEBACK
        + "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.70 GiB. GPU 0 has a total capacty of 6.00 GiB of which 0 bytes is free. "
        "Of the allocated memory 2.93 GiB is allocated by PyTorch.\n",
        "ran out of GPU memory: it tried to allocate 1.70 GiB; GPU 0 has 0 bytes free of 6.00 GiB (train.py, line 31)",
        "", "gpu_out_of_memory",
    ),
    "GPU memory, behind another exception": Sample(
        1,
        CHAIN.format(marker="The above exception was the direct cause of the following exception:").replace(
            "KeyError: 'lr'", "torch.OutOfMemoryError: CUDA out of memory."
        ),
        "RuntimeError: no learning rate (from torch.OutOfMemoryError: CUDA out of memory.) (train.py, line 7)",
        "smaller batch", "gpu_out_of_memory",
    ),
    "a bar that is drawn once more": Sample(
        1,
        "  0%|          | 0/800 [00:00<?, ?it/s]\r" + TRACEBACK + "ValueError: bad batch\n\r  0%|          | 0/800 [00:22<?, ?it/s]\n"
        + TORCHRUN.format(code=1),
        "ValueError: bad batch (train.py, line 31)",
    ),
    "torchrun, a rank whose collective timed out": Sample(
        1,
        "[rank1]:[E626 06:24:44.903881913 ProcessGroupNCCL.cpp:616] [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=808, "
        "OpType=ALLREDUCE, NumelIn=1, NumelOut=1, Timeout(ms)=600000) ran for 600020 milliseconds before timing out.\n"
        "[rank1]:[E626 06:24:44.906457629 ProcessGroupNCCL.cpp:1785] [PG ID 0 PG GUID 0(default_pg) Rank 1] Exception (either an error or timeout) "
        "detected by watchdog at work: 808, last enqueued NCCL work: 811, last completed NCCL work: 807.\n" + TORCHRUN.format(code=-6),
        "rank 1: NCCL timed out: ALLREDUCE was not answered by every rank within 600s", "other ranks",
    ),
    "no GPU": Sample(
        1, TRACEBACK + "RuntimeError: No CUDA GPUs are available\n", "RuntimeError: No CUDA GPUs are available (train.py, line 31)", "--gpus 1"
    ),
    "no kernel image": Sample(
        1, TRACEBACK + "RuntimeError: CUDA error: no kernel image is available for execution on the device\n",
        "it was built for other GPUs: no kernel image is available for this one (train.py, line 31)",
    ),
    "device-side assert": Sample(
        1, TRACEBACK + "RuntimeError: CUDA error: device-side assert triggered\n",
        "RuntimeError: CUDA error: device-side assert triggered (train.py, line 31)", "CUDA_LAUNCH_BLOCKING",
    ),
    "NCCL time-out": Sample(
        134,
        "[rank0]:[E1127 12:10:00.123456789 ProcessGroupNCCL.cpp:629] [Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7, "
        "OpType=ALLREDUCE, NumelIn=1024, NumelOut=1024, Timeout(ms)=600000) ran for 600031 milliseconds before timing out.\n"
        "[rank0]:[E1127 12:10:00.223456789 ProcessGroupNCCL.cpp:681] [Rank 0] Some NCCL operations have failed or timed out. Due to the asynchronous "
        "nature of CUDA kernels, subsequent GPU operations might run on corrupted/incomplete data.\n"
        "[rank0]:[E1127 12:10:00.223456999 ProcessGroupNCCL.cpp:695] [Rank 0] To avoid data inconsistency, we are taking the entire process down.\n"
        "terminate called after throwing an instance of 'c10::DistBackendError'\n  what():  [PG ID 0 PG GUID 0(default_pg) Rank 0] Process group watchdog "
        "thread terminated with exception: [Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7, OpType=ALLREDUCE, NumelIn=1024, "
        "NumelOut=1024, Timeout(ms)=600000) ran for 600031 milliseconds before timing out.\nException raised from checkTimeout at ../ProcessGroupNCCL.cpp:631 "
        "(most recent call first):\nframe #0: c10::Error::Error(c10::SourceLocation, std::string) + 0x96 (0x7f in libc10.so)\n"
        "frame #1: clone + 0x3f (0x7f in /lib/libc.so.6)\n\n",
        "NCCL timed out: ALLREDUCE was not answered by every rank within 600s", "other ranks",
    ),
    "NCCL error": Sample(
        1,
        TRACEBACK + "torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1331, unhandled system error "
        "(run with NCCL_DEBUG=INFO for details), NCCL version 2.20.5\nncclSystemError: System call (e.g. socket, malloc) or external library call failed or "
        "device error.\nLast error:\nsocketStartConnect: Connect to 10.0.0.1<48123> failed : Software caused connection abort\n",
        "NCCL error: unhandled system error (train.py, line 31)", "NCCL_DEBUG",
    ),
    "ranks that don't come": Sample(
        1, TRACEBACK + "torch.distributed.DistStoreError: Timed out after 601 seconds waiting for clients. 1/2 clients joined.\n",
        "only 1 of 2 ranks came together within 601s (train.py, line 31)", "MASTER_ADDR",
    ),
    "missing module": Sample(
        1, TRACEBACK + "ModuleNotFoundError: No module named 'einops'\n", "no module named einops (train.py, line 31)", "--setup"
    ),
    "missing module with -m": Sample(1, "/usr/bin/python3: No module named pytest\n", "no module named pytest", "--setup"),
    "missing library": Sample(
        127, "./solve: error while loading shared libraries: libcudart.so.12: cannot open shared object file: No such file or directory\n",
        "a shared library is missing: libcudart.so.12", "LD_LIBRARY_PATH",
    ),
    "missing script": Sample(
        2, "python: can't open file '/work/trian.py': [Errno 2] No such file or directory\n", "the script /work/trian.py isn't there", "--bundle"
    ),
    "missing input": Sample(
        1, TRACEBACK + "FileNotFoundError: [Errno 2] No such file or directory: '/data/train.csv'\n",
        "no such file or folder: /data/train.csv (train.py, line 31)", "--input",
    ),
    "not allowed": Sample(
        1, TRACEBACK + "PermissionError: [Errno 13] Permission denied: '/data/out.csv'\n",
        "permission denied: /data/out.csv (train.py, line 31)", "OPSCONSOLE_OUTPUT_PATH",
    ),
    "disk full": Sample(
        1, TRACEBACK + "OSError: [Errno 28] No space left on device\n", "OSError: [Errno 28] No space left on device (train.py, line 31)", "make room", "disk_full"
    ),
    "disk full, cp": Sample(
        1, "cp: error writing '/out/model.bin': No space left on device\n", "cp: error writing '/out/model.bin': No space left on device", "", "disk_full"
    ),
    "quota": Sample(1, TRACEBACK + "OSError: [Errno 122] Disk quota exceeded\n", "OSError: [Errno 122] Disk quota exceeded (train.py, line 31)", "", "disk_full"),
    "port": Sample(
        1, TRACEBACK + "OSError: [Errno 98] Address already in use\n", "OSError: [Errno 98] Address already in use (train.py, line 31)", "--port", "port_taken"
    ),
    "syntax": Sample(
        1, '  File "/work/t.py", line 3\n    print((1)\n         ^\nSyntaxError: \'(\' was never closed\n', "SyntaxError: '(' was never closed (t.py, line 3)", "can't be read"
    ),
    "argparse": Sample(
        2,
        "usage: train.py [-h] --lr LR\n                [--epochs EPOCHS]\ntrain.py: error: the following arguments are required: --lr\n",
        "train.py: error: the following arguments are required: --lr", "clone",
    ),
    "click": Sample(
        2, "Usage: train.py [OPTIONS]\nTry 'train.py --help' for help.\n\nError: No such option: --leanring-rate\n", "Error: No such option: --leanring-rate", "clone"
    ),
    "bash": Sample(127, "job.sh: line 3: nvidia-smii: command not found\n", "command not found: nvidia-smii", "--setup", "command_not_found"),
    "bash -c": Sample(127, "bash: line 1: foo: command not found\n", "command not found: foo", "", "command_not_found"),
    "bash, exec": Sample(127, "x.sh: line 21: exec: nosuchcmd: not found\n", "command not found: nosuchcmd", "--setup", "command_not_found"),
    "dash": Sample(127, "/bin/sh: 1: foo: not found\n", "command not found: foo", "", "command_not_found"),
    "env": Sample(127, "/usr/bin/env: ‘python’: No such file or directory\n", "command not found: python", "", "command_not_found"),
    "bash, a path": Sample(127, "job.sh: line 2: ./train: No such file or directory\n", "command not found: ./train", "", "command_not_found"),
    "bash, not executable": Sample(126, "job.sh: line 2: ./train.sh: Permission denied\n", "permission denied: ./train.sh", "chmod", "permission_denied"),
    "bash, another processor": Sample(
        126, "job.sh: line 2: ./train: cannot execute binary file: Exec format error\n", "./train can't be executed here", "another processor", "permission_denied"
    ),
    "bash -u": Sample(1, "job.sh: line 2: DATA: unbound variable\n", "DATA: unbound variable", "--env"),
    "make": Sample(2, "make: *** [Makefile:2: all] Error 1\n", "make failed"),
    "make that said why": Sample(2, "/bin/sh: 1: foo: not found\nmake: *** [Makefile:2: all] Error 127\n", "command not found: foo", "", "command_not_found"),
    "Rust": Sample(
        101,
        "thread 'main' panicked at src/main.rs:4:23:\nindex out of bounds: the len is 3 but the index is 7\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
        "Rust panicked: index out of bounds: the len is 3 but the index is 7 (src/main.rs, line 4)", "RUST_BACKTRACE",
    ),
    "Rust, older": Sample(
        101, "thread 'main' panicked at 'no config', src/main.rs:4:23\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n", "Rust panicked: no config"
    ),
    "Go": Sample(
        2,
        "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.pick(...)\n\t/home/ana/pick/main.go:8\nmain.main()\n\t/home/ana/pick/main.go:12 +0x1d\nexit status 2\n",
        "Go panicked: runtime error: index out of range [5] with length 3",
    ),
    "Go, locked": Sample(
        2, "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:\nmain.main()\n\t/home/ana/pick/main.go:5 +0x2c\n", "Go panicked: all goroutines are asleep - deadlock!"
    ),
    "Julia": Sample(
        1,
        "ERROR: LoadError: UndefVarError: `x` not defined\nStacktrace:\n [1] top-level scope\n   @ /work/t.jl:3\nin expression starting at /work/t.jl:3\n",
        "Julia: UndefVarError: `x` not defined",
    ),
    "C++": Sample(
        134, "terminate called after throwing an instance of 'std::runtime_error'\n  what():  no config\nAborted (core dumped)\n", "it was ended by a C++ exception: std::runtime_error no config"
    ),
    "C": Sample(134, "solve: solve.c:12: main: Assertion `n > 0' failed.\n", "assertion failed: n > 0"),
    "spoilt memory": Sample(134, "free(): invalid pointer\n", "free(): invalid pointer", "valgrind"),
    "faulthandler": Sample(
        139,
        'Fatal Python error: Segmentation fault\n\nCurrent thread 0x00007f12 (most recent call first):\n  File "/work/t.py", line 3 in f\n  File "/work/t.py", line 9 in <module>\n\n'
        "Extension modules: numpy.core._multiarray_umath (total: 1)\n",
        "Python crashed: Segmentation fault",
    ),
    "Java": Sample(
        1,
        'Exception in thread "main" java.lang.IllegalStateException: no model\n\tat Main.run(Main.java:9)\n\tat Main.main(Main.java:3)\nCaused by: java.io.IOException: gone\n\t... 2 more\n',
        "java.io.IOException: gone",
    ),
    "Node": Sample(
        1,
        "node:internal/modules/cjs/loader:1147\n  throw err;\n  ^\n\nError: Cannot find module '/work/x.js'\n    at Module._resolveFilename (node:internal/modules/cjs/loader:1144:15)\n\nNode.js v20.11.0\n",
        "no module named /work/x.js",
    ),
    "R": Sample(1, "Error in f(1) : no such model\nCalls: g -> f\nExecution halted\n", "R: error in f(1): no such model"),
    "a message that begins with a line's end": Sample(
        1, TRACEBACK + "ValueError: \nfirst line\nsecond line\n", "ValueError: first line (train.py, line 31)"
    ),
    "a program that Python doesn't find": Sample(
        1,
        TRACEBACK + "FileNotFoundError: [Errno 2] No such file or directory: 'ffmpeg'\n",
        "no such file or program: ffmpeg (train.py, line 31)",
    ),
    "dash -u": Sample(2, "job.sh: 2: DATA: parameter not set\n", "DATA: parameter not set", "--env"),
    "killed in dash": Sample(137, "Killed\n", "something in it was killed (SIGKILL)", "want of memory"),
    "Windows": Sample(
        127,
        "job.sh: line 2: $'\\r': command not found\n",
        "the script has the line ends of Windows",
        "dos2unix",
    ),
    "make without a target": Sample(
        2, "make: *** No rule to make target 'all'.  Stop.\n", "make: No rule to make target 'all'"
    ),
    "make, a program": Sample(
        2,
        "make: nvcc: No such file or directory\nmake: *** [Makefile:2: all] Error 127\n",
        "command not found: nvcc",
        "--setup",
        "command_not_found",
    ),
    "a script's own words": Sample(3, "loading\nERROR: dataset lab:digits has no split 'test'\n", "ERROR: dataset lab:digits has no split 'test'"),
    "on a progress bar's line": Sample(1, " 40%|████      | 4/10 [00:01<00:02]\r" + TRACEBACK + "ValueError: bad lr\n", "ValueError: bad lr (train.py, line 31)"),
    "colours": Sample(1, "\x1b[1;31m" + TRACEBACK.replace("\n", "\x1b[0m\n") + "\x1b[31mValueError\x1b[0m: bad \x1b[1mlr\x1b[0m\x1b]8;;http://x\x07\n", "ValueError: bad lr (train.py, line 31)"),
}  # fmt: skip

ON_STDERR = {
    "sys.exit with words": Sample(1, "loading\nno config given\n", "no config given"),
    "perl": Sample(255, "the table must have a header at t.pl line 3.\n", "the table must have a header at t.pl line 3."),
}  # fmt: skip
"""Lines that are quoted only of standard error."""

MISLEADING = {
    "caught, then it went on": (1, CAUGHT + "skipping shard 3\nepoch 2 loss 0.3\n"),
    "caught at the top, then it went on": (1, TRACEBACK + "ValueError: bad shard\nskipping shard 3\nall shards done\n"),
    "logged, then it went on": (1, "ERROR:root:shard 3\n" + CAUGHT + "INFO:root:shard 4\nINFO:root:shard 5\n"),
    "logged with times": (
        1,
        "2026-11-27 12:00:00,123 ERROR shard 3\n" + CAUGHT + "2026-11-27 12:00:01,123 INFO shard 4\n",
    ),
    "caught, then it said something": (1, CAUGHT + "shard 3 is left out\n"),
    "a batch that was too large, then a smaller one": (
        1,
        TRACEBACK + "torch.OutOfMemoryError: CUDA out of memory.\nbatch 32 is tried\nepoch 1\n",
    ),
    "caught at the top, and a bar went on": (
        1,
        TRACEBACK
        + "ValueError: bad shard\n\r 40%|████      | 4/10 [00:01<00:02]\r 50%|█████     | 5/10 [00:01<00:02]\n",
    ),
    "caught in a function, and a bar was there": (1, CAUGHT + "\r 40%|████      | 4/10 [00:01<00:02]\n"),
    "far above": (1, TRACEBACK + "ValueError: bad shard\n" + "shard\n" * 50),
    "killed after it": (137, CAUGHT),
    "terminated after it": (143, TRACEBACK + "ValueError: bad shard\n"),
    "crashed after it": (139, TRACEBACK + "ValueError: bad shard\n"),
    "only a bar": (1, " 40%|████      | 4/10 [00:01<00:02]\r"),
    "only progress": (1, "epoch 1 loss 0.3\nepoch 2 loss 0.2\n"),
    "a metric": (1, TRACEBACK + "ValueError: bad shard\nepoch 3 error 0.12\n"),
    "a metric at the end": (1, "test error: 0.12\n"),
    "a warning": (1, "UserWarning: the given array is not writable\n"),
    "retried": (1, "requests.exceptions.ConnectionError: Connection refused\nretrying in 5 s\nepoch 1\n"),
    "a thread's, then it said something": (
        4,
        (
            "Exception in thread Thread-1 (work):\nTraceback (most recent call last):\n"
            '  File "/usr/lib/python3.11/threading.py", line 1045, in _bootstrap_inner\n    self.run()\n'
            '  File "/work/t.py", line 3, in work\n    raise OSError("gone")\nOSError: gone\nthe main thread waits\n'
        ),
    ),
    "a thread's, then it went on": (1, "Exception in thread Thread-1 (work):\n" + CAUGHT + "step 7\n"),
    "a traceback without an end": (1, TRACEBACK),
    "nothing": (1, ""),
}
"""What says nothing of the end."""
