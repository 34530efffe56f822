"""Deterministic simulation of coordinator and agents: every fault schedule comes from one seed."""
