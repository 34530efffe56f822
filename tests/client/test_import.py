"""`import opsconsole` costs next to nothing, and its names are there all the same."""

import subprocess
import sys

import opsconsole

_HEAVY = ("asyncio", "msgspec", "websockets", "textual", "rich", "starlette", "sqlite3", "platformdirs", "ssl")


def test_importing_loads_nothing_heavy() -> None:
    code = f"import sys, opsconsole; print([name for name in {_HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert {name for name in opsconsole.__all__ if getattr(opsconsole, name) is None} == set()
    assert set(opsconsole.__all__) <= set(dir(opsconsole))
    assert opsconsole.JobSpec(command=("true",)).resources == opsconsole.Resources()


def test_an_unknown_name_is_an_ordinary_error() -> None:
    assert not hasattr(opsconsole, "Clint")
