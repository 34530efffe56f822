"""The keeper: a process of its own that is parent and sub-reaper of every attempt. `keeper_client` is the agent's side.

`main` and all that it imports need the standard library only. Nothing is imported here, so that the keeper stays small.
"""
