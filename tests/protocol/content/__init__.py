"""Tests of manifests, and of the two sides of a transfer."""
