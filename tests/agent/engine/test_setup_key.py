"""Which setups are the same, and what is good for which code."""

import json
from pathlib import Path

import pytest

from opsconsole_agent.engine.setup_key import Binding, binding, holds_code, is_lock_file, python_of, setup_key
from opsconsole_protocol.content.digest import chunk_digest
from opsconsole_protocol.content.manifest import Entry, EntryKind


def entries(**files: str) -> list[Entry]:
    """Files by their names, with `__` for a slash and `_` for a dot."""
    return [
        Entry(
            name.replace("__", "/").replace("_", ".").encode(),
            EntryKind.FILE,
            0o644,
            len(text),
            chunk_digest(text.encode()),
        )
        for name, text in files.items()
    ]


@pytest.mark.parametrize(
    "path",
    [b"uv.lock", b"sub/pyproject.toml", b"requirements.txt", b"requirements-gpu.txt", b"requirements/base.txt",
     b"environment.yml", b"package-lock.json", b"Pipfile.lock", b"poetry.lock"],
)  # fmt: skip
def test_what_tools_install_by_is_a_lock_file(path: bytes) -> None:
    assert is_lock_file(path)


@pytest.mark.parametrize(
    "path", [b"train.py", b"requirements/notes.md", b"a/uv.lock.bak", b"environment.py", b"\xff.txt"]
)
def test_nothing_else_is(path: bytes) -> None:
    assert not is_lock_file(path)


def test_what_a_setup_writes_is_code_unless_it_is_a_lock_or_a_cache() -> None:
    """`uv sync` without a lock file in the code writes one."""
    assert [holds_code(path) for path in (b"uv.lock", b"a/__pycache__/b.pyc", b"a/__pycache__")] == [False] * 3
    assert [holds_code(path) for path in (b"node_modules/a.js", b"build/x.so")] == [True] * 2


def test_a_setup_is_another_one_with_another_line_lock_file_python_or_user() -> None:
    code = entries(uv_lock="1", train_py="a")
    key = setup_key("uv sync", code, "3.12", -1)
    assert key == setup_key("uv sync", list(reversed(entries(uv_lock="1", train_py="b"))), "3.12", -1)
    others = {
        setup_key("uv sync --all-extras", code, "3.12", -1),
        setup_key("uv sync", entries(uv_lock="2", train_py="a"), "3.12", -1),
        setup_key("uv sync", entries(sub__uv_lock="1"), "3.12", -1),
        setup_key("uv sync", code, "3.13", -1),
        setup_key("uv sync", code, "3.12", 1000),
    }
    assert len(others | {key}) == 6


def test_a_python_is_told_by_its_file(tmp_path: Path) -> None:
    assert python_of(str(tmp_path)) == ""
    program = tmp_path / "python3"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    first = python_of(str(tmp_path))
    assert first.startswith(str(program))
    program.write_text("#!/bin/sh\nexit 1  # another\n")
    assert python_of(str(tmp_path)) != first


def packages(tmp_path: Path) -> Path:
    """The folder of packages in a virtual environment."""
    folder = tmp_path / "env" / "lib" / "python3.12" / "site-packages"
    folder.mkdir(parents=True)
    return folder


CASES = {
    "nothing of the code": (
        "numpy.dist-info/direct_url.json",
        json.dumps({"url": "https://x/numpy.whl"}),
        Binding.NONE,
    ),
    "another folder": ("a.dist-info/direct_url.json", json.dumps({"url": "file:///work/codex"}), Binding.NONE),
    "a copy of the code": (
        "a.dist-info/direct_url.json",
        json.dumps({"url": "file:///work/code", "dir_info": {}}),
        Binding.CODE,
    ),
    "a part of the code": ("a.dist-info/direct_url.json", json.dumps({"url": "file:///work/code/sub"}), Binding.CODE),
    "an editable install": (
        "a.dist-info/direct_url.json",
        json.dumps({"url": "file:///work/code", "dir_info": {"editable": True}}),
        Binding.FOLDER,
    ),
    "a path file": ("a.pth", "/work/code/src\n", Binding.FOLDER),
    "a finder": ("__editable___a_finder.py", "MAPPING = {'a': '/work/code/a'}", Binding.FOLDER),
    "what nobody can read": ("a.dist-info/direct_url.json", "[" * 100_000, Binding.NONE),
}


@pytest.mark.parametrize(("name", "text", "expected"), CASES.values(), ids=CASES)
def test_an_environment_that_has_some_of_the_code_is_for_that_code(
    tmp_path: Path, name: str, text: str, expected: Binding
) -> None:
    path = packages(tmp_path) / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert binding(tmp_path / "env", "/work/code") is expected


def test_a_link_among_the_packages_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other.pth").write_text("/work/code\n")
    (packages(tmp_path) / "a.pth").symlink_to(tmp_path / "other.pth")
    assert binding(tmp_path / "env", "/work/code") is Binding.NONE
