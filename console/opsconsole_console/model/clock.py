"""What a clock is for the model: it is handed one, so that pictures of the console can be taken at any time."""

from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], int]
"""Unix milliseconds."""
