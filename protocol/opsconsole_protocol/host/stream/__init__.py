"""Streams of bytes from this machine to another, by every way. Everything here blocks: call it from threads.

`transfer.move` does a transfer from its beginning to its end; `negotiation.open_stream` opens one stream, at either end.
"""
