"""Shared by every test: the repository's root is importable, so tests can share modules as `tests.…`."""

import contextlib
import gc
import importlib
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

NAME_CHARACTERS = 60

# Where this is set every program that a test starts compiles all its modules anew, which takes longer than all else it does.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The suite's own modules and what they import are a large heap that stays: collecting it again and again took a tenth of all time.
gc.set_threshold(100_000, 50, 100)

# No deadlines: what takes 200 ms on a busy machine isn't wrong. `HYPOTHESIS_PROFILE=thorough` looks longer.
settings.register_profile("moderate", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "moderate"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first: whoever begins with it last would have everybody wait in the end."""
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


def pytest_collection_finish() -> None:
    """Take that heap out of all passes: a coordinator begins with a full one, which took longer than all else in a test of it."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object) -> str | None:
    """A long text is named by its beginning: names of ten million characters were sent about with each report."""
    if not isinstance(val, str | bytes) or len(val) <= NAME_CHARACTERS:
        return None
    return f"{val[:NAME_CHARACTERS]!r} and {len(val) - NAME_CHARACTERS} more"


def pytest_collection(session: pytest.Session) -> None:
    """Workers that collect everything begin at different places.

    In a fresh checkout all modules are compiled first: whoever comes to one that another has compiled has it from there.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None or session.config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    paths = sorted((ROOT / "tests").rglob("test_*.py"))
    first = int(worker["workerid"].removeprefix("gw")) * len(paths) // worker["workercount"]
    for path in paths[first:] + paths[:first]:
        with contextlib.suppress(Exception, pytest.skip.Exception):  # it is said where the module is collected
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
