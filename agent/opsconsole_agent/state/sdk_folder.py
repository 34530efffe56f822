"""The package by which tasks report, put where they find it: `STATE_DIR/sdk/opsconsole/`, the last folder on their PYTHONPATH."""

import importlib.util
from pathlib import Path

from opsconsole_agent.keeper import state_file
from opsconsole_protocol.error import Unavailable

SDK_FOLDER = "sdk"
_PACKAGE = "opsconsole"
_FILES = {"task.py": "__init__.py", "callback.py": "callback.py", "call.py": "call.py"}
"""What the package has from the installed one, and its names there."""
_READABLE = 0o755


def install_sdk(state_dir: Path) -> str:
    """Write the package and return the folder that it is in. Raises OSError, or Unavailable where this installation lacks the files."""
    spec = importlib.util.find_spec(_PACKAGE)  # which loads nothing
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(f"the package {_PACKAGE} is not installed beside this agent")
    source = Path(next(iter(spec.submodule_search_locations)))
    folder = state_dir / SDK_FOLDER
    for made in (folder, folder / _PACKAGE):
        state_file.make_folder(str(made))
        made.chmod(_READABLE)
    for name, name_there in _FILES.items():
        path = folder / _PACKAGE / name_there
        state_file.replace_file(str(path), state_file.read_file(str(source / name)))
        path.chmod(0o644)
    return str(folder)
