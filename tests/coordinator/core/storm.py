"""Everything that can happen to a fleet, one thing at a time: for random histories.

Its agents do what they are told, in their own time: messages wait in both directions until somebody moves them, and
are lost with the connection. After any storm `settle` lets all go well, and then all work must end.
"""

from contextlib import suppress
from typing import Any

import msgspec

from opsconsole_coordinator.core.model import Job
from opsconsole_protocol import link
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.gpu_load import GPU_SHARING
from opsconsole_protocol.ids import AttemptId, JobId
from opsconsole_protocol.link import Mode, Observed
from opsconsole_protocol.share import ShareChange
from opsconsole_protocol.spec import JobSpec, Resources
from opsconsole_protocol.state import AttemptState, TaskState, is_attempt_finished, is_task_finished
from opsconsole_protocol.task_selection import TaskSelection
from tests.coordinator.core.world import FakeWorker, World, gpus
from tests.gpu_rule import gpu_faults

_SIZES = {"GPU-0": 24_000, "GPU-1": 24_000}
_ROOM = {("gpus", 1): 2, ("gpus", 2): 1, ("memory_mb", 600): 3}
_ROOM_ON = {"w3": 3, "tags=fast": 1, "zone=a": 5}
"""How many tasks of a kind fit at once, where fewer than all six slots are good for it."""
_OBEYED = {Mode.RUN: AttemptState.RUNNING, Mode.PAUSE: AttemptState.PAUSED}


class Agent(FakeWorker):
    """Does what it is told when `obey` is called, and says so when `flush` is."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        self.news: list[Observed] = []
        """Not sent yet."""
        self.history: list[Observed] = []
        """All that was ever sent."""
        self.stored: dict[AttemptId, int] = {}

    def change(self, attempt_id: AttemptId, state: AttemptState, **fields: Any) -> None:
        """Something happened here."""
        observed = msgspec.structs.replace(self.attempts[attempt_id], state=state, **fields)
        self.attempts[attempt_id] = observed
        self.news.append(observed)

    def connect(self, **fields: Any) -> None:
        """Reconnect; what wasn't sent is part of the whole set."""
        self.news.clear()
        super().connect(**fields)

    def flush(self) -> None:
        """Send what there is to tell."""
        if self.session is not None and self.news:
            news, self.news = self.news, []
            self.history += news
            self.say(*news)

    def obey(self) -> None:
        """Take all messages and act on them."""
        for message in self.take_all():
            match message:
                case link.DesiredSet(adopting=False):
                    for attempt_id in self.attempts.keys() - self.desired.keys():
                        self._stop(attempt_id, "not wanted")
                case link.SetWant(attempt_id=attempt_id, want=link.Want(mode=Mode.STOP, reason=reason)):
                    self._stop(attempt_id, reason)
                case link.Observe(exchange=exchange):
                    self._observe(exchange)
                case link.JobAssignment(desired=desired) if desired.attempt_id in self.attempts:
                    self.news.append(self.attempts[desired.attempt_id])
                case _:
                    pass
        for desired in list(self.desired.values()):
            self._follow(desired)

    def _observe(self, exchange: int) -> None:
        self.news.clear()
        attempts = tuple(self.attempts.values())
        message = link.Observation(exchange=exchange, seen=self.seen, attempts=attempts)
        world = self.world
        world.reactor.on_observation(self.record, message, world.known(attempts), world.now_ms)

    def _follow(self, desired: link.Desired) -> None:
        observed = self.attempts.get(desired.attempt_id)
        if observed is None or is_attempt_finished(observed.state):
            return
        mode = desired.want.mode
        if mode is Mode.STOP or (mode is Mode.RETRACT and observed.started_at_ms is None):
            self._stop(desired.attempt_id, desired.want.reason)
        elif observed.started_at_ms is not None and mode in _OBEYED and observed.state is not _OBEYED[mode]:
            self.change(desired.attempt_id, _OBEYED[mode])

    def _stop(self, attempt_id: AttemptId, reason: str) -> None:
        observed = self.attempts.get(attempt_id)
        if observed is not None and not is_attempt_finished(observed.state):
            self.change(attempt_id, AttemptState.KILLED, reason=reason)

    def start(self) -> None:
        """Start what is wanted and has room."""
        busy = {one.attempt_id for one in self.attempts.values() if _runs(one)}
        for attempt_id, desired in self.desired.items():
            observed = self.attempts.get(attempt_id)
            wanted = desired.want.mode is Mode.RUN and observed is not None and observed.started_at_ms is None
            if wanted and not is_attempt_finished(self.attempts[attempt_id].state) and len(busy) < self.slots:
                busy.add(attempt_id)
                launches = [self.desired[one].launch for one in busy if one in self.desired]
                wrong = list(gpu_faults(((one.gpu_ids, one.resources.share_mb) for one in launches), _SIZES))
                assert not wrong, wrong
                self.change(attempt_id, AttemptState.RUNNING, started_at_ms=self.world.now_ms)

    def end(self, state: AttemptState, log_bytes: int = 0) -> None:
        """The first attempt that runs ends."""
        running = [one.attempt_id for one in self.attempts.values() if _runs(one)]
        if running:
            end = {"finished_at_ms": self.world.now_ms, "log_sizes": {"stdout": log_bytes} if log_bytes else {}}
            self.change(running[0], state, error="" if state is AttemptState.SUCCEEDED else f"it {state}", **end)

    def store_logs(self) -> None:
        """All log bytes of what has ended arrive."""
        world = self.world
        for observed in list(self.attempts.values()):
            if self.session is not None and is_attempt_finished(observed.state):
                for source, size in observed.log_sizes.items():
                    world.reactor.on_logs_stored(observed.attempt_id, source, size)
        world.turn()

    def crash(self) -> None:
        """The host dies and comes back without anything."""
        if self.session is not None:
            self.disconnect()
        self.attempts.clear()
        self.desired.clear()
        self.news.clear()

    @property
    def slots(self) -> int:
        """How many attempts may run at once."""
        return int(self.fields["max_concurrent_jobs"])


