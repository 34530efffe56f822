"""Starting a program: in a session of its own, its output into pipes, with errors that say what is missing."""

# The keeper doesn't import pathlib.
# ruff: noqa: PTH116

import errno
import os
import resource
import signal
import stat
from collections.abc import Mapping

from opsconsole_agent.keeper.output import Output
from opsconsole_agent.keeper.process import MARK

UserIds = tuple[int, int, list[int]]
"""uid, gid and groups."""
Files = tuple[int | None, int, int]
"""What becomes stdin, stdout and stderr. Without the first, stdin is opened as the program's own user."""

_DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)
_DESCRIPTORS_WANTED = 1 << 16
# Without this, a signal that we or our parent ignore would be ignored in the program, too.
_DEFAULT_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


NOT_STARTED = "not_started"
COMMAND_NOT_FOUND = "command_not_found"
PERMISSION_DENIED = "permission_denied"


class LaunchError(Exception):
    """Raised when nothing was started; the message is for the person who submitted it, `cause` for programs."""

    def __init__(self, message: str, cause: str = NOT_STARTED) -> None:
        super().__init__(message)
        self.cause = cause


class Launch:
    """A program to start.

    `env` is complete: nothing is inherited, and only the attempt's mark is added to it. `user` None: it runs as we do.
    `terminal`: `stdin` is one, which it is to have as its own, in place of the three files.
    """

    __slots__ = ("argv", "attempt_id", "cwd", "env", "stderr", "stdin", "stdout", "terminal", "user")

    def __init__(
        self,
        attempt_id: str,
        argv: list[str],
        cwd: str,
        env: Mapping[str, str],
        stdout: str,
        stderr: str,
        stdin: str = os.devnull,
        user: UserIds | None = None,
        *,
        terminal: bool = False,
    ) -> None:
        self.attempt_id = attempt_id
        self.argv = argv
        self.cwd = cwd
        self.env = env
        self.stdout = stdout
        self.stderr = stderr
        self.stdin = stdin
        self.user = user
        self.terminal = terminal


def raise_descriptor_limit() -> None:
    """Allow this process as many descriptors as the system grants, as an attempt needs four.

    Programs that it starts have the limit that it was started with.
    """
    hard = _DESCRIPTORS[1]
    wanted = _DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS_WANTED)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, _DESCRIPTORS[0]), hard))


def spawn(launch: Launch, home: int) -> tuple[int, list[Output]]:
    """Start a program and return its pid and its outputs, which the caller moves on and closes. Raises LaunchError.

    The working folder is changed meanwhile, and then set to the open folder `home`: only for single-threaded processes.
    """
    outputs: list[Output] = []
    try:
        for path in dict.fromkeys((launch.stdout, launch.stderr)):
            outputs.append(_make_output(launch.attempt_id, path))  # noqa: PERF401  (those made before are to be closed)
        if launch.user is not None:
            for output in filter(lambda one: one.inode, outputs):  # pipes; a plain file stays ours
                os.fchown(output.writer, *launch.user[:2])  # a program has to own what it opens as /dev/stdout
        _change_folder(launch.cwd)
        try:
            pid = _spawn_in_folder(launch, (None, outputs[0].writer, outputs[-1].writer))
        finally:
            os.fchdir(home)
    except LaunchError:
        for output in outputs:
            output.close()
        raise
    for output in outputs:
        output.close_writer()
    return pid, outputs


def spawn_guest(launch: Launch, home: int) -> int:
    """Start a program whose files exist, pipes as a rule, and return its pid. Raises LaunchError. See `spawn` for `home`."""
    opened: list[int] = []
    try:
        if not launch.terminal:
            for path, mode in ((launch.stdin, os.O_RDONLY), (launch.stdout, os.O_WRONLY), (launch.stderr, os.O_WRONLY)):
                opened.append(os.open(path, mode | os.O_NOCTTY | os.O_CLOEXEC))
        _change_folder(launch.cwd)
        try:
            return _spawn_in_folder(launch, (opened[0], opened[1], opened[2]) if opened else (None, -1, -1))
        finally:
            os.fchdir(home)
    except OSError as error:
        raise LaunchError(f"its input and output can't be opened: {_errno_text(error)}") from None
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _make_output(attempt_id: str, path: str) -> Output:
    try:
        try:
            return Output.make(attempt_id, path)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            return Output.make_plain(path)
    except OSError as error:
        advice = "; make room there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise LaunchError(f"can't write the output to {path}: {_errno_text(error)}{advice}") from None
    except ValueError:
        raise LaunchError("the path of an output file contains a null character") from None


def _change_folder(folder: str) -> None:
    try:
        os.chdir(folder)
    except FileNotFoundError:
        raise LaunchError(f"working folder not found: {folder}") from None
    except OSError as error:
        raise LaunchError(f"can't enter the working folder {folder}: {_errno_text(error)}") from None
    except ValueError:
        raise LaunchError("the path of the working folder contains a null character") from None


