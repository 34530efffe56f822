"""The file that calls functions in tasks: in a process that has nothing of ours installed, as a worker starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from opsconsole.call import CALLS, CALLS_FILE, PICKLE_FILE, RESULT_BYTES_MAX, RESULT_FILE, check_json
from opsconsole_agent.state.sdk_folder import install_sdk

_CODE = """
import sys

class Odd:
    pass

class Broken(Exception):
    def __str__(self):
        return "no\\n" + 5_000 * "x"

def give(value):
    return value

def large(size):
    return size * "x"

def odd():
    return Odd()

async def later():
    return 1

def unpicklable():
    return lambda: 1

def fail(depth):
    raise Broken if depth == 0 else Broken() from ValueError("why")

def leave(code):
    sys.exit(code)
"""


class Place:
    """A task's folders."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "out"
        self.folder = folder / "code"
        self.folder.mkdir()
        (self.folder / "sums.py").write_text(_CODE)
        self.sdk = install_sdk(folder)

    def call(self, *words: str, calls: Any = None, **environ: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            "PYTHONPATH": self.sdk,
            "PATH": os.defpath,
            "OPSCONSOLE_OUTPUT_PATH": str(self.output),
            "OPSCONSOLE_ATTEMPT_ID": "2",
        }
        environment |= {} if calls is None else {CALLS: json.dumps(calls)}
        return subprocess.run(
            [sys.executable, "-S", "-m", "opsconsole.call", *words],
            env=environment | environ, cwd=self.folder, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    @property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.output / RESULT_FILE).read_text())
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_is_returned_is_kept_as_json_or_else_as_a_pickle_and_no_older_result_stays(place: Place) -> None:
    calls = [[[{"a": [1, 2.5, None, "ü"]}], {}], [[], {"value": 7}]]
    assert place.call("sums:give", calls=calls).returncode == 0
    assert place.result == {"value": {"a": [1, 2.5, None, "ü"]}, "attempt": "2"}
    assert place.call("sums:give", "1", calls=calls).returncode == 0
    assert place.result["value"] == 7
    assert place.call("sums:odd", calls=[[[], {}]]).returncode == 0
    assert place.result["pickle"] == "sums.Odd"
    assert (place.output / PICKLE_FILE).stat().st_size == place.result["size"]
    assert place.call("sums:leave", calls=[[[], {"code": 85}]]).returncode == 85
    assert not list(place.output.iterdir())
    assert place.call("sums:leave", calls=[[[], {"code": 0}]]).returncode == 0
    assert place.result["value"] is None


@pytest.mark.parametrize(
    ("words", "arguments", "kind", "message"),
    [
        (("sums:fail",), {"depth": 1}, "sums.Broken", "no\nx"),
        (("sums:unpicklable",), {}, "TypeError", "a function, can be kept neither as JSON nor as a pickle: "),
        (("sums:later",), {}, "TypeError", "a coroutine, can be kept neither as JSON nor as a pickle: "),
        (("sums:large",), {"size": RESULT_BYTES_MAX}, "ResultTooLarge", "write it to a file in OPSCONSOLE_OUTPUT_PATH"),
        (("sums:gone",), {}, "AttributeError", "gone"),
        (("none:at_all",), {}, "ModuleNotFoundError", "none"),
        (("sums:__name__",), {}, "TypeError", "can't be called"),
        (("sums:give",), {"other": 1}, "TypeError", "other"),
    ],
)
def test_what_is_raised_is_kept_too(
    place: Place, words: tuple[str], arguments: dict[str, Any], kind: str, message: str
) -> None:
    done = place.call(*words, calls=[[[], arguments]])
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    error = place.result["error"]
    assert error["type"] in {kind, "_pickle.PicklingError", "pickle.PicklingError"}
    assert message in error["message"]
    assert len(error["message"]) <= 2_000
    assert len(error["traceback"]) <= 16_000
    assert len(error["traceback"].splitlines()) <= 30


def test_a_file_says_with_what_it_is_called_where_the_environment_is_too_small(place: Place, tmp_path: Path) -> None:
    inputs = tmp_path / CALLS_FILE
    inputs.write_text(json.dumps([[["x" * 200_000], {}]]))
    assert place.call("sums:give", OPSCONSOLE_INPUTS=f"/other\n{inputs}").returncode == 0
    assert len(place.result["value"]) == 200_000


@pytest.mark.parametrize(
    ("words", "environ", "said"),
    [
        (("sums:give",), {}, "nothing says with what the function is called"),
        (("sums:give", "3"), {CALLS: "[]"}, "has no call 3"),
        (("sums:give", "x"), {CALLS: "[]"}, "name one function"),
        ((), {CALLS: "[]"}, "name one function"),
        (("sums:give",), {CALLS: "{"}, "has no call 0"),
        (("sums:give",), {CALLS: "[]", "OPSCONSOLE_OUTPUT_PATH": ""}, "no place for what a function returns"),
    ],
)
def test_what_is_no_call_is_one_line(place: Place, words: tuple[str, ...], environ: dict[str, str], said: str) -> None:
    done = place.call(*words, **environ)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_json_has_a_word_for_what_comes_back_as_it_was() -> None:
    check_json({"a": [1, 2.5, None, True, "x", (1,)]})
    for value in ({1: 2}, {1, 2}, b"x", object(), {"a": [1j]}):
        with pytest.raises(TypeError):
            check_json(value)