def _runs(observed: Observed) -> bool:
    return observed.started_at_ms is not None and not is_attempt_finished(observed.state)


def _never_fits(job: Job) -> bool:
    """Whether it is a gang of more tasks than all agents together have room for."""
    needs = job.spec.resources
    if needs.share:
        return job.spec.gang and len(job.tasks) > 1  # how many fit depends on who else shares
    words = (*job.spec.requirements, job.spec.worker or "")
    room = min(
        6,
        *(_ROOM_ON.get(word, 6) for word in words),
        _ROOM.get(("gpus", needs.gpus_asked), 6),
        _ROOM.get(("memory_mb", needs.memory_mb), 6),
    )
    return job.spec.gang and sum(not is_task_finished(task.state) for task in job.tasks) > room


class Storm:
    """Three agents and whatever happens to them."""

    def __init__(self, seed: int = 0) -> None:
        self.world = World(seed)
        self.jobs: list[Job] = []
        self.chosen: list[JobId] = []
        """Jobs that are to come, for which an offer was chosen."""
        self.agents: list[Agent] = []
        for name, slots, fields in (
            ("w1", 2, {"gpus": gpus(1), "properties": {"zone": "a", "memory_mb": 1000, GPU_SHARING: True}}),
            ("w2", 1, {"gpus": gpus(2), "tags": ("fast",), "properties": {"memory_mb": 1000, GPU_SHARING: True}}),
            ("w3", 3, {"properties": {"zone": "a", "memory_mb": 1000}}),
        ):
            agent = Agent(self.world, name, slots, **fields)
            self.world.workers[name] = agent
            self.agents.append(agent)

    def check(self) -> None:
        """After every step."""
        self.world.turn()
        self.world.check_invariants()

    # --- what can happen ---------------------------------------------------------------------------------------

    def submit(
        self, tasks: int, kind: str, after: list[int], end: str = "after", part: str = "job", **fields: Any
    ) -> None:  # fmt: skip
        """A job of some kind, after some end of some of the earlier ones, of a task of them, or task by task."""
        kinds: dict[str, dict[str, Any]] = {
            "plain": {},
            "gpu": {"resources": Resources(gpus=1)},
            "two_gpus": {"resources": Resources(gpus=2)},
            "share": {"resources": Resources(gpus=1, gpu_memory_mb=9_000, share=True)},
            "two_shares": {"resources": Resources(gpus=2, gpu_memory_mb=15_000, share=True)},
            "zone": {"requirements": ("zone=a",)},
            "fast": {"requirements": ("tags=fast",)},
            "memory": {"resources": Resources(memory_mb=600)},
            "named": {"worker": "w3"},
            "urgent": {"priority": 105},
            "sweep": {
                "command": ("train", "{x}"), "parameters": tuple({"x": f"-{index}"} for index in range(tasks)),
                "task_commands": tuple(("train", f"-{index}") for index in range(tasks)),
            },
        }  # fmt: skip
        earlier = [self.jobs[place % len(self.jobs)] for place in after if self.jobs]
        if part == "each" and not fields.get("gang"):
            fields[end] = tuple(f"{job.id}:*" for job in earlier if len(job.tasks) == tasks)
        elif part == "task":
            fields[end] = tuple(job.task_id(after[0] % len(job.tasks)) for job in earlier)
        else:
            fields[end] = tuple(job.id for job in earlier)
        chosen = self.chosen.pop() if self.chosen else None
        self.jobs.append(self.world.submit(num_tasks=tasks, id=chosen, **kinds[kind], **fields))

    def choose(self, resources: Resources, worker: str, person: str, *, anew: bool) -> None:
        """Somebody chooses an offer, for a new job or another one than before; refusals are fine."""
        if anew or not self.chosen:
            self.chosen.append(self.world.new_id())
        spec = JobSpec(command=("/bin/true",), resources=resources)
        with suppress(Conflict, NotFound):
            self.world.reactor.on_reserve_offer(self.chosen[-1], spec, worker, person, self.world.now_ms)

    def give_up(self, person: str) -> None:
        """Somebody leaves the form."""
        if self.chosen:
            self.world.reactor.on_free_offer(self.chosen.pop(), person, self.world.now_ms)

    def submit_again(self, place: int) -> None:
        """The same submission once more."""
        if self.jobs and self.jobs[place % len(self.jobs)].id in self.world.fleet.jobs:
            job = self.jobs[place % len(self.jobs)]
            spec = {field: getattr(job.spec, field) for field in job.spec.__struct_fields__}
            assert self.world.submit(id=job.id, **spec) is job

    def act(self, verb: str, place: int, index: int | None) -> None:
        """An operator does something to a job or a task; refusals are fine."""
        job = self._live(place)
        if job is not None:
            with suppress(Conflict, InvalidRequest):
                self.world.act(verb, job, index if index is None else index % len(job.tasks))

    def set_priority(self, place: int, priority: int, index: int | None = None) -> None:
        """A job moves in the queue, or one of its tasks does."""
        job = self._live(place)
        if job is not None:
            selection = None if index is None else TaskSelection.of(index % len(job.tasks))
            with suppress(Conflict, InvalidRequest):
                self.world.reactor.on_set_priority(
                    job.id, selection, priority, "ana", self.world.now_ms, relative=priority % 2 == 0
                )

    def add_tasks(self, place: int, values: list[int]) -> None:
        """A sweep is given more tasks; what is none refuses them."""
        job = self._live(place)
        if job is not None:
            with suppress(Conflict, InvalidRequest):
                points = [{"x": str(value)} for value in values]
                self.world.reactor.on_add_tasks(job.id, points, "ana", self.world.now_ms)

    def set_worker(self, agent: Agent, action: str) -> None:
        """A worker is drained, undrained or revoked."""
        if agent.id in self.world.fleet.workers:
            if action == "revoke":
                self.world.reactor.on_revoke(agent.name, "ana", self.world.now_ms)
            else:
                self.world.reactor.on_set_maintenance(agent.name, action, "ana", self.world.now_ms)

    def set_person(self, name: str, change: ShareChange) -> None:
        """A person may have more of the fleet, or less."""
        self.world.reactor.on_set_person(name, change, "ana", self.world.now_ms)

    def limit_project(self, change: ShareChange) -> None:
        """The project of all jobs may have more of the fleet, or less."""
        self.world.reactor.on_set_project("default", None, None, "ana", self.world.now_ms, change)

    def allow_preemption(self, *, allowed: bool) -> None:
        """Tasks make way for higher bands from now on, or no longer."""
        world = self.world
        world.reactor.on_set_project("default", None, None, "ana", world.now_ms, None, preemptible=allowed)

    def pause_project(self, *, paused: bool) -> None:
        """The project of all jobs is paused, or goes on."""
        self.world.set_project("paused" if paused else "active")

    def connect(self, agent: Agent) -> None:
        """An agent connects, anew if need be."""
        agent.ends.clear()
        agent.connect()

    def disconnect(self, agent: Agent) -> None:
        """An agent's connection breaks, with all that is under way."""
        if agent.session is not None:
            agent.disconnect()

    def crash_or_connect(self, agent: Agent, chance: float) -> None:
        """Something happens to an agent's link, or its host; 0 ≤ `chance` < 1 says what."""
        if agent.session is None:
            self.connect(agent)
        elif chance < 0.3:
            agent.crash()
        else:
            agent.disconnect()

    def step(self, agent: Agent) -> None:
        """An agent does what it was told, and says so."""
        agent.obey()
        agent.start()
        agent.flush()

    def repeat(self, agent: Agent, place: int) -> None:
        """An old report arrives once more."""
        if agent.session is not None and agent.history:
            agent.say(agent.history[place % len(agent.history)])

    def lie(self, agent: Agent, place: int, state: AttemptState) -> None:
        """A report that can't be: of an attempt that never was, or of somebody else's."""
        if agent.session is None:
            return
        others = [one for one in self.world.fleet.attempts.values() if one.worker_id != agent.id]
        attempt_id = others[place % len(others)].id if others else AttemptId("nowhere.0.0.abcd")
        agent.say(Observed(attempt_id=attempt_id, state=state))

    def _live(self, place: int) -> Job | None:
        live = [job for job in self.jobs if job.id in self.world.fleet.jobs]
        return live[place % len(live)] if live else None

    # --- the calm after ----------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Everybody is there, obeys and succeeds: all work must end, and nothing must stay in memory."""
        world = self.world
        self.pause_project(paused=False)
        self.limit_project(ShareChange(gpus=-1))
        for person in list(world.fleet.people):
            self.set_person(person, ShareChange(tasks=-1))
        for agent in self.agents:
            self.connect(agent)
            self.set_worker(agent, "undrain")
        for job in list(world.fleet.jobs.values()):
            for verb in ("resume", "release"):
                with suppress(Conflict):
                    world.act(verb, job)
        for _ in range(60):
            if not world.fleet.jobs:
                break
            for _ in range(6):
                for agent in self.agents:
                    self.step(agent)
                    agent.end(AttemptState.SUCCEEDED)
                    agent.flush()
                    agent.store_logs()
                    agent.ends.clear()
                self.check()
            for job in list(world.fleet.jobs.values()):
                if job.state is TaskState.HELD:  # it was blocked before
                    world.act("release", job)
                if job.state is TaskState.BLOCKED or (job.state is TaskState.PENDING and _never_fits(job)):
                    world.act("cancel", job)
            world.pass_ms(20_000)
        left = [f"{job.id} {job.state}: {world.why(job)}, {job.tasks}" for job in world.fleet.jobs.values()]
        assert not left, "\n".join(left)
        assert not world.fleet.attempts
        assert not world.fleet.dependents
        assert len(world.fleet.order) == 0
