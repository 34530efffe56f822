"""Whether a worker can take a task of a job now, or why not. Judging changes nothing and asks nobody.

Where a worker has to be asked about a file first, its offer names the question; whoever collects offers asks it.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from opsconsole_coordinator.core.booking import booked_words
from opsconsole_coordinator.core.capacity import (
    capacity_words,
    free_capacity,
    free_gpus,
    gpu_refusals,
    gpus_words,
    lacks_folder,
    slots_words,
    total,
)
from opsconsole_coordinator.core.content import Content, missing_bytes, supply_words
from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.gpu_share import choose_shares, kept_words
from opsconsole_coordinator.core.model import Reserved, Worker
from opsconsole_coordinator.core.question import UNASKED, Answers, Question
from opsconsole_coordinator.core.trouble import blocking
from opsconsole_protocol.dataset import DATASETS, inability
from opsconsole_protocol.gpu_load import GPU_SHARING
from opsconsole_protocol.link import QuestionKind
from opsconsole_protocol.quantity import memory_words, size_words
from opsconsole_protocol.state import WorkerConnection


class Offer(msgspec.Struct, frozen=True):
    """One worker's answer to a demand: accepted with the GPUs that it would give, or refused with the reason."""

    worker: Worker
    accepted: bool
    reason: str
    gpu_ids: tuple[str, ...] = ()
    permanent: bool = False
    """Waiting wouldn't help: the worker itself would have to change."""
    soon: bool = False
    """The worker would accept once other tasks have ended there, or once it has answered a question."""
    avoided: bool = False
    """The worker is avoided for what failed there lately. An avoided one accepts only where no other worker will do."""
    lacks_file: bool = False
    """It is refused because the worker isn't known to have a file or folder."""
    questions: tuple[Question, ...] = ()
    """What the worker has to be asked, because it never said it or its last answer no longer counts."""
    lacks_content: bool = False
    """It is refused because nobody who is there has a tree that the job brings along."""
    contents: tuple[Content, ...] = ()
    """What a worker that accepts would have to have of what the task brings along, its checkpoint included."""
    taken: str = ""
    """Of what others have so much that it is refused: SLOTS, GPUS, or a capacity (`cpus`, `memory_mb`)."""
    because: str = ""
    """Why this worker was chosen among those that accept."""
    reserved_until_ms: int | None = None
    """It is refused because the worker is reserved for others, or in a window of maintenance: when that is over."""
    lacks_bytes: int | None = None
    """How much of what the job brings along a worker that accepts has to be sent; None where it has all of it, or that is nothing."""

    fills_until_ms: int = 0
    """The room is kept for another job, which is expected to start no earlier than then; the task will have ended."""

    @property
    def supply(self) -> str:
        """How far it has that, in words."""
        return supply_words(self.contents, self.lacks_bytes)


SLOTS, GPUS = "slots", "gpus"


class Search(NamedTuple):
    """How far a worker is known to have the files of a job."""

    refusal: str = ""
    """The first file that the worker isn't known to have, in words; empty when it has all of them."""
    is_open: bool = False
    """That file is missing only because the worker hasn't answered yet."""
    questions: tuple[Question, ...] = ()
    """As an offer's."""


_FOUND = Search()


def judge(worker: Worker, demand: Demand, answers: Answers, shortage: str, now_ms: int) -> Offer:
    """One worker's offer. What waiting can't change is said first, because it is the better reason.

    `shortage` says what nobody has of what the job brings along, and is empty where all of it can be had.
    """
    unfit = _unfit(worker, demand)
    if unfit:
        return Offer(worker, False, unfit, permanent=True)
    lacking = _lacking_folder(worker, demand)
    if lacking:
        return Offer(worker, False, lacking, permanent=True, lacks_file=True)
    absent = _absent(worker, demand) or _bound_elsewhere(worker, demand)
    if absent:
        return Offer(worker, False, absent)
    if (
        worker.booked is not None
        and not demand.takes_reserved
        and (booked := booked_words(worker, demand, now_ms)).reason
    ):
        return Offer(worker, False, booked.reason, reserved_until_ms=booked.until_ms)
    if shortage:
        return Offer(worker, False, shortage, lacks_content=True)
    avoided = worker.avoided_until_ms > now_ms and not demand.named
    if avoided and not demand.takes_avoided:
        # No countdown: a reason is stored with every job that waits, and must not change every second.
        return Offer(worker, False, f"is avoided for a while after {worker.avoided_after}", avoided=True)
    kept = _kept(worker, demand)
    filling = kept if kept is not None and _ends_before(demand, kept, now_ms) else None
    kept = None if filling is not None else kept
    occupied, taken = _occupied(worker, demand, kept)
    if occupied:
        return Offer(worker, False, occupied, soon=True, avoided=avoided, taken=taken)
    gpus, reason = _choose_gpus(worker, demand, kept)
    if gpus is None:
        return Offer(worker, False, reason, soon=True, avoided=avoided, taken=GPUS)
    lacks_bytes = missing_bytes(demand.contents, worker) if demand.contents else None
    if lacks_bytes is not None and (crowded := _crowded(worker, lacks_bytes)):
        return Offer(worker, False, crowded, soon=bool(worker.live), avoided=avoided)
    questions: tuple[Question, ...] = ()
    if demand.files:
        refusal, is_open, questions = search_files(worker, demand, answers, now_ms)
        if refusal:
            return Offer(worker, False, refusal, soon=is_open, avoided=avoided, lacks_file=True, questions=questions)
    return Offer(
        worker,
        True,
        "free",
        gpus,
        avoided=avoided,
        questions=questions,
        contents=demand.contents,
        lacks_bytes=lacks_bytes,
        fills_until_ms=filling.until_ms if filling is not None else 0,
    )


