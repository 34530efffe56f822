"""The keeper: parent and sub-reaper of every attempt, and the agent's link to it.

`main` and what it imports run in a process of their own, with the standard library only; `link` and `message` are the
agent's side. Nothing is imported here, so that the keeper's process stays small.
"""
