"""The module by which tasks report, put where they find it: `STATE_DIR/sdk/opsconsole.py`, the last folder on their PYTHONPATH."""

import importlib.util
from pathlib import Path

from opsconsole_agent.keeper import state_file
from opsconsole_protocol.error import Unavailable

SDK_FOLDER = "sdk"
_MODULE = "opsconsole"
_FILE = "task.py"
_READABLE = 0o755


def install_sdk(state_dir: Path) -> str:
    """Write the module and return its folder. Raises OSError, or Unavailable where this installation lacks the file."""
    spec = importlib.util.find_spec(_MODULE)  # which loads nothing
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(f"the package {_MODULE} is not installed beside this agent")
    code = state_file.read_file(str(Path(next(iter(spec.submodule_search_locations))) / _FILE))
    folder = state_dir / SDK_FOLDER
    state_file.make_folder(str(folder))
    folder.chmod(_READABLE)
    path = folder / f"{_MODULE}.py"
    state_file.replace_file(str(path), code)
    path.chmod(0o644)
    return str(folder)
