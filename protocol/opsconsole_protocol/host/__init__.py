"""The part of the protocol that touches the machine: dialling a coordinator, and files that only their owner may read."""
