"""What is to be removed: it leaves its place at once, and is removed when nobody waits for it."""

import secrets
from pathlib import Path

from opsconsole_protocol.host.content.kept_tree import remove_tree


class Trash:
    """A folder on the same disk as what is thrown into it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def throw(self, path: Path) -> bool:
        """Take a folder out of its place, which takes no time. Returns whether there was one. Raises OSError."""
        try:
            path.chmod(0o700)
            path.rename(self._folder / secrets.token_hex(8))
        except FileNotFoundError:
            return False
        return True

    def empty(self) -> None:
        """Remove what was thrown away. What can't be removed stays. It may take long."""
        for path in self._folder.iterdir():
            remove_tree(path)
