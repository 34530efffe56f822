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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator's own end is the end of this
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    threading.stack_size(STACK_BYTES)
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        serve(sock)
    os._exit(0)  # threads that wait for a peer have nothing left to finish: what is half received is resumed


main()
