"""What is always true of GPUs, whoever counts: told apart from the code that is checked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

GPU_MEMORY_MB = 24_000
"""What a GPU has where nothing else is said."""


def gpu_faults(holders: Iterable[tuple[Sequence[str], int]], sizes: Mapping[str, int]) -> Iterator[str]:
    """What is wrong with who has which GPUs. Of each holder its GPUs, and how much of each one's memory, or 0 for the whole."""
    held: dict[str, list[int]] = {}
    for gpu_ids, share_mb in holders:
        for gpu_id in gpu_ids:
            held.setdefault(gpu_id, []).append(share_mb)
    for gpu_id, parts in held.items():
        if 0 in parts and len(parts) > 1:
            yield f"{gpu_id} is one task's, and {len(parts)} have it"
        if sum(parts) > sizes.get(gpu_id, 0):
            yield f"of {gpu_id} {sum(parts)} MB are promised, and it has {sizes.get(gpu_id, 0)}"
