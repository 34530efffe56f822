"""What the documents say exists: commands, files, and the diagram that is drawn from the tables."""

import re
import shlex
from pathlib import Path

import pytest

from opsconsole_console.cli import build_parser
from tests.quality import diagram

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
_BLOCK = re.compile(r"^```(?:sh|console|ini)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(opsconsole [^`\n]+)`")
_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
_PLACEHOLDERS = {
    "JOB": "abc",
    "NAME": "n",
    "LINE": "wss://h:1#0.0.0",
    "ID": "abc",
    "ID…": "abc",
    "DIR": "d",
    "URL": "ws://127.0.0.1:1",
}


def commands() -> list[tuple[str, str]]:
    """Every opsconsole command line in the documents, with its page."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        text = page.read_text()
        lines = [line for block in _BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
        shown = [line.strip().removeprefix("$ ").removeprefix("ExecStart=/usr/local/bin/") for line in lines]
        found += [(page.name, line) for line in shown if line.startswith("opsconsole ")]
        found += [(page.name, line) for line in _INLINE.findall(_BLOCK.sub("", text))]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_documented_command_is_understood(page: str, line: str) -> None:
    words = [_PLACEHOLDERS.get(word, word) for word in shlex.split(line, comments=True)[1:]]
    words = [word for word in words if word not in {"…", "...", "|"}]
    if "--" in words:
        words = words[: words.index("--")]
    if "--help" in words or "--version" in words:
        return
    try:
        build_parser(words).parse_args(words)
    except SystemExit as end:
        pytest.fail(f"{page}: {line!r} is not understood (exit {end.code})")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    missing = [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


def test_the_diagram_is_drawn_from_the_tables() -> None:
    assert diagram.PAGE.read_text() == diagram.page(), "run `python -m tests.quality.diagram`"


def test_the_commands_of_the_readme_set_everything_up() -> None:
    readme = (ROOT / "README.md").read_text()
    setups = [
        line for line in readme.splitlines() if line.startswith("python3 -m venv .uv && .uv/bin/pip install -q uv && ")
    ]
    assert [line.rsplit("&& ", 1)[1].split()[:2] for line in setups] == [[".uv/bin/uv", "run"]] * 2
    assert setups[0].endswith(" opsconsole")
    assert " pytest" in setups[1]


def named_files() -> list[tuple[str, str]]:
    """Every Python file of ours that a page names in backticks; what a reader's own command runs is none."""
    found = {
        (page.name, name) for page in PAGES for name in re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", page.read_text())
    }
    return sorted((page, name) for page, name in found if page != "CHANGELOG.md" and name not in {"train.py", "fit.py"})


@pytest.mark.parametrize(("page", "name"), named_files())
def test_a_file_that_a_page_names_is_there(page: str, name: str) -> None:
    folders = ("protocol", "coordinator", "agent", "client", "console", "tests", "bench", "examples")
    assert any(f"/{path}".endswith(f"/{name}") for folder in folders for path in (ROOT / folder).rglob("*.py")), page


def test_the_tree_of_the_house_has_every_folder() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    tree = re.findall(r"^(?:(\w+/opsconsole\w*)|    (\w+))/(?: |$)", page, re.MULTILINE)
    shown: dict[str, set[str]] = {}
    for package, folder in tree:
        if package:
            shown[package] = set()
        else:
            shown[list(shown)[-1]].add(folder)
    packages = [ROOT / package for package in shown]
    there = {
        str(package.relative_to(ROOT)): {path.parent.name for path in package.glob("*/__init__.py")}
        for package in packages
    }
    assert shown == there
    assert len(shown) == 5
