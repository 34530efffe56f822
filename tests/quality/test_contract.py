"""The import contracts of pyproject.toml can fail: of each kind one wrong import is planted, and the contract breaks."""

import ast
import copy
import sys
from functools import cache
from pathlib import Path
from typing import Any, cast

import grimp
import pytest
from importlinter.api import read_configuration
from importlinter.contracts.acyclic_siblings import AcyclicSiblingsContract
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract
from importlinter.contracts.protected import ProtectedContract
from importlinter.domain.contract import Contract

ROOT = Path(__file__).resolve().parents[2]
KINDS: dict[str, type[Contract]] = {
    "layers": LayersContract,
    "forbidden": ForbiddenContract,
    "acyclic_siblings": AcyclicSiblingsContract,
    "protected": ProtectedContract,
}


@cache
def configuration() -> dict[str, Any]:
    """What pyproject.toml says to import-linter."""
    return cast("dict[str, Any]", read_configuration(str(ROOT / "pyproject.toml")))


@cache
def house() -> grimp.ImportGraph:
    """Every import of the product, those for types and those within functions included."""
    return grimp.build_graph(*configuration()["session_options"]["root_packages"], include_external_packages=True)


def is_kept(contract_id: str, graph: grimp.ImportGraph) -> bool:
    options = next(one for one in configuration()["contracts_options"] if one["id"] == contract_id)
    kind = KINDS[options["type"]]
    contract = kind(name=options["name"], session_options=configuration()["session_options"], contract_options=options)
    return contract.check(copy.deepcopy(graph), verbose=False).kept


PLANTS = [
    ("packages", "protocol", "client"),
    ("packages", "coordinator.server", "agent.core"),
    ("packages", "agent", "client"),
    ("packages", "client", "console"),
    ("coordinator", "coordinator.core", "coordinator.server"),
    ("coordinator", "coordinator.core", "coordinator.store"),
    ("coordinator", "coordinator.store", "coordinator.server"),
    ("coordinator", "coordinator.store", "coordinator.log"),
    ("coordinator", "coordinator.transfer", "coordinator.core"),
    ("coordinator", "coordinator.transfer", "coordinator.store"),
    ("coordinator", "coordinator.server", "coordinator.http"),
    ("coordinator", "coordinator.http", "coordinator.runtime"),
    ("agent", "agent.core", "agent.probe"),
    ("agent", "agent.probe", "agent.engine"),
    ("agent", "agent.engine", "agent.link"),
    ("agent", "agent.link", "agent.runtime"),
    ("agent", "agent.keeper", "agent.keeper_client"),
    ("console", "console.widget", "console.screen"),
    ("console", "console.model", "console.service"),
    ("console", "console.service", "console.screen"),
    ("console", "console.screen", "console.app"),
    ("console", "console.app", "console.cli"),
    ("console", "console.service", "console.theme"),
    ("console", "console.model", "console.widget"),
    ("screens", "console.screen.job", "console.screen.main"),
    ("screens", "console.screen.part", "console.screen.main"),
    ("screenless", "console.service", "textual"),
    ("client", "client.target", "client.connection"),
    ("client", "client.log_follower", "client.client"),
    ("protocol", "protocol.codec", "protocol.host"),
    ("protocol", "protocol.spec", "protocol.link"),
    ("protocol", "protocol.link", "protocol.api"),
    ("pure", "coordinator.core", "time"),
    ("pure", "agent.core", "time"),
    ("pure", "protocol.codec", "socket"),
    ("pure", "console.model", "textual"),
    ("host", "agent.core", "protocol.host"),
    ("host", "coordinator.core", "protocol.host"),
    ("pure", "coordinator.core", "logging"),
    ("pure", "agent.core", "psutil"),
    ("screenless", "agent.runtime", "rich"),
    ("through-the-client", "console.screen", "agent.runtime"),
    ("through-the-client", "console.app", "coordinator.core"),
    ("through-the-client", "console.model", "coordinator.core"),
    ("keeper", "agent.log", "agent.keeper"),
    ("keeper", "console.cli", "agent.keeper"),
    ("engine", "agent.link", "agent.engine.process_engine"),
    ("engine", "agent.core_runner", "agent.engine.process_engine"),
]
"""The contract, who imports, and what: folders and modules of the house, or a module of somebody else's."""
PREFIXES = {
    "client": "opsconsole",
    **{name: f"opsconsole_{name}" for name in ("protocol", "coordinator", "agent", "console")},
}


