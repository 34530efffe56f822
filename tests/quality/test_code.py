"""Style, types and import contracts, by the tools that judge them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "command",
    [
        pytest.param((BIN / "ruff", "check", "."), id="ruff check"),
        pytest.param((BIN / "ruff", "format", "--check", "."), id="ruff format"),
        pytest.param((BIN / "mypy",), id="mypy", marks=pytest.mark.longest),
        pytest.param((BIN / "lint-imports",), id="import contracts"),
    ],
)
def test_a_tool_finds_nothing(command: tuple[Path | str, ...]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_has_grown_past_its_one_subject() -> None:
    sources = [
        path
        for folder in ("protocol", "coordinator", "agent", "client", "console")
        for path in (ROOT / folder).rglob("*.py")
    ]
    long = {
        str(path.relative_to(ROOT)): lines for path in sources if (lines := len(path.read_text().splitlines())) > 500
    }
    assert not long, f"past 500 lines a file asks to be two: {long}"


def test_the_lock_file_is_up_to_date() -> None:
    assert (ROOT / "uv.lock").exists()
    locked = (ROOT / "uv.lock").read_text()
    assert 'name = "opsconsole"' in locked


def test_no_test_has_a_name_as_long_as_what_it_is_given(request: pytest.FixtureRequest) -> None:
    long = [item.nodeid[:100] for item in request.session.items if len(item.nodeid) > 1_000]
    assert not long, f"name its parameters with `ids`: {long}"