def _spawn_in_folder(launch: Launch, files: Files) -> int:
    path = find_program(launch.argv[0], launch.env)
    try:
        return _spawn_program(path, launch.argv, launch, files)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise LaunchError(_spawn_error_text(path, launch.argv[0], error)) from None
    except ValueError:
        # The error's own message might quote the value, which may be a secret.
        raise LaunchError(
            "an argument or environment variable has a null character, or a name with '=' in it"
        ) from None
    # A file without a "#!" line is a shell script, as execvp has it.
    try:
        return _spawn_program("/bin/sh", ["/bin/sh", path, *launch.argv[1:]], launch, files)
    except OSError as error:
        raise LaunchError(_spawn_error_text("/bin/sh", launch.argv[0], error)) from None


def _spawn_program(path: str, argv: list[str], launch: Launch, files: Files) -> int:
    if launch.user is None:
        return _posix_spawn(path, argv, launch, files)
    return _fork_as_user(launch.user, path, argv, launch, files)


def _posix_spawn(path: str, argv: list[str], launch: Launch, files: Files) -> int:
    stdin, stdout, stderr = files
    ours = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    try:
        return os.posix_spawn(
            path,
            argv,
            {**launch.env, MARK: launch.attempt_id},
            file_actions=[
                # The leader of a session without a terminal gets the first one that it opens.
                (os.POSIX_SPAWN_OPEN, 0, launch.stdin, os.O_RDWR if launch.terminal else os.O_RDONLY | os.O_NOCTTY, 0)
                if stdin is None
                else (os.POSIX_SPAWN_DUP2, stdin, 0),
                (os.POSIX_SPAWN_DUP2, 0 if launch.terminal else stdout, 1),
                (os.POSIX_SPAWN_DUP2, 0 if launch.terminal else stderr, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULT_SIGNALS,
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, ours)


def _fork_as_user(user: UserIds, path: str, argv: list[str], launch: Launch, files: Files) -> int:
    """Start it as another user, which posix_spawn can't. An error on the way comes back through a pipe, as its errno."""
    env = {**launch.env, MARK: launch.attempt_id}
    _check_words(argv, env)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
        if pid == 0:
            _exec_as_user(user, path, argv, env, launch, files, writer)
        os.close(writer)
        writer = -1
        failure = os.read(reader, 16)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if failure:
        os.waitpid(pid, 0)
        step, _, number = failure.decode().partition(" ")
        if step == "cwd":
            raise LaunchError(
                f"can't enter the working folder {launch.cwd} as user {user[0]}: {os.strerror(int(number))}"
            )
        raise OSError(int(number), os.strerror(int(number)))
    return pid


def _check_words(argv: list[str], env: Mapping[str, str]) -> None:
    """Raise ValueError for arguments and variables that no program can be given."""
    for word in (*argv, *env, *env.values()):
        os.fsencode(word)
        if "\0" in word:
            raise ValueError("embedded null")
    if any("=" in name for name in env):
        raise ValueError("illegal environment variable name")


def _exec_as_user(
    user: UserIds, path: str, argv: list[str], env: Mapping[str, str], launch: Launch, files: Files, report: int
) -> None:
    """Become the user, then the program, in the forked process. Files and folders are opened as the user. Never returns."""
    uid, gid, groups = user
    stdin, stdout, stderr = files
    step = "start"
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_NOFILE, _DESCRIPTORS)
        for number in _DEFAULT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if launch.terminal:
            stdin = stdout = stderr = os.open(launch.stdin, os.O_RDWR)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        if stdin is None:
            stdin = os.open(launch.stdin, os.O_RDONLY | os.O_NOCTTY)
        os.dup2(stdin, 0)
        step = "cwd"
        os.chdir(launch.cwd)
        step = "start"
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(path, argv, env)  # noqa: S606  (a program of the submitter's)
    except OSError as error:
        os.write(report, f"{step} {error.errno or errno.EIO}".encode())
    finally:
        os._exit(127)


def find_program(name: str, env: Mapping[str, str]) -> str:
    """Return where execvp would find `name`, from the present folder and by `env`'s PATH. Raises LaunchError."""
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
        raise LaunchError(f"permission denied: {denied} is not executable", PERMISSION_DENIED)
    raise LaunchError(f"command not found: {name}", COMMAND_NOT_FOUND)


def _spawn_error_text(path: str, name: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"can't start {name}: the interpreter that {path} names does not exist"
    if error.errno == errno.E2BIG:
        return f"can't start {name}: its arguments and environment are longer than this system allows"
    return f"can't start {name}: {_errno_text(error)}"


def _errno_text(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else "unknown error"
