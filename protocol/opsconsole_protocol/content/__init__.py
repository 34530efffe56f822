"""Bytes have names: what moves is a tree of files, named by the hash of its manifest, and how it moves doesn't matter.

Nothing here touches the machine: bytes and facts in, bytes and decisions out. `host/content/` has the files.
"""
