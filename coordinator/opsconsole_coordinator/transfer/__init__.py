"""The coordinator's bytes, in a process of their own: what it relays, and what it keeps.

`python -m opsconsole_coordinator.transfer` is started by `server/transfer_process.py`, which hands it connections and tells it
what may come by them. It imports the protocol and the standard library only, and ends with the coordinator.
"""
