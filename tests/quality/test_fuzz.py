"""Every module of ours that decodes something is fuzzed, or says why it needn't be."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.decoder import decoders

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "protocol": "opsconsole_protocol", "coordinator": "opsconsole_coordinator", "agent": "opsconsole_agent",
    "client": "opsconsole", "console": "opsconsole_console",
}  # fmt: skip
_CALLS = {"loads", "unpack", "unpack_from", "Decoder", "JSONDecoder", "reader", "row_reader", "convert"}
_OWNERS = {"json", "msgpack", "toml", "tomllib"}
ELSEWHERE = {
    "opsconsole_agent.probe.child_call": "reads what our own child prints",
    "opsconsole_agent.dataset.child": "reads what its parent asks",
    "opsconsole_agent.dataset.describer": "reads what our own child prints",
    "opsconsole_console.service.rendering": "reads what our own child prints",
    "opsconsole_console.service.render_child": "libraries read what it is given, in a process that may die of it",
    "opsconsole.task": "reads a dataset in the task's own process, which its agent has looked at before",
    "opsconsole.call": "reads what its submitter sent, in the submitter's own task; tests/client/test_call.py spoils it",
    "opsconsole_agent.keeper.service": "credentials come from the kernel",
    "opsconsole_protocol.host.stream.stream": "facts about a socket come from the kernel",
    "opsconsole_protocol.spec": "values that a script or argparse made; tests/protocol/test_validation_error.py",
    "opsconsole_coordinator.runtime": "its own endpoint file; test_runtime.py spoils it",
    "opsconsole_coordinator.store.blob": "what makes the readers of query and identity",
    "opsconsole_coordinator.store.job_search": "fuzzed as part of the store",
    "opsconsole_coordinator.store.ended": "reads the blobs that query's readers do, which are fuzzed; tests/coordinator/store spoils them",
    "opsconsole_coordinator.store.schema": "who submitted a job of an older file; tests/coordinator/store/test_job_search.py spoils it",
    "opsconsole_console.service.saved_filter": "its owner's own file; tests/console/cli/test_filter.py spoils it",
    "opsconsole_coordinator.server.identity": "fuzzed as part of the store",
}


def modules() -> Iterator[tuple[str, Path]]:
    for folder, package in PACKAGES.items():
        for path in sorted((ROOT / folder / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT / folder).with_suffix("").parts), path


def decodes(path: Path) -> bool:
    """Whether a module turns bytes into values by other means than calling another of ours."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        owner_name = getattr(owner, "attr", getattr(owner, "id", ""))
        if name in _CALLS or (name == "decode" and owner_name in _OWNERS):
            return True
    return False


def test_whatever_decodes_is_fuzzed() -> None:
    fuzzed = {one.module for one in decoders()}
    found = {name for name, path in modules() if decodes(path)}
    assert found - fuzzed - set(ELSEWHERE) == set(), "add them to tests/fuzz/decoder.py"
    assert set(ELSEWHERE) <= found, "these don't decode any more"


def test_the_registry_names_modules_that_exist() -> None:
    for one in decoders():
        importlib.import_module(one.module)
        assert one.samples, f"{one.name} has no sample"


def test_a_decoder_that_nobody_listed_is_found(tmp_path: Path) -> None:
    module = tmp_path / "new.py"
    module.write_text("import json\ndef f(data):\n    return json.loads(data)\n")
    assert decodes(module)
    module.write_text("def f(data):\n    return data.decode()\n")
    assert not decodes(module)
