"""A core is entered in one way. The coordinator's servers know its reactor, what is shown of it and its entities, and nothing
else. The agent's shells know its reactor, events, effects and intents.
"""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_coordinator.core.fleet import Fleet

PACKAGE = "opsconsole_coordinator"
REPOSITORY = Path(__file__).resolve().parents[2]
ROOT = REPOSITORY / "coordinator" / PACKAGE
AGENT = "opsconsole_agent"
AGENT_ROOT = REPOSITORY / "agent" / AGENT
ENTRIES = frozenset(
    {
        "checkpoint",
        "reactor",
        "view",
        "usage_view",
        "reservation_view",
        "turn_forecast",
        "model",
        "task",
        "usage_day",
        "reserved_offer",
    }
)
STORE_ENTRIES = frozenset(
    {
        "batch",
        "calendar",
        "dependent",
        "estimate",
        "fleet",
        "loading",
        "model",
        "reserving",
        "task",
        "templates",
        "terms",
        "usage_day",
    }
)
"""The store writes batches and builds a fleet."""
LOOKS = frozenset({"current", "live_attempts", "project_status"})
"""What a fleet can be asked without changing it."""
AGENT_ENTRIES = frozenset({"reactor", "event", "effect", "intent"})
CHANGES = frozenset(name for name, _ in inspect.getmembers(Fleet, inspect.isfunction)) - LOOKS


def imports(tree: ast.AST, folder: str = f"{PACKAGE}.core") -> Iterator[str]:
    """The modules of a folder that a file imports; "*" where it imports the folder itself."""
    package, _, name = folder.rpartition(".")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == folder:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{folder}."):
            yield (node.module or "").split(".")[2]
        elif isinstance(node, ast.ImportFrom) and node.module == package:
            yield from ("*" for alias in node.names if alias.name == name)
        elif isinstance(node, ast.Import):
            names = (f"{alias.name}.*" for alias in node.names if f"{alias.name}.".startswith(f"{folder}."))
            yield from (one.split(".")[2] for one in names)


def changes(tree: ast.AST) -> Iterator[str]:
    """Where a file changes a fleet by itself: calls what changes one, or sets a field of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in CHANGES and _is_fleet(node.func.value):
                yield f"line {node.lineno}: {node.func.attr}()"
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del) and _is_fleet(node.value):
            yield f"line {node.lineno}: {node.attr} ="


def _is_fleet(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.lstrip("_") == "fleet"


def wrong(source: str, allowed: frozenset[str]) -> list[str]:
    """What a file does that it may not."""
    tree = ast.parse(source)
    return [f"imports {one}" for one in imports(tree) if one not in allowed] + list(changes(tree))


def test_servers_enter_the_core_by_its_reactor() -> None:
    files = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] not in {"core", "store"}]
    assert len(files) > 30
    assert {str(path): found for path in files if (found := wrong(path.read_text(), ENTRIES))} == {}


def test_the_store_knows_batches_entities_and_what_builds_a_fleet() -> None:
    files = [path for path in (ROOT / "store").glob("*.py") if path.name != "rebuild.py"]
    assert {str(path): found for path in files if (found := wrong(path.read_text(), STORE_ENTRIES))} == {}
    assert set(imports(ast.parse((ROOT / "store" / "rebuild.py").read_text()))) <= STORE_ENTRIES


def test_the_shells_of_the_agent_enter_its_core_by_the_reactor_events_effects_and_intents() -> None:
    files = [path for path in AGENT_ROOT.rglob("*.py") if path.relative_to(AGENT_ROOT).parts[0] != "core"]
    assert len(files) > 50
    found = {str(path): {*imports(ast.parse(path.read_text()), f"{AGENT}.core")} - AGENT_ENTRIES for path in files}
    assert {path: modules for path, modules in found.items() if modules} == {}


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from opsconsole_agent.core.lifecycle import KILL_AGAIN_MS", "lifecycle"),
        ("from opsconsole_agent.core import local_attempt", "local_attempt"),
        ("import opsconsole_agent.core.slot", "slot"),
        ("from opsconsole_agent import core", "*"),
        ("import opsconsole_agent.core", "*"),
    ],
)
def test_another_way_into_the_agent_is_seen(source: str, module: str) -> None:
    assert list(imports(ast.parse(source), f"{AGENT}.core")) == [module]


@pytest.mark.parametrize(
    "source",
    [
        "from opsconsole_coordinator.core import control",
        "from opsconsole_coordinator.core.schedule import schedule",
        "import opsconsole_coordinator.core.liveness",
        "self._commit_loop.fleet.audit(now_ms, actor, kind, text, subject)",
        "fleet.must_schedule = True",
        "commit_loop.fleet.adopting, x = False, True",
        "self._fleet.send(worker, message)",
    ],
)
def test_another_way_in_is_seen(source: str) -> None:
    assert wrong(source, ENTRIES)
