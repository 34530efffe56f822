"""Start a program: its own session, nothing on stdin, output appended to files, and errors that say what is missing."""

# The keeper doesn't import pathlib.
# ruff: noqa: PTH116

import errno
import os
import signal
import stat

from opsconsole_agent.keeper import state_file
from opsconsole_agent.keeper.process import MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_OUTPUT = os.O_WRONLY | os.O_APPEND
# What we ignore would stay ignored in the program; so would what our own parent ignored.
_DEFAULT_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


class LaunchError(Exception):
    """Nothing was started; the message is for the person who submitted it."""


class Launch:
    """A program to start. `env` is complete: nothing is inherited, and the attempt's mark is added to it."""

    __slots__ = ("argv", "attempt_id", "cwd", "env", "stderr", "stdout")

    def __init__(
        self,
        attempt_id: str,
        argv: list[str],
        cwd: str,
        env: "Mapping[str, str]",
        stdout: str,
        stderr: str,
    ) -> None:
        self.attempt_id = attempt_id
        self.argv = argv
        self.cwd = cwd
        self.env = env
        self.stdout = stdout
        self.stderr = stderr


def spawn(launch: Launch, home: int) -> int:
    """Start it and return its pid; raises LaunchError.

    Changes the working folder meanwhile and goes back to the open folder `home`: only for single-threaded processes.
    """
    stdout = _open_output(launch.stdout)
    try:
        stderr = stdout if launch.stderr == launch.stdout else _open_output(launch.stderr)
        try:
            _enter(launch.cwd)
            try:
                return _spawn_here(launch, stdout, stderr)
            finally:
                os.fchdir(home)
        finally:
            if stderr != stdout:
                os.close(stderr)
    finally:
        os.close(stdout)


def _open_output(path: str) -> int:
    try:
        return state_file.open_or_renew(path, _OUTPUT)[0]
    except OSError as error:
        advice = "; make room there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise LaunchError(f"can't write the output to {path}: {_words(error)}{advice}") from None
    except ValueError:
        raise LaunchError("the path of an output file contains a null character") from None


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except FileNotFoundError:
        raise LaunchError(f"working folder not found: {folder}") from None
    except OSError as error:
        raise LaunchError(f"can't enter the working folder {folder}: {_words(error)}") from None
    except ValueError:
        raise LaunchError("the path of the working folder contains a null character") from None


def _spawn_here(launch: Launch, stdout: int, stderr: int) -> int:
    path = find_program(launch.argv[0], launch.env)
    try:
        return _posix_spawn(path, launch.argv, launch, stdout, stderr)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise LaunchError(_explain(path, launch.argv[0], error)) from None
    except ValueError:
        # Its message might quote the value.
        raise LaunchError(
            "an argument or environment variable has a null character, or a name with '=' in it"
        ) from None
    # No "#!" line: a shell script by old custom, as execvp has it.
    try:
        return _posix_spawn("/bin/sh", ["/bin/sh", path, *launch.argv[1:]], launch, stdout, stderr)
    except OSError as error:
        raise LaunchError(_explain("/bin/sh", launch.argv[0], error)) from None


def _posix_spawn(path: str, argv: list[str], launch: Launch, stdout: int, stderr: int) -> int:
    return os.posix_spawn(
        path,
        argv,
        {**launch.env, MARK: launch.attempt_id},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, stdout, 1),
            (os.POSIX_SPAWN_DUP2, stderr, 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=_DEFAULT_SIGNALS,
    )


def find_program(name: str, env: "Mapping[str, str]") -> str:
    """Where execvp would find `name`, from the present folder and `env`'s PATH; raises LaunchError."""
    if "/" in name:
        candidates = [name]
    elif name:
        folders = env.get("PATH", os.defpath).split(":")
        candidates = [f"{folder}/{name}" if folder else f"./{name}" for folder in folders]
    else:
        raise LaunchError("the command's name is empty")
    denied = ""
    for candidate in candidates:
        try:
            mode = os.stat(candidate).st_mode
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(mode) and os.access(candidate, os.X_OK):
            return candidate
        if "/" in name and stat.S_ISDIR(mode):
            raise LaunchError(f"{name} is a folder, not a program")
        if stat.S_ISREG(mode):
            denied = denied or candidate
    if denied:
        raise LaunchError(f"permission denied: {denied} is not executable")
    raise LaunchError(f"command not found: {name}")


def _explain(path: str, name: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"can't start {name}: the interpreter that {path} names does not exist"
    if error.errno == errno.E2BIG:
        return f"can't start {name}: its arguments and environment are longer than this system allows"
    return f"can't start {name}: {_words(error)}"


def _words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else "unknown error"
