"""All that touches I/O paths. It is also a program that takes a call as JSON on stdin and prints the result as JSON.

A process that touches a mount which hangs can't be ended, even by SIGKILL. So the agent (`io_path`) runs these functions
in a process of their own, as `python -I -S io_child.py`, and doesn't wait for it too long. Little of the standard library
is imported, and nothing else, so a start takes about 20 ms.
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
from itertools import islice

ARROW_SUFFIXES = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
NAMES_LOOKED_AT_MAX = 1_000
"""Of a folder that is to be a dataset."""

_NO_FSYNC = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
"""What fsync fails with on filesystems that have none; the write itself has succeeded then."""

_PATTERN = b"opsconsole checks that this folder can be written\n"


UserIds = tuple[int, int, list[int]]
"""uid, gid and groups."""


class Refused(Exception):
    """Raised for what can't be done; the text says why, in one line."""


def check_input(folder: str) -> list[str]:
    """Return the problems of an input folder, which must exist, be a folder, and be readable."""
    try:
        _must_be_folder(folder)
        with os.scandir(folder) as entries:
            next(entries, None)
        os.stat(f"{folder}/.")  # that it can be listed doesn't mean that its files can be opened
    except Refused as refusal:
        return [f"input path {folder} {refusal}, or change --input-path"]
    except OSError as error:
        return [
            f"input path {folder} can't be read ({error.strerror}): let the worker's user read it, or change --input-path"
        ]
    return []


def check_output(folder: str) -> list[str]:
    """Return the problems of an output folder, which must exist, be a folder, and be writable."""
    try:
        _must_be_folder(folder)
        _write_and_remove(f"{folder}/.opsconsole-check-{os.getpid()}-{os.urandom(8).hex()}")
    except Refused as refusal:
        return [f"output path {folder} {refusal}, or change --output-path"]
    except OSError as error:
        return [f"output path {folder} can't be written ({error.strerror}): {_advice(error)}, or change --output-path"]
    return []


def check_mount(folder: str, label: str, writable: bool) -> list[str]:
    """Return the problems of a mount, which must exist, be a folder, be readable and, where it says so, be writable."""
    problems = check_output(folder) if writable else check_input(folder)
    kind = "output" if writable else "input"
    return [
        text.replace(f"{kind} path {folder}", f"mount {label} {folder}", 1).replace(
            f"change --{kind}-path", f"change --mount {label}=…"
        )
        for text in problems
    ]


def find_file(folder: str, name: str, or_folder: bool = False) -> tuple[str, int, int]:
    """Find the regular, readable file `name` in `folder`. Return its path, size in bytes and time of change in ns.

    `or_folder`: a folder will do, of which size and time are 0.

    `name` must be a file name, or a path without `..`. Raises Refused with a text that leaves out the name, which the caller puts in front.
    Links are resolved first, so the text doesn't tell whether a file outside the folder exists.
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
        found = os.path.join(folder, name) if path == plain else path
        return (found, 0, 0) if or_folder and stat.S_ISDIR(os.lstat(path).st_mode) else (found, *_stat_readable(path))
    except FileNotFoundError as error:
        if os.path.islink(plain):
            raise Refused("is a link to a file that does not exist") from error
        raise Refused(f"not found in {folder}: place it there first") from error
    except OSError as error:
        raise Refused(f"can't be read by the worker ({error.strerror})") from error


def find_dataset(folder: str, name: str) -> tuple[str, int, int, bool]:
    """As `find_file`, also of a folder; and whether Parquet or Arrow lies there, as far as the first names in it tell."""
    path, size_bytes, changed_ns = find_file(folder, name, or_folder=True)
    names = (one for _, _, files in os.walk(path) for one in files) if not changed_ns else iter((path,))
    has_arrow = any(one.lower().endswith(ARROW_SUFFIXES) for one in islice(names, NAMES_LOOKED_AT_MAX))
    return path, size_bytes, changed_ns, has_arrow


def make_output(folder: str, job_id: str, subfolders: Iterable[str], user: UserIds | None = None) -> str:
    """Make `{folder}/jobs/{job_id}` with its subfolders, as far as they aren't there yet. Return its path.

    Raises Refused. With `user`, the job's folder is given to that user, and this process becomes that user before it
    goes on below, so that it touches nothing of theirs as root. Each folder below `folder` is opened from the one above
    it, and never through a link, so nothing is made elsewhere.
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
            opened.append(_make_and_open(opened[-1], name, path))
        if user is not None:
            _chown_job_folder(opened[-2], job_id, path, user)
            switch_user(user)
        for name in subfolders:
            os.close(_make_and_open(opened[-1], name, os.path.join(path, name)))
        return path
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _chown_job_folder(parent: int, name: str, path: str, user: UserIds) -> None:
    """Give a folder in `jobs` to a user. `jobs` is ours, so nobody else can have put a link there."""
    try:
        os.chown(name, user[0], user[1], dir_fd=parent, follow_symlinks=False)
    except OSError as error:
        raise Refused(
            f"{path} can't be given to user {user[0]} ({error.strerror}): is it on a mount that refuses root?"
        ) from error