def judge_again(offer: Offer, demand: Demand, answers: Answers, now_ms: int) -> Offer:
    """The offer of a worker that accepted and has just been given a task."""
    return judge(offer.worker, _with_avoided(demand) if offer.avoided else demand, answers, "", now_ms)


def judge_all(workers: Iterable[Worker], demand: Demand, answers: Answers, shortage: str, now_ms: int) -> list[Offer]:
    """Every worker's offer, in the order given; none of those whose credential was revoked.

    Workers that are avoided may accept where no other worker does, now or soon.
    """
    offers = [judge(worker, demand, answers, shortage, now_ms) for worker in workers if not worker.revoked]
    if any(one.avoided for one in offers) and not any(one.accepted or one.soon for one in offers):
        takes = _with_avoided(demand)
        return [judge(one.worker, takes, answers, shortage, now_ms) if one.avoided else one for one in offers]
    return offers


def _with_avoided(demand: Demand) -> Demand:
    return msgspec.structs.replace(demand, takes_avoided=True)


def search_files(worker: Worker, demand: Demand, answers: Answers, now_ms: int) -> Search:
    """Look through what a worker said of the files of a job, in order, up to the first that it isn't known to have."""
    questions: tuple[Question, ...] = ()
    for kind, name in demand.files:
        answer = answers.get((worker.id, kind, name), UNASKED)
        if answer.good_until_ms <= now_ms:
            questions += (Question(worker.id, kind, name),)
        if answer.found is not True:
            return Search(f"needs {name}: {answer.detail}", answer.found is None, questions)
    return Search(questions=questions) if questions else _FOUND


def is_named(worker: Worker, names: Collection[str]) -> bool:
    """Whether the worker is meant by one of these names or ids."""
    return worker.name in names or worker.id in names


def _unfit(worker: Worker, demand: Demand) -> str:
    """Why this worker will never do as it is; empty where it might."""
    spec, needs = demand.spec, demand.spec.resources
    named = demand.named
    if named and not is_named(worker, named):
        return f"isn't the worker that is asked for ({' or '.join(named)})"
    project = worker.properties.get("project")
    if project and project != spec.project:
        return f"takes jobs of project {project} only"
    if worker.revoked:
        return "its credential was revoked"
    facts = worker.facts() if demand.requirements else {}
    for one in demand.requirements:
        if not one.matches(facts):
            return one.explain(facts)
    for need, key in demand.capacities:
        if total(worker, key) < need:
            return f"has {capacity_words(key, total(worker, key), with_noun=False)} of the {capacity_words(key, need)} needed"
    if len(worker.gpus) < demand.gpus:
        detail = f" ({worker.gpu_message})" if worker.gpu_message and not worker.gpus else ""
        few = f"{len(worker.gpus) or 'none'} of the {demand.gpus} GPUs needed" if demand.gpus > 1 else "no GPU"
        return f"has {few}{detail}"
    for dataset in spec.datasets:
        if lacks := inability(worker.properties.get(DATASETS), dataset):
            return lacks
    least_mb = needs.gpu_memory_mb
    large = sum((gpu.memory_total_mb or 0) >= least_mb for gpu in worker.gpus)
    if least_mb and large < demand.gpus:
        few = f"{large or 'none'} of the {demand.gpus} GPUs" if demand.gpus > 1 else "no GPU"
        return f"has {few} of {memory_words(least_mb)} needed: its largest has {memory_words(_largest_mb(worker))}"
    is_too_old = demand.share_mb and not worker.properties.get(GPU_SHARING)
    return "its agent is too old to share GPUs: update opsconsole there" if is_too_old else ""


def _lacking_folder(worker: Worker, demand: Demand) -> str:
    """What folder this worker would have to be given for an input; empty where it has them."""
    for kind, name in demand.files:
        lacks = "" if kind is QuestionKind.FOLDER else lacks_folder(worker, name)
        if lacks:
            option = "--mount" if "/" in name else "--input-path"
            return f"has {lacks} (start its agent with {option})"
    return ""


