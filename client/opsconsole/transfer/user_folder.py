"""Where a person's transfers leave their traces on this machine: caches that may go, and records that must stay."""

from pathlib import Path


def cache_folder() -> Path:
    """What may be thrown away at any time: hashes of files."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("opsconsole", appauthor=False))


def record_folder() -> Path:
    """What is to be gone on with, and what was done."""
    import platformdirs

    return Path(platformdirs.user_state_dir("opsconsole", appauthor=False)) / "transfers"