def module_of(place: str) -> str:
    """A module in a folder of the house; `place` itself where it is none."""
    folder, _, rest = place.partition(".")
    if folder not in PREFIXES:
        return place
    name = ".".join(filter(None, (PREFIXES[folder], rest)))
    return min(house().find_descendants(name), key=lambda one: (one.count("."), one), default=name)


def planted(importer: str, imported: str) -> grimp.ImportGraph:
    graph = copy.deepcopy(house())
    assert importer in graph.modules, f"{importer} is no more: plant this import elsewhere"
    if imported not in graph.modules:
        graph.add_module(imported, is_squashed=True)
    graph.add_import(importer=importer, imported=imported, line_number=1, line_contents=f"import {imported}")
    return graph


@pytest.mark.parametrize(("contract_id", "importer", "imported"), PLANTS)
def test_a_wrong_import_breaks_its_contract(contract_id: str, importer: str, imported: str) -> None:
    assert not is_kept(contract_id, planted(module_of(importer), module_of(imported)))


def folders() -> list[str]:
    """Every folder of the house in which one module imports another."""
    roots = configuration()["session_options"]["root_packages"]
    found = {*roots, *(one for root in roots for one in house().find_descendants(root) if house().find_children(one))}
    return sorted(one for one in found if arrow_within(one) is not None)


def arrow_within(folder: str) -> tuple[str, str] | None:
    children = house().find_children(folder)
    arrows = (
        (importer, imported)
        for importer in sorted(children)
        for imported in sorted(house().find_modules_directly_imported_by(importer))
        if imported in children
    )
    return next(arrows, None)


@pytest.mark.parametrize("folder", folders())
def test_an_arrow_back_closes_a_circle_that_is_noticed(folder: str) -> None:
    arrow = arrow_within(folder)
    assert arrow is not None
    importer, imported = arrow
    assert not is_kept("circles", planted(imported, importer))


def test_every_contract_has_a_plant_that_breaks_it() -> None:
    assert {one["id"] for one in configuration()["contracts_options"]} == {"circles", *(plant[0] for plant in PLANTS)}


def test_the_keeper_needs_the_standard_library_only() -> None:
    folder = ROOT / "agent" / "opsconsole_agent" / "keeper"
    assert {name for path in folder.rglob("*.py") for name in foreign_imports(path.read_text())} == set()


def test_a_foreign_import_in_the_keeper_is_noticed() -> None:
    assert foreign_imports("import os, psutil\nfrom opsconsole_protocol import ids") == {
        "psutil",
        "opsconsole_protocol.ids",
    }


def foreign_imports(source: str) -> set[str]:
    """What a module of the keeper imports, wherever in it, beyond the standard library and the keeper."""
    found = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return {
        name
        for name in found
        if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith("opsconsole_agent.keeper.")
    }


PURE = (
    "coordinator/opsconsole_coordinator/core", "agent/opsconsole_agent/core", "agent/opsconsole_agent/failure",
    "protocol/opsconsole_protocol",
)  # fmt: skip
CLOCKS = {"now", "today", "utcnow"}


def clocks_read(source: str) -> set[str]:
    """How a module asks for the time: `datetime` itself is allowed, since moments are parsed and spelled with it."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in CLOCKS and isinstance(node.value, ast.Name | ast.Attribute)
    }


def test_nothing_pure_asks_for_the_time() -> None:
    host = ROOT / PURE[-1] / "host"
    sources = [path for folder in PURE for path in (ROOT / folder).rglob("*.py") if host not in path.parents]
    assert {str(path): read for path in sources if (read := clocks_read(path.read_text()))} == {}
    assert clocks_read("from datetime import datetime\nat = datetime.now()") == {"now"}