def _absent(worker: Worker, demand: Demand) -> str:
    """Why this worker takes nothing at the moment; empty where it does."""
    if not worker.is_reachable:
        return f"is {worker.connection if worker.connection != WorkerConnection.CONNECTED else 'reconnecting'}"
    if worker.maintenance:
        why = f": {worker.drain_reason}" if worker.drain_reason else ""
        return f"is in maintenance{why} (undrain it to use it)"
    if worker.troubles and (trouble := blocking(worker)):
        return f"takes no new tasks: {trouble}"
    if worker.unproved:
        return "has attempts that this store doesn't know (look at its attention in `opsconsole workers`)"
    if worker.id in demand.avoid:
        return "failed this task before"
    return ""


def _bound_elsewhere(worker: Worker, demand: Demand) -> str:
    """From which disk alone the task can go on, where it isn't this worker's."""
    place = demand.bond.place
    return demand.bond.words if place and place not in {worker.id, worker.output_place} else ""


def _occupied(worker: Worker, demand: Demand, kept: Reserved | None) -> tuple[str, str]:
    """What the task needs of this worker and others have at the moment, in words and as `Offer.taken`; empty where enough is free."""
    with_gpus = demand.gpus > 0
    left = worker.slots_left(with_gpus=with_gpus)
    may_join = demand.share_mb and worker.live.load.gpus.shared  # which takes no slot
    if left + demand.prefetch <= 0 and not may_join:
        return slots_words(worker, worker.max_concurrent_jobs - left, with_gpus=with_gpus), SLOTS
    for need, key in demand.capacities:
        free = free_capacity(worker, key)
        if free < need:
            left_words, all_words = (capacity_words(key, one, with_noun=False) for one in (free, total(worker, key)))
            return f"needs {capacity_words(key, need)}, {left_words} of {all_words} free", key
    return _reserved(worker, demand, kept) if kept is not None else "", ""


def _kept(worker: Worker, demand: Demand) -> Reserved | None:
    """What is kept free on this worker for another job than the one that asks."""
    kept = worker.reserved
    return None if kept is None or kept.job_id == demand.job_id else kept


def _ends_before(demand: Demand, kept: Reserved, now_ms: int) -> bool:
    """Whether a task that starts now has ended when the job is expected to start for which the worker keeps room.

    A guess doesn't count while another that was guessed there takes longer, and never where a gang waits.
    """
    within_ms = demand.within_ms or (0 if kept.is_overstayed or kept.gang else demand.guess_ms)
    return 0 < within_ms <= kept.until_ms - now_ms


def _reserved(worker: Worker, demand: Demand, kept: Reserved) -> str:
    """Whom the worker is kept free for, where too little is left beside that; nothing is assigned ahead of a kept slot."""
    if demand.share_mb:
        is_left = True  # who chooses the GPUs looks at what is kept of them
    elif kept.with_gpus:
        is_left = not demand.gpus or worker.slots_left(with_gpus=True) > kept.slots
    else:
        is_left = worker.slots_left() > kept.slots
    for need, key in demand.capacities:
        free = free_capacity(worker, key) - kept.promised.get(key, 0)
        is_left = is_left and free >= need
    return "" if is_left else kept_words(kept)


def _choose_gpus(worker: Worker, demand: Demand, kept: Reserved | None) -> tuple[tuple[str, ...] | None, str]:
    """The GPUs to give, or why not enough are free."""
    count = demand.gpus
    if not count:
        return (), ""
    if demand.share_mb:
        return choose_shares(worker, demand, kept)
    memory_mb = demand.spec.resources.gpu_memory_mb
    unused = free_gpus(worker, memory_mb)
    free = unused if kept is None else [gpu for gpu in unused if not kept.is_of(gpu.uuid)]
    if len(free) < count:
        refusals = gpu_refusals(worker, memory_mb)
        if kept is not None:
            refusals += [(gpu.index, kept_words(kept)) for gpu in unused if kept.is_of(gpu.uuid)]
        return None, f"needs {_gpus(count)}, {len(free)} of {len(worker.gpus)} free: {gpus_words(worker, refusals)}"
    # The smallest GPUs that suffice, so that large ones stay free for those who need them.
    free.sort(key=lambda gpu: (gpu.memory_total_mb or 0, gpu.index))
    return tuple(gpu.uuid for gpu in free[:count]), ""


def _crowded(worker: Worker, lacks_bytes: int) -> str:
    """Why what the job brings along doesn't fit into the worker's cache; empty where it does, or the worker doesn't say."""
    room_mb = worker.host.cache_room_mb
    if room_mb is None or lacks_bytes <= room_mb << 20:
        return ""
    room = f"{size_words(room_mb << 20)} of its cache are free" if room_mb > 0 else "its cache is full"
    return f"needs room for {size_words(lacks_bytes)}; {room} (cache_bytes)"


def _gpus(count: int) -> str:
    return f"{count} GPU{'s' if count > 1 else ''}"


def _largest_mb(worker: Worker) -> int:
    return max((gpu.memory_total_mb or 0 for gpu in worker.gpus), default=0)
