"""Which datasets can be looked at with what is installed here. Nothing is imported for that."""

from importlib.util import find_spec

from opsconsole_protocol.dataset import ARROW, TEXT

_NEEDED = {
    ARROW: ("pyarrow",),
    "http": ("fsspec", "aiohttp"),
    "https": ("fsspec", "aiohttp"),
    "s3": ("fsspec", "s3fs"),
    "hf": ("fsspec", "huggingface_hub"),
}


def abilities() -> list[str]:
    """What a worker's property DATASETS says."""
    return [TEXT, *(word for word, names in _NEEDED.items() if all(find_spec(name) is not None for name in names))]
