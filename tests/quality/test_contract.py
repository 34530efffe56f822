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
from importlinter.domain.contract import Contract

ROOT = Path(__file__).resolve().parents[2]
KINDS: dict[str, type[Contract]] = {
    "layers": LayersContract,
    "forbidden": ForbiddenContract,
    "acyclic_siblings": AcyclicSiblingsContract,
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
    ("packages", "opsconsole_protocol.spec", "opsconsole.client"),
    ("packages", "opsconsole_coordinator.server.hub", "opsconsole_agent.core.slot"),
    ("packages", "opsconsole_agent.runtime", "opsconsole.client"),
    ("packages", "opsconsole.client", "opsconsole_console.format"),
    ("circles", "opsconsole_coordinator.core.fleet", "opsconsole_coordinator.core.view"),
    ("circles", "opsconsole_console.screen.part.sheet", "opsconsole_console.screen.job.job_screen"),
    ("circles", "opsconsole.connection", "opsconsole.client"),
    ("circles", "opsconsole_agent.log.follower", "opsconsole_agent.log.shipper"),
    ("coordinator", "opsconsole_coordinator.core.model", "opsconsole_coordinator.server.hub"),
    ("coordinator", "opsconsole_coordinator.core.view", "opsconsole_coordinator.store.query"),
    ("coordinator", "opsconsole_coordinator.store.query", "opsconsole_coordinator.server.hub"),
    ("coordinator", "opsconsole_coordinator.store.query", "opsconsole_coordinator.log.store"),
    ("coordinator", "opsconsole_coordinator.server.hub", "opsconsole_coordinator.http.web"),
    ("coordinator", "opsconsole_coordinator.http.web", "opsconsole_coordinator.runtime"),
    ("agent", "opsconsole_agent.core.slot", "opsconsole_agent.probe.gpu"),
    ("agent", "opsconsole_agent.probe.gpu", "opsconsole_agent.engine.process_engine"),
    ("agent", "opsconsole_agent.engine.process_engine", "opsconsole_agent.link.coordinator_link"),
    ("agent", "opsconsole_agent.link.coordinator_link", "opsconsole_agent.runtime"),
    ("agent", "opsconsole_agent.keeper.main", "opsconsole_agent.keeper_client.spawn"),
    ("console", "opsconsole_console.widget.pane", "opsconsole_console.screen.part.sheet"),
    ("console", "opsconsole_console.model.model", "opsconsole_console.service.operations"),
    ("console", "opsconsole_console.service.operations", "opsconsole_console.screen.part.sheet"),
    ("console", "opsconsole_console.screen.part.sheet", "opsconsole_console.app.app"),
    ("console", "opsconsole_console.app.app", "opsconsole_console.cli.console"),
    ("protocol", "opsconsole_protocol.codec", "opsconsole_protocol.host.dial"),
    ("pure", "opsconsole_coordinator.core.fleet", "time"),
    ("pure", "opsconsole_agent.core.slot", "time"),
    ("host", "opsconsole_agent.core.slot", "opsconsole_protocol.host.private_file"),
    ("pure", "opsconsole_protocol.codec", "socket"),
    ("pure", "opsconsole_console.model.model", "textual"),
    ("screenless", "opsconsole_agent.runtime", "rich"),
]


@pytest.mark.parametrize(("contract_id", "importer", "imported"), PLANTS)
def test_a_wrong_import_breaks_its_contract(contract_id: str, importer: str, imported: str) -> None:
    graph = copy.deepcopy(house())
    assert importer in graph.modules, f"{importer} is no more: plant this import elsewhere"
    if imported not in graph.modules:
        graph.add_module(imported, is_squashed=True)
    graph.add_import(importer=importer, imported=imported, line_number=1, line_contents=f"import {imported}")
    assert not is_kept(contract_id, graph)


def test_every_contract_has_a_plant_that_breaks_it() -> None:
    assert {one["id"] for one in configuration()["contracts_options"]} == {plant[0] for plant in PLANTS}


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
