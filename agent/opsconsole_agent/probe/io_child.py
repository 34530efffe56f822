"""What touches I/O paths. Also a program: a question as JSON on stdin, its answer as JSON on stdout.

A mount that hangs takes whoever touches it along, beyond the reach of signals. So the agent has these functions run in
a process of their own, as `python -I -S io_child.py`, and gives up on it (`io_path`). Standard library only, and little
of it: a start takes some 20 ms.
"""

# os.path, as pathlib would take a third of the program's start:
# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH114, PTH116, PTH118, PTH119, PTH120, PTH208, PTH211

import contextlib
import errno
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator

_NO_FSYNC = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
"""What filesystems answer that have no fsync: the write itself has succeeded then."""

_PATTERN = b"opsconsole checks that this folder can be written\n"


User = tuple[int, int, list[int]]
"""uid, gid, groups."""


class Refused(Exception):
    """No, and why, in one line."""


def check_input(folder: str) -> list[str]:
    """The problems of an input folder: it must be there, be a folder, and be readable."""
    try:
        _must_be_folder(folder)
        with os.scandir(folder) as entries:
            next(entries, None)
        os.stat(f"{folder}/.")  # listing alone doesn't mean that files in it can be opened
    except Refused as refusal:
        return [f"input path {folder} {refusal}, or change --input-path"]
    except OSError as error:
        return [
            f"input path {folder} can't be read ({error.strerror}): let the worker's user read it, or change --input-path"
        ]
    return []


def check_output(folder: str) -> list[str]:
    """The problems of an output folder: it must be there, be a folder, and take a real write."""
    try:
        _must_be_folder(folder)
        _write_and_remove(f"{folder}/.opsconsole-check-{os.getpid()}-{os.urandom(8).hex()}")
    except Refused as refusal:
        return [f"output path {folder} {refusal}, or change --output-path"]
    except OSError as error:
        return [f"output path {folder} can't be written ({error.strerror}): {_advice(error)}, or change --output-path"]
    return []


def find_file(folder: str, name: str) -> tuple[str, int, int]:
    """Return path, size in bytes and time of change in nanoseconds of the regular, readable file `name` under `folder`, or raise Refused.

    The refusal is said of the file and leaves out its name, which whoever asked puts in front. The name is taken to be a
    plain file name. What it links to is resolved first: whether a file outside exists is not told.
    """
    try:
        base = os.path.realpath(folder, strict=True)
    except OSError as error:
        raise Refused(f"the input folder {folder} can't be reached ({error.strerror})") from error
    plain = os.path.join(base, name)
    path = os.path.realpath(plain)
    if not path.startswith(f"{base.rstrip('/')}/"):
        raise Refused(f"is a link that leads out of the input folder {folder}: place the file itself there")
    try:
        return (os.path.join(folder, name) if path == plain else path), *_look_at_readable(path)
    except FileNotFoundError as error:
        if os.path.islink(plain):
            raise Refused("is a link to a file that does not exist") from error
        raise Refused(f"not found in {folder}: place it there first") from error
    except OSError as error:
        raise Refused(f"can't be read by the worker ({error.strerror})") from error


def make_output(folder: str, job_id: str, subfolders: Iterable[str], user: User | None = None) -> str:
    """Make `{folder}/jobs/{job_id}` with its subfolders, or raise Refused. What exists already is kept.

    With `user`, all below `jobs` is that user's, and this process in the end, too: what may be theirs already is never
    touched as root.
    Below `folder` every step is taken from the one before and none is a link, so nothing is ever made elsewhere.
    """
    opened: list[int] = []
    try:
        try:
            opened.append(os.open(folder, os.O_PATH | os.O_DIRECTORY))
        except OSError as error:
            raise Refused(f"the output folder {folder} can't be reached ({error.strerror})") from error
        path = folder
        for name in ("jobs", job_id):
            path = os.path.join(path, name)
            opened.append(_enter(opened[-1], name, path))
        if user is not None:
            _give(opened[-2], job_id, path, user)
            become(user)
        for name in subfolders:
            os.close(_enter(opened[-1], name, os.path.join(path, name)))
        return path
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _give(parent: int, name: str, path: str, user: User) -> None:
    """In `jobs`, which is ours: nobody else can have put a link to something there."""
    try:
        os.chown(name, user[0], user[1], dir_fd=parent, follow_symlinks=False)
    except OSError as error:
        raise Refused(
            f"{path} can't be given to user {user[0]} ({error.strerror}): is it on a mount that refuses root?"
        ) from error


