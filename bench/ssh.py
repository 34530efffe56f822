"""An sshd of our own on loopback, against which `scp` and `rsync` are measured. Debian: `apt-get install rsync openssh-server`."""

import contextlib
import getpass
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_TOOLS = ("ssh", "scp", "rsync", "ssh-keygen")
_SSHD = ("/usr/sbin/sshd", "/usr/local/sbin/sshd")
_START_S = 10.0


class NoSsh(Exception):
    """Raised where something is missing; the message says what to install."""


@dataclass(frozen=True)
class Took:
    """What one copy took, of both ends together."""

    wall_s: float
    cpu_s: float


def check() -> None:
    """Raise NoSsh unless everything is installed."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if not any(Path(path).exists() for path in _SSHD):
        missing.append("sshd")
    if missing:
        raise NoSsh(f"{', '.join(missing)} missing: apt-get install rsync openssh-server")


def copy(folder: Path, source: Path, destination: Path, tool: str) -> Took:
    """Copy the contents of a folder to another one through ssh, with `scp` or `rsync`. `folder`: for keys.

    Raises CalledProcessError.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with _sshd(folder) as (port, options):
        began_s = time.monotonic()
        target = f"{getpass.getuser()}@127.0.0.1:{destination}/"
        if tool == "scp":
            command = ["scp", "-q", "-r", "-P", str(port), *options, *map(str, sorted(source.iterdir())), target]
        else:
            command = ["rsync", "-a", "-e", " ".join(("ssh", "-p", str(port), *options)), f"{source}/", target]
        subprocess.run(command, check=True)
        wall_s = time.monotonic() - began_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@contextlib.contextmanager
def _sshd(folder: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Run sshd until the end of the block; yield its port and ssh's options."""
    folder.mkdir(exist_ok=True)
    for name in ("host", "user"):
        if not (folder / name).exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = int(sock.getsockname()[1])
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        f"StrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\nSubsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    sshd = next(path for path in _SSHD if Path(path).exists())
    process = subprocess.Popen([sshd, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        known = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")
        yield port, ("-i", str(folder / "user"), "-o", "IdentitiesOnly=yes", *known)
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    until_s = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > until_s:
            raise NoSsh("sshd doesn't start: see `sshd -D -e`")
        time.sleep(0.02)
