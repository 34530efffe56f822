"""What a job that is being typed shall bring along from this machine, and have brought back. Pure: nothing is looked at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wished:
    """As it was typed: `uploads` are PATH[:NAME], `fetches` PATTERN[:DIR], `bundle` is a folder of code."""

    uploads: tuple[str, ...] = ()
    bundle: str = ""
    fetches: tuple[str, ...] = ()

    def brings(self, name: str) -> bool:
        """Whether an upload may have this name, as far as can be told without looking: what follows the last colon, or the path's end."""
        return any(name in {text.rstrip("/").rpartition("/")[2], text.rpartition(":")[2]} for text in self.uploads)

    @property
    def brings_along(self) -> bool:
        """Whether something is to be sent."""
        return bool(self.uploads or self.bundle)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is wished for."""
        return not (self.brings_along or self.fetches)


NOTHING = Wished()