def become(user: User) -> None:
    """Be this user from now on, for good: for a process that does nothing else."""
    uid, gid, groups = user
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _advice(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room there"
    if error.errno == errno.EROFS:
        return "mount it writable"
    return "let the worker's user write there"


def _must_be_folder(path: str) -> None:
    try:
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise Refused("is not a folder: name one")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Refused("does not exist: create it") from error


def _write_and_remove(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        try:
            os.write(descriptor, _PATTERN)
            _sync(descriptor)
        finally:
            os.close(descriptor)
    finally:
        os.unlink(path)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise


def _look_at_readable(path: str) -> tuple[int, int]:
    """Open for reading, which is the only proof that it can be; never anything but a regular file, which may have effects."""
    kind = os.lstat(path).st_mode
    if stat.S_ISDIR(kind):
        raise Refused("is a folder, not a file")
    if not stat.S_ISREG(kind):
        raise Refused("is not a regular file")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        return found.st_size, found.st_mtime_ns
    finally:
        os.close(descriptor)


def _enter(parent: int, name: str, path: str) -> int:
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
        return os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    except (NotADirectoryError, FileNotFoundError) as error:
        raise Refused(f"{path} is a link or a file where a folder of the job belongs: remove it") from error
    except OSError as error:
        raise Refused(f"{path} can't be made ({error.strerror}): {_advice(error)}") from error


def publish(own: str, user: User | None = None) -> str:
    """As `user`, where one is given. Move what is in `TASK/attempts/OWN` to TASK, and what was in TASK to `attempts/OWN.replaced`. Doing it again is fine."""
    if user is not None:
        become(user)
    attempts = os.path.dirname(own)
    task = os.path.dirname(attempts)
    try:
        if not stat.S_ISDIR(os.lstat(own).st_mode):
            return task  # a link already
        aside = f"{own}.replaced"
        with contextlib.suppress(FileExistsError):
            os.mkdir(aside)
        for old in os.listdir(task):
            if old != os.path.basename(attempts):
                os.rename(f"{task}/{old}", f"{aside}/{old}")
        for new in os.listdir(own):
            os.rename(f"{own}/{new}", f"{task}/{new}")
        os.rmdir(own)
        os.symlink("..", own)
    except OSError as error:
        raise Refused(f"the results in {own} can't be moved to {task} ({error.strerror}): {_advice(error)}") from error
    return task


def measure_outputs(folder: str, job_ids: Iterable[str], budget_s: float) -> dict[str, object]:
    """`found`: name, bytes, time of change in nanoseconds and device:inode of each of these jobs' output folders that is
    there. `more`: after so many seconds some weren't looked at. No link is followed, not even in place of a folder."""
    end_s = time.monotonic() + budget_s
    found: list[tuple[str, int, int, str]] = []
    with _jobs_folder(folder) as jobs:
        if jobs is None:
            return {"found": found, "more": False}
        for job_id in job_ids:
            if time.monotonic() > end_s:
                return {"found": found, "more": True}
            with contextlib.suppress(OSError):
                seen = os.stat(job_id, dir_fd=jobs, follow_symlinks=False)
                if stat.S_ISDIR(seen.st_mode):
                    size = seen.st_blocks * 512 + _bytes_below(job_id, jobs, end_s)
                    found.append((job_id, size, seen.st_mtime_ns, f"{seen.st_dev}:{seen.st_ino}"))
    return {"found": found, "more": False}


def remove_outputs(folder: str, job_ids: Iterable[str], budget_s: float) -> dict[str, object]:
    """Remove these jobs' output folders. `removed`: those that have gone; `troubles`: why others haven't, in words.

    `more`: after so many seconds none was begun any more.
    """
    import shutil  # only here: it would take a fifth of every other start

    end_s = time.monotonic() + budget_s
    removed: list[str] = []
    troubles: list[str] = []
    with _jobs_folder(folder) as jobs:
        for job_id in job_ids if jobs is not None else ():
            if time.monotonic() > end_s:
                return {"removed": removed, "troubles": troubles, "more": True}
            try:
                shutil.rmtree(job_id, dir_fd=jobs)  # by descriptors: it leaves the folder through no link
            except FileNotFoundError:
                continue
            except OSError as error:
                troubles.append(f"{folder}/jobs/{job_id} can't be removed: {error.strerror or error}")
            else:
                removed.append(job_id)
    return {"removed": removed, "troubles": troubles, "more": False}


@contextlib.contextmanager
def _jobs_folder(folder: str) -> Iterator[int | None]:
    """`folder`'s jobs/, where it is a folder, not a link to one."""
    opened: list[int] = []
    try:
        with contextlib.suppress(FileNotFoundError):
            opened.append(os.open(folder, os.O_PATH | os.O_DIRECTORY))
            opened.append(os.open("jobs", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened[0]))
        yield opened[1] if len(opened) > 1 else None
    except OSError as error:
        raise Refused(f"{folder}/jobs can't be reached ({error.strerror})") from error
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _bytes_below(name: str, parent: int, end_s: float) -> int:
    """What lies below a folder takes; of a large one what was seen in time."""
    total = 0
    seen: set[tuple[int, int]] = set()
    for _, folders, files, descriptor in os.fwalk(name, dir_fd=parent):
        for one in (*folders, *files):
            with contextlib.suppress(OSError):
                found = os.stat(one, dir_fd=descriptor, follow_symlinks=False)
                if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                    if (found.st_dev, found.st_ino) in seen:
                        continue
                    seen.add((found.st_dev, found.st_ino))
                total += found.st_blocks * 512
        if time.monotonic() > end_s:
            break
    return total


_ANSWERS: dict[str, Callable[..., object]] = {
    "check_input": check_input,
    "check_output": check_output,
    "find_file": find_file,
    "make_output": make_output,
    "publish": publish,
    "measure_outputs": measure_outputs,
    "remove_outputs": remove_outputs,
}


def _main() -> None:
    question, *arguments = json.load(sys.stdin)
    try:
        answer = {"answer": _ANSWERS[question](*arguments)}
    except Refused as refusal:
        answer = {"refused": str(refusal)}
    json.dump(answer, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # nothing that is left to do may hang


if __name__ == "__main__":
    _main()
