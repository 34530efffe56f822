"""Trees of files: who really has which, who comes and goes with them, and what is collected of results.

Bytes are not simulated: a tree is there or it isn't, and a fetch takes its time. The words about trees are the real ones.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from opsconsole_coordinator.core.model import Collect
from opsconsole_protocol.ids import AttemptId, ContentId
from opsconsole_protocol.spec import JobSpec
from tests.simulation.coordinator import Life
from tests.simulation.host import Host
from tests.simulation.plan import TreePlan
from tests.simulation.virtual import Loop

COLLECT_MS = 700
LATE_MS = 30_000
"""How long the coordinator may believe in what is gone: silences are noticed late, and so are news that are held up."""
_OFFER_AGAIN_MS = 1_500


@dataclass
class Laptop:
    """A machine of an operator, and the trees that it offers while it is there."""

    name: str
    trees: frozenset[ContentId]
    is_here: bool = False

    @property
    def host_id(self) -> str:
        """As the coordinator knows it."""
        return f"id-of-{self.name}"


@dataclass
class Trees:
    """The truth about trees."""

    loop: Loop
    plan: TreePlan
    say: Callable[[str], None]
    hosts: list[Host] = field(default_factory=list)
    is_up: Callable[[str], bool] = lambda _: False
    """Whether the agent of a host lives and could be reached."""
    on_trim: Callable[[str, ContentId], None] = lambda *_: None
    """A tree is gone from a host."""
    on_collect: Callable[[AttemptId], None] = lambda _: None
    """The results of an attempt are read."""
    life: Life | None = None

    def __post_init__(self) -> None:
        self.kept = set(self.plan.kept)
        self._laptops = [Laptop(one.name, frozenset(one.trees)) for one in self.plan.laptops]
        self._had_ms: dict[ContentId, int] = {}
        self._is_over = False

    def begin(self) -> None:
        """Plan who comes and goes."""
        for laptop, planned in zip(self._laptops, self.plan.laptops, strict=True):
            for come_ms, go_ms in planned.here:
                self.loop.at(come_ms, partial(self._come, laptop))
                self.loop.at(go_ms, partial(self._go, laptop))
        for at_ms, tree in self.plan.keeper_losses:
            self.loop.at(at_ms, partial(self._lose, tree))
        for at_ms, tree in self.plan.trims:
            for host in self.hosts:
                self.loop.at(at_ms, partial(self._trim, host, tree))

    def heal(self) -> None:
        """Everybody comes back with what they had, and what was lost is brought again."""
        self._is_over = True
        for laptop in self._laptops:
            self._come(laptop)
        self.keep(self.plan.kept)

    # --- the coordinator -------------------------------------------------------------------------------------------

    def born(self, life: Life) -> None:
        """A coordinator has started, or built its fleet anew: it knows of nothing that isn't stored."""
        self.life = life
        life.commit_loop.on_collects = partial(self._collect, life)
        life.commit_loop.reactor.on_kept(self.kept, (), life.commit_loop.clock.now_ms())
        self.loop.at(_OFFER_AGAIN_MS, partial(self._offer_all, life))

    def _offer_all(self, life: Life) -> None:
        if life is self.life:
            for laptop in self._laptops:
                if laptop.is_here:
                    self._offer(laptop)

    def _offer(self, laptop: Laptop) -> None:
        if self.life is not None and self.life.is_serving:
            now_ms = self.life.commit_loop.clock.now_ms()
            self.life.commit_loop.reactor.on_host_offers(laptop.host_id, laptop.name, laptop.trees, now_ms)
            self.life.commit_loop.changed()

    # --- who comes and goes ----------------------------------------------------------------------------------------

    def _come(self, laptop: Laptop) -> None:
        self.say(f"{laptop.name} is here")
        laptop.is_here = True
        self._offer(laptop)

    def _go(self, laptop: Laptop) -> None:
        if self._is_over:
            return
        self.look()
        self.say(f"{laptop.name} is gone")
        laptop.is_here = False
        if self.life is not None and self.life.is_serving:
            self.life.commit_loop.reactor.on_host_gone(laptop.host_id, self.life.commit_loop.clock.now_ms())
            self.life.commit_loop.changed()

    def keep(self, trees: Iterable[ContentId]) -> None:
        """Somebody brings trees to the coordinator."""
        added = set(trees) - self.kept
        self.kept |= added
        self._tell_kept(added, set())

    def bring(self, spec: JobSpec) -> None:
        """A submitter brings what the coordinator keeps for a job."""
        self.keep(one.content_id for one in spec.uploads if not one.host)

    def _lose(self, tree: ContentId) -> None:
        if not self._is_over and tree in self.kept:
            self.look()
            self.say(f"the coordinator loses {tree[:4]}")
            self.kept.discard(tree)
            self._tell_kept(set(), {tree})

    def _tell_kept(self, added: set[ContentId], removed: set[ContentId]) -> None:
        if self.life is not None and self.life.is_serving and (added or removed):
            self.life.commit_loop.reactor.on_kept(added, removed, self.life.commit_loop.clock.now_ms())
            self.life.commit_loop.changed()

    def _trim(self, host: Host, tree: ContentId) -> None:
        """A worker's store makes room; what an attempt there needs stays."""
        if self._is_over or tree not in host.disk.trees or any(tree in pins for pins in host.disk.pins.values()):
            return
        self.look()
        self.say(f"{host.name} drops {tree[:4]}")
        host.disk.trees.discard(tree)
        self.on_trim(host.name, tree)

    # --- the truth -------------------------------------------------------------------------------------------------

    def can_be_had(self, tree: ContentId) -> bool:
        """Whether anybody who is there has a tree now."""
        if tree in self.kept or any(tree in one.trees for one in self._laptops if one.is_here):
            return True
        return any(tree in host.disk.trees for host in self.hosts if self.is_up(host.name))

    def look(self) -> None:
        """Note what can be had now. Called before anything goes, and every second."""
        for tree in self.plan.trees:
            if self.can_be_had(tree):
                self._had_ms[tree] = self.loop.now_ms

    def missing(self, spec: JobSpec) -> list[ContentId]:
        """What of a job nobody has had for longer than the coordinator may believe in it."""
        self.look()
        early_ms = self.loop.now_ms - LATE_MS
        return [one.content_id for one in spec.uploads if self._had_ms.get(one.content_id, -LATE_MS) < early_ms]

    # --- results ---------------------------------------------------------------------------------------------------

    def _collect(self, life: Life, collects: list[Collect]) -> None:
        for number, collect in enumerate(collects):
            self.loop.at(COLLECT_MS * (number + 1), partial(self._fetch, life, collect))

    def _fetch(self, life: Life, collect: Collect) -> None:
        """Read results from the worker, if that is there."""
        if life is not self.life or not life.is_serving:
            return  # whoever wanted them is dead
        copy, worker_id = collect
        host = next(one for one in self.hosts if one.name == worker_id)
        reactor, now_ms = life.commit_loop.reactor, life.commit_loop.clock.now_ms()
        if not self.is_up(host.name):
            reactor.on_collect_failed(copy.job_id, copy.index, copy.attempt_id, "the connection was lost", now_ms)
        else:
            self.on_collect(copy.attempt_id)
            tree = ContentId(copy.attempt_id)
            reactor.on_collected(copy.job_id, copy.index, copy.attempt_id, tree, 1, 1, now_ms)
        life.commit_loop.changed()