def switch_user(user: UserIds) -> None:
    """Become this user for good."""
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


def _stat_readable(path: str) -> tuple[int, int]:
    """Return size in bytes and time of change in ns of a regular file, once it could be opened for reading.

    Raises Refused for anything else, as opening a device or fifo may have effects; else OSError.
    """
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


def _make_and_open(parent: int, name: str, path: str) -> int:
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
        return os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    except (NotADirectoryError, FileNotFoundError) as error:
        raise Refused(f"{path} is a link or a file where a folder of the job belongs: remove it") from error
    except OSError as error:
        raise Refused(f"{path} can't be made ({error.strerror}): {_advice(error)}") from error


def publish(own: str, user: UserIds | None = None) -> str:
    """Move what is in `TASK/attempts/OWN` to TASK, and what was in TASK to `attempts/OWN.replaced`. Return TASK.

    With `user` it is done as that user. Raises Refused; the call can be repeated.
    """
    if user is not None:
        switch_user(user)
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
    """Measure the output folders of these jobs that exist. No link is followed: one in place of a folder counts by itself.

    Return `found`, a list of job id, bytes, time of change in ns and device:inode; and `more`, whether some weren't
    measured within `budget_s`. Raises Refused.
    """
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
                below = _bytes_below(job_id, jobs, end_s) if stat.S_ISDIR(seen.st_mode) else 0
                size = seen.st_blocks * 512 + below
                found.append((job_id, size, seen.st_mtime_ns, f"{seen.st_dev}:{seen.st_ino}"))
    return {"found": found, "more": False}


def remove_outputs(folder: str, job_ids: Iterable[str], budget_s: float) -> dict[str, object]:
    """Remove the output folders of these jobs, or what a task has put in the place of one: a link goes, and not where it leads.

    Return `removed`, the job ids of those that were; `troubles`, in words why others weren't; and `more`, whether some
    weren't begun within `budget_s`. Raises Refused.
    """
    import shutil  # only here, as it would make every other start a fifth slower

    end_s = time.monotonic() + budget_s
    removed: list[str] = []
    troubles: list[str] = []
    with _jobs_folder(folder) as jobs:
        for job_id in job_ids if jobs is not None else ():
            if time.monotonic() > end_s:
                return {"removed": removed, "troubles": troubles, "more": True}
            try:
                if stat.S_ISDIR(os.stat(job_id, dir_fd=jobs, follow_symlinks=False).st_mode):
                    shutil.rmtree(job_id, dir_fd=jobs)  # works by descriptors, so it follows no link
                else:
                    os.unlink(job_id, dir_fd=jobs)
            except FileNotFoundError:
                continue
            except OSError as error:
                troubles.append(f"{folder}/jobs/{job_id} can't be removed: {error.strerror or error}")
            else:
                removed.append(job_id)
    return {"removed": removed, "troubles": troubles, "more": False}


def count_files(folder: str, entries_max: int, budget_s: float) -> list[int] | None:
    """Return how many files lie in an output folder and how large they are together; None where that isn't known.

    It isn't where there are more entries than `entries_max`, or it takes longer than `budget_s`. No link is followed. What
    other attempts have left in `attempts` doesn't count.
    """
    end_s = time.monotonic() + budget_s
    files = size = entries = 0
    try:
        for path, folders, names, descriptor in os.fwalk(folder, onerror=_raise):
            if path == folder and "attempts" in folders:
                folders.remove("attempts")
            entries += len(folders) + len(names)
            if entries > entries_max or time.monotonic() > end_s:
                return None
            for name in names:
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    files += 1
                    size += found.st_size
    except FileNotFoundError as error:
        return [0, 0] if error.filename == folder else None
    except OSError:
        return None
    return [files, size]


def _raise(error: OSError) -> None:
    raise error


@contextlib.contextmanager
def _jobs_folder(folder: str) -> Iterator[int | None]:
    """Yield a descriptor of `{folder}/jobs`, or None where it doesn't exist. Raises Refused, also where it is a link."""
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
    """Return the bytes on disk of what is below a folder; of a large one, of what was reached by `end_s`."""
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


_FUNCTIONS: dict[str, Callable[..., object]] = {
    "check_input": check_input,
    "check_output": check_output,
    "check_mount": check_mount,
    "find_file": find_file,
    "find_dataset": find_dataset,
    "make_output": make_output,
    "publish": publish,
    "measure_outputs": measure_outputs,
    "remove_outputs": remove_outputs,
    "count_files": count_files,
}


def _main() -> None:
    function, *arguments = json.load(sys.stdin)
    try:
        result = {"answer": _FUNCTIONS[function](*arguments)}
    except Refused as refusal:
        result = {"refused": str(refusal)}
    json.dump(result, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # what the interpreter does at its end might hang


if __name__ == "__main__":
    _main()
