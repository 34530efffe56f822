"""One way to move bytes: a stream between two parties of the fleet, whichever way it takes.

Nothing here touches the machine. `host/stream/` has the sockets.
"""
