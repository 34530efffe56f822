"""`python -m opsconsole_coordinator.transfer DESCRIPTOR`: the descriptor is of a socket to the coordinator that started this."""

import os
import resource
import signal
import socket
import sys
import threading

from opsconsole_coordinator.transfer.process import serve

FILES_WANTED = 65_536
STACK_BYTES = 512 * 1024
"""Of a stream's thread."""


def main() -> None:
    """Serve until the coordinator is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Whoever stops the coordinator may tell all of its processes so. Its own end is the end of this, and not an accident before.
        signal.signal(number, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    threading.stack_size(STACK_BYTES)
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        serve(sock)
    os._exit(0)  # threads that wait for a peer have nothing left to finish: what is half received is resumed


main()
